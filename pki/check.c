/* SPDX-License-Identifier: ISC */
/* consign-pki check --fips: what of a deployment is not approved (fips.h). Reads what it is given, or finds,
 * and what that names; gives no PIN to any token. */
#include "ca.h"
#include "checkup.h"
#include "conf.h"
#include "file.h"
#include "log.h"
#include "tls_policy.h"
#include "token_probe.h"

#include <gnutls/abstract.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What one section of a configuration file says. */
struct section {
    char *certificate, *key, *ca, *crl, *module, *module_env, *fips, *groups;
};

struct audit {
    struct checkup c;
    const struct options *o;
    const char *file; /* the configuration that is read */
    char name[128];   /* of its section */
    struct section now;
    bool any;     /* a section was begun */
    bool running; /* PKCS#11 */
};

#define APPROVED(audit, check, ...) checkup_say(&(audit)->c, CHECKUP_OK, check, NULL, __VA_ARGS__)

/* ---- certificates, lists, requests, keys in files ---- */

static void subject_of(gnutls_x509_crt_t crt, char *out, size_t cap)
{
    gnutls_datum_t text = {NULL, 0};
    snprintf(out, cap, "(no subject)");
    if (gnutls_x509_crt_get_dn3(crt, &text, 0) >= 0)
        log_scrub(out, cap, text.data, text.size);
    gnutls_free(text.data);
}

static void audit_cert(struct audit *a, const char *path, gnutls_x509_crt_t crt)
{
    char why[FIPS_TEXT], subject[512];
    unsigned bits = 0;
    int pk = gnutls_x509_crt_get_pk_algorithm(crt, &bits);
    bool anchor = gnutls_x509_crt_check_issuer(crt, crt) != 0;
    subject_of(crt, subject, sizeof subject);
    if (cert_approved(crt, anchor, why))
        APPROVED(
            a, "certificate", "%s: %s: %s, %u bits%s%s", path, subject,
            gnutls_pk_get_name((gnutls_pk_algorithm_t)pk), bits, anchor ? "" : ", signed with ",
            anchor ? ""
                   : gnutls_sign_get_name(
                         (gnutls_sign_algorithm_t)gnutls_x509_crt_get_signature_algorithm(crt)));
    else
        checkup_say(&a->c, CHECKUP_FAIL, "certificate", "consign-pki issue --fips makes one",
                    "%s: %s: %s", path, subject, why);
}

static void audit_certs(struct audit *a, const char *path, const gnutls_datum_t *pem)
{
    gnutls_x509_crt_t *list = NULL;
    unsigned n = 0;
    int rc = gnutls_x509_crt_list_import2(&list, &n, pem, GNUTLS_X509_FMT_PEM, 0);
    if (rc < 0)
        checkup_say(&a->c, CHECKUP_FAIL, "certificate", NULL, "%s: %s", path, gnutls_strerror(rc));
    for (unsigned i = 0; rc >= 0 && i < n; i++) {
        audit_cert(a, path, list[i]);
        gnutls_x509_crt_deinit(list[i]);
    }
    if (rc >= 0)
        gnutls_free(list);
}

static void audit_crls(struct audit *a, const char *path, const gnutls_datum_t *pem)
{
    gnutls_x509_crl_t *list = NULL;
    unsigned n = 0;
    char why[FIPS_TEXT];
    int rc = gnutls_x509_crl_list_import2(&list, &n, pem, GNUTLS_X509_FMT_PEM, 0);
    if (rc < 0)
        checkup_say(&a->c, CHECKUP_FAIL, "crl", NULL, "%s: %s", path, gnutls_strerror(rc));
    for (unsigned i = 0; rc >= 0 && i < n; i++) {
        if (cert_crl_approved(list[i], why))
            APPROVED(a, "crl", "%s: signed with %s", path,
                     gnutls_sign_get_name((
                         gnutls_sign_algorithm_t)gnutls_x509_crl_get_signature_algorithm(list[i])));
        else
            checkup_say(&a->c, CHECKUP_FAIL, "crl", "have its CA write a new one", "%s: %s", path,
                        why);
        gnutls_x509_crl_deinit(list[i]);
    }
    if (rc >= 0)
        gnutls_free(list);
}

static void say_key(struct audit *a, const char *what, const char *path, int pk, unsigned bits)
{
    const char *kind = pk > 0 ? gnutls_pk_get_name((gnutls_pk_algorithm_t)pk) : "unknown";
    if (fips_key(kind, bits))
        APPROVED(a, what, "%s: %s, %u bits", path, kind, bits);
    else
        checkup_say(&a->c, CHECKUP_FAIL, what,
                    "make one of P-256, P-384, or RSA of 2048 bits or more",
                    "%s: a key of kind %s, %u bits, is not approved", path, kind, bits);
}

static void audit_request(struct audit *a, const char *path, const gnutls_datum_t *pem)
{
    gnutls_x509_crq_t crq = NULL;
    unsigned bits = 0;
    int rc = gnutls_x509_crq_init(&crq);
    if (rc >= 0)
        rc = gnutls_x509_crq_import(crq, pem, GNUTLS_X509_FMT_PEM);
    if (rc >= 0)
        rc = gnutls_x509_crq_get_pk_algorithm(crq, &bits);
    if (rc >= 0)
        say_key(a, "request", path, rc, bits);
    else
        checkup_say(&a->c, CHECKUP_FAIL, "request", NULL, "%s: %s", path, gnutls_strerror(rc));
    if (crq)
        gnutls_x509_crq_deinit(crq);
}

static void audit_key(struct audit *a, const char *path)
{
    gnutls_privkey_t key = NULL;
    unsigned bits = 0;
    if (token_load_key(path, true, &key) != ERR_OK) {
        checkup_failed(&a->c, "key", "only its owner may read it (chmod 600)");
        return;
    }
    say_key(a, "key", path, gnutls_privkey_get_pk_algorithm(key, &bits), bits);
    checkup_say(&a->c, CHECKUP_WARN, "key", "make one in a token (consign-pki issue --token)",
                "%s: in a file: GnuTLS made it or signs with it, in this host's memory", path);
    gnutls_privkey_deinit(key);
}

/* ---- tokens ---- */

static void audit_mechanisms(struct audit *a, const char *url)
{
    char good[300] = "", other[300] = "";
    size_t n;
    const struct token_mechanism *m = token_mechanisms(&n);
    for (size_t i = 0; i < n; i++) {
        char *to = fips_approved(FIPS_MECHANISM, m[i].name) ? good : other;
        size_t at = strlen(to);
        if (token_has(url, m[i].name, 0))
            snprintf(to + at, sizeof good - at, "%s%s", at ? " " : "", m[i].name);
    }
    APPROVED(a, "mechanisms", "approved: %s; not approved, and not used with fips = require: %s",
             good[0] ? good : "none", other[0] ? other : "none");
}

static bool start_token(struct audit *a, const char *module, const char *environment)
{
    if (a->running)
        token_stop();
    a->running = token_environment(environment) == ERR_OK && token_start(module, NULL) == ERR_OK;
    return a->running;
}

static void audit_token(struct audit *a, const char *url, const char *module,
                        const char *environment)
{
    struct token_facts f;
    const char *path = module ? module : a->o->module ? a->o->module : PKI_MODULE;
    if (!start_token(a, path, environment) || token_facts(url, &f) != ERR_OK) {
        checkup_failed(&a->c, "token", "name its module with --module");
        return;
    }
    if (strstr(f.manufacturer, "SoftHSM") || strstr(f.model, "SoftHSM"))
        checkup_say(&a->c, CHECKUP_WARN, "token", "use a token whose module is validated",
                    "\"%s\": SoftHSM is not validated", f.label);
    else
        checkup_say(&a->c, CHECKUP_WARN, "token",
                    "look for them, and for the firmware, in the list of validated modules (CMVP)",
                    "\"%s\": validation is not something software can tell; manufacturer and model "
                    "are %s, %s",
                    f.label, f.manufacturer, f.model);
    audit_mechanisms(a, url);
}

/* ---- files by their content ---- */

/* conf: it may be a configuration file, too. */
static void audit_file(struct audit *a, const char *path,
                       void (*conf)(struct audit *, const char *))
{
    gnutls_datum_t pem = {NULL, 0};
    if (file_read(path, &pem) != ERR_OK) {
        checkup_failed(&a->c, "file", NULL);
        return;
    }
    const char *text = (const char *)pem.data;
    if (strstr(text, "BEGIN X509 CRL"))
        audit_crls(a, path, &pem);
    if (strstr(text, "BEGIN CERTIFICATE-----"))
        audit_certs(a, path, &pem);
    if (strstr(text, "CERTIFICATE REQUEST-----"))
        audit_request(a, path, &pem);
    if (strstr(text, "PRIVATE KEY-----"))
        audit_key(a, path);
    if (!strstr(text, "-----BEGIN ") && conf)
        conf(a, path);
    else if (!strstr(text, "-----BEGIN "))
        checkup_say(&a->c, CHECKUP_FAIL, "file", "give a PEM file", "%s: nothing to look at", path);
    explicit_bzero(pem.data, pem.size);
    free(pem.data);
}

static void audit_reference(struct audit *a, const char *ref)
{
    if (!ref)
        return;
    if (token_is_url(ref))
        audit_token(a, ref, a->now.module, a->now.module_env);
    else
        audit_file(a, ref, NULL);
}

/* ---- configuration ---- */

static void release_section(struct section *s)
{
    char *all[] = {s->certificate, s->key,        s->ca,   s->crl,
                   s->module,      s->module_env, s->fips, s->groups};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    *s = (struct section){0};
}

static void audit_policy(struct audit *a)
{
    struct tls_policy p = {0};
    char why[TLS_WHY];
    if (a->now.fips && !fips_mode_parse(a->now.fips, &p.fips))
        checkup_say(&a->c, CHECKUP_FAIL, "policy", "fips = require", "%s: [%s] fips = %s", a->file,
                    a->name, a->now.fips);
    else if (p.fips != FIPS_REQUIRE)
        checkup_say(&a->c, CHECKUP_FAIL, "policy", "fips = require",
                    "%s: [%s] fips = %s: what is not approved is not refused", a->file, a->name,
                    fips_mode_name(p.fips));
    else
        APPROVED(a, "policy", "%s: [%s] fips = require", a->file, a->name);
    p.fips = FIPS_REQUIRE;
    if (a->now.groups &&
        (!tls_groups_parse(a->now.groups, &p.groups, why) || !tls_policy_check(&p, why)))
        checkup_say(&a->c, CHECKUP_FAIL, "groups", "groups = P-256 P-384", "%s: [%s] groups: %s",
                    a->file, a->name, why);
}

/* The section that was read is complete. */
static void end_section(struct audit *a)
{
    const struct section *s = &a->now;
    bool anchor = strncmp(a->name, "anchor ", 7) == 0;
    if (a->any && !anchor && (s->key || s->certificate || s->fips))
        audit_policy(a);
    if (a->any) {
        audit_reference(a, s->certificate);
        audit_reference(a, s->key);
        audit_reference(a, s->ca);
        audit_reference(a, s->crl);
    }
    release_section(&a->now);
}

static enum err take(void *arg, const struct conf_at *at, const char *value)
{
    struct audit *a = arg;
    const struct {
        const char *key;
        char **to;
        bool path;
    } keys[] = {{"certificate", &a->now.certificate, true},
                {"key", &a->now.key, true},
                {"ca", &a->now.ca, true},
                {"crl", &a->now.crl, true},
                {"module", &a->now.module, true},
                {"module-env", &a->now.module_env, false},
                {"fips", &a->now.fips, false},
                {"groups", &a->now.groups, false}};
    if (!at->key) {
        end_section(a);
        a->any = true;
        snprintf(a->name, sizeof a->name, "%s", at->section);
        return ERR_OK;
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(at->key, keys[i].key) == 0)
            return conf_string(at, value, keys[i].path && !token_is_url(value), keys[i].to);
    return ERR_OK;
}

static void audit_conf(struct audit *a, const char *path)
{
    const char *outer = a->file;
    a->file = path;
    a->any = false;
    if (conf_read(path, take, a) != ERR_OK)
        checkup_failed(&a->c, "config", NULL);
    end_section(a);
    a->any = false;
    a->file = outer;
}

static void audit_ca(struct audit *a, const char *dir)
{
    static const char *const names[] = {"consign-pki.conf", "ca.pem", "crl.pem"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path = file_join(dir, names[i]);
        if (path)
            audit_file(a, path, audit_conf);
        free(path);
    }
}

static void audit_any(struct audit *a, const char *what)
{
    struct stat st;
    if (token_is_url(what))
        audit_token(a, what, NULL, NULL);
    else if (stat(what, &st) == 0 && S_ISDIR(st.st_mode))
        audit_ca(a, what);
    else
        audit_file(a, what, audit_conf);
}

/* Where deployments keep what they are made of. */
static unsigned audit_found(struct audit *a)
{
    const char *home = getenv("HOME"), *dir = a->o->dir ? a->o->dir : CA_DIR;
    char own[4096], ca[4096];
    snprintf(own, sizeof own, "%s/.config/consign/consign.conf", home ? home : "");
    snprintf(ca, sizeof ca, "%s/consign-pki.conf", dir);
    const char *const files[] = {"/etc/consign/consignd.conf", "/etc/consign/consign.conf", own};
    unsigned n = 0;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (access(files[i], F_OK) == 0 && ++n)
            audit_file(a, files[i], audit_conf);
    if (access(ca, F_OK) == 0 && ++n)
        audit_ca(a, dir);
    return n;
}

enum err check_run(const struct options *o, const char *const *args, int n)
{
    struct audit a = {.c = {.json = o->json}, .o = o};
    if (!o->fips)
        return log_fail(ERR_USAGE, "check: say what for: --fips");
    log_quiet(true);
    checkup_fips(&a.c, FIPS_REQUIRE);
    for (int i = 0; i < n; i++)
        audit_any(&a, args[i]);
    unsigned found = n ? (unsigned)n : audit_found(&a);
    if (a.running)
        token_stop();
    log_quiet(false);
    if (!found)
        return log_fail(ERR_NOENT, "check: no configuration is where it is looked for: name one");
    return checkup_end(&a.c);
}
