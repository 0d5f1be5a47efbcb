/* SPDX-License-Identifier: ISC */
/* The audit log as a chain. A whole one is made of an input, then changed as the input says: line by line or byte by byte.
 * With the hash of the last line known from elsewhere every change is found, but that lines are missing at the
 * front; and what is found can be told. The first byte: how many lines. */
#include "fuzz.h"

#include "../../pki/audit_check.h"
#include "text.h"
#include <inttypes.h>
#include <stdio.h>

enum { LINES = 12, LINE = 400, LOG_MAX = LINES * LINE };

struct chain {
    char text[LOG_MAX];
    size_t n;
    size_t begins[LINES + 1]; /* where each line does, and the end */
    size_t lines;
    uint64_t first;
    struct audit_proof proof; /* of the last line */
};

/* A line whose value is the input's. */
static void add_line(struct chain *c, struct slice value, const char *event)
{
    static const uint8_t none[WIRE_HASH];
    char prev[AUDIT_HEX + 1];
    struct buf b;
    struct audit_line l;
    buf_init(&b, LINE);
    uint64_t seq = c->first + c->lines;
    text_hex(c->lines ? c->proof.head.hash : none, WIRE_HASH, prev);
    char head[200];
    snprintf(head, sizeof head,
             "{\"time\":\"2027-01-15T08:00:00.000000Z\",\"seq\":%" PRIu64
             ",\"prev\":\"%s\",\"event\":\"%s\",\"path\":",
             seq, prev, event);
    text_put(&b, head);
    text_json(&b, value);
    text_put(&b, "}\n");
    FUZZ_MUST(!b.bad && audit_line_read(slice_of(b.data, b.len - 1), &l) && l.seq == seq);
    memcpy(c->text + c->n, b.data, b.len);
    c->begins[c->lines++] = c->n;
    c->n += b.len;
    c->begins[c->lines] = c->n;
    c->proof.head.seq = seq;
    audit_hash(b.data, b.len, c->proof.head.hash);
    buf_release(&b);
}

static void make_chain(struct chain *c, struct wire_rd *r)
{
    static const char *const events[] = {"put", "get", "close", "stop"};
    size_t lines = 1 + wire_get_u8(r) % LINES;
    c->n = c->lines = 0;
    c->first = wire_get_u8(r) & 1 ? 1 : 1 + wire_get_u32(r);
    c->proof = (struct audit_proof){.from = "another"};
    while (c->lines < lines) {
        struct slice value = wire_get_str(r, 24);
        add_line(c, value, events[c->lines % 4]);
    }
}

/* ---- the check ---- */

struct verdict {
    unsigned bad, lost;
};

static void found(void *arg, enum audit_kind kind, const struct audit_place *at, const char *text)
{
    struct verdict *v = arg;
    FUZZ_MUST(at->line > 0 && text[0]);
    v->bad += kind == AUDIT_BAD;
    v->lost += kind == AUDIT_LOST;
}

/* Lines as audit_read.h has them. */
static struct verdict check(const void *p, size_t n, const struct audit_proof *proof)
{
    static struct audit_check c; /* its memory is kept */
    struct verdict v = {0};
    struct audit_place at = {"log", 0};
    if (!c.kept)
        FUZZ_MUST(audit_check_init(&c));
    c = (struct audit_check){
        .kept = c.kept, .found = found, .arg = &v, .proofs = proof, .n_proofs = proof != NULL};
    for (const uint8_t *s = p, *end = s + n, *nl; s < end; s = nl + 1) {
        nl = memchr(s, '\n', (size_t)(end - s));
        at.line++;
        audit_check_line(&c, &at, slice_of(s, (size_t)((nl ? nl : end) - s)), nl != NULL);
        if (!nl)
            break;
    }
    audit_check_end(&c);
    FUZZ_MUST((v.bad > 0) == c.bad && v.bad <= 1);
    return v;
}

/* Whether the bytes are the last lines of the chain, all of them or some. */
static bool is_tail(const struct chain *c, const void *p, size_t n)
{
    for (size_t i = 0; i < c->lines; i++)
        if (c->n - c->begins[i] == n && memcmp(c->text + c->begins[i], p, n) == 0)
            return true;
    return false;
}

static void check_changed(const struct chain *c, const void *p, size_t n)
{
    struct verdict v = check(p, n, &c->proof);
    FUZZ_MUST(is_tail(c, p, n) == (v.bad + v.lost == 0));
}

/* Lines taken out, doubled, or put elsewhere: of each u8 the line that comes. */
static void check_lines(const struct chain *c, struct wire_rd *r)
{
    static char text[LOG_MAX * 2];
    size_t n = 0;
    for (size_t i = 0; i < 2 * c->lines && r->p < r->end; i++) {
        size_t line = wire_get_u8(r) % c->lines, size = c->begins[line + 1] - c->begins[line];
        memcpy(text + n, c->text + c->begins[line], size);
        n += size;
    }
    if (n > 0)
        check_changed(c, text, n);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    static struct chain c;
    struct wire_rd r = wire_read(data, n);
    uint8_t way = wire_get_u8(&r);
    if (way % 3 == 0) {
        (void)check(r.p, (size_t)(r.end - r.p), NULL);
        return;
    }
    make_chain(&c, &r);
    if (r.bad)
        return;
    struct verdict v = check(c.text, c.n, &c.proof);
    FUZZ_MUST(v.bad + v.lost == 0);
    if (way % 3 == 1) {
        check_lines(&c, &r);
    } else {
        size_t size = c.n;
        uint8_t *edited = fuzz_edited(&r, c.text, &size);
        if (size > 0)
            check_changed(&c, edited, size);
        free(edited);
    }
}

/* ---- seeds ---- */

static void seed(uint8_t way, const char *end, size_t n)
{
    struct buf b;
    buf_init(&b, 4096);
    wire_put_u8(&b, way);
    wire_put_u8(&b, 3);
    wire_put_u8(&b, 1);
    for (int i = 0; i < 4; i++)
        wire_put_str(&b, slice_str("/a\"\x1b\xff"), 24);
    buf_put(&b, end, n);
    fuzz_seed(b.data, b.len);
    buf_release(&b);
}

void fuzz_seeds(void)
{
    static const char *const events[] = {
        "\"begin\",\"log\":\"00112233445566778899aabbccddeeff\",\"head_interval\":60",
        "\"gap\",\"lost\":3,\"reason\":\"x\",\"since\":\"y\"",
        "\"head\",\"log\":\"00112233445566778899aabbccddeeff\",\"head_seq\":1,\"head_hash\":\"%s\","
        "\"head_time\":5,\"signature\":\"s\"",
        "\"clock\",\"was\":\"then\""};
    char line[1000];
    struct buf b;
    seed(1, "\0\1\2\3", 4);
    seed(1, "\1\2\3", 3);
    seed(1, "\0\2\1\3", 4);
    seed(2, "\0", 1);
    seed(2, "\1\1\0\0\x41", 5);
    seed(2, "\1\0\5\1\1", 5);
    buf_init(&b, 8192);
    wire_put_u8(&b, 0);
    for (int i = 0; i < 4; i++) {
        snprintf(line, sizeof line,
                 "{\"time\":\"2027-01-15T08:00:00.000000Z\",\"seq\":%d,\"prev\":\"%064d\","
                 "\"event\":%s}\n",
                 i + 1, 0, events[i]);
        text_put(&b, line);
    }
    fuzz_seed(b.data, b.len);
    buf_release(&b);
}
