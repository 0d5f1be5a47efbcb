/* SPDX-License-Identifier: ISC */
/* The messages of a handshake, as a session that was taken over hands them to the usher. What is read as one is put together again
 * from what was read, and is the same; its signatures are over beginnings of it. */
#include "fuzz.h"

#include "tls_transcript.h"
#include <string.h>

static bool within(struct slice all, struct slice part)
{
    return part.p >= all.p && part.n <= all.n && (size_t)(part.p - all.p) <= all.n - part.n;
}

static void check(struct slice all, const struct tls_transcript *t)
{
    uint8_t hash[SCHEME_HASH], other[SCHEME_HASH];
    FUZZ_MUST(t->n >= 1 && t->server_leaf.n > 0);
    FUZZ_MUST(t->signed_by_server.p == all.p && t->signed_by_client.p == all.p);
    FUZZ_MUST(t->signed_by_server.n < t->signed_by_client.n && t->signed_by_client.n < all.n);
    FUZZ_MUST(within(t->signed_by_server, t->server_leaf) && within(all, t->server.bytes));
    for (unsigned i = 0; i < t->n && i < TLS_CHAIN_MAX; i++)
        FUZZ_MUST(t->chain[i].n > 0 && within(t->signed_by_client, t->chain[i]));
    /* The last message is the client's signature, header and all. */
    FUZZ_MUST(t->signed_by_client.n + 4 + 4 + t->client.bytes.n == all.n);
    FUZZ_MUST(t->client.bytes.p + t->client.bytes.n == all.p + all.n);
    size_t n = tls_transcript_hash(t->signed_by_server, hash);
    FUZZ_MUST(scheme_hash_ok(slice_of(hash, n)));
    FUZZ_MUST(tls_transcript_hash(t->signed_by_client, other) == n && memcmp(hash, other, n) != 0);
}

/* What GnuTLS's hook would have told of it. */
static void again(struct slice all)
{
    struct buf b;
    struct slice rest = all;
    if (all.p[0] == 254) /* stands for what is not here */
        return;
    buf_init(&b, TLS_TRANSCRIPT_MAX);
    while (rest.n > 0) {
        size_t n = (size_t)rest.p[1] << 16 | (size_t)rest.p[2] << 8 | rest.p[3];
        FUZZ_MUST(tls_transcript_add(&b, rest.p[0], rest.p + 4, n));
        rest = slice_of(rest.p + 4 + n, rest.n - 4 - n);
    }
    FUZZ_MUST(slice_eq(all, slice_of(b.data, b.len)));
    buf_release(&b);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    uint8_t hash[SCHEME_HASH], *copy = fuzz_copy(data, n);
    struct slice all = slice_of(copy, n);
    struct tls_transcript t;
    (void)tls_transcript_hash(all, hash);
    if (!tls_transcript_read(all, &t)) {
        check(all, &t);
        again(all);
    }
    free(copy);
}

/* Certificates that are none, in messages that are. */
static void seed(bool retry, uint16_t suite)
{
    static const uint8_t retry_random[] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11,
                                           0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
                                           0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e,
                                           0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};
    static const uint8_t server[] = {0, 0, 0, 8, 0, 0, 3, 'a', 'b', 'c', 0, 0};
    static const uint8_t client[] = {0, 0, 0, 15, 0, 0, 3,   'd', 'e', 'f',
                                     0, 1, 7, 0,  0, 1, 'g', 0,   0};
    static const uint8_t signature[] = {4, 3, 0, 2, 's', 's'}, none[] = {0, 0};
    uint8_t hello[40] = {3, 3}, ask[40] = {3, 3};
    struct buf b;
    buf_init(&b, TLS_TRANSCRIPT_MAX);
    hello[35] = ask[35] = (uint8_t)(suite >> 8);
    hello[36] = ask[36] = (uint8_t)suite;
    memcpy(ask + 2, retry_random, sizeof retry_random);
    bool good =
        tls_transcript_add(&b, 1, "hello", 5) &&
        (!retry ||
         (tls_transcript_add(&b, 2, ask, sizeof ask) && tls_transcript_add(&b, 1, "again", 5))) &&
        tls_transcript_add(&b, 2, hello, sizeof hello) && tls_transcript_add(&b, 8, none, 2) &&
        tls_transcript_add(&b, 13, none, 2) && tls_transcript_add(&b, 11, server, sizeof server) &&
        tls_transcript_add(&b, 15, signature, sizeof signature) &&
        tls_transcript_add(&b, 20, "finished", 8) &&
        tls_transcript_add(&b, 11, client, sizeof client) &&
        tls_transcript_add(&b, 15, signature, sizeof signature);
    struct tls_transcript t;
    FUZZ_MUST(good && !tls_transcript_read(slice_of(b.data, b.len), &t));
    fuzz_seed(b.data, b.len);
    buf_release(&b);
}

void fuzz_seeds(void)
{
    seed(false, 0x1301);
    seed(false, 0x1302);
    seed(true, 0x1303);
    seed(true, 0x1302);
}
