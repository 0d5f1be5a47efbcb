/* SPDX-License-Identifier: ISC */
#include "tls_proof.h"

#include "cert.h"
#include "log.h"
#include "tls_internal.h"
#include "token.h"
#include <string.h>

/* ---- a full handshake ---- */

/* GnuTLS verifies by whatever key the peer shows, however long that takes. */
static bool is_peer_bearable(const struct tls *t)
{
    unsigned n;
    const gnutls_datum_t *chain = tls_peer_chain(t, &n);
    gnutls_pcert_st leaf;
    if (!chain || gnutls_pcert_import_x509_raw(&leaf, &chain[0], GNUTLS_X509_FMT_DER, 0) < 0)
        return false;
    bool ok = cert_key_bearable(leaf.pubkey);
    gnutls_pcert_deinit(&leaf);
    return ok;
}

/* What comes in is taken before GnuTLS looks at it, as it stops at a ClientHello that it answers by asking for
 * another; what goes out, when it is complete. */
static int on_message(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
                      const gnutls_datum_t *body)
{
    struct tls *t = gnutls_session_get_ptr(session);
    if (type == GNUTLS_HANDSHAKE_NEW_SESSION_TICKET) {
        if (t->tickets && when == GNUTLS_HOOK_POST)
            tls_ticket_came(t);
        return 0;
    }
    if (incoming && when == GNUTLS_HOOK_PRE && type == GNUTLS_HANDSHAKE_CERTIFICATE_VERIFY &&
        !is_peer_bearable(t))
        return GNUTLS_E_CONSTRAINT_ERROR;
    if (t->messages_done || when != (incoming ? GNUTLS_HOOK_PRE : GNUTLS_HOOK_POST))
        return 0;
    if (!tls_transcript_add(&t->messages, type, body->data, body->size))
        return GNUTLS_E_HANDSHAKE_TOO_LARGE;
    t->messages_done = (incoming != 0) == t->server && type == GNUTLS_HANDSHAKE_CERTIFICATE_VERIFY;
    return 0;
}

void tls_keep_messages(struct tls *t)
{
    buf_init(&t->messages, TLS_TRANSCRIPT_MAX);
    gnutls_session_set_ptr(t->session, t);
    gnutls_handshake_set_hook_function(t->session, GNUTLS_HANDSHAKE_ANY, GNUTLS_HOOK_BOTH,
                                       on_message);
}

struct slice tls_messages(const struct tls *t)
{
    return slice_of(t->messages.data, t->messages.len);
}

void tls_forget_messages(struct tls *t)
{
    buf_release(&t->messages);
    t->messages_done = true;
}

/* Whether data is text, or its digest by the algorithm. */
static bool stands_for(struct slice data, uint32_t algorithm, struct slice text)
{
    const gnutls_datum_t d = {(uint8_t *)(uintptr_t)text.p, (unsigned)text.n};
    gnutls_digest_algorithm_t how =
        gnutls_sign_get_hash_algorithm((gnutls_sign_algorithm_t)algorithm);
    uint8_t digest[64];
    size_t n = sizeof digest;
    return slice_eq(data, text) ||
           (gnutls_fingerprint(how, &d, digest, &n) >= 0 && slice_eq(data, slice_of(digest, n)));
}

enum err tls_signed_hash(const struct tls *t, uint32_t algorithm, struct slice data,
                         uint8_t hash[static SCHEME_HASH], size_t *hash_n)
{
    uint8_t text[SCHEME_TEXT];
    *hash_n = sizeof t->proof;
    if (t->proving)
        memcpy(hash, t->proof, sizeof t->proof);
    else
        *hash_n = tls_transcript_hash(tls_messages(t), hash);
    if (*hash_n &&
        stands_for(data, algorithm, scheme_text(tls_signs(t), slice_of(hash, *hash_n), text)))
        return ERR_OK;
    return log_fail(ERR_INTERNAL, "signing: the TLS library wants another text signed than that of "
                                  "this handshake");
}

enum scheme_what tls_signs(const struct tls *t)
{
    return t->proving ? SCHEME_RESUMED : t->server ? SCHEME_SERVER : SCHEME_CLIENT;
}

/* ---- a resumed one ---- */

enum err tls_server_key(const gnutls_pcert_st *leaf, uint8_t out[static TLS_SERVER_KEY])
{
    size_t n = TLS_SERVER_KEY;
    int rc = gnutls_pubkey_get_key_id(leaf->pubkey, GNUTLS_KEYID_USE_SHA256, out, &n);
    return rc < 0 ? token_fail(rc, "public key of the server") : ERR_OK;
}

enum err tls_resumed_hash(const uint8_t nonce[static TLS_NONCE],
                          const uint8_t exporter[static TLS_EXPORT],
                          const uint8_t server_key[static TLS_SERVER_KEY],
                          uint8_t out[static WIRE_HASH])
{
    uint8_t all[TLS_NONCE + TLS_EXPORT + TLS_SERVER_KEY];
    const gnutls_datum_t d = {all, sizeof all};
    size_t n = WIRE_HASH;
    memcpy(all, nonce, TLS_NONCE);
    memcpy(all + TLS_NONCE, exporter, TLS_EXPORT);
    memcpy(all + TLS_NONCE + TLS_EXPORT, server_key, TLS_SERVER_KEY);
    int rc = gnutls_fingerprint(GNUTLS_DIG_SHA256, &d, out, &n);
    return rc < 0 ? log_fail(ERR_INTERNAL, "hashing: %s", gnutls_strerror(rc)) : ERR_OK;
}

/* Of the one certificate that an identity has. */
static enum err own_kind(const struct tls_identity *id, struct scheme_key *out)
{
    gnutls_datum_t der;
    gnutls_pcert_st leaf;
    int rc = gnutls_certificate_get_crt_raw(id->cred, 0, 0, &der);
    if (rc >= 0)
        rc = gnutls_pcert_import_x509_raw(&leaf, &der, GNUTLS_X509_FMT_DER, 0);
    if (rc < 0)
        return token_fail(rc, "own certificate");
    enum err e = scheme_key_of(&leaf, "own certificate", out);
    gnutls_pcert_deinit(&leaf);
    return e;
}

/* By the first algorithm that the key can: tokens lack some. */
static enum err sign(const struct tls_identity *id, struct slice hash, struct tls_proof *out)
{
    struct scheme_key kind;
    gnutls_datum_t signature = {0};
    const struct scheme *s = NULL;
    int rc = GNUTLS_E_INVALID_REQUEST;
    enum err e = own_kind(id, &kind);
    if (e != ERR_OK)
        return e;
    for (size_t i = 0; rc < 0 && (s = scheme_nth(&kind, i)); i++)
        rc = scheme_sign(s, id->key, SCHEME_RESUMED, hash, &signature);
    if (rc < 0)
        return token_fail(rc, "signing for the resumed session");
    out->scheme = s->number;
    out->n = signature.size;
    if (signature.size <= sizeof out->signature)
        memcpy(out->signature, signature.data, signature.size);
    else
        e = log_fail(ERR_INTERNAL, "a signature of %u bytes", signature.size);
    gnutls_free(signature.data);
    return e;
}

enum err tls_prove(struct tls *t, const uint8_t nonce[static TLS_NONCE],
                   const uint8_t server_key[static TLS_SERVER_KEY], struct tls_proof *out)
{
    uint8_t exporter[TLS_EXPORT];
    enum err e = tls_export(t, TLS_RESUMED_LABEL, "", 0, exporter);
    if (e == ERR_OK)
        e = tls_resumed_hash(nonce, exporter, server_key, t->proof);
    t->proving = true;
    if (e == ERR_OK)
        e = sign(t->identity, slice_of(t->proof, sizeof t->proof), out);
    t->proving = false;
    return e;
}
