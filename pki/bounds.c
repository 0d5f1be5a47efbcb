/* SPDX-License-Identifier: ISC */
#include "bounds.h"
#include "leaf.h"
#include "log.h"
#include "names.h"
#include "say.h"
#include "text.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

typedef int add_fn(gnutls_x509_name_constraints_t nc, gnutls_x509_subject_alt_name_t type,
                   const gnutls_datum_t *name);

static enum err add_network(gnutls_x509_name_constraints_t nc, add_fn *add, const char *value)
{
    gnutls_datum_t raw = {NULL, 0};
    if (gnutls_x509_cidr_to_rfc5280(value, &raw) < 0)
        return log_fail(ERR_USAGE, "ip:%s: not a network like 192.0.2.0/24", value);
    int rc = add(nc, GNUTLS_SAN_IPADDRESS, &raw);
    gnutls_free(raw.data);
    return rc < 0 ? log_fail(ERR_USAGE, "ip:%s: %s", value, gnutls_strerror(rc)) : ERR_OK;
}

/* A host; for e-mail also one with a dot before it, or a mailbox. */
static bool value_ok(gnutls_x509_subject_alt_name_t type, const char *value)
{
    if (type == GNUTLS_SAN_RFC822NAME && strchr(value, '@'))
        return names_value_ok(type, value, strlen(value));
    if (type == GNUTLS_SAN_RFC822NAME && *value == '.')
        value++;
    return names_value_ok(GNUTLS_SAN_DNSNAME, value, strlen(value));
}

static enum err add_one(gnutls_x509_name_constraints_t nc, add_fn *add, const char *text)
{
    gnutls_x509_subject_alt_name_t type;
    const char *value = names_type(text, &type);
    if (strncmp(text, "dn:", 3) == 0 || (value && type == GNUTLS_SAN_URI))
        return log_fail(
            ERR_USAGE,
            "\"%s\": constraints of URIs and directory names can't be checked by "
            "servers and clients and are not issued; make the partner's CA an anchor of "
            "its own instead",
            text);
    if (value && type == GNUTLS_SAN_IPADDRESS)
        return add_network(nc, add, value);
    if (!value || !value_ok(type, value))
        return log_fail(ERR_USAGE,
                        "name constraint \"%s\": must be dns:HOST, email:HOST, email:.HOST, "
                        "email:MAILBOX or ip:NETWORK/BITS",
                        text);
    gnutls_datum_t name = {(unsigned char *)(uintptr_t)value, (unsigned)strlen(value)};
    int rc = add(nc, type, &name);
    return rc < 0 ? log_fail(ERR_USAGE, "%s: %s", text, gnutls_strerror(rc)) : ERR_OK;
}

enum err bounds_parse(char *const *permit, char *const *exclude,
                      gnutls_x509_name_constraints_t *out)
{
    enum err e = ERR_OK;
    *out = NULL;
    if (!permit && !exclude)
        return ERR_OK;
    if (gnutls_x509_name_constraints_init(out) < 0)
        return log_fail(ERR_INTERNAL, "out of memory");
    for (char *const *p = permit; !e && p && *p; p++)
        e = add_one(*out, gnutls_x509_name_constraints_add_permitted, *p);
    for (char *const *p = exclude; !e && p && *p; p++)
        e = add_one(*out, gnutls_x509_name_constraints_add_excluded, *p);
    if (e) {
        gnutls_x509_name_constraints_deinit(*out);
        *out = NULL;
    }
    return e;
}

enum err bounds_read(gnutls_x509_crt_t crt, gnutls_x509_name_constraints_t *out)
{
    unsigned critical;
    *out = NULL;
    if (gnutls_x509_name_constraints_init(out) < 0)
        return log_fail(ERR_INTERNAL, "out of memory");
    int rc = gnutls_x509_crt_get_name_constraints(crt, *out, 0, &critical);
    if (rc >= 0)
        return ERR_OK;
    gnutls_x509_name_constraints_deinit(*out);
    *out = NULL;
    return rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE
               ? ERR_OK
               : log_fail(ERR_TYPE, "name constraints of a CA: %s", gnutls_strerror(rc));
}

int bounds_path_length(gnutls_x509_crt_t ca)
{
    unsigned critical, is_ca;
    int length = -1;
    return gnutls_x509_crt_get_basic_constraints(ca, &critical, &is_ca, &length) < 0 ? 0 : length;
}

/* ---- before issuing ---- */

/* Where there is no alternative name of the kind, verifiers look for one in the subject. */
static bool attribute_fits(gnutls_x509_name_constraints_t nc, gnutls_x509_subject_alt_name_t type,
                           const struct cert_dn *dn, const char *oid)
{
    for (size_t i = 0; i < dn->n; i++) {
        const struct cert_ava *a = dn->rdns[i].avas;
        gnutls_datum_t value = {a->value, (unsigned)a->n};
        if (strcmp(a->oid, oid) == 0 && !gnutls_x509_name_constraints_check(nc, type, &value))
            return false;
    }
    return true;
}

/* The kind of name that does not fit, or NULL. */
static const char *misfit(gnutls_x509_name_constraints_t nc, const struct leaf *l)
{
    bool dns = false, mail = false;
    for (size_t i = 0; i < l->names->n; i++) {
        const struct name *x = &l->names->list[i];
        gnutls_datum_t value = {(unsigned char *)(uintptr_t)x->value, (unsigned)x->n};
        dns |= x->type == GNUTLS_SAN_DNSNAME;
        mail |= x->type == GNUTLS_SAN_RFC822NAME;
        if (x->type == GNUTLS_SAN_URI ? cert_constraint_has(nc, x->type)
                                      : !gnutls_x509_name_constraints_check(nc, x->type, &value))
            return names_word(x->type);
    }
    if (cert_constraint_has(nc, GNUTLS_SAN_DN))
        return "subject";
    if (l->role == LEDGER_SERVER && !dns &&
        !attribute_fits(nc, GNUTLS_SAN_DNSNAME, l->subject, "2.5.4.3"))
        return "dns (in the subject)";
    return mail || attribute_fits(nc, GNUTLS_SAN_RFC822NAME, l->subject, "1.2.840.113549.1.9.1")
               ? NULL
               : "email (in the subject)";
}

static enum err check_names(gnutls_x509_crt_t ca, const struct leaf *l)
{
    gnutls_x509_name_constraints_t nc = NULL;
    enum err e = bounds_read(ca, &nc);
    const char *kind = e || !nc ? NULL : misfit(nc, l);
    if (nc)
        gnutls_x509_name_constraints_deinit(nc);
    return kind ? log_fail(ERR_NAME,
                           "a name of the kind %s is outside the CA's name constraints "
                           "(consign-pki show)",
                           kind)
                : e;
}

enum err leaf_check_bounds(const struct ca *ca, const struct leaf *l)
{
    int length = bounds_path_length(ca->crt);
    if (l->role == LEDGER_CA && length == 0)
        return log_fail(ERR_DENIED,
                        "this CA may have no CAs below it (path length 0): such a CA is "
                        "made by init --path-length");
    if (l->role == LEDGER_CA && length > 0 && l->path_length >= length)
        return log_fail(ERR_DENIED, "a CA below this one may have a path length of at most %d",
                        length - 1);
    if (l->role == LEDGER_CA)
        return ERR_OK;
    enum err e = check_names(ca->crt, l);
    for (unsigned i = 0; !e && i < ca->n_above; i++)
        e = check_names(ca->above[i], l);
    return e;
}

/* ---- for people ---- */

static void network_text(const gnutls_datum_t *raw, char *out, size_t cap)
{
    char address[INET6_ADDRSTRLEN] = "?";
    size_t half = raw->size / 2;
    unsigned bits = 0;
    inet_ntop(half == 4 ? AF_INET : AF_INET6, raw->data, address, sizeof address);
    for (size_t i = half; i < raw->size; i++)
        bits += (unsigned)__builtin_popcount(raw->data[i]);
    snprintf(out, cap, "ip:%s/%u", address, bits);
}

static void say_all(gnutls_x509_name_constraints_t nc, const char *what,
                    int (*get)(gnutls_x509_name_constraints_t, unsigned, unsigned *,
                               gnutls_datum_t *))
{
    gnutls_datum_t raw;
    unsigned type;
    for (unsigned i = 0; get(nc, i, &type, &raw) >= 0; i++) {
        char text[512], value[300];
        log_scrub(value, sizeof value, raw.data, raw.size);
        if (type == GNUTLS_SAN_IPADDRESS && (raw.size == 8 || raw.size == 32))
            network_text(&raw, text, sizeof text);
        else
            snprintf(text, sizeof text, "%s:%s", names_word(type),
                     type == GNUTLS_SAN_DN ? "(a directory name)" : value);
        say(what, text);
    }
}

void bounds_say(gnutls_x509_crt_t ca)
{
    gnutls_x509_name_constraints_t nc = NULL;
    char number[16] = "any";
    int length = bounds_path_length(ca);
    if (length >= 0)
        snprintf(number, sizeof number, "%d", length);
    say("CAs below", number);
    if (bounds_read(ca, &nc) || !nc)
        return;
    say_all(nc, "permitted", gnutls_x509_name_constraints_get_permitted);
    say_all(nc, "excluded", gnutls_x509_name_constraints_get_excluded);
    gnutls_x509_name_constraints_deinit(nc);
}
