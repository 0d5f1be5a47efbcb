/* SPDX-License-Identifier: ISC */
/* A CA on disk: the folder DIR (mode 0700) with
 *
 *   consign-pki.conf    module, key, PIN source, name, parent, fips, whether the key may be one that
 *                       is extractable; the policy for requests
 *   ca.pem, crl.pem     what others get
 *   ledger              ledger.h
 *   certs/SERIAL.pem    every certificate issued
 *   ca.key              only for a CA with a file key
 *
 * and for one below another CA
 *
 *   chain.pem           the certificates of the CAs above it, nearest first, the root last
 *   root.pem            the last of them: what servers and clients trust
 *   crls.pem            its CRL and those of the CAs above, as they were when it was written */
#ifndef CONSIGN_PKI_CA_H
#define CONSIGN_PKI_CA_H

#include "fips.h"
#include "ledger.h"
#include "pki.h"
#include "request.h"
#include "token.h"
#include <gnutls/x509.h>
#include <limits.h>

#define CA_DIR   "ca"
#define CA_ROOT  "root.pem"
#define CA_CHAIN "chain.pem"
#define CA_CRLS  "crls.pem"

enum { CA_ABOVE = PKI_PATH_MAX + 1 };

struct ca {
    char *dir; /* absolute */
    char *module, *key_ref, *pin_source, *name;
    char *parent;           /* the folder of the CA above, NULL for a root */
    bool allow_extractable; /* of the key */
    struct request_policy request;
    enum fips_mode fips;
    struct token_pin *pin;
    gnutls_x509_crt_t crt;
    gnutls_x509_crt_t above[CA_ABOVE]; /* chain.pem */
    unsigned n_above;
    gnutls_privkey_t key; /* NULL until ca_unlock */
    struct ledger ledger;
    bool running; /* token_start was called */
};

/* Reads the CA at dir (NULL: CA_DIR); writing: under the ledger's lock, and bringing to an end what a
 * crash interrupted: a certificate that was being signed counts as issued when its file is there and
 * is revoked otherwise. ca_close also after a failure. */
enum err ca_open(struct ca *ca, const char *dir, bool writing) MUST_CHECK;

/* The PIN object for the CA's token: of source, else as configured. Made once. */
enum err ca_pin(struct ca *ca, const char *source) MUST_CHECK;

/* Makes the CA's key usable, and writes a CRL that is due. */
enum err ca_unlock(struct ca *ca, const char *pin_source) MUST_CHECK;

/* Whether the CA's own fips, or require when it is asked for here, lets the CA sign for a key and, for
 * a request, by that signature (0: none). ERR_DENIED, logged with what is not approved. Sets ca->fips. */
enum err ca_approves(struct ca *ca, bool require, gnutls_pubkey_t pub, int request) MUST_CHECK;

void ca_close(struct ca *ca);

/* A file of the CA; the caller frees. NULL, logged. */
char *ca_path(const struct ca *ca, const char *name);
/* certs/SERIAL.pem */
char *ca_cert_path(const struct ca *ca, const char *serial);

/* Appends to a certificate those of this CA and of the CAs above it, the root left out: what a peer
 * must be shown. Nothing is appended for a root. The caller frees out->data. */
enum err ca_with_chain(const struct ca *ca, const gnutls_datum_t *pem,
                       gnutls_datum_t *out) MUST_CHECK;

/* The subject key identifier of the CA's certificate. */
enum err ca_key_id(const struct ca *ca, unsigned char *id, size_t *n) MUST_CHECK;
/* The digest the CA signs with. */
gnutls_digest_algorithm_t ca_digest(const struct ca *ca);

/* crl.c: the next CRL from the ledger, written to crl.pem, and crls.pem of a CA below another; days
 * 0: the default. */
enum err crl_write(struct ca *ca, int days) MUST_CHECK;
/* Whether crl.pem is the CRL that the ledger wrote down last. */
bool crl_current(const struct ca *ca);

/* The serial of a certificate, lower-case hex. */
enum err ca_serial(gnutls_x509_crt_t crt, char out[static LEDGER_SERIAL + 1]) MUST_CHECK;
/* Reads a PEM certificate. */
enum err ca_read_cert(const char *path, gnutls_x509_crt_t *out) MUST_CHECK;

#endif
