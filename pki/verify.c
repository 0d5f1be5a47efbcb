/* SPDX-License-Identifier: ISC */
/* consign-pki verify: the judgement that servers and clients make (common/cert.h), with every reason
 * there is. */
#include "buf.h"
#include "ca.h"
#include "cert.h"
#include "file.h"
#include "log.h"
#include "say.h"
#include "text.h"
#include "when.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHAIN = 8, REASONS_MAX = 65536 };

struct trial {
    const struct options *o;
    struct cert_store *store;
    int64_t at;
    struct buf reasons; /* each ended by a NUL */
    bool refused;       /* any of them */
};

/* ---- what to trust ---- */

/* A CA's own folder: its root, and the CRLs of its whole chain. */
static enum err trust_folder(struct trial *t)
{
    struct ca ca;
    enum err e = ca_open(&ca, t->o->dir, false);
    char *root = e ? NULL : ca_path(&ca, ca.n_above ? CA_ROOT : "ca.pem");
    char *crls = e ? NULL : ca_path(&ca, ca.n_above ? CA_CRLS : "crl.pem");
    if (!e)
        e = root && crls ? cert_store_add(t->store, ca.name, root, crls, CERT_CRL_REQUIRE)
                         : ERR_INTERNAL;
    free(root);
    free(crls);
    ca_close(&ca);
    return e;
}

static enum err trust(struct trial *t)
{
    enum err e = cert_store_new(&t->store);
    if (e)
        return e;
    if (!t->o->anchor)
        return trust_folder(t);
    if (!t->o->crl)
        log_warn("revocation is not looked at: no --crl");
    return cert_store_add(t->store, "anchor", t->o->anchor, t->o->crl,
                          t->o->crl ? CERT_CRL_REQUIRE : CERT_CRL_IF_PRESENT);
}

/* ---- one file ---- */

/* What the leaf says it is for; --server and --client decide otherwise. */
static enum cert_role role_of(const struct options *o, gnutls_x509_crt_t leaf)
{
    if (o->server != o->client)
        return o->server ? CERT_SERVER : CERT_CLIENT;
    bool server = false;
    for (unsigned i = 0;; i++) {
        char oid[128];
        size_t n = sizeof oid;
        if (gnutls_x509_crt_get_key_purpose_oid(leaf, i, oid, &n, NULL) < 0)
            return server ? CERT_SERVER : CERT_CLIENT;
        if (strcmp(oid, GNUTLS_KP_TLS_WWW_CLIENT) == 0)
            return CERT_CLIENT;
        server |= strcmp(oid, GNUTLS_KP_TLS_WWW_SERVER) == 0;
    }
}

/* The name to judge a server by: --host, else its own first one. */
static const char *host_of(const struct options *o, gnutls_x509_crt_t leaf,
                           char out[static NAMES_BYTES + 1])
{
    struct names *names = o->host ? NULL : calloc(1, sizeof *names);
    if (!names || names_from_cert(leaf, names)) {
        free(names);
        return o->host;
    }
    out[0] = '\0';
    for (size_t i = 0; !out[0] && i < names->n; i++) {
        const struct name *x = &names->list[i];
        if (x->type == GNUTLS_SAN_DNSNAME)
            memcpy(out, x->value, x->n + 1);
        else if (x->type == GNUTLS_SAN_IPADDRESS)
            inet_ntop(x->n == 4 ? AF_INET : AF_INET6, x->value, out, NAMES_BYTES);
    }
    free(names);
    return out;
}

static void note(void *arg, const char *why)
{
    struct trial *t = arg;
    buf_put(&t->reasons, why, strlen(why) + 1);
}

static void print_text(const struct trial *t, const char *file, const struct cert_id *id,
                       enum cert_role role)
{
    char when[SAY_TIME];
    if (t->reasons.len == 0) {
        say_stamp(id->not_after, when);
        printf("good     %s: %s %s, anchor %s, until %s\n", file,
               role == CERT_SERVER ? "server" : "client",
               id->subject_text[0] ? id->subject_text : "-", id->anchor, when);
        return;
    }
    printf("refused  %s\n", file);
    for (size_t at = 0; at < t->reasons.len; at += strlen((char *)t->reasons.data + at) + 1)
        printf("         %s\n", (char *)t->reasons.data + at);
}

static void print_json(const struct trial *t, const char *file, const struct cert_id *id,
                       enum cert_role role)
{
    struct buf b;
    bool good = t->reasons.len == 0;
    buf_init(&b, 2 * REASONS_MAX);
    text_put(&b, "{\"file\":");
    text_json(&b, slice_str(file));
    text_put(&b, good ? ",\"verdict\":\"good\",\"role\":" : ",\"verdict\":\"refused\",\"role\":");
    text_put(&b, role == CERT_SERVER ? "\"server\"" : "\"client\"");
    if (good) {
        text_put(&b, ",\"anchor\":");
        text_json(&b, slice_str(id->anchor));
        text_put(&b, ",\"subject\":");
        text_json(&b, slice_str(id->subject_text));
    }
    text_put(&b, ",\"reasons\":[");
    for (size_t at = 0; at < t->reasons.len; at += strlen((char *)t->reasons.data + at) + 1) {
        text_put(&b, at ? "," : "");
        text_json(&b, slice_str((char *)t->reasons.data + at));
    }
    text_put(&b, "]}\n");
    if (!b.bad)
        fwrite(b.data, 1, b.len, stdout);
    buf_release(&b);
}

static enum err judge(struct trial *t, const char *file, const gnutls_x509_crt_t *crts, unsigned n)
{
    gnutls_datum_t der[CHAIN] = {{NULL, 0}};
    struct cert_id id = {0};
    char host[NAMES_BYTES + 1];
    enum cert_role role = role_of(t->o, crts[0]);
    enum err e = ERR_OK;
    for (unsigned i = 0; !e && i < n; i++)
        if (gnutls_x509_crt_export2(crts[i], GNUTLS_X509_FMT_DER, &der[i]) < 0)
            e = log_fail(ERR_INTERNAL, "out of memory");
    buf_clear(&t->reasons);
    if (!e) {
        e = cert_judge_all(t->store, der, n, role,
                           role == CERT_SERVER ? host_of(t->o, crts[0], host) : NULL, (time_t)t->at,
                           note, t, &id);
        if (e == ERR_AUTH && t->reasons.len == 0)
            note(t, log_reason());
        t->refused |= e == ERR_AUTH;
        if (t->o->json)
            print_json(t, file, &id, role);
        else
            print_text(t, file, &id, role);
        e = e == ERR_AUTH ? ERR_OK : e;
    }
    for (unsigned i = 0; i < n; i++)
        gnutls_free(der[i].data);
    cert_id_release(&id);
    return e;
}

static enum err verify_file(struct trial *t, const char *file)
{
    gnutls_datum_t pem = {NULL, 0};
    gnutls_x509_crt_t crts[CHAIN];
    unsigned n = CHAIN;
    enum err e = file_read(file, &pem);
    if (e)
        return e;
    int rc = gnutls_x509_crt_list_import(crts, &n, &pem, GNUTLS_X509_FMT_PEM,
                                         GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
    free(pem.data);
    if (rc <= 0)
        return log_fail(ERR_TYPE, "%s: not PEM certificates, at most %d: %s", file, CHAIN,
                        gnutls_strerror(rc));
    e = judge(t, file, crts, (unsigned)rc);
    for (int i = 0; i < rc; i++)
        gnutls_x509_crt_deinit(crts[i]);
    return e;
}

enum err verify_run(const struct options *o, const char *const *args, int n)
{
    struct trial t = {.o = o, .at = time(NULL)};
    enum err e = o->at ? when_parse(o->at, &t.at) : ERR_OK;
    if (!e && o->server && o->client)
        e = log_fail(ERR_USAGE, "--server and --client exclude each other");
    if (!e && (o->crl || o->dir) && !o->anchor == !o->dir)
        e = log_fail(ERR_USAGE, "say either --dir, or --anchor and --crl");
    buf_init(&t.reasons, REASONS_MAX);
    if (!e)
        e = trust(&t);
    for (int i = 0; !e && i < n; i++)
        e = verify_file(&t, args[i]);
    cert_store_free(t.store);
    buf_release(&t.reasons);
    return e ? e : t.refused ? ERR_AUTH : ERR_OK;
}
