/* SPDX-License-Identifier: ISC */
/* A CA while it is made; for init.c and init_cert.c alone. */
#ifndef CONSIGN_PKI_INIT_H
#define CONSIGN_PKI_INIT_H

#include "bounds.h"
#include "ca.h"
#include "key.h"
#include "names.h"
#include "when.h"

struct maker {
    const struct options *o;
    const char *module, *token, *label;
    const struct key_type *type;
    char name[64];
    struct cert_dn subject;
    struct ca ca; /* only dir and pin are used while it is made */
    struct key key;
    struct when when;
    gnutls_x509_name_constraints_t bounds; /* NULL: none */
    char *parent_dir;                      /* absolute; NULL: a root */
};

/* Makes ca.pem: signed with its own key. */
enum err init_cert_root(struct maker *m) MUST_CHECK;

/* Looks, before a key is made, whether the parent can have it below it; sets parent_dir. */
enum err init_check_parent(struct maker *m) MUST_CHECK;
/* Makes ca.pem, chain.pem and root.pem: issued by the parent. The new CA's token is left for the
 * parent's, and its private key given up. */
enum err init_cert_below(struct maker *m) MUST_CHECK;

#endif
