/* SPDX-License-Identifier: ISC */
/* consign-pki issue, csr, sign: keys for servers and clients, requests, certificates. */
#include "file.h"
#include "key.h"
#include "leaf.h"
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is asked for on the command line. */
struct order {
    const struct options *o;
    bool server;
    struct names names;
    struct cert_dn subject;
    char label[64]; /* of the key; also what files are named after */
    char *out;      /* the result's file */
    char *key_file; /* for --file-key */
    struct key key;
};

static void release(struct order *w)
{
    cert_dn_release(&w->subject);
    key_release(&w->key);
    free(w->out);
    free(w->key_file);
}

static enum err add_sans(struct order *w)
{
    enum err e = ERR_OK;
    for (char **s = w->o->san; !e && s && *s; s++)
        e = names_add_text(&w->names, *s);
    return e;
}

static enum err server_order(struct order *w, const char *const *hosts, int n)
{
    char text[80];
    enum err e = ERR_OK;
    w->server = true;
    for (int i = 0; !e && i < n; i++)
        e = names_add_host(&w->names, hosts[i]);
    if (e)
        return e;
    snprintf(text, sizeof text, "CN=%.64s", hosts[0]);
    if (!w->o->subject && strlen(hosts[0]) > 64) /* a common name is no longer: the names must do */
        return ERR_OK;
    return cert_dn_parse(w->o->subject ? w->o->subject : text, &w->subject);
}

static enum err client_order(struct order *w, const char *const *args, int n)
{
    if (n != 1)
        return log_fail(ERR_USAGE, "a client has one subject (quote it: \"CN=alice,O=Acme Corp\")");
    if (w->o->subject)
        return log_fail(ERR_USAGE, "--subject is for servers: a client's subject is the argument");
    return cert_dn_parse(args[0], &w->subject);
}

/* The last attribute written first in RFC 4514 is the most particular one. */
static void choose_label(struct order *w, const char *host)
{
    char value[NAMES_BYTES + 1] = "key";
    if (host) {
        snprintf(value, sizeof value, "%s", host);
    } else if (w->subject.n) {
        const struct cert_ava *a = w->subject.rdns[w->subject.n - 1].avas;
        size_t n = a->n > NAMES_BYTES ? NAMES_BYTES : a->n;
        memcpy(value, a->value, n);
        value[n] = '\0';
    }
    leaf_plain_name(w->o->label ? w->o->label : value, w->label);
}

static enum err choose_files(struct order *w, const char *suffix)
{
    char name[96];
    snprintf(name, sizeof name, "%s.%s", w->label, suffix);
    w->out = file_absolute(w->o->out ? w->o->out : name);
    snprintf(name, sizeof name, "%s.key", w->label);
    w->key_file = file_absolute(name);
    if (!w->out || !w->key_file)
        return ERR_NOENT;
    return file_free(w->out);
}

static enum err check_options(const struct options *o)
{
    if (o->key && (o->file_key || o->token || o->key_type || o->label))
        return log_fail(ERR_USAGE, "--key names a key that is there: none is made");
    if (o->file_key && o->token)
        return log_fail(ERR_USAGE, "--file-key and --token exclude each other");
    return key_check_type(o->key_type);
}

/* Makes or loads the key. default_token: where there is no --token; NULL: there must be one. */
static enum err get_key(struct order *w, const char *module, struct token_pin *pin,
                        const char *default_token)
{
    struct key_wish wish = {.type = w->o->key_type, .label = w->o->label ? w->o->label : w->label};
    bool in_token = w->o->key ? token_is_url(w->o->key) : !w->o->file_key;
    enum err e = in_token ? token_start(module, pin) : ERR_OK;
    if (e)
        return e;
    if (w->o->key)
        return key_load(w->o->key, &w->key);
    if (w->o->file_key)
        wish.file = w->key_file;
    else
        wish.token = w->o->token ? w->o->token : default_token;
    if (in_token && !wish.token)
        return log_fail(ERR_USAGE, "name the key's token with --token, or use --file-key");
    return key_make(&wish, &w->key);
}

/* The token part of a key's URL: up to the first attribute that names an object. */
static char *token_of(const char *key_url)
{
    static const char *const ends[] = {";id=", ";object=", ";type="};
    size_t n = strlen(key_url);
    if (!token_is_url(key_url))
        return NULL;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        const char *at = strstr(key_url, ends[i]);
        if (at && (size_t)(at - key_url) < n)
            n = (size_t)(at - key_url);
    }
    return strndup(key_url, n);
}

static const char *module_for(const struct order *w, const struct ca *ca)
{
    return w->o->module ? w->o->module : ca->module ? ca->module : PKI_MODULE;
}

/* The new key's token may want another PIN than the CA's: so first the key, alone, then the CA. */
static enum err make_key(struct order *w, struct ca *ca)
{
    struct token_pin *own = NULL;
    char *token = token_of(ca->key_ref);
    bool needs_pin = w->o->key ? token_is_url(w->o->key) : !w->o->file_key;
    enum err e = ERR_OK;
    if (needs_pin && w->o->key_pin)
        e = token_pin_new(w->o->key_pin, &own);
    else if (needs_pin)
        e = ca_pin(ca, w->o->pin);
    if (own)
        token_pin_label(own, "PIN of the key's token");
    if (!e)
        e = get_key(w, module_for(w, ca), own ? own : ca->pin, token);
    key_drop_private(&w->key);
    token_stop();
    token_pin_free(own);
    free(token);
    return e;
}

static enum err give_out(struct order *w, const struct leaf_made *made)
{
    enum err e = file_write(w->out, &made->pem, 0644, false);
    if (e)
        log_warn("certificate %s was issued and stands in the CA's folder certs", made->serial);
    return e;
}

static enum err issue(struct order *w, struct ca *ca)
{
    struct leaf leaf = {w->server, &w->subject, &w->names, NULL, w->o->days};
    struct leaf_made made = {0};
    enum err e = leaf_check(&leaf);
    if (!e)
        e = make_key(w, ca);
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
    bool in_token = token_is_url(w->key.ref);
    const char *pin = w->o->key_pin ? w->o->key_pin : w->o->pin ? w->o->pin : ca->pin_source;
    struct leaf_report report = {w->out, w->key.ref, in_token ? module_for(w, ca) : NULL,
                                 in_token ? pin : NULL};
    e = give_out(w, &made);
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
    enum err e = check_options(o);
    if (!e && !server && strcmp(args[0], "client") != 0)
        e = log_fail(ERR_USAGE, "issue: the first argument must be server or client");
    if (!e)
        e = server ? server_order(&w, args + 1, n - 1) : client_order(&w, args + 1, n - 1);
    if (!e)
        e = add_sans(&w);
    if (!e) {
        choose_label(&w, server ? args[1] : NULL);
        e = choose_files(&w, "pem");
    }
    if (!e)
        e = ca_open(&ca, o->dir, true);
    if (!e)
        e = issue(&w, &ca);
    release(&w);
    ca_close(&ca);
    return e;
}

static enum err write_request(struct order *w)
{
    gnutls_x509_crq_t crq = NULL;
    gnutls_datum_t pem = {NULL, 0};
    enum err e = ERR_OK;
    int rc = gnutls_x509_crq_init(&crq);
    if (rc >= 0)
        rc = gnutls_x509_crq_set_version(crq, 1);
    if (rc >= 0)
        rc = gnutls_x509_crq_set_pubkey(crq, w->key.pub);
    if (rc >= 0)
        e = names_put_request(crq, &w->names, &w->subject);
    if (rc >= 0 && !e)
        rc = gnutls_x509_crq_privkey_sign(crq, w->key.priv, GNUTLS_DIG_SHA256, 0);
    if (rc >= 0 && !e)
        rc = gnutls_x509_crq_export2(crq, GNUTLS_X509_FMT_PEM, &pem);
    if (rc < 0)
        e = token_fail(rc, "request for a certificate");
    if (!e)
        e = file_write(w->out, &pem, 0644, false);
    gnutls_free(pem.data);
    if (crq)
        gnutls_x509_crq_deinit(crq);
    return e;
}

enum err csr_run(const struct options *o, const char *const *args, int n)
{
    struct order w = {.o = o};
    struct token_pin *pin = NULL;
    bool in_token = o->key ? token_is_url(o->key) : !o->file_key;
    enum err e = check_options(o);
    if (!e)
        e = client_order(&w, args, n);
    if (!e)
        e = names_check_dn(&w.subject);
    if (!e)
        e = add_sans(&w);
    if (!e) {
        choose_label(&w, NULL);
        e = choose_files(&w, "csr");
    }
    if (!e && in_token)
        e = token_pin_new(o->pin ? o->pin : "prompt", &pin);
    if (!e)
        e = get_key(&w, o->module ? o->module : PKI_MODULE, pin, NULL);
    if (!e)
        e = write_request(&w);
    if (!e)
        printf("request      %s\nkey          %s\n", w.out, w.key.ref);
    release(&w);
    token_stop();
    token_pin_free(pin);
    return e;
}

/* A request proves that its sender has the key; nothing else in it is believed but the names. */
static enum err read_request(struct order *w, const char *path)
{
    gnutls_datum_t pem = {NULL, 0};
    gnutls_x509_crq_t crq = NULL;
    enum err e = file_read(path, &pem);
    if (e)
        return e;
    int rc = gnutls_x509_crq_init(&crq);
    if (rc >= 0)
        rc = gnutls_x509_crq_import(crq, &pem, GNUTLS_X509_FMT_PEM);
    free(pem.data);
    if (rc < 0)
        e = log_fail(ERR_TYPE, "%s: not a PEM request: %s", path, gnutls_strerror(rc));
    else if ((rc = gnutls_x509_crq_verify(crq, 0)) < 0)
        e = log_fail(ERR_AUTH, "%s: its signature is not by its own key", path);
    if (!e)
        rc = gnutls_pubkey_init(&w->key.pub);
    if (!e && rc >= 0)
        rc = gnutls_pubkey_import_x509_crq(w->key.pub, crq, 0);
    if (!e && rc < 0)
        e = log_fail(ERR_TYPE, "%s: its public key: %s", path, gnutls_strerror(rc));
    if (!e)
        e = names_from_request(crq, &w->names, &w->subject);
    if (crq)
        gnutls_x509_crq_deinit(crq);
    return e;
}

static enum err sign(struct order *w, struct ca *ca)
{
    struct leaf leaf = {w->server, &w->subject, &w->names, w->key.pub, w->o->days};
    struct leaf_made made = {0};
    struct leaf_report report = {w->out, NULL, NULL, NULL};
    enum err e = ca_unlock(ca, w->o->pin);
    if (!e)
        e = leaf_issue(ca, &leaf, &made);
    if (e)
        return e;
    e = give_out(w, &made);
    if (!e)
        leaf_print(ca, &leaf, &made, &report);
    leaf_release(&made);
    return e;
}

enum err sign_run(const struct options *o, const char *const *args, int n)
{
    struct order w = {.o = o, .server = o->server};
    struct ca ca = {.ledger.fd = -1};
    (void)n;
    enum err e = o->server != o->client
                     ? read_request(&w, args[0])
                     : log_fail(ERR_USAGE, "sign: say either --server or --client");
    if (!e) {
        struct leaf leaf = {w.server, &w.subject, &w.names, w.key.pub, o->days};
        e = leaf_check(&leaf);
    }
    if (!e) {
        choose_label(&w, NULL);
        e = choose_files(&w, "pem");
    }
    if (!e)
        e = ca_open(&ca, o->dir, true);
    if (!e)
        e = sign(&w, &ca);
    release(&w);
    ca_close(&ca);
    return e;
}
