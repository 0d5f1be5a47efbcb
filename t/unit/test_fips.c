/* SPDX-License-Identifier: ISC */
/* The table of what is approved, and the policy that it makes of a handshake. */
#include "fips.h"
#include "tls_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void modes_have_their_names(void **state)
{
    enum fips_mode m = FIPS_OFF;
    (void)state;
    for (int i = FIPS_OFF; i <= FIPS_REQUIRE; i++) {
        assert_true(fips_mode_parse(fips_mode_name((enum fips_mode)i), &m));
        assert_int_equal(m, i);
    }
    assert_false(fips_mode_parse("yes", &m));
    assert_false(fips_mode_parse("", &m));
}

static void the_table_knows_what_is_approved(void **state)
{
    (void)state;
    assert_true(fips_approved(FIPS_SUITE, "AES-128-GCM"));
    assert_false(fips_approved(FIPS_SUITE, "CHACHA20-POLY1305"));
    assert_false(fips_approved(FIPS_SUITE, NULL));
    assert_false(fips_approved(FIPS_GROUP, "X25519"));
    assert_false(fips_approved(FIPS_GROUP, "AES-128-GCM"));
    assert_false(fips_approved(FIPS_SIGNATURE, "EDDSA-ED25519"));
    assert_false(fips_approved(FIPS_SIGNATURE, "RSA-SHA1"));
    assert_false(fips_approved(FIPS_HASH, "ipsec-mb"));
    assert_true(fips_key("RSA", 2048));
    assert_false(fips_key("RSA", 2047));
    assert_false(fips_key("EC/ECDSA", 224));
    assert_false(fips_key("EdDSA (Ed25519)", 256));
    assert_false(fips_key(NULL, 4096));
}

/* A row that GnuTLS does not know by that name would never match. */
static void the_names_are_those_of_gnutls(void **state)
{
    static const gnutls_pk_algorithm_t keys[] = {GNUTLS_PK_ECDSA, GNUTLS_PK_RSA, GNUTLS_PK_RSA_PSS};
    static const gnutls_sign_algorithm_t signs[] = {GNUTLS_SIGN_ECDSA_SECP256R1_SHA256,
                                                    GNUTLS_SIGN_RSA_PSS_RSAE_SHA384,
                                                    GNUTLS_SIGN_RSA_PSS_SHA512,
                                                    GNUTLS_SIGN_ECDSA_SHA256,
                                                    GNUTLS_SIGN_RSA_SHA256,
                                                    GNUTLS_SIGN_ECDSA_SHA512};
    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_true(fips_key(gnutls_pk_get_name(keys[i]), 4096));
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
        assert_true(fips_approved(FIPS_SIGNATURE, gnutls_sign_get_name(signs[i])));
    assert_true(fips_approved(FIPS_GROUP, gnutls_group_get_name(GNUTLS_GROUP_SECP384R1)));
    assert_true(fips_approved(FIPS_SUITE, gnutls_cipher_get_name(GNUTLS_CIPHER_AES_256_GCM)));
}

static void a_note_has_everything_once(void **state)
{
    char note[FIPS_NOTE] = "";
    (void)state;
    fips_note(note, "group %s", "X25519");
    fips_note(note, "suite %s", "Y");
    fips_note(note, "group %s", "X25519");
    assert_string_equal(note, "group X25519; suite Y");
    for (int i = 0; i < 200; i++)
        fips_note(note, "signature %d", i);
    assert_int_equal(strlen(note), FIPS_NOTE - 1);
}

static void groups_are_read_by_any_of_their_names(void **state)
{
    struct tls_groups g;
    char why[TLS_WHY] = "";
    (void)state;
    assert_true(tls_groups_parse("x25519\tP-256  secp384r1 P521", &g, why));
    assert_int_equal(g.n, 4);
    assert_int_equal(g.list[0], GNUTLS_GROUP_X25519);
    assert_int_equal(g.list[1], GNUTLS_GROUP_SECP256R1);
    assert_int_equal(g.list[2], GNUTLS_GROUP_SECP384R1);
    assert_int_equal(g.list[3], GNUTLS_GROUP_SECP521R1);
    assert_false(tls_groups_parse("", &g, why));
    assert_false(tls_groups_parse("P-256 SECP256R1", &g, why));
    assert_non_null(strstr(why, "P-256 is there twice"));
    assert_false(tls_groups_parse("P-256 P-192", &g, why));
    assert_non_null(strstr(why, "P-192"));
    assert_non_null(strstr(why, "X25519"));
    assert_false(tls_groups_parse("SECP192R1", &g, why));
    assert_false(tls_groups_parse("P-", &g, why));
    assert_false(tls_groups_parse("P-2566", &g, why));
}

static void policies_that_contradict_themselves_are_named(void **state)
{
    struct tls_policy p = {.fips = FIPS_REQUIRE};
    char why[TLS_WHY] = "";
    (void)state;
    assert_true(tls_policy_check(&p, why));
    assert_true(tls_groups_parse("P-384 X25519", &p.groups, why));
    assert_false(tls_policy_check(&p, why));
    assert_non_null(strstr(why, "X25519 is not approved"));
    p.fips = FIPS_REPORT;
    assert_true(tls_policy_check(&p, why));
}

/* Every policy's string is one that GnuTLS takes, and require leaves nothing in it that is not approved. */
static void priorities_hold_what_the_policy_says(void **state)
{
    char text[TLS_PRIORITY], why[TLS_WHY];
    gnutls_priority_t priority;
    struct tls_policy p = {0};
    (void)state;
    for (int i = FIPS_OFF; i <= FIPS_REQUIRE; i++) {
        p.fips = (enum fips_mode)i;
        tls_policy_priority(&p, text);
        assert_int_equal(gnutls_priority_init(&priority, text, NULL), 0);
        gnutls_priority_deinit(priority);
        assert_int_equal(strstr(text, "X25519") != NULL, i != FIPS_REQUIRE);
        assert_int_equal(strstr(text, "CHACHA20") != NULL, i != FIPS_REQUIRE);
        assert_int_equal(strstr(text, "ED25519") != NULL, i != FIPS_REQUIRE);
        assert_non_null(strstr(text, "+GROUP-SECP256R1:+GROUP-SECP384R1"));
    }
    assert_true(tls_groups_parse("P-521 P-256", &p.groups, why));
    tls_policy_priority(&p, text);
    assert_non_null(strstr(text, "+GROUP-SECP521R1:+GROUP-SECP256R1:"));
    assert_null(strstr(text, "SECP384R1:"));
}

static void what_was_agreed_on_is_told(void **state)
{
    struct tls_agreed a = {.suite = "TLS1.3-AES-128-GCM",
                           .group = "P-256",
                           .signature = "ECDSA-SECP256R1-SHA256",
                           .client_signature = "RSA-PSS-RSAE-SHA256"};
    char note[FIPS_NOTE], text[TLS_AGREED_TEXT];
    (void)state;
    tls_agreed_note(&a, "gnutls", "", note);
    assert_string_equal(note, "");
    tls_agreed_text(&a, text);
    assert_string_equal(text, "TLS1.3-AES-128-GCM, group P-256, signatures ECDSA-SECP256R1-SHA256 "
                              "(server) and RSA-PSS-RSAE-SHA256 (client)");
    strcpy(a.group, "X25519");
    strcpy(a.suite, "TLS1.3-CHACHA20-POLY1305");
    strcpy(a.client_signature, "EDDSA-ED25519");
    tls_agreed_note(&a, "ipsec-mb", "certificate of x", note);
    assert_string_equal(note, "suite CHACHA20-POLY1305; group X25519; signature EDDSA-ED25519; "
                              "hash engine ipsec-mb; certificate of x");
}

static void the_module_is_never_dressed_up(void **state)
{
    struct fips_watch w;
    char text[FIPS_TEXT];
    (void)state;
    fips_watch_begin(&w);
    const char *said = fips_watch_end(&w);
    fips_statement(FIPS_REQUIRE, text);
    assert_non_null(strstr(text, "fips = require"));
    if (fips_module()) {
        assert_string_equal(said, "not-approved"); /* nothing was done */
    } else {
        assert_string_equal(said, "module-not-in-fips-mode");
        assert_non_null(strstr(text, "not in FIPS mode"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modes_have_their_names),
        cmocka_unit_test(the_table_knows_what_is_approved),
        cmocka_unit_test(the_names_are_those_of_gnutls),
        cmocka_unit_test(a_note_has_everything_once),
        cmocka_unit_test(groups_are_read_by_any_of_their_names),
        cmocka_unit_test(policies_that_contradict_themselves_are_named),
        cmocka_unit_test(priorities_hold_what_the_policy_says),
        cmocka_unit_test(what_was_agreed_on_is_told),
        cmocka_unit_test(the_module_is_never_dressed_up),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
