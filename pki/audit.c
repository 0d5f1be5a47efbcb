/* SPDX-License-Identifier: ISC */
/* consign-pki audit verify: files in the order of the chain, heads from wherever there are, and what audit_check.h
 * makes of them. */
#include "audit_check.h"
#include "audit_read.h"
#include "file.h"
#include "log.h"
#include "pki.h"
#include "say.h"
#include "text.h"

#include <gnutls/abstract.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct log_file {
    const char *name;
    uint64_t first; /* number of its first line; 0: none */
};

enum { KEYS = 64 };

struct key {
    gnutls_pubkey_t pub;
    uint8_t fingerprint[WIRE_HASH];
};

struct audit {
    const struct options *o;
    struct key keys[KEYS];
    size_t n_keys; /* 0: signatures are not checked */
    struct log_file *files;
    size_t n_files;
    char **names; /* of head files */
    struct audit_proof *proofs;
    size_t n_proofs, room;
    struct audit_check check;
    bool lost;
    struct buf json;
};

/* ---- signatures ---- */

static enum err load_key(struct key *k, const char *file)
{
    gnutls_datum_t pem = {NULL, 0};
    gnutls_x509_crt_t crt = NULL;
    size_t n = WIRE_HASH;
    enum err e = file_read(file, &pem);
    if (e != ERR_OK)
        return e;
    bool good = gnutls_pubkey_init(&k->pub) >= 0 && gnutls_x509_crt_init(&crt) >= 0 &&
                ((gnutls_x509_crt_import(crt, &pem, GNUTLS_X509_FMT_PEM) >= 0 &&
                  gnutls_pubkey_import_x509(k->pub, crt, 0) >= 0) ||
                 gnutls_pubkey_import(k->pub, &pem, GNUTLS_X509_FMT_PEM) >= 0) &&
                gnutls_pubkey_get_key_id(k->pub, GNUTLS_KEYID_USE_SHA256, k->fingerprint, &n) >= 0;
    if (crt)
        gnutls_x509_crt_deinit(crt);
    gnutls_free(pem.data);
    return good ? ERR_OK : log_fail(ERR_CONFIG, "%s: neither a certificate nor a public key", file);
}

static enum err load_keys(struct audit *a)
{
    enum err e = ERR_OK;
    for (char **file = a->o->cert; e == ERR_OK && file && *file; file++) {
        if (a->n_keys == KEYS)
            return log_fail(ERR_USAGE, "--cert: more than %d", KEYS);
        e = load_key(&a->keys[a->n_keys++], *file);
    }
    return e;
}

static gnutls_pubkey_t find_key(const struct audit *a, const uint8_t fingerprint[static WIRE_HASH])
{
    for (size_t i = 0; i < a->n_keys; i++)
        if (memcmp(fingerprint, a->keys[i].fingerprint, WIRE_HASH) == 0)
            return a->keys[i].pub;
    return NULL;
}

static enum audit_verdict verify(void *arg, const struct audit_head *head, struct slice line)
{
    const struct audit *a = arg;
    char text[AUDIT_HEAD_TEXT], name[65];
    struct slice algorithm, signature;
    uint8_t key[WIRE_HASH];
    gnutls_datum_t data = {(uint8_t *)text, (unsigned)audit_head_text(head, text)}, raw = {NULL, 0};
    if (a->n_keys == 0)
        return AUDIT_NO_KEY;
    if (!audit_get_hash(line, "key", key) || !audit_get(line, "algorithm", &algorithm) ||
        !audit_get(line, "signature", &signature) || !slice_copy(algorithm, name, sizeof name))
        return AUDIT_WRONG;
    gnutls_pubkey_t pub = find_key(a, key);
    if (!pub)
        return AUDIT_OTHER_KEY;
    gnutls_datum_t base64 = {(uint8_t *)(uintptr_t)signature.p, (unsigned)signature.n};
    bool good = gnutls_base64_decode2(&base64, &raw) >= 0 &&
                gnutls_pubkey_verify_data2(pub, gnutls_sign_get_id(name), 0, &data, &raw) >= 0;
    gnutls_free(raw.data);
    return good ? AUDIT_GOOD : AUDIT_WRONG;
}

/* ---- heads from elsewhere ---- */

static enum err add_proof(struct audit *a, const struct audit_head *head, const char *from,
                          bool loose)
{
    if (a->n_proofs == a->room) {
        size_t room = a->room ? 2 * a->room : 64;
        struct audit_proof *grown = realloc(a->proofs, room * sizeof *grown);
        if (!grown)
            return log_fail(ERR_INTERNAL, "out of memory");
        a->proofs = grown;
        a->room = room;
    }
    a->proofs[a->n_proofs++] = (struct audit_proof){*head, from, loose};
    return ERR_OK;
}

struct heads {
    struct audit *a;
    const char *from;
    bool loose;
    enum err status;
};

/* A head in the line of a journal, whatever stands around it; one with a wrong signature is no proof. */
static bool take_head(void *arg, const char *file, uint64_t number, struct slice line, bool ended)
{
    static const char begin[] = "{\"time\":", state[] = "{\"log\":";
    struct heads *h = arg;
    struct audit_head head;
    struct slice signature;
    (void)ended;
    bool position = !h->loose && line.n > 7 && memcmp(line.p, state, 7) == 0;
    const uint8_t *at = position ? line.p : memmem(line.p, line.n, begin, sizeof begin - 1);
    if (!at)
        return true;
    struct slice text = slice_of(at, (size_t)(line.p + line.n - at));
    if (!audit_head_read(text, position, &head))
        return true;
    if (!position && audit_get(text, "signature", &signature)) {
        enum audit_verdict v = verify(h->a, &head, text);
        if (v == AUDIT_WRONG || v == AUDIT_OTHER_KEY) {
            log_warn("%s:%" PRIu64 ": a head with a wrong signature, which is not looked at", file,
                     number);
            return true;
        }
    }
    h->status = add_proof(h->a, &head, h->from, h->loose);
    return h->status == ERR_OK;
}

static enum err read_heads(struct audit *a, const char *file, bool loose)
{
    struct heads h = {a, file, loose, ERR_OK};
    enum err e = audit_read(file, take_head, &h);
    return e != ERR_OK ? e : h.status;
}

static int by_seq(const void *x, const void *y)
{
    const struct audit_proof *a = x, *b = y;
    return a->head.seq < b->head.seq ? -1 : a->head.seq > b->head.seq;
}

/* Before the logs are: a server that runs may write to both. */
static enum err gather_heads(struct audit *a)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < a->n_files; i++) {
        if (asprintf(&a->names[i], "%s.head", a->files[i].name) < 0)
            a->names[i] = NULL;
        if (!a->names[i])
            e = log_fail(ERR_INTERNAL, "out of memory");
        else if (access(a->names[i], F_OK) == 0)
            e = read_heads(a, a->names[i], false);
    }
    for (char **file = a->o->head; e == ERR_OK && file && *file; file++)
        e = read_heads(a, *file, true);
    if (a->n_proofs > 0)
        qsort(a->proofs, a->n_proofs, sizeof *a->proofs, by_seq);
    return e;
}

/* ---- the log ---- */

static bool take_first(void *arg, const char *file, uint64_t number, struct slice line, bool ended)
{
    struct audit_line l;
    (void)file;
    (void)ended;
    if (audit_line_read(line, &l))
        *(uint64_t *)arg = l.seq;
    return number < 2 && *(uint64_t *)arg == 0; /* the first may be torn */
}

static int by_first(const void *x, const void *y)
{
    const struct log_file *a = x, *b = y;
    return a->first < b->first ? -1 : a->first > b->first;
}

/* However rotation names them. */
static enum err order(struct audit *a)
{
    enum err e = ERR_OK;
    for (size_t i = 0; a->n_files > 1 && e == ERR_OK && i < a->n_files; i++) {
        if (strcmp(a->files[i].name, "-") == 0)
            return log_fail(ERR_USAGE, "audit verify: - stands alone");
        e = audit_read(a->files[i].name, take_first, &a->files[i].first);
    }
    qsort(a->files, a->n_files, sizeof *a->files, by_first);
    return e;
}

static bool take_line(void *arg, const char *file, uint64_t number, struct slice line, bool ended)
{
    struct audit *a = arg;
    audit_check_line(&a->check, &(struct audit_place){file, number}, line, ended);
    return !a->check.bad;
}

/* ---- what is told ---- */

static void found(void *arg, enum audit_kind kind, const struct audit_place *at, const char *text)
{
    static const char *const words[] = {"note", "lost", "bad"};
    struct audit *a = arg;
    char clean[SAY_TEXT], number[32];
    a->lost |= kind == AUDIT_LOST;
    if (!a->o->json) {
        say_clean(text, clean);
        printf("%-6s %s:%" PRIu64 ": %s\n", words[kind], at->file ? at->file : "-", at->line,
               clean);
        return;
    }
    text_put(&a->json, a->json.len ? ",{\"kind\":" : "{\"kind\":");
    text_json(&a->json, slice_str(words[kind]));
    text_put(&a->json, ",\"file\":");
    text_json(&a->json, slice_str(at->file));
    snprintf(number, sizeof number, ",\"line\":%" PRIu64, at->line);
    text_put(&a->json, number);
    text_put(&a->json, ",\"text\":");
    text_json(&a->json, slice_str(text));
    text_put(&a->json, "}");
}

/* What only one who knows more than the lines can say: that there should be a signature, and a younger head. */
static void judge(struct audit *a)
{
    struct audit_summary *s = &a->check.sum;
    const struct audit_place *at = &a->check.at;
    uint64_t now = (uint64_t)time(NULL), age = now > s->head_time ? now - s->head_time : 0;
    char text[256];
    if (a->check.bad)
        return;
    if (s->lines == 0)
        snprintf(text, sizeof text, "there is no line");
    else if (a->n_keys && s->signed_heads == 0)
        snprintf(text, sizeof text, "no head is signed");
    else if (a->o->live && s->signed_heads > 0 && !s->closed && s->interval &&
             age > 2 * s->interval + 60)
        snprintf(text, sizeof text,
                 "the last signed head is %" PRIu64 " s old, and there is one every %" PRIu64
                 " s: the tail is cut off, or the server does not run, or its token is away",
                 age, s->interval);
    else
        return;
    a->check.bad = true;
    found(a, AUDIT_BAD, at, text);
}

static void print(const struct audit *a)
{
    const struct audit_summary *s = &a->check.sum;
    const char *verdict = a->check.bad ? "bad" : a->lost ? "lost" : "good";
    char head[AUDIT_TIME] = "none";
    struct timespec at = {(time_t)s->head_time, 0};
    if (s->signed_heads)
        audit_time(&at, head);
    if (a->o->json) {
        printf("{\"verdict\":\"%s\",\"log\":\"%s\",\"first\":%" PRIu64 ",\"last\":%" PRIu64
               ",\"signed_heads\":%" PRIu64 ",\"unsigned_heads\":%" PRIu64 ",\"head_seq\":%" PRIu64
               ",\"head_time\":%" PRIu64 ",\"signatures_checked\":%s,\"closed\":%s,\"findings\":[",
               verdict, s->log, s->first, s->last, s->signed_heads, s->unsigned_heads, s->head_seq,
               s->head_time, a->n_keys ? "true" : "false", s->closed ? "true" : "false");
        printf("%.*s]}\n", (int)a->json.len, a->json.len ? (const char *)a->json.data : "");
        return;
    }
    printf("%-6s log %s, lines %" PRIu64 " to %" PRIu64 "%s\n", verdict, s->log, s->first, s->last,
           a->check.bad ? " before that" : "");
    printf("       %" PRIu64 " signed heads%s, the last of line %" PRIu64 " at %s; %" PRIu64
           " unsigned; %" PRIu64 " lines behind it%s\n",
           s->signed_heads,
           a->n_keys || !s->signed_heads ? "" : " (signatures not checked: no --cert)", s->head_seq,
           head, s->unsigned_heads, s->last - s->head_seq, s->closed ? ", closed" : "");
}

static enum err check(struct audit *a)
{
    enum err e = ERR_OK;
    if (!audit_check_init(&a->check))
        return log_fail(ERR_INTERNAL, "out of memory");
    a->check.found = found;
    a->check.verify = verify;
    a->check.arg = a;
    a->check.proofs = a->proofs;
    a->check.n_proofs = a->n_proofs;
    for (size_t i = 0; e == ERR_OK && !a->check.bad && i < a->n_files; i++)
        e = audit_read(a->files[i].name, take_line, a);
    if (e != ERR_OK)
        return e;
    audit_check_end(&a->check);
    judge(a);
    print(a);
    return a->check.bad ? ERR_CORRUPT : a->lost ? PKI_ALARM : ERR_OK;
}

static void release(struct audit *a)
{
    audit_check_release(&a->check);
    for (size_t i = 0; a->names && i < a->n_files; i++)
        free(a->names[i]);
    free(a->names);
    free(a->proofs);
    free(a->files);
    for (size_t i = 0; i < a->n_keys; i++)
        if (a->keys[i].pub)
            gnutls_pubkey_deinit(a->keys[i].pub);
    buf_release(&a->json);
}

/* LOG* names it, too; it is looked at anyway. */
static bool is_head_file(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && strcmp(name + n - 5, ".head") == 0;
}

enum err audit_run(const struct options *o, const char *const *args, int n)
{
    struct audit a = {.o = o};
    if (strcmp(args[0], "verify") != 0)
        return log_fail(ERR_USAGE, "audit: %s: wants verify LOG...", args[0]);
    buf_init(&a.json, 1 << 24);
    a.files = calloc((size_t)n, sizeof *a.files);
    a.names = calloc((size_t)n, sizeof *a.names);
    enum err e = a.files && a.names ? ERR_OK : log_fail(ERR_INTERNAL, "out of memory");
    for (size_t i = 0; e == ERR_OK && i + 1 < (size_t)n; i++)
        if (!is_head_file(args[i + 1]))
            a.files[a.n_files++].name = args[i + 1];
    if (e == ERR_OK && a.n_files == 0)
        e = log_fail(ERR_USAGE, "audit verify: wants LOG...");
    if (e == ERR_OK)
        e = load_keys(&a);
    if (e == ERR_OK)
        e = gather_heads(&a);
    if (e == ERR_OK)
        e = order(&a);
    if (e == ERR_OK)
        e = check(&a);
    release(&a);
    return e;
}
