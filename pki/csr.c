/* SPDX-License-Identifier: ISC */
/* consign-pki csr: a key and a request for a certificate by a CA elsewhere. */
#include "file.h"
#include "log.h"
#include "order.h"

#include <stdio.h>

static enum err write_request(struct order *w)
{
    gnutls_x509_crq_t crq = NULL;
    gnutls_datum_t pem = {NULL, 0};
    enum err e = ERR_OK;
    int rc = gnutls_x509_crq_init(&crq);
    if (rc >= 0)
        rc = gnutls_x509_crq_set_version(crq, 1);
    if (rc >= 0)
        rc = gnutls_x509_crq_set_pubkey(crq, w->key.pub);
    if (rc >= 0)
        e = names_put_request(crq, &w->names, &w->subject);
    if (rc >= 0 && !e)
        rc = gnutls_x509_crq_privkey_sign(crq, w->key.priv, GNUTLS_DIG_SHA256, 0);
    if (rc >= 0 && !e)
        rc = gnutls_x509_crq_export2(crq, GNUTLS_X509_FMT_PEM, &pem);
    if (rc < 0)
        e = token_fail(rc, "request for a certificate");
    if (!e)
        e = file_write(w->out, &pem, 0644, false);
    gnutls_free(pem.data);
    if (crq)
        gnutls_x509_crq_deinit(crq);
    return e;
}

enum err csr_run(const struct options *o, const char *const *args, int n)
{
    struct order w = {.o = o};
    struct token_pin *pin = NULL;
    bool in_token = o->key ? token_is_url(o->key) : !o->file_key;
    enum err e = order_check_key(&w);
    if (!e)
        e = order_client(&w, args, n);
    if (!e)
        e = names_check_dn(&w.subject);
    if (!e)
        e = order_sans(&w);
    if (!e) {
        order_label(&w, NULL);
        e = order_files(&w, "csr");
    }
    if (!e && in_token)
        e = token_pin_new(o->pin ? o->pin : "prompt", &pin);
    if (!e)
        e = order_key(&w, o->module ? o->module : PKI_MODULE, pin, NULL);
    if (!e)
        e = write_request(&w);
    if (!e)
        printf("request      %s\nkey          %s\n", w.out, w.key.ref);
    order_release(&w);
    token_stop();
    token_pin_free(pin);
    return e;
}
