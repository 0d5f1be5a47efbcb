/* SPDX-License-Identifier: ISC */
/* The certificate of a new CA: by itself, or by a CA above it. */
#include "buf.h"
#include "file.h"
#include "init.h"
#include "leaf.h"
#include "log.h"
#include "pubkey.h"

#include <gnutls/crypto.h>
#include <stdlib.h>
#include <string.h>

enum { SERIAL = 16 };

static enum err put(const struct maker *m, const char *name, const gnutls_datum_t *pem)
{
    char *path = ca_path(&m->ca, name);
    enum err e = path ? file_write(path, pem, 0644, false) : ERR_INTERNAL;
    free(path);
    return e;
}

static int set_fields(const struct maker *m, gnutls_x509_crt_t crt)
{
    unsigned char serial[SERIAL], id[PUBKEY_ID];
    int rc = gnutls_rnd(GNUTLS_RND_RANDOM, serial, sizeof serial);
    serial[0] = (unsigned char)((serial[0] & 0x3f) | 0x40);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_version(crt, 3);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_serial(crt, serial, sizeof serial);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_pubkey(crt, m->key.pub);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_activation_time(crt, (time_t)m->when.from);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_expiration_time(crt, (time_t)m->when.until);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_basic_constraints(crt, 1, m->o->path_length);
    if (rc >= 0 && m->bounds)
        rc = gnutls_x509_crt_set_name_constraints(crt, m->bounds, 1);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
    if (rc >= 0)
        rc = pubkey_id(m->key.pub, id);
    return rc < 0 ? rc : gnutls_x509_crt_set_subject_key_id(crt, id, sizeof id);
}

/* As others will read it: a token that fails may still give something for a signature. An anchor's own is
 * looked at only when it may not be its own anchor. */
static enum err check_root(const gnutls_datum_t *pem)
{
    gnutls_x509_crt_t crt = NULL;
    unsigned status = 0;
    int rc = gnutls_x509_crt_init(&crt);
    if (rc >= 0)
        rc = gnutls_x509_crt_import(crt, pem, GNUTLS_X509_FMT_PEM);
    if (rc >= 0)
        rc = gnutls_x509_crt_verify(
            crt, &crt, 1, GNUTLS_VERIFY_DO_NOT_ALLOW_SAME | GNUTLS_VERIFY_DISABLE_TIME_CHECKS,
            &status);
    if (crt)
        gnutls_x509_crt_deinit(crt);
    return rc >= 0 && !status
               ? ERR_OK
               : log_fail(ERR_TOKEN,
                          "the CA's key made a wrong signature: no CA certificate is written");
}

enum err init_cert_root(struct maker *m)
{
    static const struct names none;
    gnutls_datum_t pem = {NULL, 0};
    int rc = gnutls_x509_crt_init(&m->ca.crt);
    if (rc >= 0)
        rc = set_fields(m, m->ca.crt);
    if (rc < 0)
        return log_fail(ERR_INTERNAL, "CA certificate: %s", gnutls_strerror(rc));
    enum err e = names_put(m->ca.crt, &none, &m->subject);
    if (e)
        return e;
    rc = gnutls_x509_crt_privkey_sign(m->ca.crt, m->ca.crt, m->key.priv, ca_digest(&m->ca), 0);
    if (rc < 0)
        return token_fail(rc, "signature of the CA certificate");
    rc = gnutls_x509_crt_export2(m->ca.crt, GNUTLS_X509_FMT_PEM, &pem);
    if (rc < 0)
        return log_fail(ERR_INTERNAL, "CA certificate: %s", gnutls_strerror(rc));
    e = check_root(&pem);
    if (!e)
        e = put(m, "ca.pem", &pem);
    gnutls_free(pem.data);
    return e;
}

/* ---- below another CA ---- */

static struct leaf leaf_of(const struct maker *m)
{
    static const struct names none;
    return (struct leaf){.role = LEDGER_CA,
                         .subject = &m->subject,
                         .names = &none,
                         .pub = m->key.pub,
                         .when = m->when,
                         .path_length = m->o->path_length,
                         .bounds = m->bounds};
}

enum err init_check_parent(struct maker *m)
{
    struct ca parent;
    struct leaf leaf = leaf_of(m);
    enum err e = ca_open(&parent, m->o->parent, false);
    if (!e)
        e = leaf_check_bounds(&parent, &leaf);
    if (!e && !m->o->days && !m->o->not_after) { /* by default no longer than the parent */
        int64_t end = gnutls_x509_crt_get_expiration_time(parent.crt);
        m->when.until = end < m->when.until ? end : m->when.until;
    }
    if (!e) {
        m->parent_dir = strdup(parent.dir);
        e = m->parent_dir ? ERR_OK : log_fail(ERR_INTERNAL, "out of memory");
    }
    ca_close(&parent);
    return e;
}

static enum err put_cert(struct buf *b, gnutls_x509_crt_t crt)
{
    gnutls_datum_t pem = {NULL, 0};
    int rc = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem);
    if (rc < 0)
        return log_fail(ERR_INTERNAL, "certificate: %s", gnutls_strerror(rc));
    buf_put(b, pem.data, pem.size);
    gnutls_free(pem.data);
    return ERR_OK;
}

/* The chain from the parent to the root, and the root by itself. */
static enum err put_above(const struct maker *m, const struct ca *parent)
{
    struct buf b;
    size_t last = 0;
    buf_init(&b, PKI_PEM_MAX);
    enum err e = put_cert(&b, parent->crt);
    for (unsigned i = 0; !e && i < parent->n_above; i++) {
        last = b.len;
        e = put_cert(&b, parent->above[i]);
    }
    if (!e && b.bad)
        e = log_fail(ERR_LIMIT, "the chain of CAs is too long");
    if (!e) {
        gnutls_datum_t chain = {b.data, (unsigned)b.len};
        gnutls_datum_t root = {b.data + last, (unsigned)(b.len - last)};
        e = put(m, CA_CHAIN, &chain);
        if (!e)
            e = put(m, CA_ROOT, &root);
    }
    buf_release(&b);
    return e;
}

enum err init_cert_below(struct maker *m)
{
    struct ca parent;
    struct leaf leaf = leaf_of(m);
    struct leaf_made made = {0};
    key_drop_private(&m->key);
    if (m->ca.running)
        token_stop();
    m->ca.running = false;
    enum err e = ca_open(&parent, m->o->parent, true);
    if (!e)
        e = ca_unlock(&parent, m->o->parent_pin);
    if (!e)
        e = leaf_issue(&parent, &leaf, &made);
    if (!e)
        e = put_above(m, &parent);
    if (!e)
        e = put(m, "ca.pem", &made.pem);
    ca_close(&parent);
    leaf_release(&made);
    return e;
}
