/* SPDX-License-Identifier: ISC */
/* The signatures that TLS 1.3 knows (RFC 8446, 4.2.3), and the only texts that are signed by them here:
 * the CertificateVerify of a server or a client (4.4.3), and the proof of a client whose session was
 * resumed (PROTOCOL.md). Whoever signs or verifies gives a hash; the text around it is put together
 * here, so that nothing else can ever be signed, and none of the three taken for another. */
#ifndef CONSIGN_SCHEME_H
#define CONSIGN_SCHEME_H

#include "err.h"
#include "wire.h"
#include <gnutls/abstract.h>

/* What kind of key it is. */
struct scheme_key {
    gnutls_pk_algorithm_t pk;
    gnutls_ecc_curve_t curve; /* GNUTLS_ECC_CURVE_INVALID where there is none */
};

/* One signature algorithm, with the one kind of key that goes with it. */
struct scheme {
    uint16_t number; /* on the wire */
    gnutls_sign_algorithm_t algorithm;
    gnutls_pk_algorithm_t pk;
    gnutls_ecc_curve_t curve;
};

/* What is signed. */
enum scheme_what { SCHEME_SERVER, SCHEME_CLIENT, SCHEME_RESUMED };
enum { SCHEME_HASH = 48, SCHEME_TEXT = 64 + 40 + 1 + SCHEME_HASH };

/* As the certificate says; name is for the log. ERR_CONFIG, logged: with a key that is not cert_key_bearable. */
enum err scheme_key_of(const gnutls_pcert_st *leaf, const char *name,
                       struct scheme_key *out) MUST_CHECK;

/* The scheme for a gnutls_sign_algorithm_t, or for a number of the wire; NULL when it is none of TLS 1.3's for
 * this key. The n-th that fits the key, from 0 on; NULL past the last. */
const struct scheme *scheme_find(const struct scheme_key *key, uint32_t algorithm);
const struct scheme *scheme_by_number(const struct scheme_key *key, uint16_t number);
const struct scheme *scheme_nth(const struct scheme_key *key, size_t n);

/* Its place in a set of algorithms. */
uint64_t scheme_bit(const struct scheme *s);

/* Whether hash is as long as a hash of TLS 1.3's suites: SHA-256 or SHA-384. */
bool scheme_hash_ok(struct slice hash);

/* The text that is signed: 64 blanks, the context, a zero, the hash (scheme_hash_ok). Borrows text. */
struct slice scheme_text(enum scheme_what what, struct slice hash,
                         uint8_t text[static SCHEME_TEXT]);

/* Signs that text: 0 or more, or GnuTLS's error. The caller frees signature->data by gnutls_free. */
int scheme_sign(const struct scheme *s, gnutls_privkey_t key, enum scheme_what what,
                struct slice hash, gnutls_datum_t *signature) MUST_CHECK;

/* Whether it is pub's signature of that text: 0 or more, or GnuTLS's error. */
int scheme_verify(const struct scheme *s, gnutls_pubkey_t pub, enum scheme_what what,
                  struct slice hash, struct slice signature) MUST_CHECK;

/* Signs with every algorithm that fits the key, as for a session, and verifies with the certificate:
 * a key that can't be used is found before anybody connects, and an algorithm that the token lacks is
 * never taken for a token that was lost. *proven is the set that works; those that do not are warned
 * of. ERR_PIN at once, since a PIN is not tried again; ERR_TOKEN or ERR_CONFIG when none works. */
enum err scheme_rehearse(gnutls_privkey_t key, const gnutls_pcert_st *leaf, const char *name,
                         uint64_t *proven) MUST_CHECK;

/* One of these test signatures, by an algorithm of proven: 0 or more, or GnuTLS's error. */
int scheme_touch(gnutls_privkey_t key, const struct scheme_key *kind, uint64_t proven) MUST_CHECK;

#endif
