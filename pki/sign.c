/* SPDX-License-Identifier: ISC */
/* consign-pki sign: a certificate for a request made elsewhere, by the CA's policy (request.h). */
#include "bounds.h"
#include "leaf.h"
#include "log.h"
#include "order.h"
#include "request.h"
#include "say.h"

#include <string.h>

/* The names and the subject: of the request, unless the CA gives others. A CA bears no alternative
 * names. */
static enum err choose(struct order *w, struct request *r)
{
    enum err e = ERR_OK;
    if (w->o->subject) {
        e = cert_dn_parse(w->o->subject, &w->subject);
    } else {
        w->subject = r->subject;
        r->subject = (struct cert_dn){NULL, 0};
    }
    if (!e && w->o->san)
        e = order_sans(w);
    else if (!e && w->role != LEDGER_CA)
        w->names = r->names;
    return e;
}

static enum err check_days(const struct ca *ca, const struct order *w, const struct when *when)
{
    int64_t most = (int64_t)ca->request.days * WHEN_DAY + WHEN_SKEW;
    if (w->role == LEDGER_CA || when->until - when->from <= most)
        return ERR_OK;
    return log_fail(ERR_NAME,
                    "a certificate for a request is valid for at most %u days "
                    "([request] days)",
                    ca->request.days);
}

static int64_t default_days(const struct ca *ca, const struct order *w)
{
    return w->role == LEDGER_CA               ? PKI_CA_DAYS
           : ca->request.days < PKI_LEAF_DAYS ? (int64_t)ca->request.days
                                              : PKI_LEAF_DAYS;
}

static enum err issue(struct order *w, struct ca *ca, struct leaf *leaf, const struct request *r)
{
    struct leaf_made made = {0};
    struct leaf_report report = {w->out, NULL, NULL, NULL};
    enum err e = leaf_check_bounds(ca, leaf);
    if (!e)
        e = ca_unlock(ca, w->o->pin);
    if (!e)
        e = leaf_issue(ca, leaf, &made);
    if (e)
        return e;
    e = leaf_give_out(ca, &made, w->out);
    if (!e) {
        leaf_print(ca, leaf, &made, &report);
        if (r->left_out[0])
            say("not given", r->left_out);
    }
    leaf_release(&made);
    return e;
}

static enum err sign(struct order *w, struct ca *ca, const struct request *r)
{
    struct leaf leaf = {.role = w->role,
                        .subject = &w->subject,
                        .names = &w->names,
                        .pub = r->pub,
                        .path_length = w->o->path_length};
    enum err e = request_check(&ca->request, r, w->o->subject, w->o->san || w->role == LEDGER_CA);
    if (!e)
        e = leaf_check(&leaf);
    if (!e)
        e = when_of(w->o, default_days(ca, w), &leaf.when);
    if (!e)
        e = check_days(ca, w, &leaf.when);
    if (!e)
        e = bounds_parse(w->o->permit, w->o->exclude, &leaf.bounds);
    if (!e)
        e = issue(w, ca, &leaf, r);
    if (leaf.bounds)
        gnutls_x509_name_constraints_deinit(leaf.bounds);
    return e;
}

static enum err check_options(const struct options *o)
{
    if (o->server + o->client + o->ca != 1)
        return log_fail(ERR_USAGE, "sign: say one of --server, --client and --ca");
    if (!o->ca && (o->path_length || o->permit || o->exclude))
        return log_fail(ERR_USAGE, "--path-length, --permit and --exclude are for --ca");
    if (o->ca && o->san)
        return log_fail(ERR_USAGE, "a CA's certificate bears no alternative names");
    return ERR_OK;
}

enum err sign_run(const struct options *o, const char *const *args, int n)
{
    struct order w = {.o = o,
                      .role = o->server ? LEDGER_SERVER
                              : o->ca   ? LEDGER_CA
                                        : LEDGER_CLIENT};
    struct request r = {.pub = NULL};
    struct ca ca = {.ledger.fd = -1};
    (void)n;
    enum err e = check_options(o);
    if (!e)
        e = request_read(args[0], &r);
    if (!e)
        e = choose(&w, &r);
    if (!e) {
        order_label(&w, NULL);
        e = order_files(&w, "pem");
    }
    if (!e)
        e = ca_open(&ca, o->dir, true);
    if (!e)
        e = ca_approves(&ca, o->fips, r.pub, r.signature);
    if (!e)
        e = sign(&w, &ca, &r);
    order_release(&w);
    request_release(&r);
    ca_close(&ca);
    return e;
}
