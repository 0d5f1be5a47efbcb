/* SPDX-License-Identifier: ISC */
/* The judgement of chains: each case states the one thing that is wrong and the reason given. */
#include "cert.h"
#include "lib/certs.h"
#include "lib/verdict.h"
#include "log.h"

#include <gnutls/crypto.h>
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

/* A client's leaf of that kind, straight below the root; why NULL: it is accepted. */
static void leaf_case(const struct certs_spec *spec, const char *why)
{
    struct certs_cert leaf = certs_issue(spec, &verdict.root);
    const struct certs_cert *chain[] = {&leaf};
    struct cert_store *s = verdict_store(&verdict.root, NULL, 0, CERT_CRL_IF_PRESENT);
    if (why)
        verdict_refused(s, chain, 1, why);
    else
        verdict_accepted(s, chain, 1);
    cert_store_free(s);
    certs_release(&leaf);
}

/* A leaf that is good but for what is changed in s. */
#define CASE(why, ...)                                                                             \
    do {                                                                                           \
        struct certs_spec s = {VERDICT_LEAF};                                                      \
        __VA_ARGS__;                                                                               \
        leaf_case(&s, why);                                                                        \
    } while (0)

/* ---- the leaf ---- */

static void good_leaf(void **state)
{
    (void)state;
    CASE(NULL, s.serial = 0);
    CASE(NULL, s.rsa_bits = 2048);
    CASE(NULL, s.ca = CERTS_NO_BASIC);
    CASE(NULL, s.purpose[0] = GNUTLS_KP_TLS_WWW_SERVER, s.purpose[1] = GNUTLS_KP_TLS_WWW_CLIENT);
}

static void purpose_must_be_named(void **state)
{
    (void)state;
    CASE("not for clients", s.purpose[0] = GNUTLS_KP_TLS_WWW_SERVER);
    CASE("not for clients", s.purpose[0] = GNUTLS_KP_ANY);
    CASE("not for clients", s.purpose[0] = NULL);
    CASE("not for clients", s.purpose[0] = GNUTLS_KP_EMAIL_PROTECTION);
}

static void kind_of_leaf(void **state)
{
    (void)state;
    CASE("CA", s.ca = CERTS_CA);
    CASE("v3", s.v1 = true);
    CASE("digital signatures", s.usage = GNUTLS_KEY_KEY_AGREEMENT);
}

static void weak_leaf(void **state)
{
    (void)state;
    CASE("weak", s.rsa_bits = 1024);
    CASE("SHA1", s.sha1 = true);
}

static void dates(void **state)
{
    (void)state;
    CASE("expired on 2027-01-14", s.from_days = -5, s.to_days = -1);
    CASE("not valid before 2027-01-16", s.from_days = 1, s.to_days = 5);
    CASE(NULL, s.from_days = 0, s.to_days = 1);
}

static void bad_signature(void **state)
{
    (void)state;
    CASE("", s.broken = true);
}

/* ---- the chain ---- */

static void chains(void **state)
{
    struct certs_cert leaf = certs_client("alice", &verdict.inter),
                      twin = certs_client("alice", &verdict.other);
    const struct certs_cert *good[] = {&leaf, &verdict.inter},
                            *whole[] = {&leaf, &verdict.inter, &verdict.root},
                            *mixed[] = {&leaf, &verdict.root, &verdict.other, &verdict.inter},
                            *bare[] = {&leaf}, *foreign[] = {&twin, &verdict.other},
                            *last[] = {&verdict.inter, &leaf},
                            *lent[] = {&twin, &verdict.inter, &leaf};
    struct cert_store *s = verdict_store(&verdict.root, NULL, 0, CERT_CRL_IF_PRESENT);
    (void)state;
    verdict_accepted(s, good, 2);
    verdict_accepted(s, whole, 3);
    verdict_accepted(s, mixed, 4);
    verdict_refused(s, bare, 1, "no trusted CA");
    verdict_refused(s, foreign, 2, "no trusted CA");
    verdict_refused(s, last, 2, "CA");
    verdict_refused(s, lent, 3,
                    "no trusted CA"); /* a good chain behind the proven leaf helps nobody */
    verdict_refused(s, good, 0, "no certificate");
    cert_store_free(s);
    certs_release(&twin);
    certs_release(&leaf);
}

static void long_chain(void **state)
{
    struct certs_cert leaf = certs_client("alice", &verdict.root);
    const struct certs_cert *chain[9];
    struct cert_store *s = verdict_store(&verdict.root, NULL, 0, CERT_CRL_IF_PRESENT);
    (void)state;
    for (size_t i = 0; i < 9; i++)
        chain[i] = i ? &verdict.inter : &leaf;
    verdict_accepted(s, chain, 8);
    verdict_refused(s, chain, 9, "at most 8");
    cert_store_free(s);
    certs_release(&leaf);
}

/* One leaf below an intermediate CA of that kind. */
static void inter_case(const struct certs_spec *spec, const char *why)
{
    struct certs_cert ca = certs_issue(spec, &verdict.root), leaf = certs_client("alice", &ca);
    const struct certs_cert *chain[] = {&leaf, &ca};
    struct cert_store *s = verdict_store(&verdict.root, NULL, 0, CERT_CRL_IF_PRESENT);
    if (why)
        verdict_refused(s, chain, 2, why);
    else
        verdict_accepted(s, chain, 2);
    cert_store_free(s);
    certs_release(&leaf);
    certs_release(&ca);
}

#define INTER(why, ...)                                                                            \
    do {                                                                                           \
        struct certs_spec s = {.cn = "sub", .ca = CERTS_CA, .usage = GNUTLS_KEY_KEY_CERT_SIGN};    \
        __VA_ARGS__;                                                                               \
        inter_case(&s, why);                                                                       \
    } while (0)

static void intermediate(void **state)
{
    (void)state;
    INTER(NULL, s.serial = 0);
    INTER("expired on", s.from_days = -5, s.to_days = -1);
    INTER("", s.ca = CERTS_LEAF);
    INTER("", s.ca = CERTS_NO_BASIC);
    INTER("", s.v1 = true);
    INTER("", s.usage = GNUTLS_KEY_DIGITAL_SIGNATURE);
    INTER("SHA1", s.sha1 = true);
    INTER("purpose", s.purpose[0] = GNUTLS_KP_TLS_WWW_SERVER);
    INTER("", s.broken = true);
}

static void several_anchors(void **state)
{
    struct certs_cert leaf = certs_client("alice", &verdict.other);
    struct certs_cert late = certs_issue(
        &(struct certs_spec){VERDICT_LEAF, .from_days = -5, .to_days = -1}, &verdict.other);
    const struct certs_cert *ca = &verdict.other;
    gnutls_datum_t der = leaf.der;
    struct cert_store *s = verdict_store(&verdict.root, NULL, 0, CERT_CRL_IF_PRESENT);
    struct cert_id id;
    (void)state;
    certs_write(verdict.ca_file, &ca, 1);
    assert_int_equal(cert_store_add(s, "other", verdict.ca_file, NULL, CERT_CRL_IF_PRESENT),
                     ERR_OK);
    assert_int_equal(cert_store_count(s), 2);
    assert_true(cert_store_has(s, "acme"));
    assert_false(cert_store_has(s, "acm"));
    assert_string_equal(cert_store_name(s, 1), "other");
    assert_int_equal(cert_judge(s, &der, 1, CERT_CLIENT, NULL, CERTS_NOW, &id), ERR_OK);
    assert_string_equal(id.anchor,
                        "other"); /* the same subject under acme would be somebody else */
    assert_string_equal(id.subject_text, "CN=alice");
    assert_int_equal(id.not_after, CERTS_NOW + 30 * CERTS_DAY);
    cert_id_release(&id);
    assert_int_equal(cert_judge(s, &late.der, 1, CERT_CLIENT, NULL, CERTS_NOW, &id), ERR_AUTH);
    assert_non_null(strstr(log_reason(), "expired on"));
    cert_store_free(s);
    certs_release(&late);
    certs_release(&leaf);
}

/* ---- revocation ---- */

static void crl_case(const struct certs_cert *const *chain, unsigned n,
                     const struct certs_crl *crls, size_t n_crls, enum cert_crl_policy policy,
                     const char *why)
{
    struct cert_store *s = verdict_store(&verdict.root, crls, n_crls, policy);
    if (why)
        verdict_refused(s, chain, n, why);
    else
        verdict_accepted(s, chain, n);
    cert_store_free(s);
}

static void crl_of_leaf(void **state)
{
    struct certs_cert leaf = certs_client("alice", &verdict.root);
    const struct certs_cert *chain[] = {&leaf};
    struct certs_crl good = {.issuer = &verdict.root},
                     revokes = {.issuer = &verdict.root, .revoked = {0}},
                     stale = {.issuer = &verdict.root, .from_days = -8, .to_days = -1},
                     early = {.issuer = &verdict.root, .from_days = 1, .to_days = 5},
                     alien = {.issuer = &verdict.other};
    struct certs_crl old_but_true[] = {stale, good};
    (void)state;
    revokes.revoked[0] = 0x7e; /* out of order: a list need not be sorted */
    revokes.revoked[1] = 0x7d;
    revokes.revoked[2] = leaf.serial;
    old_but_true[0].revoked[0] = leaf.serial;
    for (int policy = CERT_CRL_IF_PRESENT; policy <= CERT_CRL_REQUIRE; policy++) {
        enum cert_crl_policy p = (enum cert_crl_policy)policy;
        bool require = p == CERT_CRL_REQUIRE;
        crl_case(chain, 1, &good, 1, p, NULL);
        crl_case(chain, 1, &revokes, 1, p, "revoked on 2027-01-13");
        crl_case(chain, 1, &stale, 1, p, "ran out on 2027-01-14");
        crl_case(chain, 1, &early, 1, p, "is of 2027-01-16 08:00:00 UTC, yet to come");
        crl_case(chain, 1, old_but_true, 2, p, "revoked on");
        crl_case(chain, 1, NULL, 0, p, require ? "no revocation list" : NULL);
        crl_case(chain, 1, &alien, 1, p, require ? "no revocation list" : NULL);
    }
    certs_release(&leaf);
}

static void stale_case(const struct certs_crl *crl, struct cert_staleness how, const char *why,
                       time_t until, time_t since)
{
    struct certs_cert leaf = certs_client("alice", &verdict.root);
    struct cert_store *s = verdict_store(&verdict.root, crl, 1, CERT_CRL_REQUIRE);
    struct cert_id id;
    cert_store_stale(s, how);
    enum err e = cert_judge(s, &leaf.der, 1, CERT_CLIENT, NULL, CERTS_NOW, &id);
    if (why ? e != ERR_AUTH || !strstr(log_reason(), why) : e != ERR_OK)
        fail_msg("%s, wanted \"%s\"", e ? log_reason() : "accepted", why ? why : "(accepted)");
    if (e == ERR_OK) {
        assert_int_equal(id.until, until ? until : id.not_after);
        assert_int_equal(id.stale, since);
    }
    cert_id_release(&id);
    cert_store_free(s);
    certs_release(&leaf);
}

static void crl_that_ran_out(void **state)
{
    const time_t day = CERTS_DAY, soon = CERTS_NOW + 5 * CERTS_DAY, ago = CERTS_NOW - CERTS_DAY;
    struct certs_crl good = {.issuer = &verdict.root, .from_days = -1, .to_days = 5},
                     stale = {.issuer = &verdict.root, .from_days = -8, .to_days = -1};
    (void)state;
    stale_case(&good, (struct cert_staleness){CERT_STALE_FAIL, 0}, NULL, soon - 1, 0);
    stale_case(&good, (struct cert_staleness){CERT_STALE_GRACE, day}, NULL, soon + day - 1, 0);
    stale_case(&good, (struct cert_staleness){CERT_STALE_WARN, 0}, NULL, 0, 0);
    stale_case(&stale, (struct cert_staleness){CERT_STALE_FAIL, 0}, "ran out", 0, 0);
    stale_case(&stale, (struct cert_staleness){CERT_STALE_GRACE, day}, "ran out", 0, 0);
    stale_case(&stale, (struct cert_staleness){CERT_STALE_GRACE, day + 1}, NULL, CERTS_NOW, ago);
    stale_case(&stale, (struct cert_staleness){CERT_STALE_WARN, 0}, NULL, 0, ago);
}

static void crl_that_ran_out_still_names(void **state)
{
    struct certs_cert leaf = certs_client("alice", &verdict.root);
    const struct certs_cert *chain[] = {&leaf};
    struct certs_crl crl = {.issuer = &verdict.root, .from_days = -8, .to_days = -1};
    (void)state;
    crl.revoked[0] = leaf.serial;
    struct cert_store *s = verdict_store(&verdict.root, &crl, 1, CERT_CRL_REQUIRE);
    cert_store_stale(s, (struct cert_staleness){CERT_STALE_WARN, 0});
    verdict_refused(s, chain, 1, "revoked on");
    cert_store_free(s);
    certs_release(&leaf);
}

static void crl_facts(void **state)
{
    struct certs_crl both[] = {{.issuer = &verdict.root, .revoked = {7}},
                               {.issuer = &verdict.inter, .to_days = 3}};
    struct cert_store *s = verdict_store(&verdict.root, both, 2, CERT_CRL_REQUIRE);
    struct cert_crl_facts f;
    (void)state;
    cert_store_stale(s, (struct cert_staleness){CERT_STALE_GRACE, 60});
    assert_true(cert_store_crl(s, 0, &f));
    assert_string_equal(f.anchor, "acme");
    assert_string_equal(f.issuer, "CN=root");
    assert_int_equal(f.revoked, 1);
    assert_int_equal(f.counts_until, f.next_update + 60);
    assert_true(cert_store_crl(s, 1, &f));
    assert_string_equal(f.issuer, "CN=inter");
    assert_int_equal(f.next_update, CERTS_NOW + 3 * CERTS_DAY);
    assert_false(cert_store_crl(s, 2, &f));
    cert_store_free(s);
}

static void crl_serials_are_numbers(void **state)
{
    struct certs_cert leaf = certs_client("alice", &verdict.root);
    const struct certs_cert *chain[] = {&leaf};
    uint8_t octets[] = {0, 0, leaf.serial, 0};
    struct certs_crl crl = {.issuer = &verdict.root};
    (void)state;
    for (unsigned zeros = 0; zeros <= 2; zeros++) {
        crl.revoked_octets = (gnutls_datum_t){octets + 2 - zeros, zeros + 1};
        crl_case(chain, 1, &crl, 1, CERT_CRL_REQUIRE, "revoked on");
        crl.revoked_octets.size++; /* 256 times as large: another's */
        crl_case(chain, 1, &crl, 1, CERT_CRL_REQUIRE, NULL);
    }
    certs_release(&leaf);
}

static void crl_of_intermediate(void **state)
{
    struct certs_cert leaf = certs_client("alice", &verdict.inter);
    const struct certs_cert *chain[] = {&leaf, &verdict.inter};
    struct certs_crl both[] = {{.issuer = &verdict.root}, {.issuer = &verdict.inter}};
    struct certs_crl forged[] = {{.issuer = &verdict.root},
                                 {.issuer = &verdict.inter, .signer = &verdict.other}};
    (void)state;
    crl_case(chain, 2, both, 2, CERT_CRL_REQUIRE, NULL);
    crl_case(chain, 2, both, 1, CERT_CRL_REQUIRE, "no revocation list");
    crl_case(chain, 2, both, 1, CERT_CRL_IF_PRESENT, NULL);
    crl_case(chain, 2, forged, 2, CERT_CRL_REQUIRE, "signature");
    crl_case(chain, 2, forged, 2, CERT_CRL_IF_PRESENT, "signature");
    both[0].revoked[0] = verdict.inter.serial;
    crl_case(chain, 2, both, 2, CERT_CRL_IF_PRESENT, "certificate of CN=inter: revoked on");
    both[0].revoked[0] = 0;
    both[1].revoked[0] = leaf.serial;
    crl_case(chain, 2, both, 2, CERT_CRL_IF_PRESENT, "certificate of CN=alice: revoked on");
    certs_release(&leaf);
}

/* A CA that changed its key: two certificates of one name, CRLs by the new key for both. */
static void crl_after_key_change(void **state)
{
    struct certs_cert fresh = certs_ca("root", NULL);
    struct certs_cert before = certs_client("alice", &verdict.root),
                      after = certs_client("bob", &fresh);
    const struct certs_cert *orders[2][2] = {{&verdict.root, &fresh}, {&fresh, &verdict.root}};
    const struct certs_cert *chains[] = {&before, &after};
    (void)state;
    for (int order = 0; order < 2; order++)
        for (int i = 0; i < 2; i++)
            for (int revoke = 0; revoke < 2; revoke++) {
                struct certs_crl crl = {.issuer = &fresh};
                struct cert_store *s = NULL;
                crl.revoked[0] = revoke ? chains[i]->serial : 0;
                certs_write(verdict.ca_file, orders[order], 2);
                certs_write_crls(verdict.crl_file, &crl, 1);
                assert_int_equal(cert_store_new(&s), ERR_OK);
                assert_int_equal(cert_store_add(s, "acme", verdict.ca_file, verdict.crl_file,
                                                CERT_CRL_IF_PRESENT),
                                 ERR_OK);
                if (revoke)
                    verdict_refused(s, &chains[i], 1, "revoked on");
                else
                    verdict_accepted(s, &chains[i], 1);
                cert_store_free(s);
            }
    certs_release(&after);
    certs_release(&before);
    certs_release(&fresh);
}

/* ---- what an anchor may be ---- */

static void anchor_refused(const struct certs_cert *ca, const struct certs_crl *crl)
{
    struct cert_store *s = NULL;
    if (ca)
        certs_write(verdict.ca_file, &ca, 1);
    if (crl)
        certs_write_crls(verdict.crl_file, crl, 1);
    assert_int_equal(cert_store_new(&s), ERR_OK);
    assert_int_equal(
        cert_store_add(s, "acme", verdict.ca_file, crl ? verdict.crl_file : NULL, CERT_CRL_REQUIRE),
        ERR_CONFIG);
    assert_int_equal(cert_store_count(s), 0);
    cert_store_free(s);
}

static void bad_anchor(void **state)
{
    struct certs_cert leaf = certs_client("alice", &verdict.root);
    struct certs_cert v1 = certs_issue(&(struct certs_spec){.cn = "old", .v1 = true}, NULL);
    struct certs_crl forged = {.issuer = &verdict.root, .signer = &verdict.other},
                     part = {.issuer = &verdict.root, .partial = true},
                     endless = {.issuer = &verdict.root, .no_next = true};
    (void)state;
    anchor_refused(&leaf, NULL);
    anchor_refused(&v1, NULL);
    anchor_refused(&verdict.root, &forged);
    anchor_refused(&verdict.root, &part);
    anchor_refused(&verdict.root, &endless);
    unlink(verdict.ca_file);
    anchor_refused(NULL, NULL);
    certs_write(verdict.ca_file, NULL, 0);
    anchor_refused(NULL, NULL);
    const struct certs_cert *ca = &verdict.root;
    certs_write(verdict.ca_file, &ca, 1);
    assert_int_equal(chmod(verdict.ca_file, 0666), 0);
    anchor_refused(NULL, NULL);
    certs_release(&v1);
    certs_release(&leaf);
}

static void one_ca_one_anchor(void **state)
{
    struct cert_store *s = verdict_store(&verdict.root, NULL, 0, CERT_CRL_IF_PRESENT);
    const struct certs_cert *ca = &verdict.other;
    (void)state;
    assert_int_equal(cert_store_add(s, "twin", verdict.ca_file, NULL, CERT_CRL_REQUIRE),
                     ERR_CONFIG);
    certs_write(verdict.ca_file, &ca, 1);
    assert_int_equal(cert_store_add(s, "acme", verdict.ca_file, NULL, CERT_CRL_REQUIRE),
                     ERR_CONFIG);
    assert_int_equal(cert_store_count(s), 1);
    cert_store_free(s);
}

/* ---- servers ---- */

static void host_case(const struct certs_spec *spec, const char *host, bool good)
{
    struct certs_cert leaf = certs_issue(spec, &verdict.root);
    const struct certs_cert *chain[] = {&leaf};
    struct cert_store *s = verdict_store(&verdict.root, NULL, 0, CERT_CRL_IF_PRESENT);
    enum err e = verdict_of(s, chain, 1, CERT_SERVER, host);
    if (good != (e == ERR_OK))
        fail_msg("%s is %s: %s", host ? host : "(none)", good ? "refused" : "accepted",
                 log_reason());
    cert_store_free(s);
    certs_release(&leaf);
}

#define HOST(good, host, ...)                                                                      \
    do {                                                                                           \
        struct certs_spec s = {.cn = "cn.example.org",                                             \
                               .ca = CERTS_LEAF,                                                   \
                               .usage = GNUTLS_KEY_DIGITAL_SIGNATURE,                              \
                               .purpose = {GNUTLS_KP_TLS_WWW_SERVER}};                             \
        __VA_ARGS__;                                                                               \
        host_case(&s, host, good);                                                                 \
    } while (0)

static void host_names(void **state)
{
    (void)state;
    HOST(true, "a.example.org", s.dns = "a.example.org");
    HOST(true, "A.Example.ORG", s.dns = "a.example.org");
    HOST(false, "b.example.org", s.dns = "a.example.org");
    HOST(false, "a.example.org.", s.dns = "a.example.org");
    HOST(false, "a.example.org.evil", s.dns = "a.example.org");
    HOST(false, "", s.dns = "a.example.org");
    HOST(false, NULL, s.dns = "a.example.org");
    HOST(false, "cn.example.org", s.dns = NULL);
    HOST(false, "cn.example.org", s.dns = "a.example.org");
    HOST(false, "cn.example.org", s.email = "x@cn.example.org");
    HOST(false, "cn.example.org", s.ip4 = (const uint8_t *)"\x7f\0\0\1");
}

static void wildcards(void **state)
{
    (void)state;
    HOST(true, "a.example.org", s.dns = "*.example.org");
    HOST(false, "example.org", s.dns = "*.example.org");
    HOST(false, "a.b.example.org", s.dns = "*.example.org");
    HOST(false, "a.example.org", s.dns = "*");
    HOST(false, "example.org", s.dns = "*.org");
}

static void addresses(void **state)
{
    static const uint8_t here[] = {127, 0, 0, 1};
    (void)state;
    HOST(true, "127.0.0.1", s.ip4 = here);
    HOST(false, "127.0.0.2", s.ip4 = here);
    HOST(false, "127.0.0.1", s.dns = "127.0.0.1");
    HOST(false, "127.0.0.1", s.cn = "127.0.0.1");
    HOST(false, "::1", s.ip4 = here);
}

static void server_needs_its_purpose(void **state)
{
    (void)state;
    HOST(false, "a.example.org", s.dns = "a.example.org", s.purpose[0] = GNUTLS_KP_TLS_WWW_CLIENT);
    HOST(false, "a.example.org", s.dns = "a.example.org", s.purpose[0] = GNUTLS_KP_ANY);
    HOST(false, "a.example.org", s.dns = "a.example.org", s.purpose[0] = NULL);
}

/* ---- who it is ---- */

static void identity(void **state)
{
    struct certs_cert leaf = certs_issue(&(struct certs_spec){VERDICT_LEAF, .dns = "a.example.org",
                                                              .email = "a@example.org",
                                                              .uri = "urn:x:y", .serial = 0x5a},
                                         &verdict.inter);
    struct cert_id id = {0};
    uint8_t hash[32];
    gnutls_pubkey_t pub;
    gnutls_datum_t spki;
    (void)state;
    assert_int_equal(cert_id_read(&leaf.der, &id), ERR_OK);
    assert_string_equal(id.subject_text, "CN=alice");
    assert_string_equal(id.issuer_text, "CN=inter");
    assert_string_equal(id.serial, "5a");
    assert_string_equal(id.anchor, "");
    assert_int_equal(id.n_sans, 3);
    for (size_t i = 0; i < 3; i++) {
        static const char *const values[] = {[CERT_SAN_DNS] = "a.example.org",
                                             [CERT_SAN_EMAIL] = "a@example.org",
                                             [CERT_SAN_URI] = "urn:x:y"};
        const char *value = values[id.sans[i].type];
        assert_int_equal(id.sans[i].n, strlen(value));
        assert_memory_equal(id.sans[i].value, value, strlen(value));
    }
    assert_int_equal(gnutls_pubkey_init(&pub), 0);
    assert_int_equal(gnutls_pubkey_import_privkey(pub, leaf.key, 0, 0), 0);
    assert_int_equal(gnutls_pubkey_export2(pub, GNUTLS_X509_FMT_DER, &spki), 0);
    assert_int_equal(gnutls_hash_fast(GNUTLS_DIG_SHA256, spki.data, spki.size, hash), 0);
    assert_memory_equal(hash, id.spki_sha256, 32);
    assert_int_equal(gnutls_hash_fast(GNUTLS_DIG_SHA256, leaf.der.data, leaf.der.size, hash), 0);
    assert_memory_equal(hash, id.cert_sha256, 32);
    gnutls_free(spki.data);
    gnutls_pubkey_deinit(pub);
    cert_id_release(&id);
    certs_release(&leaf);
}

static void hostile_subject_is_scrubbed(void **state)
{
    struct certs_der name = {.n = 0};
    struct cert_id id = {0};
    (void)state;
    certs_put_rdn(&name, CERTS_CN, CERTS_UTF8, "bob\nCN=alice\x1b[0m", 16, false);
    struct certs_cert leaf =
        certs_issue(&(struct certs_spec){VERDICT_LEAF, .subject = &name}, &verdict.root);
    assert_int_equal(cert_id_read(&leaf.der, &id), ERR_OK);
    for (const char *c = id.subject_text; *c; c++)
        assert_in_range(*c, 0x20, 0x7e);
    cert_id_release(&id);
    certs_release(&leaf);
}

static void empty_subject(void **state)
{
    struct certs_der none = {.n = 0};
    struct cert_id id = {0};
    (void)state;
    CASE(NULL, s.subject = &none, s.email = "a@example.org");
    struct certs_cert leaf = certs_issue(
        &(struct certs_spec){VERDICT_LEAF, .subject = &none, .email = "a@b"}, &verdict.root);
    assert_int_equal(cert_id_read(&leaf.der, &id), ERR_OK);
    assert_int_equal(id.subject.n, 0);
    assert_string_equal(id.subject_text, "");
    cert_id_release(&id);
    certs_release(&leaf);
}

static void junk_is_no_certificate(void **state)
{
    struct certs_cert leaf = certs_client("alice", &verdict.root);
    gnutls_datum_t cut = leaf.der, none = {NULL, 0};
    struct cert_store *s = verdict_store(&verdict.root, NULL, 0, CERT_CRL_IF_PRESENT);
    struct cert_id id;
    (void)state;
    for (cut.size = 0; cut.size < leaf.der.size; cut.size++)
        assert_int_equal(cert_judge(s, &cut, 1, CERT_CLIENT, NULL, CERTS_NOW, &id), ERR_AUTH);
    assert_int_equal(cert_id_read(&none, &id), ERR_AUTH);
    cert_store_free(s);
    certs_release(&leaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_leaf),
        cmocka_unit_test(purpose_must_be_named),
        cmocka_unit_test(kind_of_leaf),
        cmocka_unit_test(weak_leaf),
        cmocka_unit_test(dates),
        cmocka_unit_test(bad_signature),
        cmocka_unit_test(chains),
        cmocka_unit_test(long_chain),
        cmocka_unit_test(intermediate),
        cmocka_unit_test(several_anchors),
        cmocka_unit_test(crl_of_leaf),
        cmocka_unit_test(crl_that_ran_out),
        cmocka_unit_test(crl_that_ran_out_still_names),
        cmocka_unit_test(crl_facts),
        cmocka_unit_test(crl_serials_are_numbers),
        cmocka_unit_test(crl_of_intermediate),
        cmocka_unit_test(crl_after_key_change),
        cmocka_unit_test(bad_anchor),
        cmocka_unit_test(one_ca_one_anchor),
        cmocka_unit_test(host_names),
        cmocka_unit_test(wildcards),
        cmocka_unit_test(addresses),
        cmocka_unit_test(server_needs_its_purpose),
        cmocka_unit_test(identity),
        cmocka_unit_test(hostile_subject_is_scrubbed),
        cmocka_unit_test(empty_subject),
        cmocka_unit_test(junk_is_no_certificate),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, verdict_begin, verdict_end);
}
