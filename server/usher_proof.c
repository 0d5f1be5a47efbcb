/* SPDX-License-Identifier: ISC */
#include "usher_proof.h"

#include "log.h"
#include "scheme.h"
#include "tls_proof.h"
#include <string.h>

static gnutls_datum_t datum(struct slice s)
{
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)s.p, (unsigned)s.n};
}

static enum err lie(struct usher_peer *peer, const char *what)
{
    peer->lied = true;
    return log_fail(ERR_AUTH, "the handshake that was handed over does not hold: %s", what);
}

/* The server's own leaves: that in use, and one that is about to be. */
static const gnutls_pcert_st *own_leaf(const struct policy *p, unsigned i)
{
    const gnutls_pcert_st *const leaves[] = {p->n_chain ? p->chain : NULL,
                                             p->n_coming ? p->coming : NULL};
    return leaves[i];
}
enum { OWN_LEAVES = 2 };

static bool is_own(const struct policy *p, struct slice leaf)
{
    for (unsigned i = 0; i < OWN_LEAVES; i++) {
        const gnutls_pcert_st *own = own_leaf(p, i);
        if (own && slice_eq(leaf, slice_of(own->cert.data, own->cert.size)))
            return true;
    }
    return false;
}

/* Whether the key of a certificate signed hash by one of the algorithms that the server offers. */
static bool has_signed(const struct policy *p, const gnutls_datum_t *der,
                       const struct tls_signature *signature, enum scheme_what what,
                       struct slice hash)
{
    gnutls_pcert_st leaf;
    struct scheme_key kind;
    bool good = false;
    if (gnutls_pcert_import_x509_raw(&leaf, der, GNUTLS_X509_FMT_DER, 0) < 0)
        return false;
    if (scheme_key_of(&leaf, "the peer's certificate", &kind) == ERR_OK) {
        const struct scheme *s = scheme_by_number(&kind, signature->scheme);
        good = s && tls_policy_signs(&p->config->tls, s->algorithm) &&
               scheme_verify(s, leaf.pubkey, what, hash, signature->bytes) >= 0;
    }
    gnutls_pcert_deinit(&leaf);
    return good;
}

/* ---- a full handshake ---- */

static bool hashes_to(struct slice messages, struct slice want)
{
    uint8_t hash[SCHEME_HASH];
    size_t n = tls_transcript_hash(messages, hash);
    return n > 0 && slice_eq(slice_of(hash, n), want);
}

static enum err prove_full(const struct policy *p, const struct ipc_usher_ask *ask,
                           struct usher_peer *out)
{
    uint8_t hash[SCHEME_HASH];
    struct tls_transcript t;
    struct ipc_vouch v;
    if (ask->vouch.n == 0)
        return log_fail(ERR_LIMIT, "the keeper does not know of this handshake: try again");
    if (!ipc_get_vouch(ask->vouch.p, ask->vouch.n, &v) || v.session != ask->session)
        return log_fail(ERR_INTERNAL, "the keeper's word is of another session");
    const char *why = tls_transcript_read(ask->proof, &t);
    if (why)
        return lie(out, why);
    if (!is_own(p, t.server_leaf))
        return lie(out, "another server's certificate");
    if (!hashes_to(t.signed_by_server, v.hash))
        return lie(out, "not what was signed for this session");
    if (!slice_eq(t.server.bytes, v.signature))
        return lie(out, "not the signature that was made for this session");
    for (unsigned i = 0; i < t.n && i < TLS_CHAIN_MAX; i++)
        out->certs[i] = datum(t.chain[i]);
    out->n = t.n;
    size_t n = tls_transcript_hash(t.signed_by_client, hash);
    if (n == 0 || !has_signed(p, &out->certs[0], &t.client, SCHEME_CLIENT, slice_of(hash, n)))
        return lie(out, "not signed by the key of the client's certificate");
    return ERR_OK;
}

/* ---- certificates alone ---- */

static enum err split(struct slice chain, struct usher_peer *out)
{
    struct wire_rd rd = wire_read(chain.p, chain.n);
    for (; rd.p < rd.end && !rd.bad; out->n++) {
        struct slice one = wire_get_str(&rd, UINT16_MAX);
        if (out->n < TLS_CHAIN_MAX)
            out->certs[out->n] = datum(one);
    }
    return wire_done(&rd) && out->n > 0 ? ERR_OK : log_fail(ERR_AUTH, "its certificates are none");
}

static enum err prove_resumed(const struct policy *p, const struct ipc_usher_ask *ask,
                              struct usher_peer *out)
{
    uint8_t key[TLS_SERVER_KEY], hash[WIRE_HASH];
    struct ipc_resumed m;
    if (!ipc_get_resumed(ask->proof.p, ask->proof.n, &m))
        return lie(out, "malformed");
    enum err e = split(m.chain, out);
    const struct tls_signature signature = {m.scheme, m.signature};
    for (unsigned i = 0; e == ERR_OK && i < OWN_LEAVES; i++) {
        const gnutls_pcert_st *own = own_leaf(p, i);
        if (!own)
            continue;
        if ((e = tls_server_key(own, key)) == ERR_OK &&
            (e = tls_resumed_hash(ask->nonce, m.exporter, key, hash)) == ERR_OK &&
            has_signed(p, &out->certs[0], &signature, SCHEME_RESUMED, slice_of(hash, sizeof hash)))
            return ERR_OK;
    }
    return e != ERR_OK
               ? e
               : log_fail(ERR_AUTH, "the client of a resumed session has not shown that it has "
                                    "the key of its certificate");
}

enum err usher_prove(const struct policy *p, const struct ipc_usher_ask *ask,
                     struct usher_peer *out)
{
    *out = (struct usher_peer){0};
    switch (ask->kind) {
    case USHER_FULL:
        return prove_full(p, ask, out);
    case USHER_RESUMED:
        return prove_resumed(p, ask, out);
    case USHER_AGAIN:
        return split(ask->proof, out);
    default:
        return log_fail(ERR_INTERNAL, "the usher is asked what it does not know");
    }
}
