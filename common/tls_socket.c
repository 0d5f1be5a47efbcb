/* SPDX-License-Identifier: ISC */
/* Between GnuTLS and the socket. */
#include "tls_internal.h"

#include "log.h"
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>

#include <string.h>
#include <sys/socket.h>

int tls_drain(struct tls *t)
{
    while (t->from < t->to) {
        ssize_t n = send(t->fd, t->gather + t->from, t->to - t->from, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        t->from += (size_t)n;
        t->out += (uint64_t)n;
    }
    t->from = t->to = 0;
    return 0;
}

/* GnuTLS's push: takes a record whole, or refuses it with EAGAIN while the socket is full. */
ssize_t tls_push(gnutls_transport_ptr_t ptr, const void *data, size_t n)
{
    struct tls *t = ptr;
    if (t->to + n > sizeof t->gather || t->to >= TLS_GATHER) {
        if (tls_drain(t) < 0 && errno != EAGAIN)
            return -1;
        if (t->from > 0) {
            memmove(t->gather, t->gather + t->from, t->to - t->from);
            t->to -= t->from;
            t->from = 0;
        }
        if (t->to + n > sizeof t->gather) {
            errno = EAGAIN;
            return -1;
        }
    }
    memcpy(t->gather + t->to, data, n);
    t->to += n;
    return (ssize_t)n;
}

/* GnuTLS's pull: it asks for a record's head and body apart, the socket is asked for many records at
 * once (a tenth of a download's time). */
ssize_t tls_pull(gnutls_transport_ptr_t ptr, void *data, size_t n)
{
    struct tls *t = ptr;
    if (t->shaking && t->shaken >= TLS_HANDSHAKE_MAX) {
        errno = EMSGSIZE;
        return -1;
    }
    if (t->pulled_from == t->pulled_to) {
        ssize_t got = recv(t->fd, t->pulled, sizeof t->pulled, 0);
        /* A cut inside a record comes out of GnuTLS as a malformed one. */
        t->eof |= got == 0;
        if (got <= 0)
            return got;
        t->in += (uint64_t)got;
        t->pulled_from = 0;
        t->pulled_to = (size_t)got;
    }
    if (n > t->pulled_to - t->pulled_from)
        n = t->pulled_to - t->pulled_from;
    memcpy(data, t->pulled + t->pulled_from, n);
    t->pulled_from += n;
    t->shaken += t->shaking ? n : 0;
    return (ssize_t)n;
}

int tls_pull_timeout(gnutls_transport_ptr_t ptr, unsigned ms)
{
    struct tls *t = ptr;
    struct pollfd p = {.fd = t->fd, .events = POLLIN};
    if (t->pulled_from < t->pulled_to)
        return 1;
    return poll(&p, 1, ms == GNUTLS_INDEFINITE_TIMEOUT ? -1 : (int)ms);
}

enum err tls_wait_also(struct tls *t, short events, int also, int64_t deadline_ms, short *ready)
{
    for (;;) {
        int64_t left = deadline_ms - tls_now_ms();
        struct pollfd p[2] = {{.fd = t->fd, .events = events}, {.fd = also, .events = POLLIN}};
        int rc = poll(p, 2, left <= 0 ? 0 : left > 3600000 ? 3600000 : (int)left);
        if (rc < 0 && errno != EINTR)
            return log_fail_errno("waiting for the connection");
        if (rc > 0) {
            /* An error or hang-up shows at the next read or write. */
            *ready = (short)(p[0].revents & (POLLERR | POLLHUP | POLLNVAL) ? events : p[0].revents);
            return ERR_OK;
        }
        if (rc == 0 && left <= 0)
            return ERR_TIMEOUT;
    }
}

enum err tls_wait(struct tls *t, short events, int64_t deadline_ms, short *ready)
{
    return tls_wait_also(t, events, -1, deadline_ms, ready);
}

uint64_t tls_bytes_in(const struct tls *t)
{
    return t->in;
}

uint64_t tls_bytes_out(const struct tls *t)
{
    return t->out;
}

uint64_t tls_bytes_acked(const struct tls *t)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    return getsockopt(t->fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 ? info.tcpi_bytes_acked : 0;
}

unsigned tls_round_trip_ms(const struct tls *t)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    return getsockopt(t->fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 ? info.tcpi_rtt / 1000 : 0;
}

void tls_receive_room(struct tls *t, int bytes)
{
    (void)setsockopt(t->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}
