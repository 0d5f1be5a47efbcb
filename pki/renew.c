/* SPDX-License-Identifier: ISC */
/* consign-pki renew: a new certificate that says the same as another one, which stays valid until it
 * ends: both may be used meanwhile. The ledger links the two. */
#include "bounds.h"
#include "file.h"
#include "leaf.h"
#include "log.h"
#include "order.h"
#include "pick.h"
#include "row.h"
#include "say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What is renewed. */
struct old {
    char serial[LEDGER_SERIAL + 1];
    gnutls_x509_crt_t crt;
    struct cert_id id;
    int64_t from, until;
};

/* Of a subject's certificates the one that no other took over from. */
static enum err choose(struct ca *ca, const char *what, struct old *old)
{
    struct pick p;
    size_t found = 0, last = 0;
    int64_t now = time(NULL);
    enum err e = pick_of(ca, what, now, &p);
    for (size_t i = 0; !e && i < p.n; i++)
        if (!ledger_renewal(&ca->ledger, ca->ledger.entries[p.list[i]].serial)) {
            last = p.list[i];
            found++;
        }
    for (size_t i = 0; !e && found != 1 && i < p.n; i++)
        row_print(&ca->ledger, &ca->ledger.entries[p.list[i]], now, false);
    if (!e && found == 0)
        e = log_fail(ERR_EXISTS, "%s: renewed already; renew the newest, by its serial", what);
    else if (!e && found > 1)
        e = log_fail(ERR_USAGE, "%zu certificates bear this subject: name one by its serial",
                     found);
    if (!e) {
        const struct ledger_entry *entry = &ca->ledger.entries[last];
        memcpy(old->serial, entry->serial, sizeof old->serial);
        if (entry->revoked)
            e = log_fail(ERR_DENIED, "%s: revoked (%s): it is not renewed; issue a new one",
                         entry->serial, entry->reason);
    }
    pick_release(&p);
    return e;
}

static enum err read_old(const struct ca *ca, struct old *old)
{
    gnutls_datum_t der = {NULL, 0};
    char *path = ca_cert_path(ca, old->serial);
    enum err e = path ? ca_read_cert(path, &old->crt) : ERR_INTERNAL;
    free(path);
    if (e)
        return e;
    int rc = gnutls_x509_crt_export2(old->crt, GNUTLS_X509_FMT_DER, &der);
    e = rc < 0 ? log_fail(ERR_TYPE, "%s: %s", old->serial, gnutls_strerror(rc))
               : cert_id_read(&der, &old->id);
    gnutls_free(der.data);
    old->from = gnutls_x509_crt_get_activation_time(old->crt);
    old->until = gnutls_x509_crt_get_expiration_time(old->crt);
    return e;
}

/* As long as the old one was. */
static enum err choose_when(const struct options *o, const struct old *old, struct when *out)
{
    int64_t days = (old->until - old->from - WHEN_SKEW + WHEN_DAY - 1) / WHEN_DAY;
    return when_of(o, days > 0 ? days : 1, out);
}

/* How many there have been: files and keys are named NAME-2, NAME-3 ... */
static unsigned generation(struct ledger *l, const char *serial)
{
    unsigned n = 2;
    const struct ledger_entry *e = ledger_find(l, serial);
    for (; e && e->renews[0]; n++)
        e = ledger_find(l, e->renews);
    return n;
}

static enum err choose_files(struct order *w, struct ca *ca, const struct old *old)
{
    char plain[64];
    order_label(w, w->role == LEDGER_SERVER && w->names.n &&
                           w->names.list[0].type == GNUTLS_SAN_DNSNAME
                       ? (const char *)w->names.list[0].value
                       : NULL);
    if (!w->o->label) {
        memcpy(plain, w->label, sizeof plain);
        snprintf(w->label, sizeof w->label, "%.48s-%u", plain,
                 generation(&ca->ledger, old->serial));
    }
    return order_files(w, "pem");
}

static enum err choose_key(struct order *w, struct ca *ca, const struct old *old)
{
    if (w->o->new_key || w->o->key)
        return order_key_for(w, ca);
    int rc = gnutls_pubkey_init(&w->key.pub);
    if (rc >= 0)
        rc = gnutls_pubkey_import_x509(w->key.pub, old->crt, 0);
    return rc < 0 ? log_fail(ERR_TYPE, "%s: its public key: %s", old->serial, gnutls_strerror(rc))
                  : ERR_OK;
}

static void print_overlap(const struct old *old, const struct when *when)
{
    int64_t overlap = old->until - when->from;
    say("renews", old->serial);
    say_time("valid until", (time_t)old->until);
    if (overlap >= 0)
        printf("%-13s%lld days\n", "overlap", (long long)(overlap / WHEN_DAY));
    else
        printf("%-13snone: a gap of %lld days\n", "overlap", (long long)(-overlap / WHEN_DAY));
}

static enum err issue(struct order *w, struct ca *ca, const struct old *old, struct leaf *leaf)
{
    struct leaf_made made = {0};
    enum err e = leaf_check(leaf);
    if (!e)
        e = leaf_check_bounds(ca, leaf);
    if (!e)
        e = choose_key(w, ca, old);
    if (!e)
        e = ca_unlock(ca, w->o->pin);
    leaf->pub = w->key.pub;
    if (!e)
        e = leaf_issue(ca, leaf, &made);
    if (e) {
        if (w->o->new_key && w->key.ref)
            log_warn("the new key is left where it was made: %s", w->key.ref);
        return e;
    }
    bool ours = w->key.ref != NULL;
    struct leaf_report report = {w->out, w->key.ref, ours ? order_module(w, ca) : NULL,
                                 ours ? order_pin(w, ca) : NULL};
    e = leaf_give_out(ca, &made, w->out);
    if (!e) {
        leaf_print(ca, leaf, &made, &report);
        printf("\n");
        print_overlap(old, &made.when);
    }
    leaf_release(&made);
    return e;
}

/* Subject and role of the order are the old one's. */
static enum err renew(struct order *w, struct ca *ca, const struct old *old)
{
    struct leaf leaf = {
        .role = w->role, .subject = &w->subject, .names = &w->names, .renews = old->serial};
    enum err e = choose_when(w->o, old, &leaf.when);
    if (!e && w->role == LEDGER_CA) {
        leaf.path_length = bounds_path_length(old->crt);
        e = bounds_read(old->crt, &leaf.bounds);
    }
    if (!e)
        e = names_from_cert(old->crt, &w->names);
    if (!e)
        e = choose_files(w, ca, old);
    if (!e)
        e = issue(w, ca, old, &leaf);
    if (leaf.bounds)
        gnutls_x509_name_constraints_deinit(leaf.bounds);
    return e;
}

static enum err check_options(struct order *w)
{
    const struct options *o = w->o;
    bool makes = o->token || o->file_key || o->type || o->label || o->key_pin || o->module;
    if (!o->new_key && !o->key && makes)
        return log_fail(ERR_USAGE, "options of a new key are of no use without --new-key");
    if (o->new_key && o->key)
        return log_fail(ERR_USAGE, "--new-key and --key exclude each other");
    return order_check_key(w);
}

enum err renew_run(const struct options *o, const char *const *args, int n)
{
    struct order w = {.o = o};
    struct old old = {.crt = NULL};
    struct ca ca = {.ledger.fd = -1};
    (void)n;
    enum err e = check_options(&w);
    if (!e)
        e = ca_open(&ca, o->dir, true);
    if (!e)
        e = choose(&ca, args[0], &old);
    if (!e)
        e = read_old(&ca, &old);
    if (!e) {
        w.subject = old.id.subject;
        old.id.subject = (struct cert_dn){NULL, 0};
        w.role = ledger_find(&ca.ledger, old.serial)->role;
        e = renew(&w, &ca, &old);
    }
    if (old.crt)
        gnutls_x509_crt_deinit(old.crt);
    cert_id_release(&old.id);
    order_release(&w);
    ca_close(&ca);
    return e;
}
