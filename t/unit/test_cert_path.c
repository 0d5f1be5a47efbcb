/* SPDX-License-Identifier: ISC */
/* The judgement of chains: what CAs allow those below them, which anchor counts, every reason. */
#include "cert.h"
#include "lib/certs.h"
#include "lib/verdict.h"
#include "log.h"

#include <gnutls/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- what a case is made of ---- */

/* A leaf below two CAs below the root, of which the upper allows that many below it. */
static void length_case(int length, const char *why)
{
    struct certs_spec spec = {.cn = "upper",
                              .ca = CERTS_CA,
                              .usage = GNUTLS_KEY_KEY_CERT_SIGN,
                              .path_length = length + 1};
    struct certs_cert upper = certs_issue(&spec, &verdict.root), lower = certs_ca("lower", &upper);
    struct certs_cert leaf = certs_client("alice", &lower);
    const struct certs_cert *chain[] = {&leaf, &lower, &upper};
    struct cert_store *s = verdict_store(&verdict.root, NULL, 0, CERT_CRL_IF_PRESENT);
    if (why)
        verdict_refused(s, chain, 3, why);
    else
        verdict_accepted(s, chain, 3);
    cert_store_free(s);
    certs_release(&leaf);
    certs_release(&lower);
    certs_release(&upper);
}

static void path_lengths(void **state)
{
    (void)state;
    length_case(-1, NULL);
    length_case(2, NULL);
    length_case(1, NULL);
    length_case(0, "certificate of CN=upper: it allows 0 CAs below it and there are 1");
}

/* A leaf with these names below a CA with these constraints. */
static void names_case(struct certs_spec ca_spec, struct certs_spec leaf_spec, const char *why)
{
    ca_spec.cn = "partner";
    ca_spec.ca = CERTS_CA;
    ca_spec.usage = GNUTLS_KEY_KEY_CERT_SIGN;
    struct certs_cert ca = certs_issue(&ca_spec, &verdict.root),
                      leaf = certs_issue(&leaf_spec, &ca);
    const struct certs_cert *chain[] = {&leaf, &ca}, *alone[] = {&leaf};
    struct cert_store *s = verdict_store(&verdict.root, NULL, 0, CERT_CRL_IF_PRESENT);
    struct cert_store *own = verdict_store(&ca, NULL, 0, CERT_CRL_IF_PRESENT);
    if (why) {
        verdict_refused(s, chain, 2, why);
        verdict_refused(own, alone, 1, why); /* an anchor's constraints count as well */
    } else {
        verdict_accepted(s, chain, 2);
        verdict_accepted(own, alone, 1);
    }
    cert_store_free(own);
    cert_store_free(s);
    certs_release(&leaf);
    certs_release(&ca);
}

#define NAMES(why, constraint, ...)                                                                \
    do {                                                                                           \
        struct certs_spec c = {.cn = NULL}, s = {VERDICT_LEAF};                                    \
        c.constraint;                                                                              \
        __VA_ARGS__;                                                                               \
        names_case(c, s, why);                                                                     \
    } while (0)

static void name_constraints(void **state)
{
    (void)state;
    NAMES(NULL, permit_dns = "partner.example", s.dns = "partner.example");
    NAMES(NULL, permit_dns = "partner.example", s.dns = "a.b.partner.example");
    NAMES("a host name it may not bear (name constraints of CA CN=partner)",
          permit_dns = "partner.example", s.dns = "notpartner.example");
    NAMES("host name", permit_dns = "partner.example", s.dns = "partner.example.evil");
    NAMES(NULL, permit_dns = "partner.example", s.email = "x@elsewhere.example");
    NAMES(NULL, permit_mail = "partner.example", s.email = "x@partner.example");
    NAMES("e-mail", permit_mail = "partner.example", s.email = "x@elsewhere.example");
    NAMES("e-mail", permit_mail = "partner.example", s.email = "x@evil.partner.example.org");
    NAMES("URI", permit_uri = "partner.example", s.uri = "https://partner.example/");
    NAMES(NULL, permit_uri = "partner.example", s.dns = "a.example");
    NAMES("directory names can't be checked", permit_dn = true, s.dns = "a.example");
    NAMES("host name", exclude_dns = "bad.example", s.dns = "a.bad.example");
    NAMES(NULL, exclude_dns = "bad.example", s.dns = "*.good.example");
    NAMES("wildcard", exclude_dns = "bad.x.example", s.dns = "*.X.example");
    NAMES("wildcard", exclude_dns = "bad.x.example", s.dns = "b*.x.example");
    NAMES("host name", exclude_dns = "bad.x.example", s.dns = "*.bad.x.example");
}

/* Every reason is told, each once, and none of an anchor that is not the chain's. */
static void tell(void *arg, const char *why)
{
    char *all = arg;
    size_t n = strlen(all);
    snprintf(all + n, 4096 - n, "%s\n", why);
}

static void every_reason(void **state)
{
    struct certs_cert leaf = certs_issue(&(struct certs_spec){.cn = "alice",
                                                              .ca = CERTS_LEAF,
                                                              .usage = GNUTLS_KEY_KEY_AGREEMENT,
                                                              .purpose = {GNUTLS_KP_TLS_WWW_SERVER},
                                                              .from_days = -5,
                                                              .to_days = -1,
                                                              .serial = 0x55},
                                         &verdict.root);
    struct certs_crl crl = {.issuer = &verdict.root, .revoked = {0x55}};
    struct cert_store *s = verdict_store(&verdict.root, &crl, 1, CERT_CRL_REQUIRE);
    const struct certs_cert *ca = &verdict.other;
    struct cert_id id;
    char all[4096] = "";
    (void)state;
    certs_write(verdict.ca_file, &ca, 1);
    assert_int_equal(cert_store_add(s, "other", verdict.ca_file, NULL, CERT_CRL_IF_PRESENT),
                     ERR_OK);
    assert_int_equal(cert_judge_all(s, &leaf.der, 1, CERT_CLIENT, NULL, CERTS_NOW, tell, all, &id),
                     ERR_AUTH);
    assert_string_equal(all,
                        "certificate of CN=alice: its key usage does not allow digital signatures\n"
                        "certificate of CN=alice: not for clients (extended key usage)\n"
                        "certificate of CN=alice: expired on 2027-01-14 08:00:00 UTC\n"
                        "certificate of CN=alice: revoked on 2027-01-13 08:00:00 UTC\n");
    all[0] = '\0';
    assert_int_equal(
        cert_judge_all(s, &verdict.other.der, 1, CERT_CLIENT, NULL, CERTS_NOW, tell, all, &id),
        ERR_AUTH);
    assert_non_null(strstr(all, "a CA's certificate"));
    cert_store_free(s);
    certs_release(&leaf);
}

/* A CA that is an anchor by itself is not also one below the root: also not when its own anchor
 * refuses. */
static void nearest_anchor(void **state)
{
    struct certs_cert leaf = certs_client("alice", &verdict.inter);
    const struct certs_cert *chain[] = {&leaf, &verdict.inter}, *ca = &verdict.inter;
    struct certs_crl crl = {.issuer = &verdict.inter, .revoked = {leaf.serial}};
    gnutls_datum_t der[] = {leaf.der, verdict.inter.der};
    struct cert_store *s = verdict_store(&verdict.root, NULL, 0, CERT_CRL_IF_PRESENT);
    struct cert_id id;
    (void)state;
    verdict_accepted(s, chain, 2);
    certs_write(verdict.ca_file, &ca, 1);
    assert_int_equal(cert_store_add(s, "partner", verdict.ca_file, NULL, CERT_CRL_IF_PRESENT),
                     ERR_OK);
    assert_int_equal(cert_judge(s, der, 2, CERT_CLIENT, NULL, CERTS_NOW, &id), ERR_OK);
    assert_string_equal(id.anchor, "partner");
    cert_id_release(&id);
    cert_store_free(s);
    s = verdict_store(&verdict.root, NULL, 0, CERT_CRL_IF_PRESENT);
    certs_write(verdict.ca_file, &ca, 1);
    certs_write_crls(verdict.crl_file, &crl, 1);
    assert_int_equal(
        cert_store_add(s, "partner", verdict.ca_file, verdict.crl_file, CERT_CRL_REQUIRE), ERR_OK);
    verdict_refused(s, chain, 2, "revoked on");
    cert_store_free(s);
    certs_release(&leaf);
}

/* A CA that changed its key and issues under both: each key has its list, in whatever order. */
static void a_list_for_each_key(void **state)
{
    struct certs_cert again = certs_ca("inter", &verdict.root),
                      leaf = certs_client("alice", &verdict.inter);
    const struct certs_cert *chain[] = {&leaf, &verdict.inter};
    struct certs_crl own = {.issuer = &verdict.inter}, others = {.issuer = &again},
                     top = {.issuer = &verdict.root};
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct certs_crl crls[] = {top, i & 1 ? own : others, i & 1 ? others : own};
        crls[i & 1 ? 2 : 1].revoked[0] =
            leaf.serial; /* one of the same number, of the other key's */
        crls[i & 1 ? 1 : 2].revoked[0] = i & 2 ? leaf.serial : 0;
        struct cert_store *s = verdict_store(&verdict.root, crls, 3, CERT_CRL_REQUIRE);
        if (i & 2)
            verdict_refused(s, chain, 2, "revoked on");
        else
            verdict_accepted(s, chain, 2);
        cert_store_free(s);
    }
    struct cert_store *s =
        verdict_store(&verdict.root, (struct certs_crl[]){top, others}, 2, CERT_CRL_IF_PRESENT);
    verdict_refused(s, chain, 2, "bears another's signature");
    cert_store_free(s);
    certs_release(&leaf);
    certs_release(&again);
}

/* A CA of the issuer's name is shown whose key is such as to take long. */
static void no_signature_is_looked_at_by_a_key_that_takes_long(void **state)
{
    struct certs_spec spec = {
        .cn = "issuer", .ca = CERTS_CA, .usage = GNUTLS_KEY_KEY_CERT_SIGN, .rsa_bits = 2048};
    struct cert_store *s = verdict_store(&verdict.root, NULL, 0, CERT_CRL_IF_PRESENT);
    struct certs_cert issuer = certs_ca("issuer", &verdict.root),
                      leaf = certs_client("alice", &issuer);
    (void)state;
    for (int swapped = 0; swapped < 2; swapped++) {
        spec.swapped = swapped;
        struct certs_cert shown = certs_issue(&spec, &verdict.root);
        const struct certs_cert *chain[] = {&leaf, &shown};
        verdict_refused(s, chain, 2, swapped ? "issued by no trusted CA" : "a CA of its chain");
        certs_release(&shown);
    }
    certs_release(&leaf);
    certs_release(&issuer);
    cert_store_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path_lengths),
        cmocka_unit_test(name_constraints),
        cmocka_unit_test(every_reason),
        cmocka_unit_test(nearest_anchor),
        cmocka_unit_test(a_list_for_each_key),
        cmocka_unit_test(no_signature_is_looked_at_by_a_key_that_takes_long),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, verdict_begin, verdict_end);
}
