/* SPDX-License-Identifier: ISC */
/* Handshakes, as many as are asked for and nothing else; and what a key alone signs.
 *
 *   handshakes connect ADDRESS PORT CERTIFICATE KEY COUNT PROCESSES
 *       each process goes on making connections (TLS 1.3, client certificate, no resumption) until
 *       the server's verdict has come
 *   handshakes resume ADDRESS PORT CERTIFICATE KEY COUNT PROCESSES
 *       the same, each process its first one as above and all others resumed by tickets
 *   handshakes hold ADDRESS PORT CERTIFICATE KEY COUNT PROCESSES
 *       so many sessions at once, each authorised, greeted and silent then: a line "held SECONDS" when all
 *       stand, and they do until standard input ends
 *   handshakes sign KEY MODULE PINFILE COUNT THREADS
 *       signatures of 32 bytes (ECDSA P-256 with SHA-256), by threads with a handle of the key each;
 *       MODULE and PINFILE may be - for a key in a file
 *
 * Whoever starts it takes the time. The server's certificate is not judged. */
#include "chan.h"
#include "log.h"
#include "tls_proof.h"
#include "token.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT_MS = 30 * 1000, THREADS_MAX = 64 };

static enum err identity(const char *certificate, const char *key_file, bool tickets,
                         struct tls_identity **out)
{
    gnutls_pcert_st *chain = NULL;
    gnutls_privkey_t key;
    unsigned n = 0;
    enum err e = token_load_chain(certificate, &chain, &n);
    if (e == ERR_OK && (e = token_load_key(key_file, true, &key)) == ERR_OK)
        e = tls_identity_new(false, &(struct tls_policy){0}, chain, n, key, out);
    if (e == ERR_OK && tickets)
        e = tls_identity_keep_tickets(*out);
    token_free_chain(chain, n);
    return e;
}

static enum err connect_to(const struct sockaddr_in *to, int *fd)
{
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0 || connect(*fd, (const struct sockaddr *)to, sizeof *to) != 0 ||
        fcntl(*fd, F_SETFL, O_NONBLOCK) != 0)
        return log_fail_errno("connecting");
    return ERR_OK;
}

/* What a resumed session asks for: that we have the key still. */
static enum err prove(struct chan *c, const struct frame *f)
{
    struct msg_challenge m;
    struct tls_proof proof;
    uint8_t server_key[TLS_SERVER_KEY];
    gnutls_pcert_st leaf;
    unsigned n;
    const gnutls_datum_t *chain = tls_peer_chain(c->tls, &n);
    if (!CHAN_GET(f, challenge, &m) || n == 0 ||
        gnutls_pcert_import_x509_raw(&leaf, &chain[0], GNUTLS_X509_FMT_DER, 0) < 0)
        return log_fail(ERR_PROTO, "a challenge that is none");
    enum err e = tls_server_key(&leaf, server_key);
    gnutls_pcert_deinit(&leaf);
    if (e == ERR_OK)
        e = tls_prove(c->tls, m.nonce, server_key, &proof);
    return e == ERR_OK ? CHAN_SEND(c, proof, PROOF, .scheme = proof.scheme,
                                   .signature = slice_of(proof.signature, proof.n))
                       : e;
}

/* The handshake, and the verdict. */
static enum err visit(struct tls_identity *id, const struct sockaddr_in *to, bool resumed)
{
    struct chan_limits limits = {LIMIT_MS, 1};
    struct chan c;
    struct frame f;
    struct tls *tls;
    int fd;
    enum err e = connect_to(to, &fd);
    if (e != ERR_OK || (e = tls_new(id, fd, NULL, &tls)) != ERR_OK)
        return e;
    if ((e = tls_handshake(tls, tls_now_ms() + LIMIT_MS)) != ERR_OK) {
        tls_free(tls);
        return e;
    }
    if ((e = chan_init(&c, tls, &limits)) != ERR_OK)
        return e;
    e = chan_recv(&c, &f, LIMIT_MS);
    if (e == ERR_OK && f.type == MSG_CHALLENGE && (e = prove(&c, &f)) == ERR_OK)
        e = chan_recv(&c, &f, LIMIT_MS);
    if (e == ERR_OK && f.type != MSG_WELCOME)
        e = log_fail(ERR_AUTH, "the server did not let us in");
    if (e == ERR_OK && tls_resumed(tls) != resumed)
        e = log_fail(ERR_TLS, "the session was%s resumed", resumed ? " not" : "");
    chan_bye(&c);
    chan_release(&c);
    return e;
}

static int connect_all(char **argv, bool tickets)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    long count = atol(argv[4]), processes = atol(argv[5]);
    int status, failed = 0;
    if (inet_pton(AF_INET, argv[0], &to.sin_addr) != 1 || processes < 1)
        return 2;
    for (long i = 0; i < processes; i++) {
        pid_t pid = fork();
        if (pid < 0)
            return 1;
        if (pid > 0)
            continue;
        struct tls_identity *id = NULL;
        enum err e = identity(argv[2], argv[3], tickets, &id);
        for (long n = i; e == ERR_OK && n < count; n += processes)
            e = visit(id, &to, tickets && n != i);
        _exit(e == ERR_OK ? 0 : 1);
    }
    while (wait(&status) > 0)
        failed |= status != 0;
    return failed;
}

/* ---- sessions that are held ---- */

static enum err greet(struct tls_identity *id, const struct sockaddr_in *to, struct chan *c)
{
    const struct chan_limits limits = {LIMIT_MS, 1};
    struct tls *tls;
    struct frame f;
    int fd;
    enum err e = connect_to(to, &fd);
    if (e != ERR_OK || (e = tls_new(id, fd, NULL, &tls)) != ERR_OK)
        return e;
    if ((e = tls_handshake(tls, tls_now_ms() + LIMIT_MS)) != ERR_OK ||
        (e = chan_init(c, tls, &limits)) != ERR_OK || (e = chan_recv(c, &f, LIMIT_MS)) != ERR_OK)
        return e;
    if (f.type != MSG_WELCOME)
        return log_fail(ERR_AUTH, "the server refused a session");
    e = CHAN_SEND(c, hello, HELLO, .version = MSG_VERSION, .agent = slice_str("hold"));
    return e == ERR_OK ? chan_flush(c) : e;
}

/* One process's share; says so by closing its end of ready. */
static enum err hold(char **argv, const struct sockaddr_in *to, long count, int ready)
{
    struct tls_identity *id = NULL;
    struct chan *held = calloc((size_t)count, sizeof *held);
    enum err e = held ? identity(argv[2], argv[3], false, &id) : ERR_INTERNAL;
    for (long i = 0; e == ERR_OK && i < count; i++)
        e = greet(id, to, &held[i]);
    if (e == ERR_OK && write(ready, "+", 1) != 1)
        e = ERR_IO;
    close(ready);
    char byte;
    if (e == ERR_OK && read(STDIN_FILENO, &byte, 1) > 0)
        e = ERR_USAGE;
    return e;
}

static int hold_all(char **argv)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    long count = atol(argv[4]), processes = atol(argv[5]), up = 0;
    int status, failed = 0, ready[2];
    int64_t start = tls_now_ms();
    char byte;
    if (inet_pton(AF_INET, argv[0], &to.sin_addr) != 1 || processes < 1 || pipe(ready) != 0)
        return 2;
    for (long i = 0; i < processes; i++) {
        pid_t pid = fork();
        if (pid < 0)
            return 1;
        if (pid > 0)
            continue;
        close(ready[0]);
        _exit(hold(argv, &to, (count + processes - 1 - i) / processes, ready[1]) != ERR_OK);
    }
    close(ready[1]);
    while (read(ready[0], &byte, 1) == 1)
        up++;
    if (up == processes)
        printf("held %.3f\n", (double)(tls_now_ms() - start) / 1000);
    fflush(stdout);
    while (wait(&status) > 0)
        failed |= status != 0;
    return failed;
}

/* ---- signatures ---- */

struct signing {
    pthread_t thread;
    gnutls_privkey_t key;
    long count;
    bool failed;
};

static void *sign(void *arg)
{
    struct signing *s = arg;
    uint8_t digest[32] = {1};
    const gnutls_datum_t data = {digest, sizeof digest};
    for (long i = 0; i < s->count && !s->failed; i++) {
        gnutls_datum_t signature = {0};
        s->failed = gnutls_privkey_sign_hash2(s->key, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 0, &data,
                                              &signature) < 0;
        gnutls_free(signature.data);
    }
    return NULL;
}

static int sign_all(char **argv)
{
    static struct signing threads[THREADS_MAX];
    struct token_pin *pin = NULL;
    long count = atol(argv[3]), n = atol(argv[4]);
    bool failed = false;
    enum err e = ERR_OK;
    if (n < 1 || n > THREADS_MAX)
        return 2;
    if (token_is_url(argv[0]) && (e = token_pin_new(argv[2], &pin)) == ERR_OK)
        e = token_start(argv[1], pin);
    for (long i = 0; e == ERR_OK && i < n; i++) {
        threads[i].count = count / n;
        e = i ? token_load_another(argv[0], &threads[i].key)
              : token_load_key(argv[0], true, &threads[i].key);
    }
    for (long i = 0; e == ERR_OK && i < n; i++)
        if (pthread_create(&threads[i].thread, NULL, sign, &threads[i]) != 0)
            e = ERR_LIMIT;
    for (long i = 0; e == ERR_OK && i < n; i++) {
        pthread_join(threads[i].thread, NULL);
        failed |= threads[i].failed;
    }
    return e != ERR_OK || failed;
}

int main(int argc, char **argv)
{
    log_init("handshakes", LOG_LVL_INFO, true);
    if (argc == 8 && strcmp(argv[1], "connect") == 0)
        return connect_all(argv + 2, false);
    if (argc == 8 && strcmp(argv[1], "resume") == 0)
        return connect_all(argv + 2, true);
    if (argc == 8 && strcmp(argv[1], "hold") == 0)
        return hold_all(argv + 2);
    if (argc == 7 && strcmp(argv[1], "sign") == 0)
        return sign_all(argv + 2);
    fputs("usage: handshakes connect|resume|hold ADDRESS PORT CERTIFICATE KEY COUNT PROCESSES\n"
          "       handshakes sign KEY MODULE PINFILE COUNT THREADS\n",
          stderr);
    return 2;
}
