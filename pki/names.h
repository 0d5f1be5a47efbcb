/* SPDX-License-Identifier: ISC */
/* Names that a certificate shall carry, checked before they are signed: GnuTLS would cut a name at
 * a NUL and signs what it is given. */
#ifndef CONSIGN_PKI_NAMES_H
#define CONSIGN_PKI_NAMES_H

#include "cert.h"
#include "err.h"
#include <gnutls/x509.h>

enum { NAMES_MAX = 64, NAMES_BYTES = 255 };

struct name {
    gnutls_x509_subject_alt_name_t type; /* DNSNAME, RFC822NAME, URI, IPADDRESS (4 or 16 bytes) */
    size_t n;
    unsigned char value[NAMES_BYTES + 1];
};
struct names {
    struct name list[NAMES_MAX];
    size_t n;
};

/* Adds a name of the type. ERR_NAME, logged, for a type other than the four, NUL, control
 * characters, blanks, wildcards, a host name that is none, an address of another length. */
enum err names_add(struct names *s, gnutls_x509_subject_alt_name_t type, const void *value,
                   size_t n) MUST_CHECK;
/* "dns:host", "ip:ADDRESS", "email:a@b", "uri:..." */
enum err names_add_text(struct names *s, const char *text) MUST_CHECK;
/* A host name or an address, by its look. */
enum err names_add_host(struct names *s, const char *text) MUST_CHECK;
/* What stands behind "dns:", "ip:", "email:" or "uri:" and the type; NULL when text begins with none
 * of these. */
const char *names_type(const char *text, gnutls_x509_subject_alt_name_t *type);
/* "dns", "ip", "email", "uri"; "other". */
const char *names_word(gnutls_x509_subject_alt_name_t type);
/* Whether it is one that may be signed (names_add). */
bool names_value_ok(gnutls_x509_subject_alt_name_t type, const void *value, size_t n);
bool names_has_host(const struct names *s);

/* "dns:host ip:192.0.2.1" */
void names_text(const struct names *s, char *out, size_t cap);

/* Checks that a subject can be put into a certificate: values comparable, not empty, without NUL
 * and control characters, valid UTF-8, at most 255 bytes, one attribute an RDN. ERR_NAME, logged.
 */
enum err names_check_dn(const struct cert_dn *dn) MUST_CHECK;

/* Writes names and subject into what is to be signed. */
enum err names_put(gnutls_x509_crt_t crt, const struct names *s,
                   const struct cert_dn *dn) MUST_CHECK;
enum err names_put_request(gnutls_x509_crq_t crq, const struct names *s,
                           const struct cert_dn *dn) MUST_CHECK;

/* The names in a request, and its subject. */
enum err names_from_request(gnutls_x509_crq_t crq, struct names *s, struct cert_dn *dn) MUST_CHECK;
/* The alternative names of a certificate. */
enum err names_from_cert(gnutls_x509_crt_t crt, struct names *s) MUST_CHECK;

#endif
