/* SPDX-License-Identifier: ISC */
/* The map: what it refuses to load, and whom it lets in. */
#include "../../server/map.h"
#include "lib/certs.h"
#include "log.h"

#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/consign-map-XXXXXX";
static char map_file[64], ca_file[64];
static struct cert_store *anchors;
static struct certs_cert root;
static char lines[4096]; /* what map_match explained */

#define ALICE "anchor = acme\nsubject = CN=alice,O=Acme\n"
#define REST  "root = /srv/a\nrights = list read\n"

/* ---- loading ---- */

static enum err load(const char *text, bool as_root, struct map **m)
{
    FILE *out = fopen(map_file, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fchmod(fileno(out), 0644), 0);
    assert_int_equal(fclose(out), 0);
    log_clear_reason();
    return map_load(map_file, anchors, as_root, m);
}

static struct map *loaded(const char *text)
{
    struct map *m = NULL;
    if (load(text, false, &m) != ERR_OK)
        fail_msg("refused: %s", log_reason());
    return m;
}

/* Refused, at that line, with a reason that holds why. */
static void refused(const char *text, unsigned line, const char *why)
{
    struct map *m = (void *)1;
    char at[96];
    snprintf(at, sizeof at, "%s:%u: ", map_file, line);
    if (load(text, false, &m) != ERR_CONFIG)
        fail_msg("taken: %s", text);
    assert_null(m);
    if (!strstr(log_reason(), at) || !strstr(log_reason(), why))
        fail_msg("the reason is \"%s\", wanted line %u and \"%s\"", log_reason(), line, why);
}

static void note(void *arg, const char *line)
{
    size_t n = strlen(lines);
    (void)arg;
    snprintf(lines + n, sizeof lines - n, "%s\n", line);
}

/* Whose the certificate is; "" when it is nobody's. */
static const char *whose(const struct map *m, const struct cert_id *id)
{
    static struct map_answer a, b;
    struct map_asker who = {.id = id, .now = CERTS_NOW};
    lines[0] = '\0';
    enum err e = map_ask(m, &who, &a, note, NULL);
    assert_int_equal(e, map_ask(m, &who, &b, NULL, NULL));
    if (e != ERR_OK) {
        assert_int_equal(e, ERR_AUTH);
        assert_string_equal(b.told, "no rule of the map is for this certificate");
        return "";
    }
    assert_string_equal(a.user, b.user);
    assert_int_equal(a.rule, b.rule);
    assert_null(b.told);
    return b.user;
}

static void whole_rule(void **state)
{
    struct map *m = loaded("# who\n[alice]\n" ALICE
                           "uri = urn:acme:batch\nroot = /srv/alice\nroot /inbox = /srv/in\n"
                           "rights = list read create\nrights /inbox = create\n"
                           "quota = 10G\nquota-files = 5000\nparts = 7\nretain = 4w\nsessions = "
                           "8\nrate = 5M\nlinks = yes\nattributes = xattrs, owners\n"
                           "[bob@acme.example]\nanchor=acme\nemail=bob@acme.example\n" REST);
    const struct map_user *u = map_user(m, 0);
    (void)state;
    assert_int_equal(map_count(m), 2);
    assert_string_equal(u->name, "alice");
    assert_int_equal(u->line, 2);
    assert_int_equal(u->n_roots, 2);
    assert_string_equal(u->roots[0].prefix, "/");
    assert_string_equal(u->roots[0].dir, "/srv/alice");
    assert_int_equal(u->roots[0].rights, FS_LIST | FS_READ | FS_CREATE);
    assert_string_equal(u->roots[1].prefix, "/inbox");
    assert_int_equal(u->roots[1].rights, FS_CREATE);
    assert_true(u->quota == UINT64_C(10) << 30);
    assert_true(u->quota_files == 5000 && u->parts == 7 && u->retain_s == 28 * 86400);
    assert_int_equal(u->sessions, 8);
    assert_true(u->rate == UINT64_C(5) << 20);
    assert_false(u->has_account);
    assert_int_equal(map_user(m, 1)->sessions, 16);
    assert_true(map_user(m, 1)->quota == 0);
    assert_true(map_user(m, 1)->quota_files == 0 && map_user(m, 1)->parts == 0);
    assert_true(map_user(m, 1)->retain_s == 0);
    assert_true(map_user(m, 1)->rate == 0);
    assert_true(u->links && !map_user(m, 1)->links);
    assert_int_equal(u->meta, META_XATTRS | META_OWNERS);
    assert_int_equal(map_user(m, 1)->meta, 0);
    assert_null(map_user(m, 2));
    map_free(m);
    map_free(NULL);
}

static void missing_parts(void **state)
{
    (void)state;
    refused("[a]\nsubject = CN=a\n" REST, 1, "anchor");
    refused("[a]\nanchor = acme\n" REST, 1, "selector");
    refused("[a]\n" ALICE "rights = list\n", 1, "root");
    refused("[a]\n" ALICE "root = /srv/a\n", 1, "rights");
    refused("[a]\n" ALICE "root = /a\nroot /b = /b\nrights /b = list\n", 1, "rights for root /");
    refused("[a]\n" ALICE REST "rights /b = list\n", 1, "/b");
    refused("[a]\nanchor = nobody\nsubject = CN=a\n" REST, 1, "nobody");
}

static void bad_values(void **state)
{
    (void)state;
    refused("[a]\nanchor = acme\nsubject = alice\n" REST, 3, "TYPE=value");
    refused("[a]\nanchor = acme\nsubject =\n" REST, 3, "");
    refused("[a]\n" ALICE "root = srv\n", 4, "absolute");
    refused("[a]\n" ALICE "root a = /srv\n", 4, "virtual path");
    refused("[a]\n" ALICE "root /../x = /srv\n", 4, "virtual path");
    refused("[a]\n" ALICE "root /a/ = /srv\n", 4, "virtual path");
    refused("[a]\n" ALICE "root /a//b = /srv\n", 4, "virtual path");
    refused("[a]\n" ALICE "root /.consign = /srv\n", 4, "virtual path");
    refused("[a]\n" ALICE "rights = list write\n", 4, "rights are");
    refused("[a]\n" ALICE "rights =\n", 4, "rights are");
    refused("[a]\n" ALICE REST "root /b = /b\nrights /b = ,\n", 7, "rights are");
    refused("[a]\n" ALICE "sessions = 0\n", 4, "");
    refused("[a]\n" ALICE "sessions = -1\n", 4, "");
    refused("[a]\n" ALICE "quota = 10X\n", 4, "");
    refused("[a]\n" ALICE "quota-files = 10K\n", 4, "");
    refused("[a]\n" ALICE "parts = 0\n", 4, "");
    refused("[a]\n" ALICE "retain = 101y\n", 4, "");
    refused("[a]\n" ALICE "retain = for ever\n", 4, "");
    refused("[a]\n" ALICE "rate = 0\n", 4, "at least");
    refused("[a]\n" ALICE "rate = 8191\n", 4, "at least");
    refused("[a]\n" ALICE "rate = fast\n", 4, "number of bytes");
    refused("[a]\n" ALICE "attributes = acls all\n", 4, "attributes are");
    refused("[a]\n" ALICE "links = keep\n", 4, "neither yes nor no");
    refused("[a]\n" ALICE "quota = 18446744073709551616\n", 4, "");
    refused("[a]\n" ALICE "quota = 16777216T\n", 4, "");
    refused("[a]\nanchor = acme\nfingerprint = 9f86\n" REST, 3, "fingerprint");
    refused("[a]\n" ALICE "rigths = list\n", 4, "unknown key");
    refused("[a]\n" ALICE "rooted = /x\n", 4, "unknown key");
}

static void bad_names(void **state)
{
    static const char *const names[] = {".a", "-a", "a b", "a/b", "../a", "a\xc3\xa9", "a;b"};
    char text[256], name[80];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(text, sizeof text, "[%s]\n%s%s", names[i], ALICE, REST);
        refused(text, 1, "name");
    }
    memset(name, 'a', sizeof name);
    snprintf(text, sizeof text, "[%.65s]\n%s%s", name, ALICE, REST);
    refused(text, 1, "name");
    snprintf(text, sizeof text, "[%.64s]\n%s%s", name, ALICE, REST);
    map_free(loaded(text));
}

static void nothing_twice(void **state)
{
    (void)state;
    refused("[a]\n" ALICE REST "[a]\nanchor = acme\nsubject = CN=b\n" REST, 6, "twice");
    refused("[a]\n" ALICE "anchor = acme\n" REST, 4, "twice");
    refused("[a]\n" ALICE "subject = CN=b\n" REST, 4, "twice");
    refused("[a]\n" ALICE "uri = u:1\nuri = u:2\n" REST, 5, "twice");
    refused("[a]\n" ALICE "issuer = CN=x\nissuer = CN=x\n" REST, 5, "twice");
    refused("[a]\n" ALICE "hours = 06:00-22:00 UTC\nhours = 06:00-22:00 UTC\n" REST, 5, "twice");
    refused("[a]\n" ALICE "networks = ::1\nnetworks = ::1\n" REST, 5, "twice");
    refused("[a]\n" ALICE REST "root = /b\n", 6, "twice");
    refused("[a]\n" ALICE REST "root / = /b\n", 6, "twice");
    refused("[a]\n" ALICE REST "rights = all\n", 6, "twice");
    refused("[a]\n" ALICE "root /b = /b\nrights /b = read\nrights  /b = all\n", 6, "twice");
    refused("[a]\n" ALICE "quota = 0\nquota = 1G\n", 5, "twice");
    refused("[a]\n" ALICE "sessions = 1\nsessions = 2\n", 5, "twice");
    refused("[a]\n" ALICE "rate = 1M\nrate = 1M\n", 5, "twice");
    refused("[a]\n" ALICE "attributes = acls\nattributes = xattrs\n", 5, "twice");
    refused("[a]\n" ALICE "links = no\nlinks = yes\n", 5, "twice");
}

static void same_selectors(void **state)
{
    (void)state;
    refused("[a]\n" ALICE REST "[b]\n" ALICE REST, 6, "[a]");
    refused("[a]\n" ALICE REST "[b]\nanchor=acme\nsubject = cn=alice, 2.5.4.10=\\41cme\n" REST, 6,
            "[a]");
    refused("[a]\nanchor=acme\ndns=X.example\n" REST "[b]\nanchor=acme\ndns=x.example\n" REST, 6,
            "[a]");
    map_free(loaded("[a]\n" ALICE REST "[b]\n" ALICE "uri = u:1\n" REST));
    map_free(loaded("[a]\n" ALICE REST "[b]\nanchor=zeta\nsubject=CN=alice,O=Acme\n" REST));
}

static void accounts(void **state)
{
    struct passwd *nobody = getpwnam("nobody"), *own = getpwuid(geteuid());
    struct map *m = NULL;
    char text[256];
    (void)state;
    assert_non_null(nobody);
    assert_non_null(own);
    assert_int_equal(load("[a]\n" ALICE REST, true, &m), ERR_CONFIG);
    assert_int_equal(load("[a]\n" ALICE REST "account = no-such-account\n", true, &m), ERR_CONFIG);
    assert_non_null(strstr(log_reason(), "no-such-account"));
    assert_int_equal(load("[a]\n" ALICE REST "account = root\n", true, &m), ERR_CONFIG);
    assert_int_equal(load("[a]\n" ALICE REST "account = 0\n", true, &m), ERR_CONFIG);
    assert_int_equal(load("[a]\n" ALICE REST "account = nobody\n", true, &m), ERR_OK);
    assert_true(map_user(m, 0)->has_account);
    assert_int_equal(map_user(m, 0)->uid, nobody->pw_uid);
    assert_int_equal(map_user(m, 0)->gid, nobody->pw_gid);
    assert_true(map_user(m, 0)->n_groups >= 1);
    map_free(m);
    m = NULL;
    /* Not as root: nobody else's account, and root's never. */
    if (own->pw_uid != nobody->pw_uid)
        assert_int_equal(load("[a]\n" ALICE REST "account = nobody\n", false, &m), ERR_CONFIG);
    snprintf(text, sizeof text, "[a]\n%s%saccount = %s\n", ALICE, REST, own->pw_name);
    assert_int_equal(load(text, false, &m), own->pw_uid == 0 ? ERR_CONFIG : ERR_OK);
    map_free(m);
}

/* A partner's rules stand behind the map, and are for its anchor alone. */
static void partners_rules_are_for_their_anchor(void **state)
{
    struct map *m = loaded("[a]\nanchor = acme\nsubject = CN=a\n" REST);
    struct map *none = NULL;
    (void)state;
    assert_int_equal(load("[b]\nsubject = CN=a\n" REST, false, &none), ERR_CONFIG);
    assert_int_equal(map_add(m, map_file, anchors, false, "zeta"), ERR_OK);
    assert_int_equal(map_count(m), 2);
    struct cert_id id = {.anchor = "zeta"};
    assert_int_equal(cert_dn_parse("CN=a", &id.subject), ERR_OK);
    assert_string_equal(whose(m, &id), "b");
    memcpy(id.anchor, "acme", 5);
    assert_string_equal(whose(m, &id), "a");
    cert_dn_release(&id.subject);
    assert_int_equal(load("[c]\nanchor = acme\nsubject = CN=c\n" REST, false, &none), ERR_OK);
    map_free(none);
    assert_int_equal(map_add(m, map_file, anchors, false, "zeta"), ERR_CONFIG);
    assert_non_null(strstr(log_reason(), "for its own anchor alone"));
    map_free(m);
}

static void empty_map_lets_nobody_in(void **state)
{
    struct cert_id id = {.anchor = "acme"};
    struct map *m = loaded("# nobody yet\n");
    (void)state;
    assert_int_equal(map_count(m), 0);
    assert_string_equal(whose(m, &id), "");
    map_free(m);
    assert_int_equal(map_load("/nonexistent/map", anchors, false, &m), ERR_CONFIG);
}

/* ---- matching ---- */

/* The user of the certificate as if it had been verified under anchor; "" when there is none. */
static const char *user_of(const struct map *m, const struct certs_spec *spec, const char *anchor)
{
    static char name[65];
    struct certs_cert leaf = certs_issue(spec, &root);
    struct cert_id id;
    assert_int_equal(cert_id_read(&leaf.der, &id), ERR_OK);
    snprintf(id.anchor, sizeof id.anchor, "%s", anchor);
    snprintf(name, sizeof name, "%s", whose(m, &id));
    cert_id_release(&id);
    certs_release(&leaf);
    return name;
}

#define USER(m, anchor, ...) user_of(m, &(struct certs_spec){__VA_ARGS__}, anchor)

static struct certs_der acme_alice(void)
{
    struct certs_der name = {.n = 0};
    certs_put_rdn(&name, CERTS_O, CERTS_UTF8, "Acme", 4, false);
    certs_put_rdn(&name, CERTS_CN, CERTS_UTF8, "alice", 5, false);
    return name;
}

static void subject_and_anchor(void **state)
{
    struct certs_der alice = acme_alice();
    struct map *m = loaded("[alice]\n" ALICE REST "[bob]\nanchor = acme\nsubject = CN=bob\n" REST);
    (void)state;
    assert_string_equal(USER(m, "acme", .subject = &alice), "alice");
    assert_string_equal(USER(m, "zeta", .subject = &alice), "");
    assert_string_equal(USER(m, "", .subject = &alice), "");
    assert_string_equal(USER(m, "acme", .cn = "bob"), "bob");
    assert_string_equal(USER(m, "acme", .cn = "alice,O=Acme"), "");
    assert_string_equal(USER(m, "acme", .cn = "alice"), "");
    assert_string_equal(USER(m, "acme", .cn = "bob\nCN=alice"), "");
    map_free(m);
}

static void alternative_names(void **state)
{
    struct certs_der none = {.n = 0};
    struct map *m =
        loaded("[u]\nanchor=acme\nuri=urn:x:Y\n" REST "[e]\nanchor=acme\nemail=a@example.org\n" REST
               "[d]\nanchor=acme\ndns=Host.Example.org\n" REST);
    (void)state;
    assert_string_equal(USER(m, "acme", .subject = &none, .uri = "urn:x:Y"), "u");
    assert_string_equal(USER(m, "acme", .subject = &none, .uri = "urn:x:y"), "");
    assert_string_equal(USER(m, "acme", .subject = &none, .uri = "urn:x:Y2"), "");
    assert_string_equal(USER(m, "acme", .cn = "x", .email = "a@example.org"), "e");
    assert_string_equal(USER(m, "acme", .cn = "x", .email = "A@example.org"), "");
    assert_string_equal(USER(m, "acme", .cn = "x", .dns = "hOST.example.org"), "d");
    assert_string_equal(USER(m, "acme", .cn = "x", .dns = "*.example.org"), "");
    assert_string_equal(USER(m, "acme", .cn = "x", .uri = "a@example.org"), "");
    assert_string_equal(USER(m, "acme", .cn = "Host.Example.org"), "");
    map_free(m);
}

static void nul_in_a_name(void **state)
{
    struct map *m = loaded("[d]\nanchor=acme\ndns=host.example\n" REST);
    struct cert_san san = {CERT_SAN_DNS, (uint8_t *)"host.example\0.evil", 18};
    struct cert_id id = {.anchor = "acme", .sans = &san, .n_sans = 1};
    (void)state;
    assert_string_equal(whose(m, &id), "");
    san.n = 12;
    assert_string_not_equal(whose(m, &id), "");
    san.value = (uint8_t *)"host\0example";
    assert_string_equal(whose(m, &id), "");
    map_free(m);
}

static void fingerprint(void **state)
{
    struct cert_id id = {.anchor = "acme"};
    struct map *m = loaded("[f]\nanchor=acme\nfingerprint = SHA256:"
                           "000102030405060708090a0b0c0d0e0f"
                           "101112131415161718191A1B1C1D1E1F\n" REST);
    (void)state;
    for (uint8_t i = 0; i < 32; i++)
        id.spki_sha256[i] = i;
    assert_string_not_equal(whose(m, &id), "");
    id.spki_sha256[31] ^= 1;
    assert_string_equal(whose(m, &id), "");
    map_free(m);
}

static void all_selectors_count(void **state)
{
    struct certs_der alice = acme_alice();
    struct map *m = loaded("[both]\n" ALICE "uri = u:1\n" REST "[any]\n" ALICE REST);
    (void)state;
    assert_string_equal(USER(m, "acme", .subject = &alice, .uri = "u:1"), "both");
    assert_string_equal(USER(m, "acme", .subject = &alice, .uri = "u:2"), "any");
    assert_string_equal(USER(m, "acme", .cn = "bob", .uri = "u:1"), "");
    map_free(m);
}

static void explains(void **state)
{
    struct map *m = loaded("# one\n\n[alice]\n" ALICE REST "[bob]\nanchor=acme\nsubject=CN=b\n" REST
                           "[z]\nanchor=zeta\nsubject=CN=b\n" REST);
    (void)state;
    assert_string_equal(USER(m, "acme", .cn = "b\nx"), "");
    assert_string_equal(
        lines, "rule alice (map line 3): no match: subject is CN=b\\x0ax, wanted CN=alice,O=Acme\n"
               "rule bob (map line 8): no match: subject is CN=b\\x0ax, wanted CN=b\n"
               "rule z (map line 13): no match: issued under anchor acme, wanted zeta; "
               "subject is CN=b\\x0ax, wanted CN=b\n"
               "nearest: rule bob (map line 8): subject is CN=b\\x0ax, wanted CN=b\n");
    assert_string_equal(USER(m, "acme", .cn = "b"), "bob");
    assert_non_null(strstr(lines, "rule bob (map line 8): matches\n"));
    assert_null(strstr(lines, "rule z"));
    map_free(m);
}

static void add_anchor(const char *name)
{
    struct certs_cert ca = certs_ca(name, NULL);
    const struct certs_cert *list = &ca;
    certs_write(ca_file, &list, 1);
    assert_int_equal(cert_store_add(anchors, name, ca_file, NULL, CERT_CRL_IF_PRESENT), ERR_OK);
    certs_release(&ca);
}

static int begin(void **state)
{
    (void)state;
    log_quiet(getenv("V") == NULL);
    if (!mkdtemp(dir) || cert_store_new(&anchors) != ERR_OK)
        return -1;
    snprintf(map_file, sizeof map_file, "%s/map", dir);
    snprintf(ca_file, sizeof ca_file, "%s/ca.pem", dir);
    root = certs_ca("root", NULL);
    add_anchor("acme");
    add_anchor("zeta");
    return 0;
}

static int end(void **state)
{
    (void)state;
    cert_store_free(anchors);
    certs_release(&root);
    unlink(map_file);
    unlink(ca_file);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_rule),
        cmocka_unit_test(missing_parts),
        cmocka_unit_test(bad_values),
        cmocka_unit_test(bad_names),
        cmocka_unit_test(nothing_twice),
        cmocka_unit_test(same_selectors),
        cmocka_unit_test(accounts),
        cmocka_unit_test(empty_map_lets_nobody_in),
        cmocka_unit_test(subject_and_anchor),
        cmocka_unit_test(alternative_names),
        cmocka_unit_test(nul_in_a_name),
        cmocka_unit_test(fingerprint),
        cmocka_unit_test(all_selectors_count),
        cmocka_unit_test(partners_rules_are_for_their_anchor),
        cmocka_unit_test(explains),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, begin, end);
}
