/* SPDX-License-Identifier: ISC */
#include "request.h"
#include "file.h"
#include "log.h"

#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAN_OID "2.5.29.17"

/* RSA: of that many bits or more. */
static const struct kind {
    const char *word;
    gnutls_pk_algorithm_t pk;
    unsigned bits;
} kinds[] = {
    {"rsa2048", GNUTLS_PK_RSA, 2048},        {"rsa3072", GNUTLS_PK_RSA, 3072},
    {"rsa4096", GNUTLS_PK_RSA, 4096},        {"p256", GNUTLS_PK_ECDSA, 256},
    {"p384", GNUTLS_PK_ECDSA, 384},          {"p521", GNUTLS_PK_ECDSA, 521},
    {"ed25519", GNUTLS_PK_EDDSA_ED25519, 0},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* The bit of a word, or 0. */
static unsigned key_bit(const char *word)
{
    for (size_t i = 0; i < KINDS; i++)
        if (strcmp(word, kinds[i].word) == 0)
            return 1U << i;
    return 0;
}

static unsigned name_bit(const char *word)
{
    char text[16];
    gnutls_x509_subject_alt_name_t type;
    snprintf(text, sizeof text, "%.10s:", word);
    return names_type(text, &type) ? 1U << type : 0;
}

void request_policy_init(struct request_policy *p)
{
    *p = (struct request_policy){.keys = (1U << KINDS) - 1, .days = PKI_LEAF_DAYS, .subject = true};
    p->names = name_bit("dns") | name_bit("ip") | name_bit("email") | name_bit("uri");
}

/* Words with blanks between, or none. */
static enum err take_words(const struct conf_at *at, const char *value,
                           unsigned (*bit)(const char *), unsigned *out)
{
    char copy[256], *save = NULL;
    *out = 0;
    if (strlen(value) >= sizeof copy)
        return conf_fail(at, "too long");
    strcpy(copy, value);
    for (char *w = strtok_r(copy, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
        unsigned b = bit(w);
        if (!b && strcmp(w, "none") != 0)
            return conf_fail(at, "unknown word \"%s\"", w);
        *out |= b;
    }
    return ERR_OK;
}

enum err request_policy_set(struct request_policy *p, const struct conf_at *at, const char *value)
{
    uint64_t days = p->days;
    enum err e;
    if (strcmp(at->key, "names") == 0)
        return take_words(at, value, name_bit, &p->names);
    if (strcmp(at->key, "keys") == 0)
        return take_words(at, value, key_bit, &p->keys);
    if (strcmp(at->key, "subject") == 0)
        return conf_bool(at, value, &p->subject);
    if (strcmp(at->key, "days") != 0)
        return conf_fail(at, "unknown key");
    e = conf_u64(at, value, 1, PKI_DAYS_MAX, &days);
    p->days = (unsigned)days;
    return e;
}

/* ---- reading ---- */

static void note_extensions(gnutls_x509_crq_t crq, char *out, size_t cap)
{
    size_t at = 0;
    out[0] = '\0';
    for (unsigned i = 0; at < cap; i++) {
        char oid[128];
        size_t n = sizeof oid;
        unsigned critical;
        if (gnutls_x509_crq_get_extension_info(crq, i, oid, &n, &critical) < 0)
            return;
        if (strcmp(oid, SAN_OID) == 0)
            continue;
        int w = snprintf(out + at, cap - at, "%s%s", at ? " " : "", oid);
        at += w > 0 ? (size_t)w : 0;
    }
}

static enum err import(const char *path, gnutls_x509_crq_t crq)
{
    gnutls_datum_t pem = {NULL, 0};
    enum err e = file_read(path, &pem);
    if (e)
        return e;
    int rc = gnutls_x509_crq_import(crq, &pem, GNUTLS_X509_FMT_PEM);
    free(pem.data);
    if (rc < 0)
        return log_fail(ERR_TYPE, "%s: not a PEM request: %s", path, gnutls_strerror(rc));
    return gnutls_x509_crq_verify(crq, 0) < 0
               ? log_fail(ERR_AUTH, "%s: its signature is not by its own key", path)
               : ERR_OK;
}

enum err request_read(const char *path, struct request *out)
{
    gnutls_x509_crq_t crq = NULL;
    *out = (struct request){.pub = NULL};
    if (gnutls_x509_crq_init(&crq) < 0 || gnutls_pubkey_init(&out->pub) < 0) {
        if (crq)
            gnutls_x509_crq_deinit(crq);
        return log_fail(ERR_INTERNAL, "out of memory");
    }
    enum err e = import(path, crq);
    out->signature = e ? 0 : gnutls_x509_crq_get_signature_algorithm(crq);
    int rc = e ? 0 : gnutls_pubkey_import_x509_crq(out->pub, crq, 0);
    if (rc < 0)
        e = log_fail(ERR_TYPE, "%s: its public key: %s", path, gnutls_strerror(rc));
    if (!e)
        e = names_from_request(crq, &out->names, &out->subject);
    if (!e)
        note_extensions(crq, out->left_out, sizeof out->left_out);
    gnutls_x509_crq_deinit(crq);
    return e;
}

void request_release(struct request *r)
{
    cert_dn_release(&r->subject);
    if (r->pub)
        gnutls_pubkey_deinit(r->pub);
    *r = (struct request){.pub = NULL};
}

/* ---- the policy ---- */

static enum err check_key(const struct request_policy *p, const struct request *r)
{
    unsigned bits = 0;
    int pk = gnutls_pubkey_get_pk_algorithm(r->pub, &bits);
    for (size_t i = 0; i < KINDS; i++) {
        bool same = pk == (int)kinds[i].pk &&
                    (pk == GNUTLS_PK_RSA ? bits >= kinds[i].bits
                                         : kinds[i].bits == 0 || bits == kinds[i].bits);
        if (same && p->keys & 1U << i)
            return ERR_OK;
    }
    return log_fail(ERR_NAME,
                    "the request's key (%s, %u bits) is not one this CA signs ([request] keys)",
                    pk < 0 ? "unknown" : gnutls_pk_get_name((gnutls_pk_algorithm_t)pk), bits);
}

enum err request_check(const struct request_policy *p, const struct request *r, bool own_subject,
                       bool own_names)
{
    if (!own_subject && !p->subject)
        return log_fail(ERR_NAME, "this CA takes no subject from a request ([request] subject): "
                                  "give one with --subject");
    for (size_t i = 0; !own_names && i < r->names.n; i++)
        if (!(p->names & 1U << r->names.list[i].type))
            return log_fail(ERR_NAME,
                            "the request has an alternative name of a kind that this CA does not "
                            "take from a request ([request] names): give others with --san");
    return check_key(p, r);
}
