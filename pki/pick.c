/* SPDX-License-Identifier: ISC */
#include "pick.h"
#include "cert.h"
#include "file.h"
#include "log.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

void pick_release(struct pick *p)
{
    free(p->list);
    *p = (struct pick){.list = NULL};
}

/* As people paste it. False: it is none. */
static bool as_serial(const char *text, char out[static LEDGER_SERIAL + 1])
{
    size_t n = 0;
    for (; *text; text++) {
        if (*text == ':')
            continue;
        if (!isxdigit((unsigned char)*text) || n == LEDGER_SERIAL)
            return false;
        out[n++] = (char)tolower((unsigned char)*text);
    }
    out[n] = '\0';
    return n >= 2;
}

/* Another CA may have used the same serial. */
static enum err serial_of_file(const struct ca *ca, const char *path, char *serial)
{
    gnutls_x509_crt_t crt = NULL;
    unsigned status = 0;
    enum err e = ca_read_cert(path, &crt);
    if (e)
        return e;
    int rc = gnutls_x509_crt_verify(crt, &ca->crt, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status);
    if (rc < 0 || status)
        e = log_fail(ERR_NOENT, "%s: not a certificate of this CA", path);
    else
        e = ca_serial(crt, serial);
    gnutls_x509_crt_deinit(crt);
    return e;
}

static enum err add(struct pick *p, size_t index)
{
    size_t *grown = reallocarray(p->list, p->n + 1, sizeof *grown);
    if (!grown)
        return log_fail(ERR_INTERNAL, "out of memory");
    grown[p->n++] = index;
    p->list = grown;
    return ERR_OK;
}

static bool bears(const struct ledger_entry *e, const struct cert_dn *wanted)
{
    struct cert_dn dn = {NULL, 0};
    bool same = e->subject[0] && !cert_dn_check(e->subject, &dn) && cert_dn_eq(&dn, wanted);
    cert_dn_release(&dn);
    return same;
}

static enum err by_subject(const struct ledger *l, const char *text, int64_t now, struct pick *out)
{
    struct cert_dn dn = {NULL, 0};
    enum err e = ERR_OK;
    if (cert_dn_check(text, &dn))
        return log_fail(ERR_NOENT, "%s: neither a serial of this CA, nor a file, nor a subject",
                        text);
    out->by_subject = true;
    for (size_t i = 0; !e && i < l->n; i++)
        if (ledger_live(&l->entries[i], now) && bears(&l->entries[i], &dn))
            e = add(out, i);
    cert_dn_release(&dn);
    if (!e && out->n == 0)
        e = log_fail(ERR_NOENT, "%s: no live certificate bears this subject", text);
    return e;
}

enum err pick_of(struct ca *ca, const char *text, int64_t now, struct pick *out)
{
    char serial[LEDGER_SERIAL + 1];
    *out = (struct pick){.list = NULL};
    bool known = as_serial(text, serial) && ledger_find(&ca->ledger, serial);
    if (!known && !file_exists(text))
        return by_subject(&ca->ledger, text, now, out);
    enum err e = known ? ERR_OK : serial_of_file(ca, text, serial);
    if (e)
        return e;
    const struct ledger_entry *entry = ledger_find(&ca->ledger, serial);
    if (!entry)
        return log_fail(ERR_NOENT, "%s: not in the ledger", serial);
    return add(out, (size_t)(entry - ca->ledger.entries));
}
