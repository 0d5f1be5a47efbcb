/* SPDX-License-Identifier: ISC */
/* consign-pki init: a CA from nothing. The configuration is written last but one, the first CRL
 * last: what has no configuration is no CA yet. */
#include "init.h"
#include "file.h"
#include "leaf.h"
#include "log.h"
#include "slot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN     "consign"
#define KEY_LABEL "consign-ca"

static enum err choose_name(struct maker *m)
{
    const char *slash = strrchr(m->ca.dir, '/');
    leaf_plain_name(m->o->name ? m->o->name : slash ? slash + 1 : m->ca.dir, m->name);
    if (!m->name[0] || (m->o->name && strcmp(m->o->name, m->name) != 0))
        return log_fail(ERR_USAGE, "name \"%s\": must be letters, digits, and . _ - @ inside",
                        m->o->name ? m->o->name : m->name);
    return ERR_OK;
}

static enum err choose_subject(struct maker *m)
{
    char text[128];
    snprintf(text, sizeof text, "CN=%s CA", m->name);
    enum err e = cert_dn_parse(m->o->subject ? m->o->subject : text, &m->subject);
    return e ? e : names_check_dn(&m->subject);
}

static enum err make_folder(struct maker *m, const char *dir)
{
    if (mkdir(dir, 0700) && errno != EEXIST)
        return log_fail_errno("%s", dir);
    m->ca.dir = realpath(dir, NULL);
    if (!m->ca.dir)
        return log_fail_errno("%s", dir);
    if (chmod(m->ca.dir, 0700))
        return log_fail_errno("%s", dir);
    char *conf = ca_path(&m->ca, "consign-pki.conf");
    enum err e = !conf               ? ERR_INTERNAL
                 : file_exists(conf) ? log_fail(ERR_EXISTS, "%s: there is a CA already", dir)
                                     : ERR_OK;
    free(conf);
    return e;
}

/* A blank token of a software module is free to take; of a device its owner must say so. */
static enum err make_token(struct maker *m, const struct slot_survey *s)
{
    struct token_pin *so_pin = NULL;
    if (!s->software || !s->has_blank)
        return log_fail(
            ERR_TOKEN,
            "no token labelled \"%s\" in module \"%s\"; consign-pki token init makes one", m->token,
            m->module);
    if (!m->o->so_pin)
        return log_fail(ERR_USAGE,
                        "no token labelled \"%s\" yet: to make it name the security officer's PIN "
                        "with --so-pin",
                        m->token);
    enum err e = token_pin_new(m->o->so_pin, &so_pin);
    if (!e) {
        token_pin_label(so_pin, "Security officer's PIN of the new token");
        e = slot_init(m->module, m->token, so_pin, m->ca.pin);
    }
    token_pin_free(so_pin);
    return e;
}

static enum err open_token(struct maker *m)
{
    struct slot_survey s = {0};
    enum err e = ca_pin(&m->ca, m->o->pin);
    if (!e && !token_is_url(m->token)) {
        e = slot_survey(m->module, m->token, &s);
        if (!e && s.labelled > 1)
            e = log_fail(
                ERR_TOKEN,
                "%u tokens are labelled \"%s\": name one by its URL (consign-pki token list)",
                s.labelled, m->token);
        if (!e && s.labelled == 0)
            e = make_token(m, &s);
    }
    if (!e)
        e = token_start(m->module, m->ca.pin);
    m->ca.running = !e;
    return e;
}

static enum err make_key(struct maker *m)
{
    struct key_wish wish = {.type = m->type,
                            .module = m->module,
                            .label = m->label,
                            .allow_extractable = m->o->allow_extractable};
    char *file = ca_path(&m->ca, "ca.key");
    enum err e = file ? ERR_OK : ERR_INTERNAL;
    if (m->o->file_key)
        wish.file = file;
    else
        wish.token = m->token;
    if (!e && !m->o->file_key)
        e = open_token(m);
    wish.pin = m->ca.pin;
    if (!e)
        e = key_make(&wish, &m->key);
    free(file);
    return e;
}

/* The source as it can be used from any folder; a descriptor can't be used again. The caller frees.
 */
static char *lasting_pin_source(const char *source)
{
    if (!source || strcmp(source, "prompt") == 0 || strncmp(source, "fd:", 3) == 0)
        return strdup("prompt");
    if (strncmp(source, "credential:", 11) == 0)
        return strdup(source);
    return file_absolute(strncmp(source, "file:", 5) == 0 ? source + 5 : source);
}

static enum err write_conf(struct maker *m)
{
    char *text = NULL, *path = ca_path(&m->ca, "consign-pki.conf");
    char *pin = lasting_pin_source(m->o->pin);
    const char *fips = m->o->fips ? "fips   = require\n" : "";
    int n = -1;
    enum err e = ERR_INTERNAL;
    if (!path || !pin)
        goto out;
    const char *parent = m->parent_dir ? m->parent_dir : "";
    const char *word = m->parent_dir ? "\nparent = " : "";
    if (m->o->file_key)
        n = asprintf(&text, "[ca]\nname   = %s\n%skey    = ca.key%s%s\n", m->name, fips, word,
                     parent);
    else
        n = asprintf(&text, "[ca]\nname   = %s\n%smodule = %s\nkey    = %s\npin    = %s%s%s%s\n%s",
                     m->name, fips, m->module, m->key.ref, *pin == '/' ? "file:" : "", pin, word,
                     parent, m->o->allow_extractable ? "allow-extractable = yes\n" : "");
    if (n < 0) {
        text = NULL;
        e = log_fail(ERR_INTERNAL, "out of memory");
        goto out;
    }
    gnutls_datum_t content = {(unsigned char *)text, (unsigned)n};
    e = file_write(path, &content, 0600, false);
out:
    free(text);
    free(path);
    free(pin);
    return e;
}

static enum err write_files(struct maker *m)
{
    char *certs = ca_path(&m->ca, "certs"), *ledger = ca_path(&m->ca, "ledger");
    enum err e = certs && ledger ? ERR_OK : ERR_INTERNAL;
    if (!e && mkdir(certs, 0700) && errno != EEXIST)
        e = log_fail_errno("%s", certs);
    if (!e)
        e = m->o->parent ? init_cert_below(m) : init_cert_root(m);
    if (!e)
        e = ledger_create(ledger);
    if (!e)
        e = write_conf(m);
    free(certs);
    free(ledger);
    return e;
}

/* With the CA as every later command finds it; the PIN that was read is handed on. */
static enum err first_crl(struct maker *m)
{
    struct ca ca;
    enum err e = ca_open(&ca, m->ca.dir, true);
    key_drop_private(&m->key);
    ca.pin = m->ca.pin;
    m->ca.pin = NULL;
    if (!e)
        e = ca_unlock(&ca, NULL);
    if (!e)
        e = crl_write(&ca, 0);
    ca_close(&ca);
    return e;
}

static enum err check_options(const struct options *o, const struct key_type **type)
{
    if (o->parent_pin && !o->parent)
        return log_fail(ERR_USAGE, "--parent-pin is of no use without --parent");
    if (o->file_key &&
        (o->token || o->module || o->pin || o->so_pin || o->label || o->allow_extractable))
        return log_fail(ERR_USAGE, "--file-key excludes the options of a token");
    enum err e = key_type_find(o->type, true, type);
    return e != ERR_OK || !o->fips ? e : key_type_approved(*type);
}

enum err init_run(const struct options *o, const char *const *args, int n)
{
    struct maker m = {.o = o,
                      .module = o->module ? o->module : PKI_MODULE,
                      .token = o->token ? o->token : TOKEN,
                      .label = o->label ? o->label : KEY_LABEL,
                      .ca.ledger.fd = -1};
    (void)args;
    (void)n;
    enum err e = check_options(o, &m.type);
    if (!e)
        e = when_of(o, PKI_CA_DAYS, &m.when);
    if (!e)
        e = bounds_parse(o->permit, o->exclude, &m.bounds);
    if (!e)
        e = make_folder(&m, o->dir ? o->dir : CA_DIR);
    if (!e)
        e = choose_name(&m);
    if (!e)
        e = choose_subject(&m);
    if (!e && o->parent)
        e = init_check_parent(&m);
    if (!e)
        e = make_key(&m);
    if (!e)
        e = write_files(&m);
    if (!e)
        e = first_crl(&m);
    if (!e)
        printf(
            "CA           %s\nkey          %s\ncertificate  %s/ca.pem\ncrl          %s/crl.pem\n",
            m.ca.dir, m.key.ref, m.ca.dir, m.ca.dir);
    if (m.bounds)
        gnutls_x509_name_constraints_deinit(m.bounds);
    free(m.parent_dir);
    cert_dn_release(&m.subject);
    key_release(&m.key);
    ca_close(&m.ca);
    return e;
}
