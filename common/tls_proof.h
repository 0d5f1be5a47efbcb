/* SPDX-License-Identifier: ISC */
/* What a connection can show of its handshake to somebody who was not there (PROTOCOL.md, "Proof"): for a full
 * handshake its messages, which both sides have signed; for a resumed one, which nobody signed, a signature that
 * the client makes afterwards, inside the channel. */
#ifndef CONSIGN_TLS_PROOF_H
#define CONSIGN_TLS_PROOF_H

#include "tls.h"
#include "tls_transcript.h"

enum { TLS_NONCE = 32, TLS_SERVER_KEY = 32, TLS_SIGNATURE_MAX = 2048 };

/* What this side signs at the moment: its CertificateVerify or, while tls_prove runs, the proof. */
enum scheme_what tls_signs(const struct tls *t);

/* Who is asked for a signature (tls_sign_fn): the hash that it is to be over. ERR_INTERNAL,
 * logged, when data is not the text around that hash, or the digest of it by that algorithm: then what GnuTLS wants
 * signed is not this handshake. */
enum err tls_signed_hash(const struct tls *t, uint32_t algorithm, struct slice data,
                         uint8_t hash[static SCHEME_HASH], size_t *hash_n) MUST_CHECK;

/* The messages of the handshake, ClientHello to the client's CertificateVerify; borrowed until they are
 * forgotten, a client's by tls_handshake itself. */
struct slice tls_messages(const struct tls *t);
void tls_forget_messages(struct tls *t);

/* ---- a resumed session ---- */

#define TLS_RESUMED_LABEL "EXPORTER-consign-resumed" /* of the exporter, with an empty context */

/* SHA-256 of the public key (SubjectPublicKeyInfo) of a certificate. */
enum err tls_server_key(const gnutls_pcert_st *leaf, uint8_t out[static TLS_SERVER_KEY]) MUST_CHECK;

/* The hash that the client signs (SCHEME_RESUMED): SHA-256 of the server's nonce, the exporter of the connection,
 * and the server's key. */
enum err tls_resumed_hash(const uint8_t nonce[static TLS_NONCE],
                          const uint8_t exporter[static TLS_EXPORT],
                          const uint8_t server_key[static TLS_SERVER_KEY],
                          uint8_t out[static WIRE_HASH]) MUST_CHECK;

/* A client of a resumed session: signs with the key of the certificate that it shows. server_key is of the
 * certificate that it knows the server by. */
struct tls_proof {
    uint16_t scheme;
    uint8_t signature[TLS_SIGNATURE_MAX];
    size_t n;
};
enum err tls_prove(struct tls *t, const uint8_t nonce[static TLS_NONCE],
                   const uint8_t server_key[static TLS_SERVER_KEY],
                   struct tls_proof *out) MUST_CHECK;

#endif
