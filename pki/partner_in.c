/* SPDX-License-Identifier: ISC */
#include "partner_in.h"

#include "file.h"
#include "log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum err open_with(const gnutls_datum_t *pem, const char *print, gnutls_x509_crt_t *signer,
                          struct bundle *out)
{
    gnutls_datum_t json;
    enum err e = bundle_open(pem, print, &json, signer);
    if (!e)
        e = bundle_decode(&json, out);
    gnutls_free(json.data);
    return e;
}

/* Without a fingerprint: of the partners that are here, the one whose CA the bundle is from. */
static enum err recognise(const struct options *o, struct partner_in *in)
{
    char **names = NULL;
    size_t n = 0;
    enum err e = file_exists(in->dir) ? partner_names(in->dir, &names, &n) : ERR_OK;
    for (size_t i = 0; !e && !in->name && i < n; i++) {
        struct partner p;
        if (o->name && strcmp(o->name, names[i]) != 0)
            continue;
        e = partner_read(in->dir, names[i], &p);
        if (!e && bundle_names(&in->pem, p.signer)) {
            in->name = strdup(names[i]);
            snprintf(in->print, sizeof in->print, "%s", p.signer);
        }
        partner_release(&p);
    }
    partner_names_free(names, n);
    if (!e && !in->name)
        e = log_fail(ERR_AUTH,
                     "the bundle is from no partner that is known: ask the partner for its CA's "
                     "fingerprint, by telephone, and give it with --fingerprint");
    return e;
}

/* The name here: as asked for, else as the partner calls itself. */
static enum err name_it(const struct options *o, struct partner_in *in)
{
    if (!in->name && !(in->name = strdup(o->name ? o->name : in->bundle.name)))
        return log_fail(ERR_INTERNAL, "out of memory");
    if (!partner_name_ok(in->name))
        return log_fail(
            ERR_NAME,
            "\"%s\" can't be a partner's name here: letters, digits, and . _ -; give --name",
            in->name);
    char *folder = file_join(in->dir, in->name);
    in->known = folder && file_exists(folder);
    bool bad = !folder;
    free(folder);
    return bad ? ERR_INTERNAL : in->known ? partner_read(in->dir, in->name, &in->old) : ERR_OK;
}

enum err partner_in_read(const struct options *o, const char *file, struct partner_in *in)
{
    *in = (struct partner_in){.dir = o->partners ? o->partners : PARTNERS_DIR};
    enum err e = o->fingerprint ? bundle_print_parse(o->fingerprint, in->print) : ERR_OK;
    if (!e)
        e = file_read(file, &in->pem);
    if (!e && !o->fingerprint)
        e = recognise(o, in);
    if (!e)
        e = open_with(&in->pem, in->print, &in->signer, &in->bundle);
    return e ? e : name_it(o, in);
}

void partner_in_release(struct partner_in *in)
{
    free(in->name);
    free(in->pem.data);
    if (in->signer)
        gnutls_x509_crt_deinit(in->signer);
    bundle_release(&in->bundle);
    partner_release(&in->old);
}

enum err partner_in_old(const struct partner_in *in, struct bundle *out)
{
    gnutls_datum_t pem = {NULL, 0};
    gnutls_x509_crt_t signer = NULL;
    char *path = partner_path(in->dir, in->name, PARTNER_BUNDLE);
    *out = (struct bundle){0};
    enum err e = path ? file_read(path, &pem) : ERR_INTERNAL;
    if (!e)
        e = open_with(&pem, in->old.signer, &signer, out);
    if (signer)
        gnutls_x509_crt_deinit(signer);
    free(pem.data);
    free(path);
    return e;
}
