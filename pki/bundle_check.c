/* SPDX-License-Identifier: ISC */
/* What is in a bundle: whether it may be believed, and what it is for people. */
#include "bundle.h"

#include "buf.h"
#include "log.h"
#include "say.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct content {
    gnutls_x509_crt_t cas[BUNDLE_LIST];
    gnutls_x509_crl_t crls[BUNDLE_LIST];
    size_t n_cas, n_crls;
};

static void release(struct content *c)
{
    while (c->n_cas > 0)
        gnutls_x509_crt_deinit(c->cas[--c->n_cas]);
    while (c->n_crls > 0)
        gnutls_x509_crl_deinit(c->crls[--c->n_crls]);
}

static gnutls_datum_t datum(const char *s)
{
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)s, (unsigned)strlen(s)};
}

/* release also after a failure. */
static enum err parse(const struct bundle *b, struct content *c)
{
    int rc = 0;
    c->n_cas = c->n_crls = 0;
    for (size_t i = 0; rc >= 0 && i < b->ca.n; i++) {
        gnutls_datum_t pem = datum(b->ca.list[i]);
        if ((rc = gnutls_x509_crt_init(&c->cas[i])) >= 0) {
            c->n_cas++;
            rc = gnutls_x509_crt_import(c->cas[i], &pem, GNUTLS_X509_FMT_PEM);
        }
    }
    for (size_t i = 0; rc >= 0 && i < b->crl.n; i++) {
        gnutls_datum_t pem = datum(b->crl.list[i]);
        if ((rc = gnutls_x509_crl_init(&c->crls[i])) >= 0) {
            c->n_crls++;
            rc = gnutls_x509_crl_import(c->crls[i], &pem, GNUTLS_X509_FMT_PEM);
        }
    }
    return rc < 0 ? log_fail(ERR_TYPE, "a CA or a revocation list of the bundle: %s",
                             gnutls_strerror(rc))
                  : ERR_OK;
}

/* ---- may it be believed ---- */

static enum err check_ca(gnutls_x509_crt_t ca, int64_t now)
{
    unsigned bits = 0;
    int type = gnutls_x509_crt_get_pk_algorithm(ca, &bits),
        sign = gnutls_x509_crt_get_signature_algorithm(ca);
    if (gnutls_x509_crt_get_version(ca) != 3 || gnutls_x509_crt_get_ca_status(ca, NULL) <= 0)
        return log_fail(ERR_AUTH, "the bundle holds a certificate that is no CA's");
    if (type < 0 || sign < 0 || !gnutls_sign_is_secure((gnutls_sign_algorithm_t)sign) ||
        gnutls_pk_bits_to_sec_param((gnutls_pk_algorithm_t)type, bits) < GNUTLS_SEC_PARAM_MEDIUM)
        return log_fail(ERR_AUTH, "a CA of the bundle has a weak key or signature");
    if (now < gnutls_x509_crt_get_activation_time(ca) ||
        now > gnutls_x509_crt_get_expiration_time(ca))
        return log_fail(ERR_AUTH, "the certificate of a CA of the bundle is not valid now");
    return ERR_OK;
}

static bool signed_by(gnutls_x509_crl_t crl, gnutls_x509_crt_t ca)
{
    unsigned status = 0;
    return gnutls_x509_crl_check_issuer(crl, ca) &&
           gnutls_x509_crl_verify(crl, &ca, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status) >= 0 &&
           status == 0;
}

static enum err check_crls(const struct content *c)
{
    for (size_t i = 0; i < c->n_crls; i++) {
        bool known = false;
        for (size_t k = 0; k < c->n_cas; k++)
            known |= signed_by(c->crls[i], c->cas[k]);
        if (!known)
            return log_fail(ERR_AUTH,
                            "a revocation list of the bundle is signed by none of its CAs");
    }
    for (size_t k = 0; k < c->n_cas; k++) {
        bool has = false;
        for (size_t i = 0; i < c->n_crls; i++)
            has |= signed_by(c->crls[i], c->cas[k]);
        if (!has)
            return log_fail(ERR_AUTH, "a CA of the bundle has no revocation list in it");
    }
    return ERR_OK;
}

static enum err check_time(const struct bundle *b, int64_t now)
{
    char stamp[SAY_TIME];
    say_stamp((time_t)(now < b->from ? b->from : b->until), stamp);
    if (now < b->from)
        return log_fail(ERR_AUTH, "the bundle is not valid before %s", stamp);
    return now <= b->until
               ? ERR_OK
               : log_fail(ERR_AUTH, "the bundle ran out on %s: ask for a new one", stamp);
}

enum err bundle_check(const struct bundle *b, gnutls_x509_crt_t signer, int64_t now)
{
    struct content c;
    bool own = false;
    enum err e = check_time(b, now);
    if (e)
        return e;
    e = parse(b, &c);
    for (size_t i = 0; !e && i < c.n_cas; i++) {
        own |= gnutls_x509_crt_equals(c.cas[i], signer) != 0;
        e = check_ca(c.cas[i], now);
    }
    if (!e && !own)
        e = log_fail(ERR_AUTH, "the bundle is signed by a certificate that is none of its CAs");
    if (!e)
        e = check_crls(&c);
    release(&c);
    return e;
}

/* ---- what it is ---- */

static enum err line(struct texts *out, const char *what, const char *value)
{
    char clean[SAY_TEXT], text[SAY_TEXT + 32];
    say_clean(value, clean);
    snprintf(text, sizeof text, "%-12s %s", what, clean);
    return texts_add(out, text);
}

static enum err lines(struct texts *out, const char *what, const struct texts *t)
{
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < t->n; i++)
        e = line(out, what, t->list[i]);
    return e;
}

static enum err ca_line(struct texts *out, gnutls_x509_crt_t ca)
{
    char print[BUNDLE_PRINT], text[SAY_TEXT], until[SAY_TIME];
    gnutls_datum_t dn = {NULL, 0};
    gnutls_x509_name_constraints_t nc = NULL;
    unsigned critical;
    bool bound = gnutls_x509_name_constraints_init(&nc) >= 0 &&
                 gnutls_x509_crt_get_name_constraints(ca, nc, 0, &critical) >= 0;
    if (nc)
        gnutls_x509_name_constraints_deinit(nc);
    enum err e = bundle_print(ca, print);
    if (e)
        return e;
    say_stamp(gnutls_x509_crt_get_expiration_time(ca), until);
    int rc = gnutls_x509_crt_get_dn3(ca, &dn, 0);
    snprintf(text, sizeof text, "%s %s until %s%s", print, rc >= 0 ? (const char *)dn.data : "?",
             until, bound ? ", for some names only" : "");
    gnutls_free(dn.data);
    return line(out, "ca", text);
}

static enum err crl_line(struct texts *out, gnutls_x509_crl_t crl)
{
    char text[SAY_TEXT], until[SAY_TIME], number[65] = "none";
    unsigned char raw[32];
    size_t n = sizeof raw;
    gnutls_datum_t dn = {NULL, 0};
    if (gnutls_x509_crl_get_number(crl, raw, &n, NULL) >= 0)
        for (size_t i = 0; i < n; i++)
            snprintf(number + 2 * i, 3, "%02x", raw[i]);
    say_stamp(gnutls_x509_crl_get_next_update(crl), until);
    int rc = gnutls_x509_crl_get_issuer_dn3(crl, &dn, 0);
    snprintf(text, sizeof text, "of %s, number %s, %d revoked, until %s",
             rc >= 0 ? (const char *)dn.data : "?", number, gnutls_x509_crl_get_crt_count(crl),
             until);
    gnutls_free(dn.data);
    return line(out, "crl", text);
}

static enum err head_lines(const struct bundle *b, struct texts *out)
{
    char number[32], from[SAY_TIME], until[SAY_TIME];
    snprintf(number, sizeof number, "%" PRIu64, b->serial);
    say_stamp((time_t)b->from, from);
    say_stamp((time_t)b->until, until);
    enum err e = line(out, "organisation", b->name);
    if (!e)
        e = line(out, "serial", number);
    if (!e)
        e = line(out, "from", from);
    return e ? e : line(out, "until", until);
}

enum err bundle_lines(const struct bundle *b, struct texts *out)
{
    struct content c;
    enum err e = parse(b, &c);
    if (!e)
        e = head_lines(b, out);
    for (size_t i = 0; !e && i < c.n_cas; i++)
        e = ca_line(out, c.cas[i]);
    for (size_t i = 0; !e && i < c.n_crls; i++)
        e = crl_line(out, c.crls[i]);
    release(&c);
    if (!e)
        e = lines(out, "crl-from", &b->crl_from);
    if (!e)
        e = lines(out, "user", &b->users);
    return e ? e : lines(out, "endpoint", &b->endpoints);
}

enum err bundle_pems(const struct bundle *b, struct buf *cas, struct buf *crls)
{
    struct content c;
    enum err e = parse(b, &c);
    int rc = 0;
    for (size_t i = 0; !e && rc >= 0 && i < c.n_cas; i++) {
        gnutls_datum_t pem = {NULL, 0};
        rc = gnutls_x509_crt_export2(c.cas[i], GNUTLS_X509_FMT_PEM, &pem);
        buf_put(cas, pem.data, pem.size);
        gnutls_free(pem.data);
    }
    for (size_t i = 0; !e && rc >= 0 && i < c.n_crls; i++) {
        gnutls_datum_t pem = {NULL, 0};
        rc = gnutls_x509_crl_export2(c.crls[i], GNUTLS_X509_FMT_PEM, &pem);
        buf_put(crls, pem.data, pem.size);
        gnutls_free(pem.data);
    }
    release(&c);
    if (!e && (rc < 0 || cas->bad || crls->bad))
        e = log_fail(ERR_INTERNAL, "out of memory for a bundle");
    return e;
}
