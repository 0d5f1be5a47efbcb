/* SPDX-License-Identifier: ISC */
/* Names: what the text of a rule means, and which certificates' subjects are that name. */
#include "cert.h"
#include "lib/certs.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- text ---- */

/* The text is one attribute of that type and value. */
static void means(const char *text, const char *oid, const void *value, size_t n)
{
    struct cert_dn dn;
    const char *why = cert_dn_check(text, &dn);
    if (why)
        fail_msg("%s: %s", text, why);
    assert_int_equal(dn.n, 1);
    assert_int_equal(dn.rdns[0].n, 1);
    assert_string_equal(dn.rdns[0].avas[0].oid, oid);
    assert_int_equal(dn.rdns[0].avas[0].n, n);
    assert_memory_equal(dn.rdns[0].avas[0].value, value, n);
    cert_dn_release(&dn);
}

static void values(void **state)
{
    (void)state;
    means("CN=alice", "2.5.4.3", "alice", 5);
    means("cn=alice", "2.5.4.3", "alice", 5);
    means("2.5.4.3=alice", "2.5.4.3", "alice", 5);
    means("1.2.3.4.5=x", "1.2.3.4.5", "x", 1);
    means("emailaddress=a@b", "1.2.840.113549.1.9.1", "a@b", 3);
    means("CN=a b", "2.5.4.3", "a b", 3);
    means("CN=a=b", "2.5.4.3", "a=b", 3);
    means("CN=alice\\,O\\=Acme", "2.5.4.3", "alice,O=Acme", 12);
    means("CN=a\\+b\\\"\\\\\\<\\>\\;", "2.5.4.3", "a+b\"\\<>;", 8);
    means("CN=\\ a\\20", "2.5.4.3", " a ", 3);
    means("CN=\\#0c", "2.5.4.3", "#0c", 3);
    means("CN=a#b", "2.5.4.3", "a#b", 3);
    means("CN=\\C3\\a9", "2.5.4.3", "\xc3\xa9", 2);
    means("CN=\xc3\xa9", "2.5.4.3", "\xc3\xa9", 2);
    means("CN=a\\00b", "2.5.4.3", "a\0b", 3);
    means("CN=#0c05616c696365", "2.5.4.3", "alice", 5);
    means("CN=#1305616C696365", "2.5.4.3", "alice", 5);
}

static void order_is_the_certificates(void **state)
{
    struct cert_dn dn;
    (void)state;
    assert_null(cert_dn_check("CN=alice,OU=x+UID=y, O=Acme", &dn));
    assert_int_equal(dn.n, 3);
    assert_string_equal(dn.rdns[0].avas[0].oid, "2.5.4.10");
    assert_int_equal(dn.rdns[1].n, 2);
    assert_string_equal(dn.rdns[2].avas[0].oid, "2.5.4.3");
    cert_dn_release(&dn);
    cert_dn_release(&dn); /* harmless */
    cert_dn_release(NULL);
}

static void refused_text(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "alice",
        "=alice",
        "CN=",
        "CN=alice,",
        ",CN=alice",
        "CN=alice,,O=x",
        "CN=alice+",
        "CN=alice,O",
        "CN= alice",
        "CN=alice ",
        "CN=alice ,O=x",
        "CN =alice",
        "XX=alice",
        "2=alice",
        "2.=alice",
        ".2=alice",
        "2..5=alice",
        "02.5=alice",
        "2.05=alice",
        "OID.2.5.4.3=alice",
        "CN=\"alice\"",
        "CN=a;O=b",
        "CN=a<b",
        "CN=a\nb",
        "CN=a\x7f",
        "CN=a\\",
        "CN=a\\x",
        "CN=a\\f",
        "CN=a\\fg",
        "CN=\xff",
        "CN=\\ff",
        "CN=\xc0\xaf",
        "CN=#",
        "CN=#0c",
        "CN=#0c0",
        "CN=#0c00",
        "CN=#0c0561",
        "CN=#0c0161ff",
        "CN=#0c810161",
        "CN=#1e020061",
        "CN=#140161",
        "CN=#0c0161x",
        "CN=a+CN=a",
        "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21.22.23.24.25.26.27=a",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cert_dn dn = {(void *)1, 1};
        if (!cert_dn_check(bad[i], &dn))
            fail_msg("\"%s\" was taken", bad[i]);
        assert_null(dn.rdns);
        assert_int_equal(cert_dn_parse(bad[i], &dn), ERR_CONFIG);
    }
}

static void long_text(void **state)
{
    size_t n = 100000;
    char *text = malloc(n + 4);
    struct cert_dn dn;
    (void)state;
    assert_non_null(text);
    memcpy(text, "CN=", 3);
    memset(text + 3, 'a', n);
    text[n + 3] = '\0';
    assert_non_null(cert_dn_check(text, &dn));
    for (size_t i = 0; i + 5 <= n; i += 5) /* far too many parts */
        memcpy(text + i, "CN=a,", 5);
    assert_non_null(cert_dn_check(text, &dn));
    free(text);
}

/* ---- certificates ---- */

static struct certs_cert root;

/* Whether a certificate with these RDNs is the one the text names. */
static bool names(const char *text, const struct certs_der *subject)
{
    struct certs_cert leaf =
        certs_issue(&(struct certs_spec){.subject = subject, .serial = 9}, &root);
    struct cert_id id;
    struct cert_dn dn;
    assert_null(cert_dn_check(text, &dn));
    assert_int_equal(cert_id_read(&leaf.der, &id), ERR_OK);
    bool equal = cert_dn_eq(&dn, &id.subject);
    assert_int_equal(equal, cert_dn_eq(&id.subject, &dn));
    cert_id_release(&id);
    cert_dn_release(&dn);
    certs_release(&leaf);
    return equal;
}

struct part {
    const char *oid;
    const char *value;
    bool more;
    uint8_t tag;
};

static bool parts_name(const char *text, const struct part *parts)
{
    struct certs_der name = {.n = 0};
    for (; parts->oid; parts++)
        certs_put_rdn(&name, parts->oid, parts->tag ? parts->tag : CERTS_UTF8, parts->value,
                      strlen(parts->value), parts->more);
    return names(text, &name);
}

#define NAMES(text, ...) parts_name(text, (const struct part[]){__VA_ARGS__, {.oid = NULL}})
#define CN(v)                                                                                      \
    {                                                                                              \
        .oid = CERTS_CN, .value = (v)                                                              \
    }
#define O(v)                                                                                       \
    {                                                                                              \
        .oid = CERTS_O, .value = (v)                                                               \
    }
#define OU(v)                                                                                      \
    {                                                                                              \
        .oid = CERTS_OU, .value = (v)                                                              \
    }

static const char acme_alice[] = "CN=alice,O=Acme";

static void same_name(void **state)
{
    (void)state;
    assert_true(NAMES(acme_alice, O("Acme"), CN("alice")));
    assert_true(NAMES(acme_alice, O("Acme"), {CERTS_CN, "alice", false, CERTS_PRINTABLE}));
    assert_true(NAMES(acme_alice, O("Acme"), {CERTS_CN, "alice", false, CERTS_IA5}));
    assert_true(NAMES("CN=a+OU=b", OU("b"), {CERTS_CN, "a", true, 0}));
    assert_true(NAMES("OU=b+CN=a", OU("b"), {CERTS_CN, "a", true, 0}));
}

static void other_order_is_another_name(void **state)
{
    (void)state;
    assert_false(NAMES(acme_alice, CN("alice"), O("Acme")));
    assert_false(NAMES("O=Acme,CN=alice", O("Acme"), CN("alice")));
}

static void text_forms_do_not_count(void **state)
{
    (void)state;
    assert_false(NAMES(acme_alice, CN("alice,O=Acme")));
    assert_false(NAMES(acme_alice, O("Acme"), CN("mallory,CN=alice")));
    assert_false(NAMES(acme_alice, O("Acme,CN=alice")));
    assert_false(NAMES("CN=alice", CN("#0c05616c696365")));
    assert_true(NAMES("CN=\\#0c05616c696365", CN("#0c05616c696365")));
    assert_false(NAMES("CN=alice", CN("bob\nCN=alice")));
    assert_false(NAMES("CN=alice", CN("bob+CN=alice")));
}

static void more_or_fewer_attributes(void **state)
{
    (void)state;
    assert_false(NAMES(acme_alice, O("Acme"), CN("alice"), CN("bob")));
    assert_false(NAMES(acme_alice, O("Acme"), CN("bob"), CN("alice")));
    assert_false(NAMES(acme_alice, O("Acme"), CN("alice"), CN("alice")));
    assert_false(NAMES(acme_alice, O("Acme"), {CERTS_CN, "alice", true, 0}));
    assert_false(NAMES("CN=alice+O=Acme", O("Acme"), CN("alice")));
    assert_false(NAMES(acme_alice, OU("x"), O("Acme"), CN("alice")));
    assert_false(NAMES(acme_alice, O("Acme"), OU("x"), CN("alice")));
    assert_false(NAMES(acme_alice, O("Acme"), CN("alice"), OU("x")));
    assert_false(NAMES(acme_alice, O("Acme"), CN("alice"), {"1.2.3.4", "x", false, 0}));
    assert_false(NAMES(acme_alice, O("Acme"), CN("alice"), {"1.2.3.4", "x", true, 0}));
    assert_false(NAMES(acme_alice, CN("alice")));
    assert_false(NAMES("CN=a+CN=b", CN("a"), {CERTS_CN, "a", true, 0}));
}

static void near_misses(void **state)
{
    (void)state;
    assert_false(NAMES("CN=alice", CN("Alice")));
    assert_false(NAMES("CN=alice", CN("alice ")));
    assert_false(NAMES("CN=alice", CN(" alice")));
    assert_false(NAMES("CN=alice", CN("alic")));
    assert_false(NAMES("CN=alice", CN("\xd0\xb0lice"))); /* a Cyrillic letter */
    assert_false(NAMES("CN=\xc3\xa9", CN("e\xcc\x81"))); /* the same, decomposed */
    assert_false(NAMES("CN=alice", {CERTS_OU, "alice", false, 0}));
    assert_false(NAMES("CN=x", CN("")));
}

static void other_string_types_match_nothing(void **state)
{
    struct certs_der bmp = {.n = 0};
    (void)state;
    assert_false(NAMES("CN=alice", {CERTS_CN, "alice", false, CERTS_T61}));
    certs_put_rdn(&bmp, CERTS_CN, CERTS_BMP, "\0a\0l\0i\0c\0e", 10, false);
    assert_false(names("CN=alice", &bmp));
    assert_false(names("CN=\\00a\\00l\\00i\\00c\\00e", &bmp));
}

static void nul_counts(void **state)
{
    struct certs_der name = {.n = 0};
    (void)state;
    certs_put_rdn(&name, CERTS_CN, CERTS_UTF8, "alice\0.evil", 11, false);
    assert_false(names("CN=alice", &name));
    assert_true(names("CN=alice\\00.evil", &name));
}

static void empty_equals_nothing(void **state)
{
    struct cert_dn none = {NULL, 0};
    (void)state;
    assert_false(cert_dn_eq(&none, &none));
    assert_false(names("CN=alice", &(struct certs_der){.n = 0}));
    struct cert_ava nothing = {.oid = CERTS_CN, .comparable = true, .value = (uint8_t *)""};
    struct cert_rdn rdn = {&nothing, 1};
    struct cert_dn dn = {&rdn, 1};
    assert_false(cert_dn_eq(&dn, &dn));
}

/* ---- patterns ---- */

static bool parts_match(const char *text, const struct part *parts)
{
    struct certs_der name = {.n = 0};
    struct cert_id id;
    struct cert_dn dn;
    for (; parts->oid; parts++)
        certs_put_rdn(&name, parts->oid, parts->tag ? parts->tag : CERTS_UTF8, parts->value,
                      strlen(parts->value), parts->more);
    struct certs_cert leaf =
        certs_issue(&(struct certs_spec){.subject = &name, .serial = 9}, &root);
    assert_null(cert_dn_check_pattern(text, &dn));
    assert_int_equal(cert_id_read(&leaf.der, &id), ERR_OK);
    bool match = cert_dn_match(&dn, &id.subject);
    assert_true(cert_dn_eq(&dn, &dn));
    cert_id_release(&id);
    cert_dn_release(&dn);
    certs_release(&leaf);
    return match;
}

#define MATCH(text, ...) parts_match(text, (const struct part[]){__VA_ARGS__, {.oid = NULL}})

static void a_star_is_a_whole_value(void **state)
{
    static const char *const bad[] = {
        "CN=a*", "CN=*a", "CN=**", "CN=*+CN=a",  "CN=a+CN=*", "CN=*+CN=*",     "*=a",
        "*",     "CN=* ", "CN=*,", "CN=a,CN=a*", "CN=a*\\,",  "CN=*+2.5.4.3=x"};
    struct cert_dn dn;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (!cert_dn_check_pattern(bad[i], &dn))
            fail_msg("\"%s\" was taken", bad[i]);
    assert_true(MATCH("CN=*,O=Acme", O("Acme"), CN("alice")));
    assert_true(MATCH("CN=*,O=Acme", O("Acme"), CN("*")));
    assert_true(MATCH("CN=*,O=Acme", O("Acme"), CN("a,O=x")));
    assert_true(MATCH("CN=*,O=Acme", O("Acme"), {CERTS_CN, "alice", false, CERTS_PRINTABLE}));
    assert_true(MATCH("CN=\\2a,O=Acme", O("Acme"), CN("*")));
    assert_false(MATCH("CN=\\2a,O=Acme", O("Acme"), CN("alice")));
    assert_true(MATCH("CN=*+OU=x", OU("x"), {CERTS_CN, "a", true, 0}));
    assert_true(MATCH("CN=*+OU=*", OU("x"), {CERTS_CN, "a", true, 0}));
    assert_true(MATCH("CN=alice", CN("alice")));
}

static void a_star_is_one_attribute(void **state)
{
    (void)state;
    assert_false(MATCH("CN=*,O=Acme", O("Acme"), OU("alice")));
    assert_false(MATCH("CN=*,O=Acme", CN("alice")));
    assert_false(MATCH("CN=*,O=Acme", CN("alice"), O("Acme")));
    assert_false(MATCH("CN=*,O=Acme", O("Acme"), CN("alice"), OU("x")));
    assert_false(MATCH("CN=*,O=Acme", O("Acme"), CN("alice"), CN("bob")));
    assert_false(MATCH("CN=*,O=Acme", O("Acme"), CN("alice"), {CERTS_CN, "bob", true, 0}));
    assert_false(MATCH("CN=*+OU=x", CN("a"), {CERTS_CN, "b", true, 0}));
    assert_false(MATCH("CN=*+OU=x", OU("x"), {CERTS_OU, "y", true, 0}));
    assert_false(MATCH("CN=*", CN("a"), {CERTS_CN, "a", true, 0}));
}

static void a_star_is_what_can_be_shown(void **state)
{
    struct certs_der nul = {.n = 0};
    (void)state;
    assert_false(MATCH("CN=*", CN("")));
    assert_false(MATCH("CN=*", CN("a\nb")));
    assert_false(MATCH("CN=*", CN("a\tb")));
    assert_false(MATCH("CN=*", CN("\x1b[2J")));
    assert_false(MATCH("CN=*", CN("\xff")));
    assert_false(MATCH("CN=*", CN("a\xe2\x80\xae"
                                  "b"))); /* turns the direction of writing */
    assert_true(MATCH("CN=*", CN("J\xc3\xb6rg")));
    assert_false(MATCH("CN=*", {CERTS_CN, "alice", false, CERTS_T61}));
    certs_put_rdn(&nul, CERTS_CN, CERTS_UTF8, "alice\0.evil", 11, false);
    struct certs_cert leaf = certs_issue(&(struct certs_spec){.subject = &nul, .serial = 9}, &root);
    struct cert_id id;
    struct cert_dn dn;
    assert_null(cert_dn_check_pattern("CN=*", &dn));
    assert_int_equal(cert_id_read(&leaf.der, &id), ERR_OK);
    assert_false(cert_dn_match(&dn, &id.subject));
    cert_id_release(&id);
    cert_dn_release(&dn);
    certs_release(&leaf);
}

static void stars_as_they_are(void **state)
{
    struct cert_dn dn, literal;
    char *text = cert_dn_literal("CN=*.example,O=*");
    (void)state;
    assert_string_equal(text, "CN=\\2a.example,O=\\2a");
    assert_null(cert_dn_check("CN=*.example,O=*", &dn));
    assert_null(cert_dn_check_pattern(text, &literal));
    assert_true(cert_dn_eq(&dn, &literal));
    assert_true(cert_dn_match(&literal, &dn));
    cert_dn_release(&dn);
    cert_dn_release(&literal);
    free(text);
}

static int begin(void **state)
{
    (void)state;
    log_quiet(true);
    root = certs_ca("root", NULL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    certs_release(&root);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(order_is_the_certificates),
        cmocka_unit_test(refused_text),
        cmocka_unit_test(long_text),
        cmocka_unit_test(same_name),
        cmocka_unit_test(other_order_is_another_name),
        cmocka_unit_test(text_forms_do_not_count),
        cmocka_unit_test(more_or_fewer_attributes),
        cmocka_unit_test(near_misses),
        cmocka_unit_test(other_string_types_match_nothing),
        cmocka_unit_test(nul_counts),
        cmocka_unit_test(empty_equals_nothing),
        cmocka_unit_test(a_star_is_a_whole_value),
        cmocka_unit_test(a_star_is_one_attribute),
        cmocka_unit_test(a_star_is_what_can_be_shown),
        cmocka_unit_test(stars_as_they_are),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, begin, end);
}
