/* SPDX-License-Identifier: ISC */
/* What the commands that make certificates and requests share: whose, with which key, into which
 * file. */
#ifndef CONSIGN_PKI_ORDER_H
#define CONSIGN_PKI_ORDER_H

#include "ca.h"
#include "key.h"
#include "names.h"

struct order {
    const struct options *o;
    enum ledger_role role;
    const struct key_type *type; /* of a new key */
    struct names names;
    struct cert_dn subject;
    char label[64]; /* of the key; also what files are named after */
    char *out;      /* the result's file */
    char *key_file; /* for --file-key */
    struct key key;
};
void order_release(struct order *w);

/* Of a server: its names and its subject (the first name unless --subject). */
enum err order_server(struct order *w, const char *const *hosts, int n) MUST_CHECK;
/* Of a client: its subject. */
enum err order_client(struct order *w, const char *const *args, int n) MUST_CHECK;
/* Adds the names of --san. */
enum err order_sans(struct order *w) MUST_CHECK;

/* Sets label, from --label, else host (may be NULL), else the subject. */
void order_label(struct order *w, const char *host);
/* Sets out (--out, else LABEL.suffix), which must be free, and key_file. */
enum err order_files(struct order *w, const char *suffix) MUST_CHECK;

/* Sets type. ERR_USAGE for options of the key that exclude each other. */
enum err order_check_key(struct order *w) MUST_CHECK;
/* Makes or loads the key; default_token: where there is no --token; NULL: there must be one. */
enum err order_key(struct order *w, const char *module, struct token_pin *pin,
                   const char *default_token) MUST_CHECK;
/* The same for a certificate by this CA, which is still locked; PKCS#11 is not running afterwards
 * and the private half is gone. */
enum err order_key_for(struct order *w, struct ca *ca) MUST_CHECK;
/* The module and PIN source that the key needs (NULL for a key in a file). */
const char *order_module(const struct order *w, const struct ca *ca);
const char *order_pin(const struct order *w, const struct ca *ca);

#endif
