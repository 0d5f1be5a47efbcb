/* SPDX-License-Identifier: ISC */
/* A CA on disk: the folder DIR (mode 0700) with
 *
 *   consign-pki.conf    module, key, PIN source, name
 *   ca.pem, crl.pem     what others get
 *   ledger              ledger.h
 *   certs/SERIAL.pem    every certificate issued
 *   ca.key              only for a CA with a file key */
#ifndef CONSIGN_PKI_CA_H
#define CONSIGN_PKI_CA_H

#include "ledger.h"
#include "pki.h"
#include "token.h"
#include <gnutls/x509.h>
#include <limits.h>

#define CA_DIR "ca"

struct ca {
    char *dir; /* absolute */
    char *module, *key_ref, *pin_source, *name;
    struct token_pin *pin;
    gnutls_x509_crt_t crt;
    gnutls_privkey_t key; /* NULL until ca_unlock */
    struct ledger ledger;
    bool running; /* token_start was called */
};

/* Reads the CA at dir (NULL: CA_DIR); writing: under the ledger's lock. ca_close also after a
 * failure. */
enum err ca_open(struct ca *ca, const char *dir, bool writing) MUST_CHECK;

/* The PIN object for the CA's token: of source, else as configured. Made once. */
enum err ca_pin(struct ca *ca, const char *source) MUST_CHECK;

/* Makes the CA's key usable and brings to an end what a crash interrupted: a certificate that was
 * being signed counts as issued when its file is there and is revoked otherwise; a CRL that is due
 * is written. */
enum err ca_unlock(struct ca *ca, const char *pin_source) MUST_CHECK;

void ca_close(struct ca *ca);

/* A file of the CA; the caller frees. NULL, logged. */
char *ca_path(const struct ca *ca, const char *name);
/* certs/SERIAL.pem */
char *ca_cert_path(const struct ca *ca, const char *serial);

/* The subject key identifier of the CA's certificate. */
enum err ca_key_id(const struct ca *ca, unsigned char *id, size_t *n) MUST_CHECK;
/* The digest the CA signs with. */
gnutls_digest_algorithm_t ca_digest(const struct ca *ca);

/* crl.c: the next CRL from the ledger, written to crl.pem; days 0: the default. */
enum err crl_write(struct ca *ca, int days) MUST_CHECK;
/* Whether crl.pem is the CRL that the ledger wrote down last. */
bool crl_current(const struct ca *ca);

/* The serial of a certificate, lower-case hex. */
enum err ca_serial(gnutls_x509_crt_t crt, char out[static LEDGER_SERIAL + 1]) MUST_CHECK;
/* Reads a PEM certificate. */
enum err ca_read_cert(const char *path, gnutls_x509_crt_t *out) MUST_CHECK;

#endif
