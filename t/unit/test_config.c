/* SPDX-License-Identifier: ISC */
/* consignd.conf: what it gives, and what is refused, with the place. */
#include "../../server/config.h"
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

static char dir[] = "/tmp/consign-config-XXXXXX";
static char file[64];

#define SERVER "[server]\ncertificate = server.pem\nkey = pkcs11:object=server\nmap = map\n"
#define ANCHOR "[anchor acme]\nca = acme.pem\ncrl = acme.crl\n"

static enum err load(const char *text, struct config **c)
{
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fchmod(fileno(out), 0644), 0);
    assert_int_equal(fclose(out), 0);
    log_clear_reason();
    return config_load(file, c);
}

static struct config *loaded(const char *text)
{
    struct config *c = NULL;
    if (load(text, &c) != ERR_OK)
        fail_msg("refused: %s", log_reason());
    return c;
}

/* Refused; the reason begins with the file and holds why. */
static void refused(const char *text, const char *why)
{
    struct config *c = (void *)1;
    if (load(text, &c) != ERR_CONFIG)
        fail_msg("taken: %s", text);
    assert_null(c);
    if (strncmp(log_reason(), file, strlen(file)) != 0 || !strstr(log_reason(), why))
        fail_msg("the reason is \"%s\", wanted \"%s\"", log_reason(), why);
}

static void in_folder(const char *got, const char *name)
{
    char wanted[96];
    snprintf(wanted, sizeof wanted, "%s/%s", dir, name);
    assert_string_equal(got, wanted);
}

static void defaults(void **state)
{
    struct config *c = loaded(SERVER ANCHOR);
    const struct passwd *nobody = getpwnam("nobody");
    (void)state;
    assert_string_equal(c->file, file);
    assert_string_equal(c->listen, "*:7411");
    in_folder(c->certificate, "server.pem");
    assert_string_equal(c->tokens[0].key, "pkcs11:object=server");
    in_folder(c->map, "map");
    assert_null(c->tokens[0].module);
    assert_null(c->tokens[0].pin);
    assert_null(c->audit);
    assert_null(c->pid_file);
    assert_string_equal(c->session_user, "nobody");
    if (geteuid() == 0) {
        assert_int_equal(c->session_uid, nobody->pw_uid);
        assert_int_equal(c->session_gid, nobody->pw_gid);
    }
    assert_false(c->allow_extractable);
    assert_int_equal(c->tls.fips, FIPS_OFF);
    assert_int_equal(c->tls.groups.n, 0);
    assert_true(c->sessions == 256 && c->sessions_per_address == 64);
    assert_true(c->handshake_s == 10 && c->request_s == 30 && c->idle_s == 300);
    assert_true(c->stall_s == 60 && c->min_rate == 1024 && c->drain_s == 60);
    assert_true(c->part_expiry_s == 7 * 86400);
    assert_true(c->sign_wait_s == 6 && c->sign_timeout_s == 3 && c->sign_queue == 128);
    assert_true(c->tokens[0].sessions == 8 && c->tokens[0].keep_alive_s == 20);
    assert_int_equal(c->n_tokens, 1);
    assert_int_equal(c->n_anchors, 1);
    assert_string_equal(c->anchors[0].name, "acme");
    in_folder(c->anchors[0].ca, "acme.pem");
    in_folder(c->anchors[0].crl, "acme.crl");
    assert_int_equal(c->anchors[0].crl_policy, CERT_CRL_REQUIRE);
    config_free(c);
    config_free(NULL);
}

static void every_key(void **state)
{
    struct config *c = loaded(
        SERVER "listen = [::1]:0\nmodule = /lib/p11.so\npin = file:pin\n"
               "allow-extractable = yes\naudit = /var/log/a\npid-file = run/pid\n"
               "session-user = nobody\nconfine = best\nfips = report\ngroups = p256 X25519\n"
               "[limits]\nsessions = 1\nsessions-per-address = 2\nhandshake = 3\n"
               "first-request = 4s\nidle = 5m\nstall = 6\nmin-rate = 7K\ndrain = 8\n"
               "part-expiry = 9d\n" ANCHOR "[anchor zeta]\nca = /z.pem\ncrl-policy = if-present\n");
    (void)state;
    assert_string_equal(c->listen, "[::1]:0");
    assert_string_equal(c->tokens[0].module, "/lib/p11.so");
    in_folder(c->tokens[0].pin, "pin");
    assert_true(c->allow_extractable);
    assert_string_equal(c->audit, "/var/log/a");
    in_folder(c->pid_file, "run/pid");
    assert_false(c->confine_require);
    assert_int_equal(c->tls.fips, FIPS_REPORT);
    assert_int_equal(c->tls.groups.n, 2);
    assert_int_equal(c->tls.groups.list[0], GNUTLS_GROUP_SECP256R1);
    assert_int_equal(c->tls.groups.list[1], GNUTLS_GROUP_X25519);
    assert_true(c->sessions == 1 && c->sessions_per_address == 2 && c->handshake_s == 3);
    assert_true(c->request_s == 4 && c->idle_s == 300 && c->stall_s == 6);
    assert_true(c->min_rate == 7 * 1024 && c->drain_s == 8 && c->part_expiry_s == 9 * 86400);
    assert_int_equal(c->n_anchors, 2);
    assert_string_equal(c->anchors[1].ca, "/z.pem");
    assert_null(c->anchors[1].crl);
    assert_int_equal(c->anchors[1].crl_policy, CERT_CRL_IF_PRESENT);
    config_free(c);
}

/* What a token does not say is as in [server]. */
static void tokens(void **state)
{
    struct config *c = loaded(
        SERVER "module = /m.so\nmodule-env = A=b\npin = fd:5\nmax-sessions = 3\nkeep-alive = 7s\n"
               "[token b]\nkey = b.pem\n"
               "[token c]\nkey = pkcs11:token=c\nmodule = /c.so\npin = fd:6\nmax-sessions = 9\n"
               "[limits]\nsign-wait = 4\nsign-timeout = 2s\nsign-queue = 5\n" ANCHOR);
    (void)state;
    assert_int_equal(c->n_tokens, 3);
    assert_string_equal(c->tokens[0].name, "main");
    assert_string_equal(c->tokens[1].name, "b");
    in_folder(c->tokens[1].key, "b.pem");
    assert_string_equal(c->tokens[1].module, "/m.so");
    assert_string_equal(c->tokens[1].module_env, "A=b");
    assert_string_equal(c->tokens[1].pin, "fd:5");
    assert_true(c->tokens[1].sessions == 3 && c->tokens[1].keep_alive_s == 7);
    assert_string_equal(c->tokens[2].key, "pkcs11:token=c");
    assert_string_equal(c->tokens[2].module, "/c.so");
    assert_string_equal(c->tokens[2].pin, "fd:6");
    assert_true(c->tokens[2].sessions == 9 && c->tokens[2].keep_alive_s == 7);
    assert_true(c->sign_wait_s == 4 && c->sign_timeout_s == 2 && c->sign_queue == 5);
    config_free(c);
    refused(SERVER "[token b]\npin = p\n" ANCHOR, "[token b] key is missing");
    refused(SERVER "[token main]\nkey = k\n" ANCHOR, "this token is there twice");
    refused(SERVER "[token b]\nkey = k\nkey = k\n" ANCHOR, ":7: [token b] key: given twice");
    refused(SERVER "[token b]\nkey = k\nmap = k\n" ANCHOR, ":7: [token b] map: unknown key");
    refused(SERVER "[token b c]\nkey = k\n" ANCHOR, "a token's name is");
    refused(SERVER "max-sessions = 0\n" ANCHOR, ":5: [server] max-sessions: ");
    refused(SERVER
            "[token 1]\nkey=k\n[token 2]\nkey=k\n[token 3]\nkey=k\n[token 4]\nkey=k\n"
            "[token 5]\nkey=k\n[token 6]\nkey=k\n[token 7]\nkey=k\n[token 8]\nkey=k\n" ANCHOR,
            "more than 8 tokens");
}

static void confinement(void **state)
{
    struct config *c = loaded(SERVER ANCHOR);
    (void)state;
    assert_false(c->confine_require);
    config_free(c);
    c = loaded(SERVER "confine = require\n" ANCHOR);
    assert_true(c->confine_require);
    config_free(c);
}

static void stale_lists(void **state)
{
    struct config *c = loaded(SERVER "crl-warn = 2d\n" ANCHOR
                                     "crl-stale = grace 36h\n[anchor b]\nca = b\ncrl = b\n"
                                     "crl-stale = warn\n[anchor c]\nca = c\ncrl = c\n");
    (void)state;
    assert_int_equal(c->crl_warn_s, 2 * 86400);
    assert_int_equal(c->anchors[0].crl_stale.what, CERT_STALE_GRACE);
    assert_int_equal(c->anchors[0].crl_stale.grace_s, 36 * 3600);
    assert_int_equal(c->anchors[1].crl_stale.what, CERT_STALE_WARN);
    assert_int_equal(c->anchors[2].crl_stale.what, CERT_STALE_FAIL);
    config_free(c);
    refused(SERVER ANCHOR "crl-stale = fail\ncrl-stale = fail\n", "crl-stale: given twice");
    refused(SERVER ANCHOR "crl-stale = grace\n", ":8: [anchor acme] crl-stale: ");
    refused(SERVER ANCHOR "crl-stale = grace 0s\n", "is not between");
    refused(SERVER "crl-warn = 367d\n" ANCHOR, ":5: [server] crl-warn: ");
}

static void listen_forms(void **state)
{
    static const char *const good[] = {"*:0", "*:65535", "127.0.0.1:7411", "[::]:1", "[fe80::1]:1"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, "%slisten = %s\n%s", SERVER, good[i], ANCHOR);
        struct config *c = loaded(text);
        assert_string_equal(c->listen, good[i]);
        config_free(c);
    }
}

static void pin_sources(void **state)
{
    static const char *const kept[] = {"prompt", "fd:3", "credential:pin"};
    (void)state;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, "%spin = %s\n%s", SERVER, kept[i], ANCHOR);
        struct config *c = loaded(text);
        assert_string_equal(c->tokens[0].pin, kept[i]);
        config_free(c);
    }
}

static void unknown(void **state)
{
    (void)state;
    refused(SERVER "lisen = *:1\n" ANCHOR, ":5: [server] lisen: unknown key");
    refused(SERVER ANCHOR "[limit]\n", ":8: [limit]: unknown section");
    refused(SERVER "sessions = 1\n" ANCHOR, ":5: [server] sessions: unknown key");
    refused(SERVER ANCHOR "crlpolicy = require\n", ":8: [anchor acme] crlpolicy: unknown key");
    refused(SERVER ANCHOR "[anchor]\n", "unknown section");
    refused(SERVER ANCHOR "[anchor a/b]\n", ":8:");
    refused(SERVER "session_user = nobody\n" ANCHOR, "unknown key");
}

static void twice(void **state)
{
    (void)state;
    refused(SERVER "map = other\n" ANCHOR, ":5: [server] map: given twice");
    refused(SERVER ANCHOR "[server]\n", ":8: [server]: ");
    refused(SERVER ANCHOR ANCHOR, ":8: [anchor acme]: ");
    refused(SERVER ANCHOR "ca = b.pem\n", "ca: given twice");
    refused(SERVER ANCHOR "crl-policy = require\ncrl-policy = require\n",
            "crl-policy: given twice");
    refused(SERVER ANCHOR "[limits]\nidle = 1\nidle = 1\n", ":10: [limits] idle: given twice");
}

static void missing(void **state)
{
    (void)state;
    refused("", "certificate is missing");
    refused("[server]\nkey = k\nmap = m\n" ANCHOR, "certificate is missing");
    refused("[server]\ncertificate = c\nmap = m\n" ANCHOR, "key is missing");
    refused("[server]\ncertificate = c\nkey = k\n" ANCHOR, "map is missing");
    refused(SERVER, "no [anchor NAME]");
    refused(SERVER "[anchor a]\ncrl = x\n", "ca is missing");
    refused(SERVER "[anchor a]\nca = x\n", "crl is missing");
}

static void bad_values(void **state)
{
    static const char *const limits[] = {
        "sessions = 0",    "sessions = -1", "sessions = 18446744073709551616",
        "sessions = 1x",   "sessions =",    "sessions-per-address = 0",
        "handshake = 0",   "idle = 0",      "stall = 0",
        "min-rate = 0",    "drain = 0",     "first-request = 0",
        "part-expiry = 0", "idle = -5",     "idle = 5w",
        "min-rate = 1KB",
    };
    static const char *const server[] = {
        "confine = yes",         "fips = yes",
        "allow-extractable = 1", "listen =",
        "listen = 7411",         "listen = *:",
        "listen = *:65536",      "listen = *:-1",
        "listen = *:http",       "listen = :1",
        "listen = ::1:80x",      "listen = host.example:1",
        "listen = [::1:1",       "listen = [127.0.0.1]:1",
        "listen = *:1 x",
    };
    char text[512];
    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        snprintf(text, sizeof text, "%s%s[limits]\n%s\n", SERVER, ANCHOR, limits[i]);
        refused(text, ":9: [limits] ");
    }
    for (size_t i = 0; i < sizeof server / sizeof server[0]; i++) {
        snprintf(text, sizeof text, "%s%s\n%s", SERVER, server[i], ANCHOR);
        refused(text, ":5: [server] ");
    }
    refused(SERVER ANCHOR "crl-policy = maybe\n", ":8: [anchor acme] crl-policy: ");
}

static void session_user(void **state)
{
    struct config *c = NULL;
    (void)state;
    if (geteuid() != 0) {
        /* It can't be changed to: no need for it to exist. */
        config_free(loaded(SERVER "session-user = no-such-account\n" ANCHOR));
        return;
    }
    refused(SERVER "session-user = no-such-account\n" ANCHOR, "no-such-account");
    refused(SERVER "session-user = root\n" ANCHOR, "root");
    assert_int_equal(config_load("/nonexistent/consignd.conf", &c), ERR_CONFIG);
    assert_null(c);
}

static int begin(void **state)
{
    (void)state;
    log_quiet(true);
    if (!mkdtemp(dir))
        return -1;
    snprintf(file, sizeof file, "%s/consignd.conf", dir);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(file);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),     cmocka_unit_test(every_key),
        cmocka_unit_test(confinement),  cmocka_unit_test(stale_lists),
        cmocka_unit_test(listen_forms), cmocka_unit_test(pin_sources),
        cmocka_unit_test(unknown),      cmocka_unit_test(tokens),
        cmocka_unit_test(twice),        cmocka_unit_test(missing),
        cmocka_unit_test(bad_values),   cmocka_unit_test(session_user),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, begin, end);
}
