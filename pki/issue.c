/* SPDX-License-Identifier: ISC */
/* consign-pki issue: a key and its certificate. */
#include "leaf.h"
#include "log.h"
#include "order.h"

#include <string.h>

static enum err issue(struct order *w, struct ca *ca)
{
    struct leaf leaf = {.role = w->role, .subject = &w->subject, .names = &w->names};
    struct leaf_made made = {0};
    enum err e = when_of(w->o, PKI_LEAF_DAYS, &leaf.when);
    if (!e)
        e = leaf_check(&leaf);
    if (!e)
        e = leaf_check_bounds(ca, &leaf);
    if (!e)
        e = order_key_for(w, ca);
    if (e)
        return e;
    leaf.pub = w->key.pub;
    e = ca_unlock(ca, w->o->pin);
    if (!e)
        e = leaf_issue(ca, &leaf, &made);
    if (e) {
        if (!w->o->key)
            log_warn("the new key is left where it was made: %s", w->key.ref);
        return e;
    }
    struct leaf_report report = {w->out, w->key.ref, order_module(w, ca), order_pin(w, ca)};
    e = leaf_give_out(ca, &made, w->out);
    if (!e)
        leaf_print(ca, &leaf, &made, &report);
    leaf_release(&made);
    return e;
}

enum err issue_run(const struct options *o, const char *const *args, int n)
{
    struct order w = {.o = o};
    struct ca ca = {.ledger.fd = -1};
    bool server = strcmp(args[0], "server") == 0;
    enum err e = order_check_key(&w);
    if (!e && !server && strcmp(args[0], "client") != 0)
        e = log_fail(ERR_USAGE, "issue: the first argument must be server or client");
    if (!e)
        e = server ? order_server(&w, args + 1, n - 1) : order_client(&w, args + 1, n - 1);
    if (!e)
        e = order_sans(&w);
    if (!e) {
        order_label(&w, server ? args[1] : NULL);
        e = order_files(&w, "pem");
    }
    if (!e)
        e = ca_open(&ca, o->dir, true);
    if (!e)
        e = ca_approves(&ca, o->fips, NULL, 0);
    if (!e && ca.fips == FIPS_REQUIRE && !o->key)
        e = key_type_approved(w.type);
    if (!e)
        e = issue(&w, &ca);
    order_release(&w);
    ca_close(&ca);
    return e;
}
