/* SPDX-License-Identifier: ISC */
/* Handshakes as bytes: built by hand, read back, and everything that they may not be. That the hashes are those of
 * real handshakes is shown by test_usher_proof.c and t4020. */
#include "tls_transcript.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SHA256_SUITE = 0x1301, SHA384_SUITE = 0x1302 };

static struct buf handshake; /* what is built */

static void begin(void)
{
    buf_clear(&handshake);
}

static void add(unsigned type, const void *body, size_t n)
{
    assert_true(tls_transcript_add(&handshake, type, body, n));
}

static void add_hello(uint16_t suite, bool retry)
{
    static const uint8_t random[] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11,
                                     0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
                                     0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e,
                                     0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};
    uint8_t body[2 + 32 + 1 + 2 + 3] = {3, 3};
    if (retry)
        memcpy(body + 2, random, sizeof random);
    body[35] = (uint8_t)(suite >> 8);
    body[36] = (uint8_t)suite;
    add(retry ? GNUTLS_HANDSHAKE_HELLO_RETRY_REQUEST : 2, body, sizeof body);
}

/* One entry for each of the n, of that many bytes. */
static void add_certificates(const uint8_t *sizes, unsigned n, uint8_t context)
{
    uint8_t body[4096] = {context};
    size_t at = 1 + context + 3;
    for (unsigned i = 0; i < n; i++) {
        body[at + 2] = sizes[i];
        memset(body + at + 3, (int)(0x30 + i), sizes[i]);
        at += 3 + sizes[i];
        body[at + 1] = 1; /* an extension's byte */
        at += 3;
    }
    size_t list = at - 4 - context;
    body[1 + context + 1] = (uint8_t)(list >> 8);
    body[1 + context + 2] = (uint8_t)list;
    add(11, body, at);
}

static void add_signature(uint16_t scheme, uint8_t byte)
{
    const uint8_t body[] = {(uint8_t)(scheme >> 8), (uint8_t)scheme, 0, 2, byte, byte};
    add(15, body, sizeof body);
}

/* A whole handshake; without is a message to leave out, counted from 0. */
static void build(uint16_t suite, bool retry, int without)
{
    static const uint8_t server[] = {9}, client[] = {7, 5};
    int i = 0;
    begin();
    if (retry) {
        add(1, "first", 5);
        add_hello(suite, true);
    }
    if (i++ != without)
        add(1, "hello", 5);
    if (i++ != without)
        add_hello(suite, false);
    if (i++ != without)
        add(8, "\0", 2);
    if (i++ != without)
        add(13, "\0\0", 3);
    if (i++ != without)
        add_certificates(server, 1, 0);
    if (i++ != without)
        add_signature(0x0403, 's');
    if (i++ != without)
        add(20, "finished", 8);
    if (i++ != without)
        add_certificates(client, 2, 0);
    if (i++ != without)
        add_signature(0x0807, 'c');
}
enum { MESSAGES = 9 };

/* From a copy, so that a sanitizer sees a byte too many being read. */
static const char *read_bytes(const uint8_t *p, size_t n, struct tls_transcript *t)
{
    static uint8_t *copy;
    free(copy);
    copy = malloc(n ? n : 1);
    assert_non_null(copy);
    if (n)
        memcpy(copy, p, n);
    const char *why = tls_transcript_read(slice_of(copy, n), t);
    if (!n) {
        free(copy);
        copy = NULL;
    }
    return why;
}

static const char *read_it(struct tls_transcript *t)
{
    return read_bytes(handshake.data, handshake.len, t);
}

static void what_is_in_it(void **state)
{
    struct tls_transcript t;
    (void)state;
    for (int retry = 0; retry < 2; retry++) {
        build(SHA256_SUITE, retry, -1);
        assert_null(read_it(&t));
        assert_true(slice_eq(t.server_leaf, slice_str("000000000")));
        assert_int_equal(t.server.scheme, 0x0403);
        assert_true(slice_eq(t.server.bytes, slice_str("ss")));
        assert_int_equal(t.n, 2);
        assert_true(slice_eq(t.chain[0], slice_str("0000000")));
        assert_true(slice_eq(t.chain[1], slice_str("11111")));
        assert_int_equal(t.client.scheme, 0x0807);
        assert_true(slice_eq(t.client.bytes, slice_str("cc")));
        assert_true(t.signed_by_server.n < t.signed_by_client.n);
        /* The client's CertificateVerify is last: a header of 4 and 6 bytes. */
        assert_int_equal(t.signed_by_client.n, handshake.len - 10);
    }
}

static void hash_of(uint16_t suite, const void *p, size_t n, uint8_t *out)
{
    const gnutls_datum_t d = {(uint8_t *)(uintptr_t)p, (unsigned)n};
    size_t size = SCHEME_HASH;
    assert_int_equal(
        gnutls_fingerprint(suite == SHA256_SUITE ? GNUTLS_DIG_SHA256 : GNUTLS_DIG_SHA384, &d, out,
                           &size),
        0);
}

static void hashes(void **state)
{
    static const uint16_t suites[] = {SHA256_SUITE, SHA384_SUITE};
    uint8_t want[SCHEME_HASH], got[SCHEME_HASH];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        size_t n = i ? 48 : 32;
        build(suites[i], false, -1);
        assert_memory_equal(handshake.data, "\1\0\0\5hello", 9);
        hash_of(suites[i], handshake.data, handshake.len, want);
        assert_int_equal(tls_transcript_hash(slice_of(handshake.data, handshake.len), got), n);
        assert_memory_equal(got, want, n);
        /* With a request for another hello the first counts by its hash. */
        build(suites[i], true, -1);
        hash_of(suites[i], "\1\0\0\5first", 9, want);
        assert_int_equal(handshake.data[0], 254);
        assert_int_equal(handshake.data[3], n);
        assert_memory_equal(handshake.data + 4, want, n);
        assert_int_equal(handshake.data[4 + n], 2);
    }
    build(0xc02b, false, -1); /* one of TLS 1.2 */
    assert_int_equal(tls_transcript_hash(slice_of(handshake.data, handshake.len), got), 0);
    assert_int_equal(tls_transcript_hash(slice_str("\1\0\0\5hello"), got), 0);
    assert_int_equal(tls_transcript_hash(slice_of(NULL, 0), got), 0);
}

static void what_it_is_not(void **state)
{
    static const uint8_t one[] = {9};
    struct tls_transcript t;
    uint8_t many[TLS_CHAIN_MAX + 1];
    (void)state;
    for (int without = 0; without < MESSAGES; without++) {
        build(SHA256_SUITE, false, without);
        assert_non_null(read_it(&t));
    }
    build(0xc02b, false, -1);
    assert_string_equal(read_it(&t), "not a suite of TLS 1.3");
    build(SHA256_SUITE, false, -1);
    add(20, "finished", 8);
    assert_string_equal(read_it(&t), "more messages than a handshake has");
    build(SHA256_SUITE, false, 8);
    add_signature(0x0807, 'c');
    add_certificates(one, 1, 0);
    assert_non_null(read_it(&t));
    memset(many, 3, sizeof many);
    for (unsigned n = 0; n < 3; n++) { /* none, as many as there is room for, more */
        static const unsigned counts[] = {0, TLS_CHAIN_MAX, TLS_CHAIN_MAX + 1};
        build(SHA256_SUITE, false, 8);
        handshake.len -= 4 + 1 + 3 + 2 * 6 + 12; /* its certificates */
        add_certificates(many, counts[n], 0);
        add_signature(0x0807, 'c');
        assert_int_equal(read_it(&t) == NULL, n > 0);
        assert_int_equal(t.n, counts[n]);
    }
    build(SHA256_SUITE, false, 8);
    handshake.len -= 4 + 1 + 3 + 2 * 6 + 12;
    add_certificates(one, 1, 1); /* as after the handshake */
    add_signature(0x0807, 'c');
    assert_non_null(read_it(&t));
}

static void a_request_out_of_place(void **state)
{
    struct tls_transcript t;
    (void)state;
    build(SHA256_SUITE, true, 0); /* and no second hello */
    assert_non_null(read_it(&t));
    begin();
    add(1, "hello", 5);
    add_hello(SHA256_SUITE, true);
    add_hello(SHA256_SUITE, false);
    assert_non_null(read_it(&t));
    build(SHA256_SUITE, true, -1);
    handshake.data[3]--; /* of a length that no hash has */
    assert_non_null(read_it(&t));
    build(SHA256_SUITE, true, -1);
    handshake.data[4 + 32 + 4 + 36]++; /* of another suite */
    assert_non_null(read_it(&t));
    assert_non_null(strstr(read_it(&t), "another suite"));
}

static void cut_or_changed_anywhere(void **state)
{
    struct tls_transcript t;
    (void)state;
    for (int retry = 0; retry < 2; retry++) {
        build(SHA256_SUITE, retry, -1);
        for (size_t n = 0; n < handshake.len; n++)
            assert_non_null(read_bytes(handshake.data, n, &t));
        for (size_t at = 0; at < handshake.len; at++)
            for (unsigned bit = 0; bit < 8; bit++) { /* nothing is read that is not there */
                handshake.data[at] ^= (uint8_t)(1 << bit);
                (void)!read_it(&t);
                handshake.data[at] ^= (uint8_t)(1 << bit);
            }
    }
}

static void bounds_of_what_is_kept(void **state)
{
    static uint8_t big[TLS_TRANSCRIPT_MAX];
    struct buf b;
    (void)state;
    buf_init(&b, TLS_TRANSCRIPT_MAX);
    assert_true(tls_transcript_add(&b, 1, big, TLS_TRANSCRIPT_MAX - 4));
    assert_false(tls_transcript_add(&b, 8, "", 0));
    buf_clear(&b);
    assert_false(tls_transcript_add(&b, 2, "short", 5));
    assert_true(tls_transcript_add(&b, 4, "a ticket", 8) && b.len == 0);
    assert_true(tls_transcript_add(&b, 24, "a key update", 12) && b.len == 0);
    buf_release(&b);
}

static int set_up(void **state)
{
    (void)state;
    buf_init(&handshake, TLS_TRANSCRIPT_MAX);
    return 0;
}

static int tear_down(void **state)
{
    struct tls_transcript t;
    (void)state;
    (void)!read_bytes(NULL, 0, &t);
    buf_release(&handshake);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_in_it),           cmocka_unit_test(hashes),
        cmocka_unit_test(what_it_is_not),          cmocka_unit_test(a_request_out_of_place),
        cmocka_unit_test(cut_or_changed_anywhere), cmocka_unit_test(bounds_of_what_is_kept),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
