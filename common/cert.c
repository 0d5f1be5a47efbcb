/* SPDX-License-Identifier: ISC */
/* The trust anchors; what is believed of a chain is in cert_judge.c. */
#include "cert_internal.h"

#include "conf.h"
#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 64 << 20 };

enum err cert_store_new(struct cert_store **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? ERR_OK : log_fail(ERR_INTERNAL, "out of memory for trust anchors");
}

void cert_store_fips(struct cert_store *s, enum fips_mode mode)
{
    s->fips = mode;
}

static void release_anchor(struct cert_anchor *a)
{
    cert_crls_release(a);
    for (unsigned i = 0; i < a->n_cas; i++)
        gnutls_x509_crt_deinit(a->cas[i]);
    gnutls_free(a->cas);
}

void cert_store_free(struct cert_store *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        release_anchor(&s->anchors[i]);
    free(s->anchors);
    free(s);
}

/* ---- files ---- */

enum err cert_read_file(const char *file, gnutls_datum_t *out)
{
    size_t cap = 0, n = 0;
    ssize_t got = 1;
    enum err e = ERR_OK;
    *out = (gnutls_datum_t){0};
    int fd = strncmp(file, "fd:", 3) == 0 ? fcntl(atoi(file + 3), F_DUPFD_CLOEXEC, 0)
                                          : conf_open(file, false);
    if (fd < 0)
        return ERR_CONFIG;
    while (e == ERR_OK && got > 0) {
        if (n + 1 >= cap) {
            unsigned char *grown =
                n < FILE_MAX_BYTES ? realloc(out->data, cap = n * 2 + 65536) : NULL;
            if (!grown) {
                e = log_fail(ERR_CONFIG, "%s: too long", file);
                break;
            }
            out->data = grown;
        }
        got = read(fd, out->data + n, cap - n - 1);
        if (got < 0 && errno != EINTR)
            e = log_fail_errno("%s", file);
        n += got > 0 ? (size_t)got : 0;
        got = got < 0 ? 1 : got;
    }
    close(fd);
    if (e != ERR_OK) {
        free(out->data);
        *out = (gnutls_datum_t){0};
        return e;
    }
    out->data[n] = '\0';
    out->size = (unsigned)n;
    return ERR_OK;
}

static enum err check_ca(gnutls_x509_crt_t ca, const char *file)
{
    char text[CERT_TEXT];
    cert_subject_text(ca, text);
    if (gnutls_x509_crt_get_version(ca) != 3)
        return log_fail(ERR_CONFIG, "%s: %s is not an X.509 v3 certificate", file, text);
    if (gnutls_x509_crt_get_ca_status(ca, NULL) <= 0)
        return log_fail(ERR_CONFIG, "%s: %s is not a CA's certificate", file, text);
    return ERR_OK;
}

static enum err load_cas(struct cert_anchor *a, const char *file)
{
    gnutls_datum_t pem;
    enum err e = cert_read_file(file, &pem);
    if (e != ERR_OK)
        return e;
    int rc = gnutls_x509_crt_list_import2(&a->cas, &a->n_cas, &pem, GNUTLS_X509_FMT_PEM, 0);
    free(pem.data);
    if (rc < 0)
        return log_fail(ERR_CONFIG, "%s: no CA certificate can be read from it: %s", file,
                        gnutls_strerror(rc));
    for (unsigned i = 0; i < a->n_cas; i++)
        if ((e = check_ca(a->cas[i], file)) != ERR_OK)
            return e;
    return ERR_OK;
}

/* ---- anchors ---- */

/* A CA under two names would leave open which rules its certificates are for. */
static enum err check_new(const struct cert_store *s, const struct cert_anchor *a)
{
    for (size_t i = 0; i < s->n; i++)
        for (unsigned k = 0; k < s->anchors[i].n_cas; k++)
            for (unsigned j = 0; j < a->n_cas; j++)
                if (gnutls_x509_crt_equals(s->anchors[i].cas[k], a->cas[j]))
                    return log_fail(ERR_CONFIG, "anchors %s and %s hold the same CA certificate",
                                    s->anchors[i].name, a->name);
    return ERR_OK;
}

enum err cert_store_add(struct cert_store *s, const char *name, const char *ca_file,
                        const char *crl_file, enum cert_crl_policy policy)
{
    struct cert_anchor *grown = realloc(s->anchors, (s->n + 1) * sizeof *grown);
    size_t n = strlen(name);
    if (!grown)
        return log_fail(ERR_INTERNAL, "out of memory for trust anchors");
    s->anchors = grown;
    struct cert_anchor *a = &grown[s->n];
    *a = (struct cert_anchor){.policy = policy};
    if (n >= sizeof a->name || cert_store_has(s, name))
        return log_fail(ERR_CONFIG, "anchor %s: the name is too long or there twice", name);
    memcpy(a->name, name, n);
    enum err e = load_cas(a, ca_file);
    if (e == ERR_OK)
        e = check_new(s, a);
    if (e == ERR_OK && crl_file)
        e = cert_crls_load(a, crl_file);
    if (e == ERR_OK)
        e = cert_anchor_fips(a, s->fips, ca_file, crl_file);
    if (e == ERR_OK)
        s->n++;
    else
        release_anchor(a);
    return e;
}

void cert_store_stale(struct cert_store *s, struct cert_staleness how)
{
    if (s->n > 0)
        s->anchors[s->n - 1].stale = how;
}

void cert_store_until(struct cert_store *s, time_t until)
{
    if (s->n > 0)
        s->anchors[s->n - 1].until = until;
}

bool cert_store_has(const struct cert_store *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->anchors[i].name, name) == 0)
            return true;
    return false;
}

size_t cert_store_count(const struct cert_store *s)
{
    return s->n;
}

const char *cert_store_name(const struct cert_store *s, size_t i)
{
    return s->anchors[i].name;
}
