/* SPDX-License-Identifier: ISC */
/* Tickets between a server in a forked child and a client that keeps its identity, and what both ends of
 * a connection can compute. */
#include "lib/certs.h"
#include "log.h"
#include "tls.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LIFETIME = 3600, WAIT_MS = 10 * 1000 };

static struct certs_cert ca, server_cert, client_cert;

/* What a server does. */
struct server {
    const uint8_t *key; /* NULL: no tickets */
    unsigned lifetime, tickets;
};
static const uint8_t key_a[TLS_TICKET_KEY] = {1}, key_b[TLS_TICKET_KEY] = {2};

static struct tls_identity *identity(bool server)
{
    const struct certs_cert *own = server ? &server_cert : &client_cert;
    struct tls_identity *id = NULL;
    gnutls_x509_privkey_t raw;
    gnutls_privkey_t key;
    gnutls_pcert_st leaf;
    if (gnutls_privkey_export_x509(own->key, &raw) < 0 || gnutls_privkey_init(&key) < 0 ||
        gnutls_privkey_import_x509(key, raw, GNUTLS_PRIVKEY_IMPORT_AUTO_RELEASE) < 0 ||
        gnutls_pcert_import_x509_raw(&leaf, &own->der, GNUTLS_X509_FMT_DER, 0) < 0 ||
        tls_identity_new(server, &(struct tls_policy){0}, &leaf, 1, key, &id) != ERR_OK)
        abort();
    gnutls_pcert_deinit(&leaf);
    return id;
}

static bool shows(const struct tls *t, const struct certs_cert *cert)
{
    unsigned n;
    const gnutls_datum_t *chain = tls_peer_chain(t, &n);
    return chain && n == 1 && chain->size == cert->der.size &&
           memcmp(chain->data, cert->der.data, chain->size) == 0;
}

static enum err write_all(struct tls *t, const uint8_t *p, size_t n)
{
    size_t done;
    enum err e = tls_write(t, p, n, &done);
    return e == ERR_OK && done == n ? tls_flush(t) : ERR_IO;
}

static enum err read_all(struct tls *t, uint8_t *p, size_t n)
{
    short ready;
    size_t got;
    enum err e = ERR_OK;
    while (n > 0 && e == ERR_OK) {
        e = tls_read(t, p, n, &got);
        if (e == ERR_OK && got == 0)
            return ERR_CONN;
        p += got;
        n -= got;
        if (e == ERR_BUSY)
            e = tls_wait(t, POLLIN, tls_now_ms() + WAIT_MS, &ready);
    }
    return e;
}

/* GnuTLS does not take any number at once. */
static bool give(struct tls *t, unsigned n)
{
    while (n > 0 && tls_send_tickets(t, n > 2 ? 2 : n, tls_now_ms() + WAIT_MS) == ERR_OK)
        n -= n > 2 ? 2 : n;
    return n == 0;
}

/* Says what it can compute, in one flush with the tickets, and waits for the client's end. */
static int be_server(int fd, const struct server *how)
{
    struct tls_identity *id = identity(true);
    uint8_t secret[TLS_EXPORT], byte;
    struct tls *t;
    if (tls_new(id, fd, NULL, &t) != ERR_OK ||
        (how->key && tls_accept_tickets(t, how->key, how->lifetime) != ERR_OK) ||
        tls_handshake(t, tls_now_ms() + WAIT_MS) != ERR_OK || !shows(t, &client_cert) ||
        !give(t, how->tickets) || tls_export(t, "EXPORTER-test", "one", 3, secret) != ERR_OK ||
        write_all(t, secret, sizeof secret) != ERR_OK || read_all(t, &byte, 1) != ERR_CONN)
        return 1;
    tls_free(t);
    tls_identity_free(id);
    return 0;
}

static void check_secrets(struct tls *t, const uint8_t *theirs)
{
    uint8_t ours[TLS_EXPORT];
    assert_int_equal(tls_export(t, "EXPORTER-test", "one", 3, ours), ERR_OK);
    assert_memory_equal(ours, theirs, TLS_EXPORT);
    assert_int_equal(tls_export(t, "EXPORTER-test", "two", 3, ours), ERR_OK);
    assert_memory_not_equal(ours, theirs, TLS_EXPORT);
    assert_int_equal(tls_export(t, "EXPORTER-tast", "one", 3, ours), ERR_OK);
    assert_memory_not_equal(ours, theirs, TLS_EXPORT);
}

/* One connection of id to such a server; whether it was resumed. secret: what both computed. */
static bool meet(struct tls_identity *id, const struct server *how, uint8_t *secret)
{
    uint8_t theirs[TLS_EXPORT];
    int pair[2], status;
    struct tls *t;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        _exit(be_server(pair[1], how));
    }
    assert_true(pid > 0);
    close(pair[1]);
    assert_int_equal(tls_new(id, pair[0], "localhost", &t), ERR_OK);
    assert_int_equal(tls_handshake(t, tls_now_ms() + WAIT_MS), ERR_OK);
    assert_true(shows(t, &server_cert));
    assert_int_equal(read_all(t, theirs, sizeof theirs), ERR_OK);
    check_secrets(t, theirs);
    if (secret)
        memcpy(secret, theirs, TLS_EXPORT);
    bool resumed = tls_resumed(t);
    tls_bye(t);
    tls_free(t);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return resumed;
}

static struct tls_identity *keeping(void)
{
    struct tls_identity *id = identity(false);
    assert_int_equal(tls_identity_keep_tickets(id), ERR_OK);
    return id;
}

static void a_ticket_resumes_once(void **state)
{
    const struct server gives_two = {key_a, LIFETIME, 2}, gives_none = {key_a, LIFETIME, 0};
    struct tls_identity *id = keeping();
    uint8_t first[TLS_EXPORT], second[TLS_EXPORT];
    (void)state;
    assert_false(meet(id, &gives_two, first));
    assert_true(meet(id, &gives_none, second));
    assert_memory_not_equal(first, second, TLS_EXPORT);
    assert_true(meet(id, &gives_none, NULL));
    assert_false(meet(id, &gives_none, NULL));
    tls_identity_free(id);
}

static void a_resumed_session_brings_new_ones(void **state)
{
    const struct server gives_one = {key_a, LIFETIME, 1};
    struct tls_identity *id = keeping();
    (void)state;
    assert_false(meet(id, &gives_one, NULL));
    for (int i = 0; i < 5; i++)
        assert_true(meet(id, &gives_one, NULL));
    tls_identity_free(id);
}

static void only_the_key_that_made_it_takes_it(void **state)
{
    const struct server a = {key_a, LIFETIME, 1}, b = {key_b, LIFETIME, 1},
                        longer = {key_a, LIFETIME + 1, 1}, none = {NULL, 0, 0};
    const struct server *others[] = {&b, &longer, &none};
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct tls_identity *id = keeping();
        assert_false(meet(id, &a, NULL));
        assert_false(meet(id, others[i], NULL));
        tls_identity_free(id);
    }
}

static void without_a_key_there_are_none(void **state)
{
    const struct server off = {NULL, 0, 2}, a = {key_a, LIFETIME, 0};
    struct tls_identity *id = keeping();
    (void)state;
    assert_false(meet(id, &off, NULL));
    assert_false(meet(id, &a, NULL));
    tls_identity_free(id);
}

static void who_does_not_keep_them_never_resumes(void **state)
{
    const struct server a = {key_a, LIFETIME, 2};
    struct tls_identity *id = identity(false);
    (void)state;
    assert_false(meet(id, &a, NULL));
    assert_false(meet(id, &a, NULL));
    tls_identity_free(id);
}

static void more_than_can_be_kept(void **state)
{
    const struct server many = {key_a, LIFETIME, 70}, a = {key_a, LIFETIME, 0};
    struct tls_identity *id = keeping();
    unsigned resumed = 0;
    (void)state;
    assert_false(meet(id, &many, NULL));
    while (resumed < 70 && meet(id, &a, NULL))
        resumed++;
    assert_int_equal(resumed, 64);
    tls_identity_free(id);
}

static int set_up(void **state)
{
    (void)state;
    ca = certs_ca("ca", NULL);
    server_cert = certs_server("localhost", &ca);
    client_cert = certs_client("client", &ca);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    certs_release(&ca);
    certs_release(&server_cert);
    certs_release(&client_cert);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ticket_resumes_once),
        cmocka_unit_test(a_resumed_session_brings_new_ones),
        cmocka_unit_test(only_the_key_that_made_it_takes_it),
        cmocka_unit_test(without_a_key_there_are_none),
        cmocka_unit_test(who_does_not_keep_them_never_resumes),
        cmocka_unit_test(more_than_can_be_kept),
    };
    log_quiet(true);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
