/* SPDX-License-Identifier: ISC */
/* What a session that was taken over can make the usher believe. There are real handshakes of alice and bob, and of mallory,
 * whose key the session has. An input says which of their messages it hands over in which order, how they are changed, and
 * for which handshake the keeper vouched; and whether mallory signs what came of it. Whoever is believed is mallory,
 * or the client of that handshake. */
#include "fuzz.h"

#include "../../server/usher_proof.h"
#include "../unit/lib/certs.h"
#include "log.h"
#include <stdio.h>
#include <sys/socket.h>
#include <threads.h>
#include <unistd.h>

#define PRIORITY                                                                                   \
    "NONE:+VERS-TLS1.3:+AEAD:+SHA256:+SHA384:+CTYPE-X509:+SIGN-ALL:+AES-128-GCM:+GROUP-X25519"

enum { ALICE, BOB, MALLORY, CLIENTS, HEADER = 4, MESSAGES = 16, SESSION = 7, SIGN = 1, BORROW = 2 };

static struct certs_cert server, clients[CLIENTS];
static struct config config;
static struct policy policy = {.config = &config, .n_chain = 1};
static gnutls_pcert_st leaf;

/* One handshake: its messages one by one, and what the keeper says of it. */
static struct shaken {
    struct buf all, vouch;
    struct slice messages[MESSAGES];
    size_t n;
} shaken[CLIENTS];

/* ---- handshakes ---- */

static int hook(gnutls_session_t s, unsigned type, unsigned when, unsigned incoming,
                const gnutls_datum_t *msg)
{
    struct shaken *to = gnutls_session_get_ptr(s);
    struct tls_transcript t;
    (void)when, (void)incoming;
    bool over = !tls_transcript_read(slice_of(to->all.data, to->all.len), &t);
    FUZZ_MUST(over || tls_transcript_add(&to->all, type, msg->data, msg->size));
    return 0;
}

struct side {
    int fd;
    bool server;
    const struct certs_cert *cert;
    struct shaken *to;
};

static int shake(void *arg)
{
    const struct side *side = arg;
    gnutls_session_t s;
    gnutls_certificate_credentials_t cred;
    gnutls_pcert_st own;
    gnutls_privkey_t key;
    gnutls_x509_privkey_t raw;
    FUZZ_MUST(gnutls_init(&s, side->server ? GNUTLS_SERVER : GNUTLS_CLIENT) >= 0);
    FUZZ_MUST(gnutls_certificate_allocate_credentials(&cred) >= 0);
    FUZZ_MUST(gnutls_pcert_import_x509_raw(&own, &side->cert->der, GNUTLS_X509_FMT_DER, 0) >= 0);
    FUZZ_MUST(gnutls_privkey_export_x509(side->cert->key, &raw) >= 0 &&
              gnutls_privkey_init(&key) >= 0);
    FUZZ_MUST(gnutls_privkey_import_x509(key, raw, GNUTLS_PRIVKEY_IMPORT_AUTO_RELEASE) >= 0);
    FUZZ_MUST(gnutls_certificate_set_key(cred, NULL, 0, &own, 1, key) >= 0);
    FUZZ_MUST(gnutls_priority_set_direct(s, PRIORITY, NULL) >= 0);
    FUZZ_MUST(gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, cred) >= 0);
    if (side->server) {
        gnutls_certificate_server_set_request(s, GNUTLS_CERT_REQUIRE);
        gnutls_session_set_ptr(s, side->to);
        gnutls_handshake_set_hook_function(s, GNUTLS_HANDSHAKE_ANY, GNUTLS_HOOK_POST, hook);
    }
    gnutls_transport_set_int(s, side->fd);
    FUZZ_MUST(gnutls_handshake(s) >= 0);
    gnutls_deinit(s);
    gnutls_certificate_free_credentials(cred);
    close(side->fd);
    return 0;
}

static void vouch_for(struct shaken *s)
{
    struct tls_transcript t;
    uint8_t hash[SCHEME_HASH];
    FUZZ_MUST(!tls_transcript_read(slice_of(s->all.data, s->all.len), &t));
    size_t n = tls_transcript_hash(t.signed_by_server, hash);
    const struct ipc_vouch v = {
        .session = SESSION, .hash = slice_of(hash, n), .signature = t.server.bytes};
    FUZZ_MUST(ipc_put_vouch(&s->vouch, &v));
}

static void make_handshake(int who)
{
    struct shaken *s = &shaken[who];
    int pair[2];
    thrd_t client;
    buf_init(&s->all, TLS_TRANSCRIPT_MAX);
    buf_init(&s->vouch, 4096);
    FUZZ_MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    struct side theirs = {pair[1], false, &clients[who], NULL}, ours = {pair[0], true, &server, s};
    FUZZ_MUST(thrd_create(&client, shake, &theirs) == thrd_success);
    FUZZ_MUST(shake(&ours) == 0 && thrd_join(client, NULL) == thrd_success);
    for (size_t at = 0; at < s->all.len; s->n++) {
        const uint8_t *p = s->all.data + at;
        s->messages[s->n] = slice_of(p, HEADER + ((size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]));
        at += s->messages[s->n].n;
    }
    vouch_for(s);
}

static bool shows(const struct usher_peer *peer, int who)
{
    return peer->certs[0].size == clients[who].der.size &&
           memcmp(peer->certs[0].data, clients[who].der.data, clients[who].der.size) == 0;
}

/* Each is believed, as it is. */
static void check_whole(int who)
{
    const struct shaken *s = &shaken[who];
    struct usher_peer peer;
    const struct ipc_usher_ask ask = {.session = SESSION,
                                      .kind = USHER_FULL,
                                      .vouch = slice_of(s->vouch.data, s->vouch.len),
                                      .proof = slice_of(s->all.data, s->all.len)};
    FUZZ_MUST(usher_prove(&policy, &ask, &peer) == ERR_OK && shows(&peer, who));
}

static void make_world(void)
{
    static const char *const names[] = {"alice", "bob", "mallory"};
    struct certs_cert ca;
    if (policy.chain)
        return;
    ca = certs_ca("acme", NULL);
    server = certs_server("localhost", &ca);
    FUZZ_MUST(gnutls_pcert_import_x509_raw(&leaf, &server.der, GNUTLS_X509_FMT_DER, 0) >= 0);
    policy.chain = &leaf;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = certs_client(names[i], &ca);
        make_handshake(i);
        check_whole(i);
    }
    certs_release(&ca);
}

/* ---- what is handed over ---- */

/* Adds mallory's signature over all that is there, as a client makes it. */
static void sign(struct buf *proof)
{
    uint8_t hash[SCHEME_HASH];
    struct scheme_key kind;
    gnutls_pcert_st own;
    gnutls_datum_t signature;
    size_t n = tls_transcript_hash(slice_of(proof->data, proof->len), hash);
    FUZZ_MUST(gnutls_pcert_import_x509_raw(&own, &clients[MALLORY].der, GNUTLS_X509_FMT_DER, 0) >=
              0);
    FUZZ_MUST(scheme_key_of(&own, "mallory", &kind) == ERR_OK);
    const struct scheme *s = scheme_nth(&kind, 0);
    if (n > 0 &&
        scheme_sign(s, clients[MALLORY].key, SCHEME_CLIENT, slice_of(hash, n), &signature) >= 0) {
        const size_t body = 4 + signature.size;
        const uint8_t head[] = {15,
                                0,
                                0,
                                (uint8_t)body,
                                (uint8_t)(s->number >> 8),
                                (uint8_t)s->number,
                                0,
                                (uint8_t)signature.size};
        buf_put(proof, head, sizeof head);
        buf_put(proof, signature.data, signature.size);
        gnutls_free(signature.data);
    }
    gnutls_pcert_deinit(&own);
}

/* Messages of these handshakes: of each u8 whose, u8 which, and how it is changed. */
static void put_messages(struct buf *proof, struct wire_rd *r)
{
    for (int i = 0; i < MESSAGES && r->p < r->end && !r->bad; i++) {
        const struct shaken *s = &shaken[wire_get_u8(r) % CLIENTS];
        const struct slice m = s->messages[wire_get_u8(r) % s->n];
        size_t size = m.n;
        uint8_t *edited = fuzz_edited(r, m.p, &size);
        buf_put(proof, edited, size);
        free(edited);
    }
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct wire_rd r = wire_read(data, n);
    uint8_t way = wire_get_u8(&r), whose = wire_get_u8(&r) % CLIENTS;
    struct buf proof;
    struct usher_peer peer;
    make_world();
    buf_init(&proof, TLS_TRANSCRIPT_MAX);
    put_messages(&proof, &r);
    if (way & SIGN)
        sign(&proof);
    const struct ipc_usher_ask ask = {
        .session = way & BORROW ? SESSION + 1 : SESSION,
        .kind = USHER_FULL,
        .vouch = slice_of(shaken[whose].vouch.data, shaken[whose].vouch.len),
        .proof = slice_of(proof.data, proof.len)};
    if (usher_prove(&policy, &ask, &peer) == ERR_OK) {
        FUZZ_MUST(!(way & BORROW) && !peer.lied && peer.n > 0);
        FUZZ_MUST(shows(&peer, MALLORY) || shows(&peer, whose));
    }
    buf_release(&proof);
}

/* A whole handshake of a's, but for the last messages, which are b's; the keeper vouched for whose. */
static void seed(uint8_t way, uint8_t whose, uint8_t a, uint8_t b, size_t last)
{
    struct buf out;
    buf_init(&out, 4096);
    wire_put_u8(&out, way);
    wire_put_u8(&out, whose);
    size_t n = shaken[a].n - (way & SIGN);
    for (uint8_t i = 0; i < n; i++) {
        wire_put_u8(&out, i + last >= n ? b : a);
        wire_put_u8(&out, i);
        wire_put_u8(&out, 0);
    }
    fuzz_seed(out.data, out.len);
    buf_release(&out);
}

void fuzz_seeds(void)
{
    make_world();
    for (uint8_t who = 0; who < CLIENTS; who++)
        seed(0, who, who, who, 0);
    seed(0, ALICE, ALICE, BOB, 1);
    seed(0, ALICE, ALICE, BOB, 2);
    seed(0, ALICE, BOB, BOB, 0);
    seed(0, MALLORY, MALLORY, ALICE, 1);
    seed(0, MALLORY, MALLORY, ALICE, 2);
    seed(SIGN, ALICE, ALICE, ALICE, 0);
    seed(SIGN, ALICE, ALICE, MALLORY, 1);
    seed(SIGN, MALLORY, MALLORY, ALICE, 1);
    seed(BORROW, ALICE, ALICE, ALICE, 0);
}
