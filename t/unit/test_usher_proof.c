/* SPDX-License-Identifier: ISC */
/* A real usher process is asked about real handshakes, and about every lie that a session could tell of one. This
 * program is the session, the keeper that signs for it and the master that asks. */
#include "../../server/ipc.h"
#include "../../server/usher.h"
#include "../../server/usher_proof.h"
#include "lib/certs.h"
#include "log.h"
#include "tls_proof.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TLS13  "NONE:+VERS-TLS1.3:+AEAD:+SHA256:+SHA384:+CTYPE-X509:+SIGN-ALL"
#define GROUPS ":+GROUP-X25519:+GROUP-SECP256R1"

enum { SESSION = 77, WAIT_MS = 20 * 1000 };

static char dir[] = "/tmp/consign-proof-XXXXXX";
static char map_file[64], ca_file[64];
static struct certs_cert root, other_root, server, other_server, alice, rsa, slow, mallory,
    stranger;
static gnutls_pcert_st server_leaf;
static struct config config;
static struct policy policy;

/* All of this lives at CERTS_NOW. */
time_t time(time_t *out)
{
    if (out)
        *out = CERTS_NOW;
    return CERTS_NOW;
}

/* ---- the usher ---- */

static int usher_fd = -1;
static pid_t usher_pid;

static void start_usher(void)
{
    int pair[2];
    assert_int_equal(ipc_pair(pair), ERR_OK);
    usher_pid = fork();
    if (usher_pid == 0)
        _exit(usher_main(&policy, pair[1]));
    assert_true(usher_pid > 0);
    close(pair[1]);
    usher_fd = pair[0];
}

struct said {
    enum err status;
    bool lied;
    uint32_t rule;
    uint64_t until;
    char subject[128], reason[513];
    size_t chain_n;
};

static uint8_t heard[IPC_MAX];

static struct said ask_usher(const struct ipc_usher_ask *question)
{
    static const struct sockaddr_storage address = {.ss_family = AF_INET};
    struct ipc_usher_ask with = *question, *m = &with;
    struct ipc_in in;
    struct ipc_judging at;
    struct ipc_verdict v;
    struct said said = {0};
    struct buf b;
    m->address = slice_of(&address, sizeof address);
    buf_init(&b, IPC_MAX);
    assert_true(ipc_put_usher_ask(&b, m));
    assert_int_equal(ipc_send(usher_fd, IPC_USHER_ASK, &b, NULL, 0, false), ERR_OK);
    buf_release(&b);
    assert_int_equal(ipc_recv(usher_fd, heard, sizeof heard, &in, WAIT_MS), ERR_OK);
    assert_true(in.type == IPC_JUDGING && ipc_get_judging(in.body, in.n, &at));
    assert_int_equal(at.session, m->session);
    assert_int_equal(ipc_recv(usher_fd, heard, sizeof heard, &in, WAIT_MS), ERR_OK);
    assert_true(in.type == IPC_VERDICT && ipc_get_verdict(in.body, in.n, &v));
    assert_int_equal(v.session, m->session);
    said.status = err_from_wire(v.status);
    said.lied = v.lied;
    said.rule = v.rule;
    said.until = v.until;
    said.chain_n = v.chain.n;
    log_scrub(said.subject, sizeof said.subject, v.subject.p, v.subject.n);
    log_scrub(said.reason, sizeof said.reason, v.reason.p, v.reason.n);
    assert_int_equal(v.status == ERR_OK, v.chain.n > 0);
    return said;
}

/* ---- handshakes ---- */

/* What the session has, and what the keeper said. */
struct shaken {
    struct buf messages, vouch;
    uint64_t session;
};

struct keeping {
    struct tls *tls;
    const struct certs_cert *server;
    struct shaken *out;
};

/* As a session asks its keeper. */
static enum err sign(void *arg, uint32_t algorithm, const void *data, size_t n, uint8_t *sig,
                     size_t *sig_n)
{
    struct keeping *k = arg;
    struct scheme_key kind;
    uint8_t hash[SCHEME_HASH];
    size_t hash_n;
    gnutls_datum_t signature;
    assert_int_equal(tls_signed_hash(k->tls, algorithm, slice_of(data, n), hash, &hash_n), ERR_OK);
    assert_int_equal(scheme_key_of(&server_leaf, "server", &kind), ERR_OK);
    const struct scheme *s = scheme_find(&kind, algorithm);
    assert_non_null(s);
    assert_true(scheme_sign(s, k->server->key, SCHEME_SERVER, slice_of(hash, hash_n), &signature) >=
                0);
    const struct ipc_vouch m = {k->out->session, slice_of(hash, hash_n),
                                slice_of(signature.data, signature.size)};
    assert_true(ipc_put_vouch(&k->out->vouch, &m));
    memcpy(sig, signature.data, signature.size);
    *sig_n = signature.size;
    gnutls_free(signature.data);
    return ERR_OK;
}

static int be_client(int fd, const struct certs_cert *who, const char *priority)
{
    gnutls_session_t s;
    gnutls_certificate_credentials_t cred;
    gnutls_pcert_st own;
    gnutls_datum_t alpn = {(uint8_t[]){"consign/1"}, sizeof "consign/1" - 1};
    if (gnutls_init(&s, GNUTLS_CLIENT | GNUTLS_KEY_SHARE_TOP) < 0 ||
        gnutls_certificate_allocate_credentials(&cred) < 0 ||
        gnutls_pcert_import_x509_raw(&own, &who->der, GNUTLS_X509_FMT_DER, 0) < 0 ||
        gnutls_certificate_set_key(cred, NULL, 0, &own, 1, who->key) < 0 ||
        gnutls_priority_set_direct(s, priority, NULL) < 0 ||
        gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, cred) < 0 ||
        gnutls_alpn_set_protocols(s, &alpn, 1, GNUTLS_ALPN_MANDATORY) < 0)
        return 99;
    gnutls_transport_set_int(s, fd);
    return gnutls_handshake(s) < 0;
}

static struct shaken shake_at(const struct certs_cert *with, uint64_t session,
                              const struct certs_cert *who, const char *priority)
{
    struct shaken out = {.session = session};
    struct keeping k = {.server = with, .out = &out};
    gnutls_pcert_st leaf;
    gnutls_privkey_t key;
    struct tls_identity *id;
    int pair[2], status;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        _exit(be_client(pair[1], who, priority));
    }
    close(pair[1]);
    buf_init(&out.messages, TLS_TRANSCRIPT_MAX);
    buf_init(&out.vouch, IPC_SMALL);
    assert_int_equal(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(gnutls_pcert_import_x509_raw(&leaf, &with->der, GNUTLS_X509_FMT_DER, 0), 0);
    assert_int_equal(tls_key_external(&leaf, ~UINT64_C(0), sign, &k, &key), ERR_OK);
    assert_int_equal(tls_identity_new(true, &config.tls, &leaf, 1, key, &id), ERR_OK);
    assert_int_equal(tls_new(id, pair[0], NULL, &k.tls), ERR_OK);
    assert_int_equal(tls_handshake(k.tls, tls_now_ms() + WAIT_MS), who == &slow ? ERR_TLS : ERR_OK);
    struct slice m = tls_messages(k.tls);
    buf_put(&out.messages, m.p, m.n);
    tls_free(k.tls);
    tls_identity_free(id);
    gnutls_pcert_deinit(&leaf);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return out;
}

static struct shaken shake(const struct certs_cert *who)
{
    return shake_at(&server, SESSION, who, TLS13 ":+AES-128-GCM" GROUPS);
}

static void release(struct shaken *s)
{
    buf_release(&s->messages);
    buf_release(&s->vouch);
}

static struct said claim(const struct shaken *s, const void *p, size_t n)
{
    const struct ipc_usher_ask m = {.session = SESSION,
                                    .kind = USHER_FULL,
                                    .vouch = slice_of(s->vouch.data, s->vouch.len),
                                    .proof = slice_of(p, n)};
    return ask_usher(&m);
}

static void lies(const struct shaken *s, const void *p, size_t n, const char *why)
{
    struct said said = claim(s, p, n);
    if (said.status != ERR_AUTH || !said.lied || (why && !strstr(said.reason, why)))
        fail_msg("status %d, lied %d: \"%s\"", said.status, said.lied, said.reason);
}

/* ---- who is let in ---- */

static void let_in(const struct certs_cert *who, const char *priority, const char *subject)
{
    struct shaken s = shake_at(&server, SESSION, who, priority);
    struct said said = claim(&s, s.messages.data, s.messages.len);
    assert_string_equal(said.reason, "");
    assert_int_equal(said.status, ERR_OK);
    assert_false(said.lied);
    assert_string_equal(said.subject, subject);
    assert_int_equal(said.until, CERTS_NOW + 30 * CERTS_DAY);
    release(&s);
}

static void whoever_proves_it_is_let_in(void **state)
{
    (void)state;
    let_in(&alice, TLS13 ":+AES-128-GCM" GROUPS, "CN=alice");
    let_in(&alice, TLS13 ":+AES-256-GCM" GROUPS, "CN=alice");
    let_in(&alice, TLS13 ":+CHACHA20-POLY1305" GROUPS, "CN=alice");
    let_in(&rsa, TLS13 ":+AES-128-GCM" GROUPS, "CN=rsa");
    let_in(&rsa, TLS13 ":+AES-256-GCM" GROUPS, "CN=rsa");
}

/* The one key share is of a group that the server does not have. */
static void after_another_hello_too(void **state)
{
    static const char *const suites[] = {TLS13 ":+AES-128-GCM:+GROUP-SECP521R1:+GROUP-SECP256R1",
                                         TLS13 ":+AES-256-GCM:+GROUP-SECP521R1:+GROUP-SECP256R1"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct shaken s = shake_at(&server, SESSION, &alice, suites[i]);
        assert_int_equal(s.messages.data[0], 254);
        assert_int_equal(claim(&s, s.messages.data, s.messages.len).status, ERR_OK);
        release(&s);
        let_in(&alice, suites[i], "CN=alice");
    }
}

static void who_proves_it_but_is_nobody_here(void **state)
{
    struct shaken s = shake(&mallory);
    (void)state;
    struct said said = claim(&s, s.messages.data, s.messages.len);
    assert_int_equal(said.status, ERR_AUTH);
    assert_false(said.lied);
    assert_non_null(strstr(said.reason, "no rule of the map"));
    assert_string_equal(said.subject, "CN=mallory");
    release(&s);
    s = shake(&stranger);
    said = claim(&s, s.messages.data, s.messages.len);
    assert_int_equal(said.status, ERR_AUTH);
    assert_false(said.lied);
    assert_non_null(strstr(said.reason, "issued by no trusted CA"));
    release(&s);
}

/* ---- lies about a full handshake ---- */

static void any_bit_that_is_changed(void **state)
{
    struct shaken s = shake(&alice);
    (void)state;
    for (size_t at = 0; at < s.messages.len; at++) {
        uint8_t bit = (uint8_t)(1 << at % 8);
        s.messages.data[at] ^= bit;
        lies(&s, s.messages.data, s.messages.len, NULL);
        s.messages.data[at] ^= bit;
    }
    assert_int_equal(claim(&s, s.messages.data, s.messages.len).status, ERR_OK);
    release(&s);
}

static void too_few_too_many_or_none(void **state)
{
    static uint8_t long_one[TLS_TRANSCRIPT_MAX];
    struct shaken s = shake(&alice);
    unsigned seed = 1;
    (void)state;
    for (size_t n = 0; n < s.messages.len; n += n < s.messages.len - 200 ? 13 : 1)
        lies(&s, s.messages.data, n, NULL);
    memcpy(long_one, s.messages.data, s.messages.len);
    lies(&s, long_one, s.messages.len + 1, "more messages");
    lies(&s, long_one, sizeof long_one, "more messages");
    for (int i = 0; i < 200; i++) {
        size_t n = (size_t)rand_r(&seed) % (i % 10 ? 300 : sizeof long_one);
        for (size_t k = 0; k < n; k++)
            long_one[k] = (uint8_t)rand_r(&seed);
        if (i % 2)
            memcpy(long_one, s.messages.data, n < s.messages.len ? n / 2 : s.messages.len / 2);
        lies(&s, long_one, n, NULL);
    }
    release(&s);
}

/* The end of the handshake, from the client's certificate on, made anew. */
static void end_anew(struct shaken *s, const struct certs_cert *shows,
                     const struct certs_cert *signs, enum scheme_what what, uint16_t number,
                     gnutls_sign_algorithm_t algorithm)
{
    struct tls_transcript t;
    uint8_t body[4096], hash[SCHEME_HASH], text[SCHEME_TEXT];
    gnutls_datum_t signature = {0};
    assert_null(tls_transcript_read(slice_of(s->messages.data, s->messages.len), &t));
    /* It ends with certificate and signature, each with a header of 4 bytes. */
    s->messages.len -= 4 + 2 + 2 + t.client.bytes.n + 4 + 1 + 3 + 3 + t.chain[0].n + 2;
    size_t n = shows->der.size;
    const uint8_t head[] = {
        0, 0, (uint8_t)((n + 5) >> 8), (uint8_t)(n + 5), 0, (uint8_t)(n >> 8), (uint8_t)n};
    memcpy(body, head, sizeof head);
    memcpy(body + sizeof head, shows->der.data, n);
    memset(body + sizeof head + n, 0, 2);
    assert_true(tls_transcript_add(&s->messages, 11, body, sizeof head + n + 2));
    size_t size = tls_transcript_hash(slice_of(s->messages.data, s->messages.len), hash);
    struct slice all = scheme_text(what, slice_of(hash, size), text);
    const gnutls_datum_t d = {text, (unsigned)all.n};
    assert_int_equal(gnutls_privkey_sign_data2(signs->key, algorithm, 0, &d, &signature), 0);
    body[0] = (uint8_t)(number >> 8);
    body[1] = (uint8_t)number;
    body[2] = (uint8_t)(signature.size >> 8);
    body[3] = (uint8_t)signature.size;
    memcpy(body + 4, signature.data, signature.size);
    assert_true(tls_transcript_add(&s->messages, 15, body, 4 + signature.size));
    gnutls_free(signature.data);
}

static void ends(const struct certs_cert *shows, const struct certs_cert *signs,
                 enum scheme_what what, uint16_t number, gnutls_sign_algorithm_t algorithm)
{
    struct shaken s = shake(&mallory);
    end_anew(&s, shows, signs, what, number, algorithm);
    lies(&s, s.messages.data, s.messages.len, "not signed by the key of the client's certificate");
    release(&s);
}

static void another_signature_of_the_client(void **state)
{
    (void)state;
    /* That it can be made anew at all: */
    struct shaken s = shake(&mallory);
    end_anew(&s, &alice, &alice, SCHEME_CLIENT, 0x0403, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256);
    assert_int_equal(claim(&s, s.messages.data, s.messages.len).status, ERR_OK);
    release(&s);
    ends(&alice, &mallory, SCHEME_CLIENT, 0x0403, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256);
    ends(&alice, &server, SCHEME_CLIENT, 0x0403, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256);
    ends(&alice, &alice, SCHEME_SERVER, 0x0403, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256);
    ends(&alice, &alice, SCHEME_RESUMED, 0x0403, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256);
    /* By algorithms that are not offered, or not for this key. */
    ends(&alice, &alice, SCHEME_CLIENT, 0x0203, GNUTLS_SIGN_ECDSA_SHA1);
    ends(&alice, &alice, SCHEME_CLIENT, 0x0503, GNUTLS_SIGN_ECDSA_SHA384);
    ends(&alice, &alice, SCHEME_CLIENT, 0x0804, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256);
    ends(&rsa, &rsa, SCHEME_CLIENT, 0x0201, GNUTLS_SIGN_RSA_SHA1);
    ends(&rsa, &rsa, SCHEME_CLIENT, 0x0401, GNUTLS_SIGN_RSA_SHA256);
    ends(&rsa, &rsa, SCHEME_CLIENT, 0x0809, GNUTLS_SIGN_RSA_PSS_RSAE_SHA256);
}

static void another_handshake(void **state)
{
    struct shaken now = shake(&mallory), before = shake(&alice);
    (void)state;
    /* One of yesterday, or of another session, with what the keeper says of this one. */
    lies(&now, before.messages.data, before.messages.len, "not what was signed for this session");
    /* And with its own. */
    const struct ipc_usher_ask m = {.session = SESSION + 1,
                                    .kind = USHER_FULL,
                                    .vouch = slice_of(before.vouch.data, before.vouch.len),
                                    .proof = slice_of(before.messages.data, before.messages.len)};
    assert_int_equal(ask_usher(&m).status, ERR_INTERNAL);
    /* The keeper knows of none. */
    before.vouch.len = 0;
    struct said said = claim(&before, before.messages.data, before.messages.len);
    assert_int_equal(said.status, ERR_LIMIT);
    assert_false(said.lied);
    release(&now);
    release(&before);
}

/* The same messages, and another signature of the server over the same hash. */
static void another_signature_of_the_server(void **state)
{
    struct shaken s = shake(&alice), again = shake(&alice);
    struct ipc_vouch v, w;
    struct buf b;
    (void)state;
    assert_true(ipc_get_vouch(s.vouch.data, s.vouch.len, &v));
    assert_true(ipc_get_vouch(again.vouch.data, again.vouch.len, &w));
    w.hash = v.hash;
    buf_init(&b, IPC_SMALL);
    assert_true(ipc_put_vouch(&b, &w));
    const struct ipc_usher_ask m = {.session = SESSION,
                                    .kind = USHER_FULL,
                                    .vouch = slice_of(b.data, b.len),
                                    .proof = slice_of(s.messages.data, s.messages.len)};
    struct said said = ask_usher(&m);
    assert_true(said.status == ERR_AUTH && said.lied);
    assert_non_null(strstr(said.reason, "not the signature that was made for this session"));
    buf_release(&b);
    release(&s);
    release(&again);
}

static void another_server(void **state)
{
    struct shaken s =
        shake_at(&other_server, SESSION, &alice, TLS13 ":+AES-128-GCM:+GROUP-SECP256R1");
    (void)state;
    lies(&s, s.messages.data, s.messages.len, "another server's certificate");
    release(&s);
}

/* ---- resumed sessions ---- */

struct resumed {
    uint8_t nonce[32], exporter[32], key[32]; /* as signed */
    const struct certs_cert *shows, *signs;
    enum scheme_what what;
    uint16_t number;
    gnutls_sign_algorithm_t algorithm;
};

static const uint8_t nonce[32] = {1}, exporter[32] = {2};

static struct resumed right(void)
{
    struct resumed r = {.shows = &alice,
                        .signs = &alice,
                        .what = SCHEME_RESUMED,
                        .number = 0x0403,
                        .algorithm = GNUTLS_SIGN_ECDSA_SECP256R1_SHA256};
    memcpy(r.nonce, nonce, sizeof nonce);
    memcpy(r.exporter, exporter, sizeof exporter);
    assert_int_equal(tls_server_key(&server_leaf, r.key), ERR_OK);
    return r;
}

static void put_resumed(const struct resumed *r, struct buf *out)
{
    struct ipc_resumed m = {.scheme = r->number};
    uint8_t hash[32], text[SCHEME_TEXT];
    gnutls_datum_t signature;
    struct buf chain;
    assert_int_equal(tls_resumed_hash(r->nonce, r->exporter, r->key, hash), ERR_OK);
    struct slice all = scheme_text(r->what, slice_of(hash, sizeof hash), text);
    const gnutls_datum_t d = {text, (unsigned)all.n};
    assert_int_equal(gnutls_privkey_sign_data2(r->signs->key, r->algorithm, 0, &d, &signature), 0);
    buf_init(&chain, 65536);
    wire_put_str(&chain, slice_of(r->shows->der.data, r->shows->der.size), UINT16_MAX);
    memcpy(m.exporter, exporter, sizeof exporter);
    m.signature = slice_of(signature.data, signature.size);
    m.chain = slice_of(chain.data, chain.len);
    buf_init(out, TLS_TRANSCRIPT_MAX);
    assert_true(ipc_put_resumed(out, &m));
    gnutls_free(signature.data);
    buf_release(&chain);
}

static struct said claim_resumed(const void *p, size_t n)
{
    struct ipc_usher_ask m = {.session = SESSION, .kind = USHER_RESUMED, .proof = slice_of(p, n)};
    memcpy(m.nonce, nonce, sizeof nonce);
    return ask_usher(&m);
}

static enum err tries(const struct resumed *r)
{
    struct buf b;
    put_resumed(r, &b);
    struct said said = claim_resumed(b.data, b.len);
    buf_release(&b);
    if (said.status != ERR_OK && said.status != ERR_AUTH)
        fail_msg("status %d: %s", said.status, said.reason);
    return said.status;
}

static void a_client_that_has_the_key(void **state)
{
    struct resumed r = right();
    (void)state;
    assert_int_equal(tries(&r), ERR_OK);
    r.shows = r.signs = &rsa;
    r.number = 0x0804;
    r.algorithm = GNUTLS_SIGN_RSA_PSS_RSAE_SHA256;
    assert_int_equal(tries(&r), ERR_OK);
}

/* A key that would let its client in, but for the time that it may take to verify by such. */
static void a_client_whose_key_takes_long(void **state)
{
    struct resumed r = right();
    (void)state;
    struct shaken s = shake(&slow);
    release(&s);
    ends(&slow, &slow, SCHEME_CLIENT, 0x0804, GNUTLS_SIGN_RSA_PSS_RSAE_SHA256);
    r.shows = r.signs = &slow;
    r.number = 0x0804;
    r.algorithm = GNUTLS_SIGN_RSA_PSS_RSAE_SHA256;
    assert_int_equal(tries(&r), ERR_AUTH);
}

static void each_field_counts(void **state)
{
    (void)state;
    for (int lie = 0; lie < 9; lie++) {
        struct resumed r = right();
        r.nonce[31] ^= lie == 0;
        r.exporter[0] ^= lie == 1;
        r.key[7] ^= lie == 2;
        if (lie == 3)
            r.signs = &mallory;
        if (lie == 4)
            r.shows = &mallory;
        if (lie == 5)
            r.what = SCHEME_CLIENT;
        if (lie == 6)
            r.what = SCHEME_SERVER;
        if (lie == 7) {
            r.number = 0x0203;
            r.algorithm = GNUTLS_SIGN_ECDSA_SHA1;
        }
        if (lie == 8)
            r.number = 0x0807;
        assert_int_equal(tries(&r), ERR_AUTH);
    }
}

static void resumed_bytes(void **state)
{
    struct resumed r = right();
    struct buf b;
    (void)state;
    put_resumed(&r, &b);
    for (size_t n = 0; n < b.len; n++)
        assert_int_equal(claim_resumed(b.data, n).status, ERR_AUTH);
    for (size_t at = 0; at < b.len; at++) {
        b.data[at] ^= (uint8_t)(1 << at % 8);
        assert_int_equal(claim_resumed(b.data, b.len).status, ERR_AUTH);
        b.data[at] ^= (uint8_t)(1 << at % 8);
    }
    wire_put_u8(&b, 0);
    assert_int_equal(claim_resumed(b.data, b.len).status, ERR_AUTH);
    buf_release(&b);
}

/* ---- sessions that run ---- */

static struct said again(const struct buf *b)
{
    const struct ipc_usher_ask m = {
        .session = SESSION, .kind = USHER_AGAIN, .proof = slice_of(b->data, b->len)};
    return ask_usher(&m);
}

static void certificates_alone(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 128 * 1024);
    assert_int_equal(again(&b).status, ERR_AUTH);
    wire_put_str(&b, slice_of(alice.der.data, alice.der.size), UINT16_MAX);
    assert_int_equal(again(&b).status, ERR_OK);
    size_t whole = b.len;
    for (b.len = 0; b.len < whole; b.len++)
        assert_int_equal(again(&b).status, ERR_AUTH);
    for (size_t at = 2; at < whole; at++) { /* any bit of it */
        b.data[at] ^= (uint8_t)(1 << at % 8);
        (void)again(&b);
        b.data[at] ^= (uint8_t)(1 << at % 8);
    }
    for (int i = 0; i < 40; i++)
        wire_put_str(&b, slice_of(alice.der.data, alice.der.size), UINT16_MAX);
    assert_int_equal(again(&b).status, ERR_AUTH);
    buf_release(&b);
}

/* ---- all ---- */

static struct certs_cert rsa_client(const char *cn, bool swapped)
{
    const struct certs_spec s = {.cn = cn,
                                 .ca = CERTS_LEAF,
                                 .rsa_bits = 2048,
                                 .swapped = swapped,
                                 .usage = GNUTLS_KEY_DIGITAL_SIGNATURE,
                                 .purpose = {GNUTLS_KP_TLS_WWW_CLIENT}};
    return certs_issue(&s, &root);
}

static bool write_map(void)
{
    FILE *out = fopen(map_file, "w");
    return out &&
           fputs("[alice]\nanchor = acme\nsubject = CN=alice\nroot = /srv\nrights = read\n"
                 "[rsa]\nanchor = acme\nsubject = CN=rsa\nroot = /srv\nrights = read\n",
                 out) >= 0 &&
           fclose(out) == 0;
}

static int begin(void **state)
{
    const struct certs_cert *ca = &root;
    (void)state;
    log_quiet(getenv("V") == NULL);
    log_init("test", LOG_LVL_ERROR, true);
    if (!mkdtemp(dir))
        return -1;
    snprintf(map_file, sizeof map_file, "%s/map", dir);
    snprintf(ca_file, sizeof ca_file, "%s/ca.pem", dir);
    root = certs_ca("root", NULL);
    other_root = certs_ca("other root", NULL);
    server = certs_server("localhost", &root);
    other_server = certs_server("localhost", &root);
    alice = certs_client("alice", &root);
    rsa = rsa_client("rsa", false);
    slow = rsa_client("rsa", true);
    mallory = certs_client("mallory", &root);
    stranger = certs_client("alice", &other_root);
    certs_write(ca_file, &ca, 1);
    config = (struct config){.session_uid = 65534, .session_gid = 65534};
    policy = (struct policy){.config = &config, .chain = &server_leaf, .n_chain = 1};
    if (!write_map() ||
        gnutls_pcert_import_x509_raw(&server_leaf, &server.der, GNUTLS_X509_FMT_DER, 0) < 0 ||
        cert_store_new(&policy.anchors) != ERR_OK ||
        cert_store_add(policy.anchors, "acme", ca_file, NULL, CERT_CRL_IF_PRESENT) != ERR_OK ||
        map_load(map_file, policy.anchors, false, &policy.map) != ERR_OK)
        return -1;
    start_usher();
    return 0;
}

/* It has outlived all of that, and ends when nobody asks any more. */
static int end(void **state)
{
    struct certs_cert *all[] = {&root, &other_root, &server,  &other_server, &alice,
                                &rsa,  &slow,       &mallory, &stranger};
    int status = -1;
    (void)state;
    close(usher_fd);
    if (waitpid(usher_pid, &status, 0) != usher_pid || status != 0)
        return -1;
    map_free(policy.map);
    cert_store_free(policy.anchors);
    gnutls_pcert_deinit(&server_leaf);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        certs_release(all[i]);
    unlink(map_file);
    unlink(ca_file);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_proves_it_is_let_in),
        cmocka_unit_test(after_another_hello_too),
        cmocka_unit_test(who_proves_it_but_is_nobody_here),
        cmocka_unit_test(any_bit_that_is_changed),
        cmocka_unit_test(too_few_too_many_or_none),
        cmocka_unit_test(another_signature_of_the_client),
        cmocka_unit_test(another_handshake),
        cmocka_unit_test(another_signature_of_the_server),
        cmocka_unit_test(another_server),
        cmocka_unit_test(a_client_that_has_the_key),
        cmocka_unit_test(a_client_whose_key_takes_long),
        cmocka_unit_test(each_field_counts),
        cmocka_unit_test(resumed_bytes),
        cmocka_unit_test(certificates_alone),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, begin, end);
}
