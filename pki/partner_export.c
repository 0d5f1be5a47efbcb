/* SPDX-License-Identifier: ISC */
/* consign-pki partner export */
#include "partner_in.h"

#include "file.h"
#include "log.h"
#include "say.h"
#include "when.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SERIAL_FILE "partner.serial"

enum { DAYS = 365 };

/* The next number: written down before it is used, so that none is used twice. */
static enum err next_serial(const struct ca *ca, uint64_t *out)
{
    gnutls_datum_t old = {NULL, 0};
    char text[32], *end = text;
    char *path = ca_path(ca, SERIAL_FILE);
    enum err e = path ? ERR_OK : ERR_INTERNAL;
    *out = 1;
    if (!e && file_exists(path)) {
        e = file_read(path, &old);
        *out = e ? 0 : strtoull((char *)old.data, &end, 10) + 1;
        if (!e && (*out < 2 || *end != '\n'))
            e = log_fail(ERR_TYPE, "%s: not a number: it holds that of the last bundle", path);
    }
    int n = snprintf(text, sizeof text, "%" PRIu64 "\n", *out);
    gnutls_datum_t next = {(unsigned char *)text, (unsigned)n};
    if (!e)
        e = file_write(path, &next, 0644, true);
    free(old.data);
    free(path);
    return e;
}

static enum err add_file(const struct ca *ca, const char *name, struct texts *to)
{
    gnutls_datum_t pem = {NULL, 0};
    char *path = ca_path(ca, name);
    enum err e = path ? file_read(path, &pem) : ERR_INTERNAL;
    if (!e)
        e = texts_add(to, (const char *)pem.data);
    free(pem.data);
    free(path);
    return e;
}

/* Only this CA's own certificate, the first of the file. */
static enum err add_ca(const struct ca *ca, struct texts *to)
{
    gnutls_datum_t pem = {NULL, 0};
    int rc = gnutls_x509_crt_export2(ca->crt, GNUTLS_X509_FMT_PEM, &pem);
    enum err e = rc < 0 ? log_fail(ERR_INTERNAL, "%s", gnutls_strerror(rc))
                        : texts_add(to, (const char *)pem.data);
    gnutls_free(pem.data);
    return e;
}

static enum err add_all(char *const *from, struct texts *to)
{
    enum err e = ERR_OK;
    for (; !e && from && *from; from++)
        e = texts_add(to, *from);
    return e;
}

static enum err check_endpoints(char *const *list)
{
    for (; list && *list; list++) {
        size_t n = strcspn(*list, "/");
        const char *colon = memrchr(*list, ':', n);
        size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
        int port = digits > 0 && digits <= 5 ? atoi(colon + 1) : 0;
        if (colon == *list || port < 1 || port > UINT16_MAX || colon + 1 + digits != *list + n)
            return log_fail(ERR_USAGE, "--endpoint %s: HOST:PORT or HOST:PORT/NAME", *list);
    }
    return ERR_OK;
}

static enum err gather(const struct ca *ca, const struct options *o, struct bundle *b)
{
    struct when w;
    enum err e = when_of(o, DAYS, &w);
    if (e)
        return e;
    b->from = w.from;
    b->until = w.until;
    if (!(b->name = strdup(o->name ? o->name : ca->name)))
        return log_fail(ERR_INTERNAL, "out of memory");
    e = add_ca(ca, &b->ca);
    if (!e)
        e = add_file(ca, "crl.pem", &b->crl);
    if (!e)
        e = add_all(o->crl_from, &b->crl_from);
    if (!e)
        e = add_all(o->user, &b->users);
    return e ? e : add_all(o->endpoint, &b->endpoints);
}

/* What a partner could not read is not signed. */
static enum err encode(const struct ca *ca, const struct bundle *b, gnutls_datum_t *json)
{
    struct bundle again = {0};
    enum err e = bundle_encode(b, json);
    if (!e)
        e = bundle_decode(json, &again);
    if (!e)
        e = bundle_check(&again, ca->crt, time(NULL));
    bundle_release(&again);
    return e;
}

static enum err write_bundle(const struct ca *ca, const struct options *o, struct bundle *b,
                             const char *out)
{
    gnutls_datum_t json = {NULL, 0}, pem = {NULL, 0};
    char print[BUNDLE_PRINT], serial[32];
    enum err e = gather(ca, o, b);
    if (!e)
        e = next_serial(ca, &b->serial);
    if (!e)
        e = encode(ca, b, &json);
    if (!e)
        e = bundle_sign(ca, &json, &pem);
    if (!e)
        e = bundle_print(ca->crt, print);
    if (!e)
        e = file_write(out, &pem, 0644, false);
    if (!e) {
        snprintf(serial, sizeof serial, "%" PRIu64, b->serial);
        say("bundle", out);
        say("serial", serial);
        say_time("until", (time_t)b->until);
        say("fingerprint", print);
    }
    free(json.data);
    gnutls_free(pem.data);
    return e;
}

enum err partner_export(const struct options *o)
{
    struct bundle b = {0};
    struct ca ca;
    char *out = NULL;
    if (!o->user)
        return log_fail(ERR_USAGE, "say with --user who will come: the subjects of your users");
    enum err e = check_endpoints(o->endpoint);
    if (e)
        return e;
    e = ca_open(&ca, o->dir, true);
    if (!e && asprintf(&out, "%s.partner", o->name ? o->name : ca.name) < 0)
        e = log_fail(ERR_INTERNAL, "out of memory");
    if (!e)
        e = file_free(o->out ? o->out : out);
    if (!e)
        e = ca_unlock(&ca, o->pin);
    if (!e)
        e = write_bundle(&ca, o, &b, o->out ? o->out : out);
    free(out);
    bundle_release(&b);
    ca_close(&ca);
    return e;
}
