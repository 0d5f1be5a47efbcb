/* SPDX-License-Identifier: ISC */
/* What this machine can do at most: the bare pipe that every verified, encrypted transfer contains,
 * and its parts alone. No protocol, no certificates, no durability; TLS 1.3 with AES-128-GCM, records
 * gathered and read as common/tls.c does, hashes by common/tree.c.
 *
 *   ceiling pipe SRC DST   reads, hashes, sends; another process receives, hashes, writes
 *   ceiling tls BYTES      sends memory over TLS, to nowhere
 *   ceiling hash BYTES     hashes memory chunk by chunk
 *   ceiling copy SRC DST   reads and writes
 *
 * Whoever starts it takes the time. */
#include "tree.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK = 1 << TREE_CHUNK_LOG2, PUSH = 128 << 10, PULL = 128 << 10 };

static const char priority[] =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:-KX-ALL:+ECDHE-PSK";
static const gnutls_datum_t psk = {(unsigned char *)"0123456789abcdef", 16};

/* One end of a connection over a blocking socket. */
struct end {
    gnutls_session_t session;
    int fd;
    size_t pushed;                 /* bytes in out */
    size_t pulled_from, pulled_to; /* pulled[from, to) waits */
    uint8_t out[PUSH];
    uint8_t pulled[PULL];
};

static uint8_t chunk[CHUNK];

static _Noreturn void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void must(int rc, const char *what)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, gnutls_strerror(rc));
    exit(1);
}

static void flush(struct end *e)
{
    for (size_t at = 0; at < e->pushed;) {
        ssize_t n = send(e->fd, e->out + at, e->pushed - at, MSG_NOSIGNAL);
        if (n < 0)
            fail("send");
        at += (size_t)n;
    }
    e->pushed = 0;
}

static ssize_t push(gnutls_transport_ptr_t ptr, const void *data, size_t n)
{
    struct end *e = ptr;
    if (e->pushed + n > PUSH)
        flush(e);
    memcpy(e->out + e->pushed, data, n);
    e->pushed += n;
    return (ssize_t)n;
}

/* A side that waits for an answer has said all it had to say. */
static ssize_t pull(gnutls_transport_ptr_t ptr, void *data, size_t n)
{
    struct end *e = ptr;
    if (e->pulled_from == e->pulled_to) {
        flush(e);
        ssize_t got = recv(e->fd, e->pulled, PULL, 0);
        if (got <= 0)
            return got;
        e->pulled_from = 0;
        e->pulled_to = (size_t)got;
    }
    if (n > e->pulled_to - e->pulled_from)
        n = e->pulled_to - e->pulled_from;
    memcpy(data, e->pulled + e->pulled_from, n);
    e->pulled_from += n;
    return (ssize_t)n;
}

static int pull_timeout(gnutls_transport_ptr_t ptr, unsigned ms)
{
    struct end *e = ptr;
    struct pollfd p = {.fd = e->fd, .events = POLLIN};
    flush(e);
    return e->pulled_from < e->pulled_to ? 1 : poll(&p, 1, (int)ms);
}

static int give_psk(gnutls_session_t session, const char *user, gnutls_datum_t *key)
{
    (void)session, (void)user;
    key->data = gnutls_malloc(psk.size);
    key->size = psk.size;
    if (!key->data)
        return -1;
    memcpy(key->data, psk.data, psk.size);
    return 0;
}

static struct end *handshake(int fd, bool server)
{
    gnutls_psk_server_credentials_t mine;
    gnutls_psk_client_credentials_t theirs;
    struct end *e = calloc(1, sizeof *e);
    if (!e)
        fail("memory");
    e->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    must(gnutls_init(&e->session, (server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NO_TICKETS),
         "init");
    must(gnutls_priority_set_direct(e->session, priority, NULL), "priority");
    if (server) {
        must(gnutls_psk_allocate_server_credentials(&mine), "credentials");
        gnutls_psk_set_server_credentials_function(mine, give_psk);
        must(gnutls_credentials_set(e->session, GNUTLS_CRD_PSK, mine), "credentials");
    } else {
        must(gnutls_psk_allocate_client_credentials(&theirs), "credentials");
        must(gnutls_psk_set_client_credentials(theirs, "pipe", &psk, GNUTLS_PSK_KEY_RAW), "key");
        must(gnutls_credentials_set(e->session, GNUTLS_CRD_PSK, theirs), "credentials");
    }
    gnutls_transport_set_ptr(e->session, e);
    gnutls_transport_set_push_function(e->session, push);
    gnutls_transport_set_pull_function(e->session, pull);
    gnutls_transport_set_pull_timeout_function(e->session, pull_timeout);
    must(gnutls_handshake(e->session), "handshake");
    flush(e);
    return e;
}

static void hash(struct tree_chunk *c, size_t n, uint64_t length)
{
    uint8_t digest[TREE_HASH];
    tree_chunk_begin(c, length);
    tree_chunk_add(c, chunk, n);
    tree_chunk_end(c, digest);
}

static void hash_init(struct tree_chunk *c)
{
    if (tree_chunk_init(c, tree_engine(false), TREE_CHUNK_LOG2) != ERR_OK)
        exit(1);
}

/* The next chunk of length bytes, at offset at: from src, or what the memory holds for src -1. */
static size_t fill(int src, uint64_t length, uint64_t at)
{
    size_t n = length - at < CHUNK ? (size_t)(length - at) : CHUNK;
    if (src >= 0 && pread(src, chunk, n, (off_t)at) != (ssize_t)n)
        fail("read");
    return n;
}

static void sender(int fd, int src, uint64_t length)
{
    struct end *e = handshake(fd, false);
    struct tree_chunk c;
    hash_init(&c);
    for (uint64_t at = 0; at < length;) {
        size_t n = fill(src, length, at);
        if (src >= 0)
            hash(&c, n, length);
        for (size_t sent = 0; sent < n;) {
            ssize_t rc = gnutls_record_send(e->session, chunk + sent, n - sent);
            must((int)rc, "send");
            sent += (size_t)rc;
        }
        at += n;
    }
    flush(e);
}

static void receiver(int fd, int dst, uint64_t length)
{
    struct end *e = handshake(fd, true);
    struct tree_chunk c;
    hash_init(&c);
    for (uint64_t at = 0; at < length;) {
        size_t n = fill(-1, length, at);
        for (size_t got = 0; got < n;) {
            ssize_t rc = gnutls_record_recv(e->session, chunk + got, n - got);
            must(rc == 0 ? GNUTLS_E_PREMATURE_TERMINATION : (int)rc, "receive");
            got += (size_t)rc;
        }
        if (dst >= 0) {
            hash(&c, n, length);
            if (pwrite(dst, chunk, n, (off_t)at) != (ssize_t)n)
                fail("write");
        }
        at += n;
    }
}

/* length bytes from src to dst, by two processes and a TLS connection; -1: memory. */
static void through(int src, int dst, uint64_t length)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t to_n = sizeof to;
    int status, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&to, to_n) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&to, &to_n))
        fail("listen");
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        setsid(); /* the scheduler may share out by session, and clients and servers have one each */
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&to, to_n))
            fail("connect");
        sender(fd, src, length);
        exit(0);
    }
    receiver(accept(listener, NULL, NULL), dst, length);
    if (waitpid(child, &status, 0) < 0 || status != 0)
        exit(1);
}

/* Hashes length bytes of memory, or copies them from src to dst. */
static void alone(int src, int dst, uint64_t length)
{
    struct tree_chunk c;
    hash_init(&c);
    for (uint64_t at = 0; at < length;) {
        size_t n = fill(src, length, at);
        if (src < 0)
            hash(&c, n, length);
        else if (pwrite(dst, chunk, n, (off_t)at) != (ssize_t)n)
            fail("write");
        at += n;
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    int src = -1, dst = -1;
    uint64_t length = 0;
    bool network = strcmp(what, "pipe") == 0 || strcmp(what, "tls") == 0;
    if (argc == 4 && (network || strcmp(what, "copy") == 0)) {
        struct stat st;
        if ((src = open(argv[2], O_RDONLY)) < 0 || fstat(src, &st))
            fail(argv[2]);
        if ((dst = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC, 0600)) < 0)
            fail(argv[3]);
        length = (uint64_t)st.st_size;
    } else if (argc == 3 && (network || strcmp(what, "hash") == 0)) {
        length = strtoull(argv[2], NULL, 10);
    } else {
        fputs("usage: ceiling pipe|copy SRC DST, ceiling tls|hash BYTES\n", stderr);
        return 2;
    }
    if (network)
        through(src, dst, length);
    else
        alone(src, dst, length);
    return 0;
}
