/* SPDX-License-Identifier: ISC */
#include "tls_transcript.h"

#include <string.h>

enum type {
    CLIENT_HELLO = 1,
    SERVER_HELLO = 2,
    ENCRYPTED_EXTENSIONS = 8,
    CERTIFICATE = 11,
    CERTIFICATE_REQUEST = 13,
    CERTIFICATE_VERIFY = 15,
    FINISHED = 20,
    MESSAGE_HASH = 254,
};
enum { HEADER = 4, RANDOM = 32, VERSION = 0x0303 };

/* RFC 8446, 4.1.3: the SHA-256 of "HelloRetryRequest". */
static const uint8_t retry_random[RANDOM] = {
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

/* ---- pieces ---- */

struct message {
    uint8_t type;
    struct slice body;
};

/* The first n bytes of rest. */
static bool cut(struct slice *rest, size_t n, struct slice *out)
{
    if (n > rest->n)
        return false;
    *out = slice_of(rest->p, n);
    *rest = slice_of(rest->p + n, rest->n - n);
    return true;
}

/* As many bytes as the length of width bytes says that stands before them. */
static bool cut_vector(struct slice *rest, unsigned width, struct slice *out)
{
    struct slice length;
    size_t n = 0;
    if (!cut(rest, width, &length))
        return false;
    for (unsigned i = 0; i < width; i++)
        n = n << 8 | length.p[i];
    return cut(rest, n, out);
}

static bool take(struct slice *rest, struct message *m)
{
    struct slice type;
    if (!cut(rest, 1, &type) || !cut_vector(rest, 3, &m->body))
        return false;
    m->type = type.p[0];
    return true;
}

static uint16_t u16(struct slice two)
{
    return (uint16_t)(two.p[0] << 8 | two.p[1]);
}

/* Of a ServerHello: its suite, and whether it asks for another ClientHello. */
static bool read_hello(struct slice body, uint16_t *suite, bool *retry)
{
    struct slice version, random, session, chosen;
    if (!cut(&body, 2, &version) || u16(version) != VERSION || !cut(&body, RANDOM, &random) ||
        !cut_vector(&body, 1, &session) || !cut(&body, 2, &chosen))
        return false;
    *suite = u16(chosen);
    *retry = memcmp(random.p, retry_random, RANDOM) == 0;
    return true;
}

/* Appendix B.4; no other suite is offered. */
static gnutls_digest_algorithm_t digest_of(uint16_t suite)
{
    switch (suite) {
    case 0x1301:
    case 0x1303:
        return GNUTLS_DIG_SHA256;
    case 0x1302:
        return GNUTLS_DIG_SHA384;
    default:
        return GNUTLS_DIG_UNKNOWN;
    }
}

static size_t digest(gnutls_digest_algorithm_t how, struct slice data,
                     uint8_t out[static SCHEME_HASH])
{
    const gnutls_datum_t d = {(uint8_t *)(uintptr_t)data.p, (unsigned)data.n};
    size_t n = SCHEME_HASH;
    return how != GNUTLS_DIG_UNKNOWN && gnutls_fingerprint(how, &d, out, &n) >= 0 ? n : 0;
}

/* ---- writing ---- */

static void put(struct buf *b, unsigned type, const void *body, size_t n)
{
    const uint8_t header[HEADER] = {(uint8_t)type, (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                                    (uint8_t)n};
    buf_put(b, header, sizeof header);
    buf_put(b, body, n);
}

/* RFC 8446, 4.4.1: the first ClientHello counts by its hash alone. */
static bool fold_hello(struct buf *b, uint16_t suite)
{
    uint8_t hash[SCHEME_HASH];
    size_t n = digest(digest_of(suite), slice_of(b->data, b->len), hash);
    buf_clear(b);
    put(b, MESSAGE_HASH, hash, n);
    return n > 0;
}

bool tls_transcript_add(struct buf *b, unsigned type, const void *body, size_t n)
{
    uint16_t suite;
    bool retry;
    switch (type) {
    case GNUTLS_HANDSHAKE_HELLO_RETRY_REQUEST: /* GnuTLS's own name for a ServerHello that is one */
    case SERVER_HELLO:
        if (!read_hello(slice_of(body, n), &suite, &retry) || (retry && !fold_hello(b, suite)))
            return false;
        put(b, SERVER_HELLO, body, n);
        break;
    case CLIENT_HELLO:
    case ENCRYPTED_EXTENSIONS:
    case CERTIFICATE_REQUEST:
    case CERTIFICATE:
    case CERTIFICATE_VERIFY:
    case FINISHED:
        put(b, type, body, n);
        break;
    default:
        break;
    }
    return !b->bad;
}

/* ---- the hash ---- */

size_t tls_transcript_hash(struct slice messages, uint8_t out[static SCHEME_HASH])
{
    struct slice rest = messages;
    struct message m;
    while (take(&rest, &m)) {
        uint16_t suite;
        bool retry;
        if (m.type == SERVER_HELLO)
            return read_hello(m.body, &suite, &retry) ? digest(digest_of(suite), messages, out) : 0;
    }
    return 0;
}

/* ---- reading ---- */

struct reader {
    struct slice all, rest;
};

static bool expect(struct reader *r, enum type type, struct slice *body)
{
    struct message m;
    if (!take(&r->rest, &m) || m.type != type)
        return false;
    *body = m.body;
    return true;
}

static struct slice so_far(const struct reader *r)
{
    return slice_of(r->all.p, (size_t)(r->rest.p - r->all.p));
}

/* Both hellos, with what came before them where the server asked for another one. */
static const char *read_hellos(struct reader *r)
{
    struct slice body;
    uint16_t suite, asked = 0;
    bool again = r->rest.n > 0 && r->rest.p[0] == MESSAGE_HASH, retry = false;
    if (again && (!expect(r, MESSAGE_HASH, &body) || !scheme_hash_ok(body) ||
                  !expect(r, SERVER_HELLO, &body) || !read_hello(body, &asked, &retry) || !retry))
        return "no request for another ClientHello where one was due";
    if (!expect(r, CLIENT_HELLO, &body))
        return "no ClientHello where one was due";
    if (!expect(r, SERVER_HELLO, &body) || !read_hello(body, &suite, &retry) || retry)
        return "no ServerHello where one was due";
    if (again && asked != suite)
        return "another suite than that of the request for another ClientHello";
    return digest_of(suite) == GNUTLS_DIG_UNKNOWN ? "not a suite of TLS 1.3" : NULL;
}

/* RFC 8446, 4.4.2, within a handshake: no context, at least one certificate, each with its extensions. */
static bool read_certificates(struct slice body, struct slice chain[static TLS_CHAIN_MAX],
                              unsigned *n)
{
    struct slice context, list, one, extensions;
    *n = 0;
    if (!cut_vector(&body, 1, &context) || context.n > 0 || !cut_vector(&body, 3, &list) ||
        body.n > 0)
        return false;
    while (list.n > 0) {
        if (!cut_vector(&list, 3, &one) || one.n == 0 || !cut_vector(&list, 2, &extensions))
            return false;
        if (*n < TLS_CHAIN_MAX)
            chain[*n] = one;
        ++*n;
    }
    return *n > 0;
}

static bool read_signature(struct slice body, struct tls_signature *out)
{
    struct slice scheme;
    if (!cut(&body, 2, &scheme) || !cut_vector(&body, 2, &out->bytes) || body.n > 0)
        return false;
    out->scheme = u16(scheme);
    return true;
}

static const char *read_server(struct reader *r, struct tls_transcript *t)
{
    struct slice body, context, chain[TLS_CHAIN_MAX];
    unsigned n;
    if (!expect(r, ENCRYPTED_EXTENSIONS, &body))
        return "no EncryptedExtensions where they were due";
    if (!expect(r, CERTIFICATE_REQUEST, &body) || !cut_vector(&body, 1, &context) || context.n > 0)
        return "no request for a certificate where one was due";
    if (!expect(r, CERTIFICATE, &body) || !read_certificates(body, chain, &n))
        return "no certificate of the server where one was due";
    t->server_leaf = chain[0];
    t->signed_by_server = so_far(r);
    if (!expect(r, CERTIFICATE_VERIFY, &body) || !read_signature(body, &t->server))
        return "no signature of the server where one was due";
    return expect(r, FINISHED, &body) ? NULL : "no Finished of the server where one was due";
}

static const char *read_client(struct reader *r, struct tls_transcript *t)
{
    struct slice body;
    if (!expect(r, CERTIFICATE, &body) || !read_certificates(body, t->chain, &t->n))
        return "no certificate of the client where one was due";
    t->signed_by_client = so_far(r);
    if (!expect(r, CERTIFICATE_VERIFY, &body) || !read_signature(body, &t->client))
        return "no signature of the client where one was due";
    return r->rest.n > 0 ? "more messages than a handshake has" : NULL;
}

const char *tls_transcript_read(struct slice messages, struct tls_transcript *out)
{
    struct reader r = {messages, messages};
    *out = (struct tls_transcript){0};
    const char *why = messages.n > TLS_TRANSCRIPT_MAX ? "too long" : read_hellos(&r);
    if (!why)
        why = read_server(&r, out);
    return why ? why : read_client(&r, out);
}
