/* SPDX-License-Identifier: ISC */
#include "cert.h"

#include "log.h"
#include "text.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { UTF8_STRING = 0x0c, PRINTABLE_STRING = 0x13, IA5_STRING = 0x16 };
enum { RDNS_MAX = 64, VALUE_MAX = 4096 };

static const char no_memory[] = "out of memory for a name";

/* ---- release and comparison ---- */

static void release_rdn(struct cert_rdn *rdn)
{
    for (size_t i = 0; i < rdn->n; i++)
        free(rdn->avas[i].value);
    free(rdn->avas);
    *rdn = (struct cert_rdn){NULL, 0};
}

void cert_dn_release(struct cert_dn *dn)
{
    if (!dn)
        return;
    for (size_t i = 0; i < dn->n; i++)
        release_rdn(&dn->rdns[i]);
    free(dn->rdns);
    *dn = (struct cert_dn){NULL, 0};
}

static bool ava_eq(const struct cert_ava *a, const struct cert_ava *b)
{
    if (a->any || b->any)
        return a->any && b->any && strcmp(a->oid, b->oid) == 0;
    return a->comparable && b->comparable && a->n == b->n && a->n > 0 &&
           memcmp(a->value, b->value, a->n) == 0 && strcmp(a->oid, b->oid) == 0;
}

static size_t count_in(const struct cert_rdn *rdn, const struct cert_ava *ava)
{
    size_t n = 0;
    for (size_t i = 0; i < rdn->n; i++)
        n += ava_eq(&rdn->avas[i], ava);
    return n;
}

/* Of the same size and each element as often here as there. */
static bool rdn_eq(const struct cert_rdn *a, const struct cert_rdn *b)
{
    if (a->n != b->n || a->n == 0)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        size_t there = count_in(b, &a->avas[i]);
        if (there == 0 || there != count_in(a, &a->avas[i]))
            return false;
    }
    return true;
}

bool cert_dn_eq(const struct cert_dn *a, const struct cert_dn *b)
{
    if (a->n != b->n || a->n == 0)
        return false;
    for (size_t i = a->n; i-- > 0;) /* names of one organisation differ at the end */
        if (!rdn_eq(&a->rdns[i], &b->rdns[i]))
            return false;
    return true;
}

static bool visible(const struct cert_ava *a)
{
    uint32_t point;
    for (size_t i = 0, len; i < a->n; i += len)
        if ((len = text_char(a->value + i, a->n - i, &point)) == 0 || !text_visible(point))
            return false;
    return a->comparable && a->n > 0;
}

/* There is an attribute of the type with a value that can be shown. */
static bool has_any(const struct cert_rdn *rdn, const struct cert_ava *any)
{
    for (size_t i = 0; i < rdn->n; i++)
        if (strcmp(rdn->avas[i].oid, any->oid) == 0 && visible(&rdn->avas[i]))
            return true;
    return false;
}

/* Of the same size and each element of the pattern here. No two of them are for the same one, as the pattern's differ by
 * value, or by type where one is a star: so there is nothing else here. */
static bool rdn_match(const struct cert_rdn *pattern, const struct cert_rdn *rdn)
{
    if (pattern->n != rdn->n || rdn->n == 0)
        return false;
    for (size_t i = 0; i < pattern->n; i++) {
        const struct cert_ava *p = &pattern->avas[i];
        if (p->any ? !has_any(rdn, p) : count_in(rdn, p) != 1)
            return false;
    }
    return true;
}

bool cert_dn_match(const struct cert_dn *pattern, const struct cert_dn *dn)
{
    if (pattern->n != dn->n || dn->n == 0)
        return false;
    for (size_t i = dn->n; i-- > 0;)
        if (!rdn_match(&pattern->rdns[i], &dn->rdns[i]))
            return false;
    return true;
}

/* ---- from text: what each step returns is NULL or what is wrong ---- */

struct reading {
    const char *p;
    bool pattern; /* a star is one that stands for any value */
    uint8_t value[VALUE_MAX];
    size_t n;
};

static const struct {
    const char *name, *oid;
} types[] = {
    {"CN", "2.5.4.3"},
    {"O", "2.5.4.10"},
    {"OU", "2.5.4.11"},
    {"C", "2.5.4.6"},
    {"ST", "2.5.4.8"},
    {"L", "2.5.4.7"},
    {"STREET", "2.5.4.9"},
    {"DC", "0.9.2342.19200300.100.1.25"},
    {"UID", "0.9.2342.19200300.100.1.1"},
    {"emailAddress", "1.2.840.113549.1.9.1"},
    {"EMAIL", "1.2.840.113549.1.9.1"}, /* as GnuTLS writes it */
    {"serialNumber", "2.5.4.5"},
};

/* Digits in groups without leading zeros, joined by dots. */
static bool is_oid(const char *s, size_t n)
{
    size_t dots = 0, run = 0;
    for (size_t i = 0; i <= n; i++) {
        if (i == n || s[i] == '.') {
            if (run == 0 || (run > 1 && s[i - run] == '0'))
                return false;
            dots += i < n;
            run = 0;
        } else if (s[i] >= '0' && s[i] <= '9') {
            run++;
        } else {
            return false;
        }
    }
    return dots > 0;
}

/* The OID of a type that has a name; NULL when it has none. */
static const char *oid_of(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strlen(types[i].name) == n && strncasecmp(types[i].name, name, n) == 0)
            return types[i].oid;
    return NULL;
}

size_t cert_dn_find(const struct cert_dn *dn, const char *type, const struct cert_ava **ava)
{
    const char *oid = oid_of(type, strlen(type));
    size_t n = 0;
    for (size_t i = 0; oid && i < dn->n; i++)
        for (size_t k = 0; k < dn->rdns[i].n; k++)
            if (strcmp(dn->rdns[i].avas[k].oid, oid) == 0) {
                *ava = &dn->rdns[i].avas[k];
                n++;
            }
    return n;
}

static const char *read_type(struct reading *r, struct cert_ava *ava)
{
    const char *s = r->p;
    size_t n = strcspn(s, "=,+;\\\"<>");
    if (s[n] != '=' || n == 0)
        return "an attribute is written TYPE=value";
    r->p += n + 1;
    const char *oid = oid_of(s, n);
    if (oid) {
        memcpy(ava->oid, oid, strlen(oid) + 1);
        return NULL;
    }
    if (!is_oid(s, n) || n >= sizeof ava->oid)
        return "unknown attribute type (CN O OU C ST L STREET DC UID emailAddress serialNumber, or "
               "a dotted OID)";
    memcpy(ava->oid, s, n);
    return NULL;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Two hex digits at s as a byte, or -1. */
static int hex_byte(const char *s)
{
    int high = hex_digit(s[0]);
    int low = high < 0 ? -1 : hex_digit(s[1]);
    return low < 0 ? -1 : high << 4 | low;
}

static bool add(struct reading *r, int c)
{
    if (r->n == VALUE_MAX)
        return false;
    r->value[r->n++] = (uint8_t)c;
    return true;
}

/* The bytes behind '#': a DER string, of which the content counts. */
static const char *read_der(struct reading *r)
{
    int c;
    size_t head, length;
    for (r->p++; (c = hex_byte(r->p)) >= 0; r->p += 2)
        if (!add(r, c))
            return "a value is too long";
    if (*r->p && !strchr(",+", *r->p))
        return "#hex holds something that is no pair of hex digits";
    if (r->n < 2 || (r->value[0] != UTF8_STRING && r->value[0] != PRINTABLE_STRING &&
                     r->value[0] != IA5_STRING))
        return "#hex must be the DER of a UTF8String, PrintableString or IA5String: others match "
               "nothing";
    head = r->value[1] < 0x80 ? 2 : r->value[1] == 0x81 ? 3 : 4;
    if (r->n < head || r->value[1] > 0x82)
        return "#hex is not DER";
    length = head == 2   ? r->value[1]
             : head == 3 ? r->value[2]
                         : (size_t)r->value[2] << 8 | r->value[3];
    if (length != r->n - head || (head == 3 && length < 0x80) || (head == 4 && length < 0x100))
        return "#hex is not DER";
    r->n = length;
    memmove(r->value, r->value + head, length);
    return NULL;
}

/* Behind a backslash: one of the characters that need it, or two hex digits. */
static int read_escape(struct reading *r)
{
    int c = hex_byte(r->p);
    if (c >= 0) {
        r->p += 2;
        return c;
    }
    return *r->p && strchr(" #=\"+,;<>\\", *r->p) ? *r->p++ : -1;
}

static const char *read_string(struct reading *r)
{
    if (*r->p == ' ')
        return "a value begins with a blank: escape it with a backslash, or leave it out";
    while (*r->p && !strchr(",+", *r->p)) {
        int c = (unsigned char)*r->p++;
        bool last_blank = c == ' ' && (*r->p == '\0' || strchr(",+", *r->p));
        if (last_blank)
            return "a value ends with a blank: escape it with a backslash, or leave it out";
        if (c < 0x20 || c == 0x7f)
            return "a control character: write it as \\ and two hex digits";
        if (c == '*' && r->pattern)
            return "a star stands for a whole value; as a part of one it is written \\2a";
        if (strchr(";<>\"", c))
            return "; < > and \" need a backslash before them";
        if (c == '\\' && (c = read_escape(r)) < 0)
            return "a backslash must be followed by a special character or two hex digits";
        if (!add(r, c))
            return "a value is too long";
    }
    return NULL;
}

static bool is_utf8(const uint8_t *s, size_t n)
{
    uint32_t point;
    for (size_t i = 0, len; i < n; i += len)
        if ((len = text_char(s + i, n - i, &point)) == 0)
            return false;
    return true;
}

static const char *read_value(struct reading *r, struct cert_ava *ava)
{
    r->n = 0;
    if (r->pattern && *r->p == '*' && strchr(",+", r->p[1])) { /* or the end */
        r->p++;
        ava->any = true;
        return NULL;
    }
    const char *why = *r->p == '#' ? read_der(r) : read_string(r);
    if (why)
        return why;
    if (r->n == 0)
        return "an attribute has no value";
    if (!is_utf8(r->value, r->n))
        return "a value is not UTF-8";
    if (!(ava->value = malloc(r->n)))
        return no_memory;
    memcpy(ava->value, r->value, r->n);
    ava->n = r->n;
    ava->comparable = true;
    return NULL;
}

/* One RDN: attributes joined by '+'. */
static const char *read_rdn(struct reading *r, struct cert_rdn *rdn)
{
    const char *why;
    do {
        struct cert_ava *grown = realloc(rdn->avas, (rdn->n + 1) * sizeof *grown);
        if (!grown)
            return no_memory;
        rdn->avas = grown;
        struct cert_ava *ava = &grown[rdn->n++];
        *ava = (struct cert_ava){.comparable = false};
        if ((why = read_type(r, ava)) || (why = read_value(r, ava)))
            return why;
        for (size_t i = 0; i + 1 < rdn->n; i++) {
            if (ava_eq(&rdn->avas[i], ava))
                return "the same attribute twice in one RDN";
            if ((rdn->avas[i].any || ava->any) && strcmp(rdn->avas[i].oid, ava->oid) == 0)
                return "a star beside another value of its type in one RDN";
        }
    } while (*r->p == '+' && r->p++);
    return NULL;
}

static const char *read_rdns(struct reading *r, struct cert_dn *dn)
{
    const char *why;
    if (!*r->p)
        return "the name is empty";
    if (!(dn->rdns = calloc(RDNS_MAX, sizeof *dn->rdns)))
        return no_memory;
    for (;;) {
        if (dn->n == RDNS_MAX)
            return "too many parts";
        if ((why = read_rdn(r, &dn->rdns[dn->n++])))
            return why;
        if (*r->p != ',')
            return NULL;
        for (r->p++; *r->p == ' '; r->p++)
            continue;
    }
}

static const char *check(const char *text, bool pattern, struct cert_dn *out)
{
    struct reading *r = malloc(sizeof *r);
    struct cert_dn dn = {NULL, 0};
    const char *why = no_memory;
    *out = dn;
    if (r) {
        r->p = text;
        r->pattern = pattern;
        why = read_rdns(r, &dn);
    }
    free(r);
    if (why) {
        cert_dn_release(&dn);
        return why;
    }
    for (size_t i = 0; i < dn.n / 2; i++) { /* the text begins with the certificate's last */
        struct cert_rdn first = dn.rdns[i];
        dn.rdns[i] = dn.rdns[dn.n - 1 - i];
        dn.rdns[dn.n - 1 - i] = first;
    }
    *out = dn;
    return NULL;
}

const char *cert_dn_check(const char *text, struct cert_dn *out)
{
    return check(text, false, out);
}

const char *cert_dn_check_pattern(const char *text, struct cert_dn *out)
{
    return check(text, true, out);
}

char *cert_dn_literal(const char *text)
{
    char *out = malloc(3 * strlen(text) + 1), *to = out;
    for (; out && *text; text++) {
        if (*text == '*')
            to = stpcpy(to, "\\2a");
        else
            *to++ = *text;
    }
    if (out)
        *to = '\0';
    return out;
}

enum err cert_dn_parse(const char *text, struct cert_dn *out)
{
    const char *why = cert_dn_check(text, out);
    return why ? log_fail(ERR_CONFIG, "\"%s\": %s", text, why) : ERR_OK;
}

/* ---- from a certificate ---- */

static bool copy_ava(const gnutls_x509_ava_st *from, struct cert_ava *to)
{
    size_t n = strnlen((const char *)from->oid.data, from->oid.size);
    bool known = from->value_tag == UTF8_STRING || from->value_tag == PRINTABLE_STRING ||
                 from->value_tag == IA5_STRING;
    *to = (struct cert_ava){.comparable = known && n < sizeof to->oid, .n = from->value.size};
    memcpy(to->oid, from->oid.data, n < sizeof to->oid ? n : sizeof to->oid - 1);
    to->value = malloc(to->n ? to->n : 1);
    if (!to->value)
        return false;
    if (to->n)
        memcpy(to->value, from->value.data, to->n);
    return true;
}

/* The attributes of RDN i; *found is false behind the last one. */
static bool copy_rdn(gnutls_x509_dn_t dn, int i, struct cert_rdn *rdn, bool *found)
{
    gnutls_x509_ava_st ava;
    int rc;
    *found = false;
    for (int j = 0; (rc = gnutls_x509_dn_get_rdn_ava(dn, i, j, &ava)) >= 0; j++) {
        struct cert_ava *grown = realloc(rdn->avas, (rdn->n + 1) * sizeof *grown);
        if (!grown)
            return false;
        rdn->avas = grown;
        *found = true;
        if (!copy_ava(&ava, &grown[rdn->n]))
            return false;
        rdn->n++;
    }
    return rc == GNUTLS_E_ASN1_ELEMENT_NOT_FOUND;
}

enum err cert_dn_read(gnutls_x509_dn_t from, struct cert_dn *out)
{
    struct cert_dn dn = {NULL, 0};
    bool good = true, more = true;
    *out = dn;
    for (int i = 0; good && more; i++) {
        struct cert_rdn *grown = realloc(dn.rdns, (dn.n + 1) * sizeof *grown);
        if (!(good = grown != NULL))
            break;
        dn.rdns = grown;
        grown[dn.n] = (struct cert_rdn){NULL, 0};
        good = copy_rdn(from, i, &grown[dn.n], &more);
        dn.n += more || grown[dn.n].n > 0;
    }
    if (!good) {
        cert_dn_release(&dn);
        return log_fail(ERR_AUTH, "a name in a certificate can't be read");
    }
    *out = dn;
    return ERR_OK;
}
