/* SPDX-License-Identifier: ISC */
/* The signatures that TLS 1.3 knows (RFC 8446, 4.2.3), and what a server may want signed: its
 * CertificateVerify (4.4.3) and nothing else. */
#ifndef CONSIGND_SCHEME_H
#define CONSIGND_SCHEME_H

#include "err.h"
#include "wire.h"
#include <gnutls/abstract.h>

/* What kind of key it is. */
struct scheme_key {
    gnutls_pk_algorithm_t pk;
    gnutls_ecc_curve_t curve; /* GNUTLS_ECC_CURVE_INVALID where there is none */
};

/* One signature algorithm, with the one kind of key and the one length that go with it. */
struct scheme {
    gnutls_sign_algorithm_t algorithm;
    gnutls_pk_algorithm_t pk;
    gnutls_ecc_curve_t curve;
    size_t digest; /* bytes; 0: the text itself is signed */
};

/* As the certificate says; name is for the log. */
enum err scheme_key_of(const gnutls_pcert_st *leaf, const char *name,
                       struct scheme_key *out) MUST_CHECK;

/* The scheme for a gnutls_sign_algorithm_t; NULL when it is none of TLS 1.3's for this key. */
const struct scheme *scheme_find(const struct scheme_key *key, uint32_t algorithm);

/* Its place in a set of algorithms. */
uint64_t scheme_bit(const struct scheme *s);

/* Whether data is what a server signs by it: a digest of the right length, which is all that can be
 * known of one, or the text of a server's CertificateVerify. */
bool scheme_accepts(const struct scheme *s, struct slice data);

/* Signs: 0 or more, or GnuTLS's error. The caller frees signature->data by gnutls_free. */
int scheme_sign(const struct scheme *s, gnutls_privkey_t key, struct slice data,
                gnutls_datum_t *signature) MUST_CHECK;

/* Whether it is a signature of data by pub: 0 or more, or GnuTLS's error. */
int scheme_verify(const struct scheme *s, gnutls_pubkey_t pub, struct slice data,
                  const gnutls_datum_t *signature) MUST_CHECK;

/* Signs with every algorithm that fits the key, as for a session, and verifies with the certificate:
 * a key that can't be used is found before anybody connects, and an algorithm that the token lacks is
 * never taken for a token that was lost. *proven is the set that works; those that do not are warned
 * of. ERR_PIN at once, since a PIN is not tried again; ERR_TOKEN or ERR_CONFIG when none works. */
enum err scheme_rehearse(gnutls_privkey_t key, const gnutls_pcert_st *leaf, const char *name,
                         uint64_t *proven) MUST_CHECK;

/* One of these test signatures, by an algorithm of proven: 0 or more, or GnuTLS's error. */
int scheme_touch(gnutls_privkey_t key, const struct scheme_key *kind, uint64_t proven) MUST_CHECK;

#endif
