/* SPDX-License-Identifier: ISC */
/* A bundle that came in: whose it is, and what of this partner is here already. */
#ifndef CONSIGN_PKI_PARTNER_IN_H
#define CONSIGN_PKI_PARTNER_IN_H

#include "bundle.h"
#include "partner.h"

#define PARTNERS_DIR "partners"

struct partner_in {
    const char *dir; /* of the partners */
    char *name;      /* here */
    char print[BUNDLE_PRINT];
    gnutls_datum_t pem;
    gnutls_x509_crt_t signer;
    struct bundle bundle;
    bool known;
    struct partner old; /* when it is known */
};

/* Reads a bundle that is signed by the CA whose fingerprint is given, or that the partner signed with before. Its
 * content is not judged. partner_in_release also after a failure. */
enum err partner_in_read(const struct options *o, const char *file,
                         struct partner_in *out) MUST_CHECK;
void partner_in_release(struct partner_in *in);

/* The bundle of a partner as it was imported. */
enum err partner_in_old(const struct partner_in *in, struct bundle *out) MUST_CHECK;

/* partner_export.c, partner_import.c, partner_store.c */
enum err partner_export(const struct options *o) MUST_CHECK;
enum err partner_import(const struct options *o, const char *file) MUST_CHECK;
/* Makes the folder NAME of the partners that of the bundle, as a whole; a crash leaves the old or the new. The
 * partners' folder is locked (partner_lock). */
enum err partner_store(const struct partner_in *in, const struct partner *say) MUST_CHECK;
enum err partner_drop(const char *dir, const char *name) MUST_CHECK;
/* Makes the folder of the partners when make is set, locks it, and removes what crashes left. *fd is closed by the
 * caller. */
enum err partner_lock(const char *dir, bool make, int *fd) MUST_CHECK;

#endif
