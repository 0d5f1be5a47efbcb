/* SPDX-License-Identifier: ISC */
/* What an agent signs for a receiver that asks for anything. Its messages are its own: hence the file itself. */
#include "../../client/agent.c"
#include "lib/certs.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static char dir[] = "/tmp/consign-agent-XXXXXX";
static char certificate[64], key_file[64], port[8];
static struct certs_cert ca, alice;
static struct profile profile = {.name = "x", .host = "127.0.0.1", .port = port};
static struct agent *agent;
static int listener;
static const uint8_t hash[SCHEME_HASH] = {1, 2, 3};

static void connect_again(void)
{
    struct agent_news news;
    assert_int_equal(agent_connect(agent, &news), ERR_OK);
    assert_true(news.socket >= 0);
    agent_news_release(&news);
}

/* One signature: its status, or ERR_CONN when the agent is gone. *good: it is one, of that text. */
static enum err ask(uint32_t algorithm, uint8_t what, size_t n, bool *good)
{
    struct agent_signed m;
    struct slice in;
    gnutls_pcert_st leaf;
    struct scheme_key kind;
    int fds[FDS];
    unsigned n_fds;
    *good = false;
    if (SEND(agent->fd, sign, SIGN, NULL, 0, .algorithm = algorithm, .what = what,
             .hash = slice_of(hash, n)) != ERR_OK ||
        take_in(agent->fd, agent->buffer, &in, fds, &n_fds) != ERR_OK)
        return ERR_CONN;
    assert_true(in.p[0] == AGENT_SIGNED && agent_get_signed(in.p + 1, in.n - 1, &m));
    assert_int_equal(gnutls_pcert_import_x509_raw(&leaf, &alice.der, GNUTLS_X509_FMT_DER, 0), 0);
    assert_int_equal(scheme_key_of(&leaf, "alice", &kind), ERR_OK);
    const struct scheme *s = scheme_find(&kind, algorithm);
    *good =
        s && m.signature.n > 0 &&
        scheme_verify(s, leaf.pubkey, (enum scheme_what)what, slice_of(hash, n), m.signature) >= 0;
    assert_int_equal(m.status == ERR_OK, m.signature.n > 0);
    gnutls_pcert_deinit(&leaf);
    return err_from_wire(m.status);
}

static void what_a_client_signs(void **state)
{
    static const enum scheme_what what[] = {SCHEME_CLIENT, SCHEME_RESUMED};
    bool good;
    (void)state;
    for (int i = 0; i < 2; i++) {
        connect_again();
        assert_int_equal(ask(GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, what[i], 32, &good), ERR_OK);
        assert_true(good);
    }
}

static void and_nothing_else(void **state)
{
    static const struct {
        uint32_t algorithm;
        uint8_t what;
        size_t n;
    } cases[] = {
        {GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, SCHEME_SERVER, 32},
        {GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, SCHEME_RESUMED + 1, 32},
        {GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 255, 32},
        {GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, SCHEME_CLIENT, 0},
        {GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, SCHEME_CLIENT, 20},
        {GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, SCHEME_CLIENT, 33},
        {GNUTLS_SIGN_ECDSA_SHA256, SCHEME_CLIENT, 32},
        {GNUTLS_SIGN_ECDSA_SHA1, SCHEME_CLIENT, 32},
        {GNUTLS_SIGN_ECDSA_SECP384R1_SHA384, SCHEME_CLIENT, 48},
        {GNUTLS_SIGN_RSA_SHA256, SCHEME_CLIENT, 32},
        {GNUTLS_SIGN_UNKNOWN, SCHEME_CLIENT, 32},
        {UINT32_MAX, SCHEME_CLIENT, 32},
    };
    bool good;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        connect_again();
        assert_int_not_equal(ask(cases[i].algorithm, cases[i].what, cases[i].n, &good), ERR_OK);
        assert_false(good);
    }
}

/* The last: the agent ends. */
static void once_a_connection(void **state)
{
    bool good;
    (void)state;
    connect_again();
    assert_int_equal(ask(GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, SCHEME_CLIENT, 32, &good), ERR_OK);
    assert_int_equal(ask(GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, SCHEME_CLIENT, 32, &good), ERR_CONN);
}

static bool write_key(void)
{
    gnutls_x509_privkey_t raw;
    gnutls_datum_t pem = {0};
    int fd = open(key_file, O_WRONLY | O_CREAT | O_EXCL, 0600);
    bool ok = fd >= 0 && gnutls_privkey_export_x509(alice.key, &raw) >= 0 &&
              gnutls_x509_privkey_export2(raw, GNUTLS_X509_FMT_PEM, &pem) >= 0 &&
              write(fd, pem.data, pem.size) == (ssize_t)pem.size;
    gnutls_x509_privkey_deinit(raw);
    gnutls_free(pem.data);
    close(fd);
    return ok;
}

static int begin(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    struct agent_news news;
    (void)state;
    log_quiet(true);
    if (!mkdtemp(dir))
        return -1;
    snprintf(certificate, sizeof certificate, "%s/alice.pem", dir);
    snprintf(key_file, sizeof key_file, "%s/alice.key", dir);
    ca = certs_ca("ca", NULL);
    alice = certs_client("alice", &ca);
    certs_write(certificate, (const struct certs_cert *[]){&alice}, 1);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!write_key() || bind(listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(listener, 64) != 0 || getsockname(listener, (struct sockaddr *)&at, &n) != 0)
        return -1;
    snprintf(port, sizeof port, "%u", ntohs(at.sin_port));
    profile.certificate = profile.ca = certificate;
    profile.key = key_file;
    if (agent_start(&profile, &agent, &news) != ERR_OK)
        return -1;
    agent_news_release(&news);
    return 0;
}

static int end(void **state)
{
    (void)state;
    agent_end(agent);
    close(listener);
    certs_release(&ca);
    certs_release(&alice);
    unlink(certificate);
    unlink(key_file);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_client_signs),
        cmocka_unit_test(and_nothing_else),
        cmocka_unit_test(once_a_connection),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, begin, end);
}
