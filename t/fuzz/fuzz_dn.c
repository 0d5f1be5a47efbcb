/* SPDX-License-Identifier: ISC */
/* Distinguished names, as text and in a certificate. A name that is read from one form is written in the other by this
 * file, and read again: it is the same. What GnuTLS makes text of (a request's subject is read so) is that name or is
 * refused. Two names are
 * equal where their plainest forms are. Inputs begin with 0 for text, 1 for two texts with a NUL between (the first
 * may be a pattern), 2 for DER. */
#include "fuzz.h"

#include "../../pki/der.h"
#include "cert.h"
#include "text.h"
#include <stdio.h>

enum { OID = 0x06, UTF8 = 0x0c, SET = 0x31, MAX = 1 << 20 };

/* ---- from a name to DER ---- */

/* False where an arc is of a size that nobody uses. */
static bool put_oid(struct buf *b, const char *text)
{
    struct buf out;
    char *rest = (char *)(uintptr_t)text;
    bool good = true;
    uint64_t first = strtoull(rest, &rest, 10), arc = strtoull(rest + 1, &rest, 10);
    if (first > 2 || (first < 2 && arc > 39) || arc > UINT32_MAX - 80)
        return false;
    buf_init(&out, 1024);
    for (arc += first * 40; good; arc = strtoull(rest + 1, &rest, 10)) {
        for (int shift = 28; shift >= 0; shift -= 7)
            if (arc >> shift || shift == 0)
                wire_put_u8(&out, (uint8_t)((arc >> shift & 0x7f) | (shift ? 0x80 : 0)));
        good = arc <= UINT32_MAX;
        if (!*rest)
            break;
    }
    der_put(b, OID, out.data, out.len);
    buf_release(&out);
    return good;
}

static bool put_name(struct buf *b, const struct cert_dn *dn)
{
    bool good = true;
    for (size_t i = 0; good && i < dn->n; i++) {
        size_t set = b->len;
        for (size_t k = 0; good && k < dn->rdns[i].n; k++) {
            const struct cert_ava *a = &dn->rdns[i].avas[k];
            size_t pair = b->len;
            good = put_oid(b, a->oid);
            der_put(b, UTF8, a->value, a->n);
            der_wrap(b, pair, DER_SEQUENCE);
        }
        der_wrap(b, set, SET);
    }
    der_wrap(b, 0, DER_SEQUENCE);
    return good && !b->bad;
}

/* ---- from a name to text ---- */

static void put_text(struct buf *b, const struct cert_dn *dn)
{
    char hex[8];
    for (size_t i = dn->n; i-- > 0;) {
        for (size_t k = 0; k < dn->rdns[i].n; k++) {
            const struct cert_ava *a = &dn->rdns[i].avas[k];
            text_put(b, k ? "+" : b->len ? "," : "");
            text_put(b, a->oid);
            text_put(b, "=");
            for (size_t at = 0; at < a->n; at++) {
                snprintf(hex, sizeof hex, "\\%02x", a->value[at]);
                text_put(b, hex);
            }
        }
    }
    wire_put_u8(b, 0);
}

/* ---- */

/* Whether text can say it. */
static bool sayable(const struct cert_dn *dn)
{
    uint32_t point;
    for (size_t i = 0; i < dn->n; i++)
        for (size_t k = 0; k < dn->rdns[i].n; k++) {
            const struct cert_ava *a = &dn->rdns[i].avas[k];
            if (!a->comparable || a->n == 0 || a->n > 4096)
                return false;
            for (size_t at = 0, len; at < a->n; at += len)
                if ((len = text_char(a->value + at, a->n - at, &point)) == 0)
                    return false;
        }
    return dn->n > 0 && dn->n <= 64 && cert_dn_eq(dn, dn);
}

/* A name of which an attribute comes twice in an RDN is one that text refuses. */
static bool twice(const struct cert_dn *dn)
{
    for (size_t i = 0; i < dn->n; i++)
        for (size_t k = 0; k < dn->rdns[i].n; k++)
            for (size_t j = 0; j < k; j++) {
                const struct cert_ava *a = &dn->rdns[i].avas[k], *b = &dn->rdns[i].avas[j];
                if (strcmp(a->oid, b->oid) == 0 && a->n == b->n &&
                    memcmp(a->value, b->value, a->n) == 0)
                    return true;
            }
    return false;
}

/* GnuTLS's text is of this name, where it can be read at all. */
static void check_their_text(gnutls_x509_dn_t theirs, const struct cert_dn *dn)
{
    gnutls_datum_t text = {NULL, 0};
    struct cert_dn again;
    if (gnutls_x509_dn_get_str2(theirs, &text, 0) < 0)
        return;
    if (!memchr(text.data, '\0', text.size) && !cert_dn_check((const char *)text.data, &again)) {
        FUZZ_MUST(!sayable(dn) || cert_dn_eq(dn, &again));
        cert_dn_release(&again);
    }
    gnutls_free(text.data);
}

/* What GnuTLS reads from the DER; false when it does not take it. */
static bool import(const uint8_t *der, size_t n, struct cert_dn *out)
{
    const gnutls_datum_t datum = {(uint8_t *)(uintptr_t)der, (unsigned)n};
    gnutls_x509_dn_t theirs;
    *out = (struct cert_dn){NULL, 0};
    FUZZ_MUST(gnutls_x509_dn_init(&theirs) >= 0);
    bool good = gnutls_x509_dn_import(theirs, &datum) >= 0 && cert_dn_read(theirs, out) == ERR_OK;
    if (good)
        check_their_text(theirs, out);
    gnutls_x509_dn_deinit(theirs);
    return good;
}

static int by_type_and_value(const void *a, const void *b)
{
    const struct cert_ava *x = a, *y = b;
    int rc = strcmp(x->oid, y->oid);
    rc = rc ? rc : memcmp(x->value, y->value, x->n < y->n ? x->n : y->n);
    return rc ? rc : (x->n > y->n) - (x->n < y->n);
}

/* One text for all names that are the same. */
static void put_plainest(struct buf *b, struct cert_dn *dn)
{
    for (size_t i = 0; i < dn->n; i++)
        qsort(dn->rdns[i].avas, dn->rdns[i].n, sizeof *dn->rdns[i].avas, by_type_and_value);
    put_text(b, dn);
}

/* What a pattern says, told again. */
static bool fits(const struct cert_ava *p, const struct cert_ava *a)
{
    return strcmp(p->oid, a->oid) == 0 && a->comparable && a->n > 0 &&
           (p->any ? fuzz_shows(a->value, a->n, false)
                   : p->n == a->n && memcmp(p->value, a->value, a->n) == 0);
}

static bool matches(const struct cert_dn *p, const struct cert_dn *dn)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->n != dn->n || p->rdns[i].n != dn->rdns[i].n)
            return false;
        for (size_t k = 0; k < p->rdns[i].n; k++) {
            bool found = false;
            for (size_t j = 0; j < dn->rdns[i].n; j++)
                found |= fits(&p->rdns[i].avas[k], &dn->rdns[i].avas[j]);
            if (!found)
                return false;
        }
    }
    return p->n > 0;
}

static void check_pattern(const char *pattern, const struct cert_dn *dn)
{
    struct cert_dn p;
    if (cert_dn_check_pattern(pattern, &p))
        return;
    FUZZ_MUST(twice(dn) || cert_dn_match(&p, dn) == matches(&p, dn));
    cert_dn_release(&p);
}

/* A name without its stars is a pattern of itself. */
static void check_literal(const char *text, const struct cert_dn *dn)
{
    struct cert_dn p;
    char *literal = cert_dn_literal(text);
    FUZZ_MUST(literal && !cert_dn_check_pattern(literal, &p));
    FUZZ_MUST(cert_dn_match(&p, dn));
    cert_dn_release(&p);
    free(literal);
}

static void check_two(const char *one, const char *other)
{
    struct cert_dn a, b;
    struct buf x, y;
    if (!cert_dn_check(other, &b)) {
        check_pattern(one, &b);
        cert_dn_release(&b);
    }
    if (cert_dn_check(one, &a))
        return;
    if (!cert_dn_check(other, &b)) {
        buf_init(&x, MAX);
        buf_init(&y, MAX);
        bool equal = cert_dn_eq(&a, &b);
        FUZZ_MUST(cert_dn_eq(&b, &a) == equal);
        put_plainest(&x, &a);
        put_plainest(&y, &b);
        FUZZ_MUST(equal == (x.len == y.len && memcmp(x.data, y.data, x.len) == 0));
        buf_release(&x);
        buf_release(&y);
    }
    cert_dn_release(&a);
    cert_dn_release(&b);
}

static void check_text(const char *text)
{
    struct cert_dn dn, again;
    struct buf der;
    if (cert_dn_check(text, &dn)) {
        FUZZ_MUST(dn.n == 0 && !dn.rdns);
        return;
    }
    FUZZ_MUST(sayable(&dn));
    check_literal(text, &dn);
    buf_init(&der, MAX);
    if (put_name(&der, &dn)) {
        FUZZ_MUST(import(der.data, der.len, &again));
        FUZZ_MUST(cert_dn_eq(&dn, &again) && cert_dn_eq(&again, &dn));
        cert_dn_release(&again);
    }
    buf_release(&der);
    cert_dn_release(&dn);
}

static void check_der(const uint8_t *der, size_t n)
{
    struct cert_dn dn, again;
    struct buf text;
    if (!import(der, n, &dn))
        return;
    buf_init(&text, MAX);
    if (sayable(&dn) && !twice(&dn)) {
        put_text(&text, &dn);
        FUZZ_MUST(!cert_dn_check((const char *)text.data, &again));
        FUZZ_MUST(cert_dn_eq(&dn, &again) && cert_dn_eq(&again, &dn));
        cert_dn_release(&again);
    }
    buf_release(&text);
    cert_dn_release(&dn);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    if (n == 0)
        return;
    uint8_t *copy = fuzz_copy(data + 1, n - 1);
    char *text = fuzz_text(slice_of(copy, n - 1));
    if (data[0] == 0)
        check_text(text);
    else if (data[0] == 1)
        check_two(text, strlen(text) < n - 1 ? text + strlen(text) + 1 : text);
    else
        check_der(copy, n - 1);
    free(text);
    free(copy);
}

static void seed(uint8_t form, const void *p, size_t n)
{
    struct buf b;
    buf_init(&b, MAX);
    wire_put_u8(&b, form);
    buf_put(&b, p, n);
    fuzz_seed(b.data, b.len);
    buf_release(&b);
}

void fuzz_seeds(void)
{
    static const char *const texts[] = {"CN=alice,O=Acme Corp",
                                        "OU=x+CN=y, DC=a,DC=b",
                                        "emailAddress=a@b,serialNumber=1+UID=z",
                                        "CN=\\,\\+\\\"\\\\\\<\\>\\;\\=\\#\\ ,ST=\\c3\\a9",
                                        "2.5.4.42=#0c0141,L=#1303414243,STREET=#16017a",
                                        "CN=\\00,C=DE,1.2.840.113549.1.9.1=x@y"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct cert_dn dn;
        struct buf der;
        seed(0, texts[i], strlen(texts[i]));
        FUZZ_MUST(!cert_dn_check(texts[i], &dn));
        buf_init(&der, MAX);
        FUZZ_MUST(put_name(&der, &dn));
        seed(2, der.data, der.len);
        buf_release(&der);
        cert_dn_release(&dn);
    }
    seed(1, "CN=a+OU=b,O=c\0OU=b+CN=\\61,O=c", 29);
    seed(1, "CN=alice,O=c\0CN=alicex,O=c", 26);
    seed(1, "CN=alice,O=c\0CN=alicf,O=c", 25);
    seed(1, "CN=a,O=c\0O=c,CN=a", 17);
    seed(1, "CN=*+OU=b,O=c\0OU=b+CN=x,O=c", 27);
    seed(1, "CN=\\2a,O=*\0CN=*,O=\xc3\xa9", 20);
    seed(1, "CN=a,O=c\0CN=a+OU=b,O=c", 22);
}
