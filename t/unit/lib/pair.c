/* SPDX-License-Identifier: ISC */
#include "pair.h"

#include "certs.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct certs_cert ca, server_cert, client_cert;
static struct tls_identity *identities[64]; /* as long as their connections may live */
static size_t n_identities;

static enum err connect_side(bool server, int fd, struct chan *c)
{
    const struct certs_cert *own = server ? &server_cert : &client_cert;
    struct chan_limits limits = {5000, 1};
    struct tls_identity *id;
    gnutls_privkey_t key;
    gnutls_pcert_st leaf;
    gnutls_x509_privkey_t raw;
    struct tls *tls;
    unsigned n;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || gnutls_privkey_export_x509(own->key, &raw) < 0 ||
        gnutls_privkey_init(&key) < 0 ||
        gnutls_privkey_import_x509(key, raw, GNUTLS_PRIVKEY_IMPORT_AUTO_RELEASE) < 0 ||
        gnutls_pcert_import_x509_raw(&leaf, &own->der, GNUTLS_X509_FMT_DER, 0) < 0)
        return ERR_INTERNAL;
    enum err e = tls_identity_new(server, &(struct tls_policy){0}, &leaf, 1, key, &id);
    gnutls_pcert_deinit(&leaf);
    if (e != ERR_OK)
        return e;
    tls_identity_free(identities[n_identities % 64]);
    identities[n_identities++ % 64] = id;
    if ((e = tls_new(id, fd, NULL, &tls)) != ERR_OK ||
        (e = tls_handshake(tls, tls_now_ms() + 10000)) != ERR_OK)
        return e;
    if (!tls_peer_chain(tls, &n) || n != 1)
        return ERR_AUTH;
    if ((e = chan_init(c, tls, &limits)) == ERR_OK)
        chan_allow_data(c);
    return e;
}

static void need(bool good, const char *what)
{
    if (good)
        return;
    perror(what);
    abort();
}

int pair_start(int (*side)(struct chan *c), struct chan *c)
{
    int fds[2];
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0, "socketpair");
    pid_t pid = fork();
    need(pid >= 0, "fork");
    if (pid == 0) {
        struct chan own;
        close(fds[0]);
        _exit(connect_side(true, fds[1], &own) == ERR_OK ? side(&own) : 99);
    }
    close(fds[1]);
    need(connect_side(false, fds[0], c) == ERR_OK, "connecting a pair");
    return pid;
}

int pair_end(int pid)
{
    int status;
    need(waitpid(pid, &status, 0) == pid, "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void pair_set_up(void)
{
    ca = certs_ca("ca", NULL);
    server_cert = certs_server("localhost", &ca);
    client_cert = certs_client("alice", &ca);
}

void pair_tear_down(void)
{
    for (size_t i = 0; i < n_identities && i < 64; i++)
        tls_identity_free(identities[i]);
    certs_release(&ca);
    certs_release(&server_cert);
    certs_release(&client_cert);
}
