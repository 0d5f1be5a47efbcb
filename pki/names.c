/* SPDX-License-Identifier: ISC */
#include "names.h"
#include "log.h"
#include "text.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const struct kind {
    const char *word;
    gnutls_x509_subject_alt_name_t type;
} kinds[] = {
    {"dns", GNUTLS_SAN_DNSNAME},
    {"ip", GNUTLS_SAN_IPADDRESS},
    {"email", GNUTLS_SAN_RFC822NAME},
    {"uri", GNUTLS_SAN_URI},
};

static const struct kind *kind_of(gnutls_x509_subject_alt_name_t type)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].type == type)
            return &kinds[i];
    return NULL;
}

static bool graphic(const unsigned char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] <= 0x20 || s[i] >= 0x7f)
            return false;
    return n > 0;
}

static bool letter_or_digit(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Labels of letters, digits and inner hyphens, 1 to 63 bytes each: RFC 1123. */
static bool host_ok(const unsigned char *s, size_t n)
{
    size_t label = 0;
    for (size_t i = 0; i < n; i++) {
        bool last = i + 1 == n || s[i + 1] == '.';
        if (s[i] == '.') {
            if (label == 0 || i + 1 == n)
                return false;
            label = 0;
        } else if (letter_or_digit(s[i]) || (s[i] == '-' && label > 0 && !last)) {
            if (++label > 63)
                return false;
        } else {
            return false;
        }
    }
    return n > 0 && n <= 253;
}

static bool mail_ok(const unsigned char *s, size_t n)
{
    const unsigned char *at = memchr(s, '@', n);
    return graphic(s, n) && at && at > s && host_ok(at + 1, n - (size_t)(at - s) - 1);
}

static bool uri_ok(const unsigned char *s, size_t n)
{
    const unsigned char *colon = memchr(s, ':', n);
    if (!graphic(s, n) || !colon || colon == s || colon + 1 == s + n)
        return false;
    for (const unsigned char *p = s; p < colon; p++)
        if (!letter_or_digit(*p) && (p == s || !strchr("+-.", *p)))
            return false;
    return true;
}

bool names_value_ok(gnutls_x509_subject_alt_name_t type, const void *value, size_t n)
{
    const unsigned char *s = value;
    if (n > NAMES_BYTES)
        return false;
    return type == GNUTLS_SAN_DNSNAME      ? host_ok(s, n)
           : type == GNUTLS_SAN_RFC822NAME ? mail_ok(s, n)
           : type == GNUTLS_SAN_URI        ? uri_ok(s, n)
                                           : n == 4 || n == 16;
}

enum err names_add(struct names *s, gnutls_x509_subject_alt_name_t type, const void *value,
                   size_t n)
{
    const struct kind *k = kind_of(type);
    if (!k)
        return log_fail(ERR_NAME, "alternative name of a kind other than dns, ip, email and uri");
    if (!names_value_ok(type, value, n)) {
        char shown[160];
        log_scrub(shown, sizeof shown, value, n);
        return log_fail(ERR_NAME, "alternative name %s:%s: not a name that may be signed", k->word,
                        shown);
    }
    if (s->n == NAMES_MAX)
        return log_fail(ERR_LIMIT, "more than %d alternative names", NAMES_MAX);
    struct name *to = &s->list[s->n++];
    *to = (struct name){.type = type, .n = n};
    memcpy(to->value, value, n);
    return ERR_OK;
}

static bool address(const char *text, unsigned char out[static 16], size_t *n)
{
    *n = inet_pton(AF_INET, text, out) == 1 ? 4 : inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
    return *n > 0;
}

enum err names_add_host(struct names *s, const char *text)
{
    unsigned char raw[16];
    size_t n;
    if (address(text, raw, &n))
        return names_add(s, GNUTLS_SAN_IPADDRESS, raw, n);
    return names_add(s, GNUTLS_SAN_DNSNAME, text, strlen(text));
}

const char *names_type(const char *text, gnutls_x509_subject_alt_name_t *type)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t n = strlen(kinds[i].word);
        if (strncmp(text, kinds[i].word, n) != 0 || text[n] != ':')
            continue;
        *type = kinds[i].type;
        return text + n + 1;
    }
    return NULL;
}

const char *names_word(gnutls_x509_subject_alt_name_t type)
{
    const struct kind *k = kind_of(type);
    return k ? k->word : "other";
}

enum err names_add_text(struct names *s, const char *text)
{
    gnutls_x509_subject_alt_name_t type;
    unsigned char raw[16];
    size_t n;
    const char *value = names_type(text, &type);
    if (!value)
        return log_fail(ERR_USAGE,
                        "alternative name \"%s\": must begin with dns:, ip:, email: or uri:", text);
    if (type != GNUTLS_SAN_IPADDRESS)
        return names_add(s, type, value, strlen(value));
    if (address(value, raw, &n))
        return names_add(s, GNUTLS_SAN_IPADDRESS, raw, n);
    return log_fail(ERR_NAME, "alternative name %s: not an address", text);
}

bool names_has_host(const struct names *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->list[i].type == GNUTLS_SAN_DNSNAME || s->list[i].type == GNUTLS_SAN_IPADDRESS)
            return true;
    return false;
}

void names_text(const struct names *s, char *out, size_t cap)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < s->n && at < cap; i++) {
        const struct name *x = &s->list[i];
        char ip[INET6_ADDRSTRLEN];
        const char *value = (const char *)x->value;
        if (x->type == GNUTLS_SAN_IPADDRESS)
            value = inet_ntop(x->n == 4 ? AF_INET : AF_INET6, x->value, ip, sizeof ip);
        int n = snprintf(out + at, cap - at, "%s%s:%s", i ? " " : "", kind_of(x->type)->word,
                         value ? value : "?");
        at += n > 0 ? (size_t)n : 0;
    }
}

static bool visible(const uint8_t *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t point;
        size_t step = text_char(s + i, n - i, &point);
        if (step == 0 || !text_visible(point))
            return false;
        i += step;
    }
    return n > 0;
}

enum err names_check_dn(const struct cert_dn *dn)
{
    for (size_t i = 0; i < dn->n; i++) {
        const struct cert_ava *a = dn->rdns[i].avas;
        if (dn->rdns[i].n != 1)
            return log_fail(ERR_NAME, "subject: several attributes in one RDN (+) can't be issued");
        if (!a->comparable || a->n > NAMES_BYTES || !visible(a->value, a->n))
            return log_fail(
                ERR_NAME, "subject: the value of attribute %s is empty, too long or not plain text",
                a->oid);
    }
    return ERR_OK;
}

static enum err fail_dn(const struct cert_ava *a, int rc)
{
    return log_fail(ERR_NAME, "subject: attribute %s: %s", a->oid, gnutls_strerror(rc));
}

/* As it must be where it is all the certificate says of its holder: RFC 5280, 4.2.1.6. */
static enum err make_san_critical(gnutls_x509_crt_t crt)
{
    static const char oid[] = "2.5.29.17";
    gnutls_datum_t raw = {NULL, 0};
    unsigned critical;
    int rc = gnutls_x509_crt_get_extension_by_oid2(crt, oid, 0, &raw, &critical);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_extension_by_oid(crt, oid, raw.data, raw.size, 1);
    gnutls_free(raw.data);
    return rc < 0 ? log_fail(ERR_INTERNAL, "alternative name: %s", gnutls_strerror(rc)) : ERR_OK;
}

enum err names_put(gnutls_x509_crt_t crt, const struct names *s, const struct cert_dn *dn)
{
    enum err e = names_check_dn(dn);
    for (size_t i = 0; !e && i < dn->n; i++) {
        const struct cert_ava *a = dn->rdns[i].avas;
        int rc = gnutls_x509_crt_set_dn_by_oid(crt, a->oid, 0, a->value, (unsigned)a->n);
        e = rc < 0 ? fail_dn(a, rc) : ERR_OK;
    }
    for (size_t i = 0; !e && i < s->n; i++) {
        int rc = gnutls_x509_crt_set_subject_alt_name(crt, s->list[i].type, s->list[i].value,
                                                      (unsigned)s->list[i].n, GNUTLS_FSAN_APPEND);
        e = rc < 0 ? log_fail(ERR_INTERNAL, "alternative name: %s", gnutls_strerror(rc)) : ERR_OK;
    }
    return e || dn->n || !s->n ? e : make_san_critical(crt);
}

enum err names_put_request(gnutls_x509_crq_t crq, const struct names *s, const struct cert_dn *dn)
{
    enum err e = names_check_dn(dn);
    for (size_t i = 0; !e && i < dn->n; i++) {
        const struct cert_ava *a = dn->rdns[i].avas;
        int rc = gnutls_x509_crq_set_dn_by_oid(crq, a->oid, 0, a->value, (unsigned)a->n);
        e = rc < 0 ? fail_dn(a, rc) : ERR_OK;
    }
    for (size_t i = 0; !e && i < s->n; i++) {
        int rc = gnutls_x509_crq_set_subject_alt_name(crq, s->list[i].type, s->list[i].value,
                                                      (unsigned)s->list[i].n, GNUTLS_FSAN_APPEND);
        e = rc < 0 ? log_fail(ERR_INTERNAL, "alternative name: %s", gnutls_strerror(rc)) : ERR_OK;
    }
    return e;
}

static enum err read_names(gnutls_x509_crq_t crq, struct names *s)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; !e; i++) {
        unsigned char value[1024];
        size_t n = sizeof value;
        unsigned type = 0;
        int rc = gnutls_x509_crq_get_subject_alt_name(crq, i, value, &n, &type, NULL);
        if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            break;
        if (rc < 0)
            e = log_fail(ERR_NAME, "the request's alternative names can't be read: %s",
                         gnutls_strerror(rc));
        else
            e = names_add(s, type, value, n);
    }
    return e;
}

/* Through the text form: what a string type of old says becomes what it means, or is refused. */
static enum err read_subject(gnutls_x509_crq_t crq, struct cert_dn *dn)
{
    gnutls_datum_t text = {NULL, 0};
    int rc = gnutls_x509_crq_get_dn3(crq, &text, 0);
    if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE || (rc >= 0 && text.size == 0)) {
        *dn = (struct cert_dn){NULL, 0};
        gnutls_free(text.data);
        return ERR_OK;
    }
    if (rc < 0)
        return log_fail(ERR_NAME, "the request's subject can't be read: %s", gnutls_strerror(rc));
    enum err e = memchr(text.data, '\0', text.size)
                     ? log_fail(ERR_NAME, "the request's subject holds a NUL")
                 : cert_dn_parse((const char *)text.data, dn) ? ERR_NAME
                                                              : ERR_OK;
    gnutls_free(text.data);
    return e;
}

enum err names_from_request(gnutls_x509_crq_t crq, struct names *s, struct cert_dn *dn)
{
    enum err e = read_names(crq, s);
    if (!e)
        e = read_subject(crq, dn);
    if (!e)
        e = names_check_dn(dn);
    return e;
}

enum err names_from_cert(gnutls_x509_crt_t crt, struct names *s)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; !e; i++) {
        unsigned char value[1024];
        size_t n = sizeof value;
        unsigned type = 0;
        int rc = gnutls_x509_crt_get_subject_alt_name2(crt, i, value, &n, &type, NULL);
        if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            break;
        e = rc < 0 ? log_fail(ERR_NAME, "the certificate's alternative names can't be read: %s",
                              gnutls_strerror(rc))
                   : names_add(s, type, value, n);
    }
    return e;
}
