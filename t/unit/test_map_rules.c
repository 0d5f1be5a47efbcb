/* SPDX-License-Identifier: ISC */
/* Rules for many, and rules in common: templates, groups; and the conditions: hours, networks. */
#include "../../server/map.h"
#include "lib/certs.h"
#include "log.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/consign-rules-XXXXXX";
static char map_file[64], ca_file[64];
static struct cert_store *anchors;
static char lines[8192];

#define STAFF "anchor = acme\nsubject = CN=*,O=Acme\n"
#define REST  "root = /srv/%{user}\nrights = list read\n"

static void write_map(const char *text)
{
    FILE *out = fopen(map_file, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fchmod(fileno(out), 0644), 0);
    assert_int_equal(fclose(out), 0);
    log_clear_reason();
}

static struct map *loaded(const char *text)
{
    struct map *m = NULL;
    write_map(text);
    if (map_load(map_file, anchors, false, &m) != ERR_OK)
        fail_msg("refused: %s", log_reason());
    return m;
}

static void refused(const char *text, unsigned line, const char *why)
{
    struct map *m = NULL;
    char at[96];
    write_map(text);
    snprintf(at, sizeof at, "%s:%u: ", map_file, line);
    if (map_load(map_file, anchors, false, &m) != ERR_CONFIG)
        fail_msg("taken: %s", text);
    if (!strstr(log_reason(), at) || !strstr(log_reason(), why))
        fail_msg("the reason is \"%s\", wanted line %u and \"%s\"", log_reason(), line, why);
}

static void note(void *arg, const char *line)
{
    size_t n = strlen(lines);
    (void)arg;
    snprintf(lines + n, sizeof lines - n, "%s\n", line);
}

static enum err ask(const struct map *m, const char *subject, struct map_answer *a)
{
    struct cert_id id = {.anchor = "acme"};
    struct map_asker who = {.id = &id, .now = CERTS_NOW};
    assert_null(cert_dn_check(subject, &id.subject));
    lines[0] = '\0';
    enum err e = map_ask(m, &who, a, note, NULL);
    cert_id_release(&id);
    return e;
}

static void is(const struct map *m, const char *subject, const char *user)
{
    struct map_answer a;
    enum err e = ask(m, subject, &a);
    if (e != (user ? ERR_OK : ERR_AUTH) || strcmp(a.user, user ? user : "") != 0)
        fail_msg("%s is \"%s\", not %s\n%s", subject, a.user, user ? user : "refused", lines);
}

/* ---- templates ---- */

static void names_from_certificates(void **state)
{
    struct map *m = loaded("[acme.%{CN}]\n" STAFF REST);
    (void)state;
    is(m, "CN=alice,O=Acme", "acme.alice");
    is(m, "CN=Alice,O=Acme", "acme.Alice");
    is(m, "CN=..,O=Acme", NULL);
    assert_non_null(strstr(lines, "CN \"..\" is no name for a user"));
    is(m, "CN=a/b,O=Acme", NULL);
    is(m, "CN=.x,O=Acme", NULL);
    is(m, "CN=-x,O=Acme", NULL);
    is(m, "CN=a\\00b,O=Acme", NULL);
    is(m, "CN=a\\0ab,O=Acme", NULL);
    is(m, "CN=a\\,b,O=Acme", NULL);
    is(m, "CN=%{user},O=Acme", NULL);
    is(m, "CN=J\xc3\xb6rg,O=Acme", NULL);
    is(m, "CN=alice,O=Other", NULL);
    is(m, "CN=alice,OU=x,O=Acme", NULL);
    is(m, "CN=alice+OU=x,O=Acme", NULL);
    is(m, "CN=01234567890123456789012345678901234567890123456789012345678901234,O=Acme", NULL);
    is(m, "CN=01234567890123456789012345678901234567890123456789012345678,O=Acme",
       "acme.01234567890123456789012345678901234567890123456789012345678");
    is(m, "CN=012345678901234567890123456789012345678901234567890123456789,O=Acme", NULL);
    assert_non_null(strstr(lines, "too long a name"));
    map_free(m);
}

static void what_a_template_needs(void **state)
{
    (void)state;
    refused("[%{CN}]\nanchor = acme\nsubject = CN=alice\n" REST, 1, "as CN=*");
    refused("[%{CN}]\nanchor = acme\nsubject = OU=*\n" REST, 1, "just one CN");
    refused("[%{CN}]\nanchor = acme\nsubject = CN=*,CN=*\n" REST, 1, "just one CN");
    refused("[%{CN}]\nanchor = acme\nuri = u:1\n" REST, 1, "just one CN");
    refused("[%{email}]\n" STAFF REST, 1, "email = *");
    refused("[%{email}]\n" STAFF "email = a@b\n" REST, 1, "email = *");
    refused("[%{CN}]\n" STAFF "root = /srv\nrights = read\n", 1, "no root of their own");
    refused("[%{CN}]\n" STAFF "root = /srv/%{OU}\nrights = read\n", 1,
            "variable that is in the user's name");
    refused("[a]\n" STAFF "root = /srv/%{CN}\nrights = read\n", 1,
            "variable that is in the user's name");
    refused("[%{CN}]\n" STAFF "root = /srv/x.%{CN}\nrights = read\n", 1, "between two slashes");
    refused("[%{OU}.%{CN}]\n" STAFF REST, 1, "one variable only");
    refused("[%{DC}]\n" STAFF REST, 1, "nothing else");
    map_free(loaded("[%{email}]\nanchor = acme\nemail = *\n" REST));
    map_free(loaded("[%{UID}]\nanchor = acme\nsubject = CN=*+UID=*,O=Acme\n" REST));
    map_free(loaded("[%{CN}]\n" STAFF "root = /srv\nroot /own = /home/%{CN}/in\nrights = read\n"));
}

/* No certificate comes by a name that another rule gives, or may give. */
static void one_name_one_rule(void **state)
{
    struct map *m;
    (void)state;
    refused("[%{CN}]\n" STAFF REST "[%{OU}]\nanchor = acme\nsubject = OU=*\n" REST, 6,
            "names of those of [%{CN}]");
    refused("[x%{CN}]\n" STAFF REST "[%{OU}y]\nanchor = acme\nsubject = OU=*\n" REST, 6,
            "word of its own");
    refused("[%{CN}]\n" STAFF REST "[%{CN}]\nanchor = acme\nsubject = CN=*\n" REST, 6, "twice");
    m = loaded("[x.%{CN}]\n" STAFF REST "[y.%{OU}]\nanchor = acme\nsubject = OU=*\n" REST);
    is(m, "CN=a,O=Acme", "x.a");
    is(m, "OU=a", "y.a");
    map_free(m);
    m = loaded("[%{CN}]\n" STAFF REST "[alice]\nanchor = acme\nsubject = CN=alice\n" REST
               "[guest]\n"
               "anchor = acme\nsubject = CN=*,O=*\n" REST);
    is(m, "CN=bob,O=Acme", "bob");
    is(m, "CN=alice", "alice");
    is(m, "CN=alice,O=Acme", "guest");
    assert_non_null(strstr(lines, "the name alice is that of a rule of its own (line 6)"));
    is(m, "CN=guest,O=Acme", "guest");
    map_free(m);
}

static void grants_without_a_certificate(void **state)
{
    struct map *m = loaded(
        "[bob]\nanchor = acme\nsubject = CN=b\n" REST "[%{CN}]\n" STAFF
        "root = /srv/%{CN}\nroot /all = /srv/all\nrights = list\nrights /all = read\nquota = 1G\n");
    struct map_user *u = map_grant(m, 1, "alice");
    (void)state;
    assert_string_equal(u->name, "alice");
    assert_int_equal(u->n_roots, 2);
    assert_string_equal(u->roots[0].dir, "/srv/alice");
    assert_string_equal(u->roots[1].dir, "/srv/all");
    assert_int_equal(u->roots[1].rights, FS_READ);
    assert_int_equal(u->roots[1].rights_line, 12);
    assert_true(u->quota == UINT64_C(1) << 30);
    map_user_free(u);
    u = map_grant(m, 0, "bob");
    assert_string_equal(u->roots[0].dir, "/srv/bob");
    map_user_free(u);
    /* What a liar could ask for. */
    assert_null(map_grant(m, 1, "bob"));
    assert_null(map_grant(m, 0, "alice"));
    assert_null(map_grant(m, 1, ".."));
    assert_null(map_grant(m, 1, "a/b"));
    assert_null(map_grant(m, 1, ""));
    assert_null(map_grant(m, 1, "%{CN}"));
    assert_null(map_grant(m, 2, "alice"));
    assert_null(map_grant(m, SIZE_MAX, "alice"));
    map_free(m);
}

static bool listed(const struct map *m, const char *name)
{
    char(*names)[65];
    size_t n, times = 0;
    assert_int_equal(map_users(m, &names, &n), ERR_OK);
    for (size_t i = 0; i < n; i++)
        times += strcmp(names[i], name) == 0;
    free(names);
    assert_true(times <= 1);
    return times == 1;
}

static void users_are_found_by_their_folders(void **state)
{
    static const char *const made[] = {"alice", "bob", ".hidden", "lost+found", "-x"};
    char text[512], path[96];
    (void)state;
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, made[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    snprintf(text, sizeof text,
             "[bob]\nanchor = acme\nsubject = CN=b\nroot = /srv/bob\nrights = read\n"
             "[%%{CN}]\n" STAFF "root = %s/%%{CN}\nrights = read\n",
             dir);
    struct map *m = loaded(text);
    assert_true(listed(m, "alice") && listed(m, "bob"));
    assert_false(listed(m, ".hidden") || listed(m, "lost+found") || listed(m, "-x") ||
                 listed(m, "map"));
    struct map_user *u = map_user_named(m, "alice");
    snprintf(path, sizeof path, "%s/alice", dir);
    assert_string_equal(u->roots[0].dir, path);
    map_user_free(u);
    u = map_user_named(m, "bob");
    assert_string_equal(u->roots[0].dir, "/srv/bob");
    map_user_free(u);
    assert_null(map_user_named(m, "../bob"));
    map_free(m);
    m = loaded("[%{CN}]\n" STAFF "root = /nonexistent/%{CN}\nrights = read\n");
    assert_false(listed(m, "alice"));
    map_free(m);
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, made[i]);
        assert_int_equal(rmdir(path), 0);
    }
}

/* ---- groups ---- */

static void groups_give_what_rules_lack(void **state)
{
    struct map *m = loaded("[alice]\ngroup = staff\nsubject = CN=alice\n"
                           "[bob]\ngroup = staff\nsubject = CN=bob\nrights = all\nquota = 2G\nroot "
                           "/in = /x\nrights /in = list\n"
                           "[group staff]\nanchor = acme\nroot = /srv/%{user}\nroot /in = "
                           "/srv/in\nrights = list read\n"
                           "rights /in = create\nquota = 1G\nsessions = 3\nlinks = yes\n");
    const struct map_user *alice = map_user(m, 0), *bob = map_user(m, 1);
    (void)state;
    assert_int_equal(map_count(m), 2);
    is(m, "CN=alice", "alice");
    is(m, "CN=bob", "bob");
    assert_true(alice->quota == UINT64_C(1) << 30 && bob->quota == UINT64_C(2) << 30);
    assert_true(alice->sessions == 3 && bob->sessions == 3 && alice->links && bob->links);
    assert_string_equal(alice->roots[0].dir, "/srv/alice");
    assert_int_equal(alice->roots[0].line, 13);
    assert_int_equal(alice->roots[0].rights, FS_LIST | FS_READ);
    assert_int_equal(alice->roots[0].rights_line, 15);
    assert_string_equal(alice->roots[1].dir, "/srv/in");
    assert_int_equal(alice->roots[1].rights, FS_CREATE);
    assert_int_equal(bob->n_roots, 2);
    for (size_t i = 0; i < 2; i++) {
        bool in = strcmp(bob->roots[i].prefix, "/in") == 0;
        assert_string_equal(bob->roots[i].dir, in ? "/x" : "/srv/bob");
        assert_int_equal(bob->roots[i].rights,
                         in ? FS_LIST : alice->roots[0].rights | bob->roots[i].rights);
        assert_int_equal(bob->roots[i].rights_line, in ? 10 : 7);
    }
    map_free(m);
}

static void what_is_wrong_with_groups(void **state)
{
    (void)state;
    refused("[a]\ngroup = none\nanchor = acme\nsubject = CN=a\n" REST, 1, "no group none");
    refused("[group g]\nsubject = CN=a\n", 2, "in the rules themselves");
    refused("[group g]\nfingerprint = SHA256:00\n", 2, "in the rules themselves");
    refused("[group g]\ngroup = h\n", 2, "in the rules themselves");
    refused("[group g]\nquota = 1G\nquota = 1G\n", 3, "twice");
    refused("[group g]\nroot = /a\nroot / = /b\n", 3, "twice");
    refused("[group g]\nquota = x\n", 2, "not a number of bytes");
    refused("[group g]\nrigths = list\n", 2, "unknown key");
    refused("[group g]\nquota = 1G\n[group g]\n", 3, "twice");
    refused("[group .g]\n", 1, "made as a user's");
    refused("[groups g]\n", 1, "1 to 64");
    refused("[group g]\nanchor = nobody\n[a]\ngroup = g\nsubject = CN=a\n" REST, 3,
            "no anchor nobody");
    map_free(loaded("[group g]\nanchor = nobody\n"));
    map_free(loaded("[group a]\nquota = 1G\n[a]\nanchor = acme\nsubject = CN=a\n" REST));
}

/* A partner's file has groups of its own, and no way to those of the map. */
static void groups_are_of_one_file(void **state)
{
    struct map *m = loaded("[group g]\nroot = /srv\nrights = all\n");
    (void)state;
    write_map("[b]\ngroup = g\nsubject = CN=b\n");
    assert_int_equal(map_add(m, map_file, anchors, false, "zeta"), ERR_CONFIG);
    assert_non_null(strstr(log_reason(), "no group g"));
    map_free(m);
    m = loaded("[group g]\nroot = /srv\nrights = all\n");
    write_map(
        "[b]\ngroup = g\nsubject = CN=b\n[group g]\nanchor = acme\nroot = /srv\nrights = list\n");
    assert_int_equal(map_add(m, map_file, anchors, false, "zeta"), ERR_CONFIG);
    assert_non_null(strstr(log_reason(), "for its own anchor alone"));
    map_free(m);
}

/* ---- several alternative names, the issuer ---- */

static void several_names(void **state)
{
    struct map *m = loaded("[a]\nanchor=acme\nuri = u:1  u:2\ndns = H.example\n" REST
                           "[b]\nanchor=acme\nemail = *\n" REST);
    struct cert_san sans[] = {{CERT_SAN_URI, (uint8_t *)"u:2", 3},
                              {CERT_SAN_DNS, (uint8_t *)"h.example", 9},
                              {CERT_SAN_URI, (uint8_t *)"u:1", 3},
                              {CERT_SAN_EMAIL, (uint8_t *)"a@b", 3},
                              {CERT_SAN_EMAIL, (uint8_t *)"c@d", 3}};
    struct cert_id id = {.anchor = "acme", .sans = sans, .n_sans = 3};
    struct map_asker who = {.id = &id, .now = CERTS_NOW};
    struct map_answer a;
    (void)state;
    assert_int_equal(map_ask(m, &who, &a, NULL, NULL), ERR_OK);
    assert_string_equal(a.user, "a");
    id.n_sans = 2;
    assert_int_equal(map_ask(m, &who, &a, NULL, NULL), ERR_AUTH);
    id.sans = sans + 3;
    id.n_sans = 1;
    assert_int_equal(map_ask(m, &who, &a, NULL, NULL), ERR_OK);
    assert_string_equal(a.user, "b");
    id.n_sans = 2;
    assert_int_equal(map_ask(m, &who, &a, NULL, NULL), ERR_AUTH);
    map_free(m);
    refused("[a]\nanchor=acme\nuri = u:1 *\n" REST, 3, "stands alone");
    refused("[a]\nanchor=acme\nuri =\n" REST, 3, "no value");
    refused("[a]\nanchor=acme\nuri = u:1 u:2\n" REST "[b]\nanchor=acme\nuri = u:2 u:1\n" REST, 6,
            "[a]");
}

static void very_issuer(void **state)
{
    struct map *m = loaded("[a]\nanchor=acme\nissuer = CN=Staff CA,O=Acme\nsubject=CN=a\n" REST
                           "[b]\nanchor=acme\nsubject=CN=a\n" REST);
    struct cert_id id = {.anchor = "acme"};
    struct map_asker who = {.id = &id, .now = CERTS_NOW};
    struct map_answer a;
    (void)state;
    assert_null(cert_dn_check("CN=a", &id.subject));
    assert_int_equal(map_ask(m, &who, &a, NULL, NULL), ERR_OK);
    assert_string_equal(a.user, "b");
    assert_null(cert_dn_check("CN=Staff CA,O=Acme", &id.issuer));
    assert_int_equal(map_ask(m, &who, &a, NULL, NULL), ERR_OK);
    assert_string_equal(a.user, "a");
    cert_id_release(&id);
    map_free(m);
    refused("[a]\nanchor=acme\nissuer = CN=x\n" REST, 1, "no selector");
    map_free(loaded(
        "[a]\nanchor=acme\nissuer = CN=*\nsubject=CN=a\n" REST)); /* a CA with that very name */
}

/* ---- conditions ---- */

static enum err from(const struct map *m, const char *address, time_t now, struct map_answer *a)
{
    struct sockaddr_storage at = {0};
    struct cert_id id = {.anchor = "acme"};
    struct map_asker who = {.id = &id, .address = address ? &at : NULL, .now = now};
    at.ss_family = address && strchr(address, ':') ? AF_INET6 : AF_INET;
    if (address)
        assert_int_equal(inet_pton(at.ss_family, address,
                                   at.ss_family == AF_INET
                                       ? (void *)&((struct sockaddr_in *)&at)->sin_addr
                                       : (void *)&((struct sockaddr_in6 *)&at)->sin6_addr),
                         1);
    assert_null(cert_dn_check("CN=a", &id.subject));
    enum err e = map_ask(m, &who, a, NULL, NULL);
    cert_id_release(&id);
    return e;
}

#define A "[a]\nanchor = acme\nsubject = CN=a\n"

static void networks(void **state)
{
    struct map *m = loaded(A "networks = 192.0.2.0/24, 2001:db8::/32 198.51.100.7\n" REST
                             "[b]\nanchor=acme\nsubject=CN=*\n" REST);
    struct map_answer a;
    (void)state;
    assert_int_equal(from(m, "192.0.2.77", CERTS_NOW, &a), ERR_OK);
    assert_int_equal(from(m, "::ffff:192.0.2.77", CERTS_NOW, &a), ERR_OK);
    assert_int_equal(from(m, "198.51.100.7", CERTS_NOW, &a), ERR_OK);
    assert_int_equal(from(m, "2001:db8:ffff::1", CERTS_NOW, &a), ERR_OK);
    /* Not the next rule's, though that one would match. */
    assert_int_equal(from(m, "192.0.3.1", CERTS_NOW, &a), ERR_DENIED);
    assert_string_equal(a.told, "this user may not connect from this address");
    assert_string_equal(a.user, "a");
    assert_int_equal(from(m, "198.51.100.8", CERTS_NOW, &a), ERR_DENIED);
    assert_int_equal(from(m, "2001:db9::1", CERTS_NOW, &a), ERR_DENIED);
    assert_int_equal(from(m, "::192.0.2.77", CERTS_NOW, &a), ERR_DENIED);
    assert_int_equal(from(m, NULL, CERTS_NOW, &a), ERR_DENIED);
    map_free(m);
    refused(A "networks = 192.0.2.1/24\n" REST, 4, "no network");
    refused(A "networks = host.example\n" REST, 4, "no network");
    refused(A "networks = 192.0.2.0/33\n" REST, 4, "no network");
    refused(A "networks = none\n" REST, 4, "no network");
    refused(A "networks =\n" REST, 4, "no network");
}

/* CERTS_NOW is a Friday, 08:00 UTC. */
static void hours(void **state)
{
    struct map *m = loaded(A "hours = Mon-Fri 06:00-22:00 UTC\n" REST);
    struct map_answer a;
    (void)state;
    assert_int_equal(from(m, NULL, CERTS_NOW, &a), ERR_OK);
    assert_int_equal(a.until, CERTS_NOW + 14 * 3600 - 1);
    assert_int_equal(from(m, NULL, a.until, &a), ERR_OK);
    assert_int_equal(from(m, NULL, a.until + 1, &a), ERR_DENIED);
    assert_string_equal(a.told, "this user may not connect at this hour");
    assert_int_equal(from(m, NULL, CERTS_NOW + CERTS_DAY, &a), ERR_DENIED);
    assert_int_equal(from(m, NULL, CERTS_NOW + 3 * CERTS_DAY, &a), ERR_OK);
    map_free(m);
    m = loaded(A REST);
    assert_int_equal(from(m, NULL, CERTS_NOW, &a), ERR_OK);
    assert_true(a.until == INT64_MAX);
    map_free(m);
    refused(A "hours = always\n" REST, 4, "hours are ranges");
}

static void nearest(void **state)
{
    struct map *m = loaded("[zed]\nanchor = zeta\nsubject = CN=zed,O=Zeta\n" REST
                           "[alice]\nanchor = acme\nsubject = CN=alice,OU=x,O=Acme\n" REST
                           "[bob]\nanchor = zeta\nsubject = CN=bob,O=Acme\n" REST);
    struct map_answer a;
    (void)state;
    assert_int_equal(ask(m, "CN=bob,O=Acme", &a), ERR_AUTH);
    assert_non_null(
        strstr(lines, "nearest: rule bob (map line 11): issued under anchor acme, wanted zeta\n"));
    assert_int_equal(ask(m, "CN=alice,OU=y,O=Acme", &a), ERR_AUTH);
    assert_non_null(strstr(lines, "nearest: rule alice (map line 6): subject is "));
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
    add_anchor("acme");
    add_anchor("zeta");
    return 0;
}

static int end(void **state)
{
    (void)state;
    cert_store_free(anchors);
    unlink(map_file);
    unlink(ca_file);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_from_certificates),
        cmocka_unit_test(what_a_template_needs),
        cmocka_unit_test(one_name_one_rule),
        cmocka_unit_test(grants_without_a_certificate),
        cmocka_unit_test(users_are_found_by_their_folders),
        cmocka_unit_test(groups_give_what_rules_lack),
        cmocka_unit_test(what_is_wrong_with_groups),
        cmocka_unit_test(groups_are_of_one_file),
        cmocka_unit_test(several_names),
        cmocka_unit_test(very_issuer),
        cmocka_unit_test(networks),
        cmocka_unit_test(hours),
        cmocka_unit_test(nearest),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, begin, end);
}
