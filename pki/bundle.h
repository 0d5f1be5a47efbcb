/* SPDX-License-Identifier: ISC */
/* What an organisation tells its partners, in one file: CMS SignedData (RFC 5652) in PEM, signed by its CA, over a JSON
 * object of exactly these members:
 *
 *   "consign-partner": 1                 the version of the format
 *   "name", "serial"                     of the organisation; a number that only grows
 *   "not-before", "not-after"            seconds since 1970
 *   "ca", "crl"                          PEM certificates and revocation lists, one a string
 *   "crl-from"                           where newer lists are found: for people, nothing is fetched
 *   "user"                               subjects of its users, as the map writes them
 *   "endpoint"                           HOST:PORT, or HOST:PORT/NAME when the certificate has that name */
#ifndef CONSIGN_PKI_BUNDLE_H
#define CONSIGN_PKI_BUNDLE_H

#include "ca.h"

enum {
    BUNDLE_MAX = 4 << 20,
    BUNDLE_LIST = 256,
    BUNDLE_TEXTS = 2048,
    BUNDLE_TEXT = 1024,
    BUNDLE_PRINT = 7 + 64 + 1
};

struct texts {
    char **list;
    size_t n;
};
/* Appends a copy. ERR_LIMIT, logged, for more than BUNDLE_TEXTS. */
enum err texts_add(struct texts *t, const char *text) MUST_CHECK;
void texts_release(struct texts *t);

struct bundle {
    char *name;
    uint64_t serial;
    int64_t from, until;
    struct texts ca, crl, crl_from, users, endpoints;
};

/* As JSON; the caller frees out->data. */
enum err bundle_encode(const struct bundle *b, gnutls_datum_t *out) MUST_CHECK;
/* ERR_TYPE, logged, for anything else than such an object; texts hold what can be seen and nothing that could be
 * more than a value in another file. bundle_release also after a failure. */
enum err bundle_decode(const gnutls_datum_t *json, struct bundle *out) MUST_CHECK;
void bundle_release(struct bundle *b);

/* Looks at what is in it: strong certificates of CAs that are valid now, one list of each, by itself, and that it is
 * the time of the bundle. ERR_AUTH or ERR_TYPE, logged. */
enum err bundle_check(const struct bundle *b, gnutls_x509_crt_t signer, int64_t now) MUST_CHECK;
/* What is in it, for people, a line each, terminals in mind. */
enum err bundle_lines(const struct bundle *b, struct texts *out) MUST_CHECK;

/* ca.pem and crl.pem: what was checked, written anew, so that nothing comes along that stood behind it. */
struct buf;
enum err bundle_pems(const struct bundle *b, struct buf *cas, struct buf *crls) MUST_CHECK;

/* "SHA256:" and the hash of a certificate in hex. */
enum err bundle_print(gnutls_x509_crt_t crt, char out[static BUNDLE_PRINT]) MUST_CHECK;
/* The same as it was typed, with or without colons between the bytes. ERR_USAGE, logged. */
enum err bundle_print_parse(const char *text, char out[static BUNDLE_PRINT]) MUST_CHECK;

/* bundle_sign.c: by the CA, which is unlocked; as PEM, freed with gnutls_free. */
enum err bundle_sign(const struct ca *ca, const gnutls_datum_t *json,
                     gnutls_datum_t *pem) MUST_CHECK;
/* The text that was signed, with the one signature by the certificate of that fingerprint, which is in pem as well:
 * nothing of the text is looked at before. ERR_AUTH, logged. The caller frees json->data (gnutls_free) and *signer. */
enum err bundle_open(const gnutls_datum_t *pem, const char *print, gnutls_datum_t *json,
                     gnutls_x509_crt_t *signer) MUST_CHECK;
/* Whether a certificate of that fingerprint is in it; says nothing of who signed. */
bool bundle_names(const gnutls_datum_t *pem, const char *print);

#endif
