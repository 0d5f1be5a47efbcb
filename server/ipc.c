/* SPDX-License-Identifier: ISC */
#include "ipc.h"
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CODEC_PASS_PUT
#include "codec.h"
#undef CODEC_PASS_PUT

#define CODEC_PASS_GET
#include "codec.h"
#undef CODEC_PASS_GET

const char *ipc_name(uint8_t type)
{
    static const char *const names[256] = {
#define CODEC_PASS_NAME
#include "codec.h"
#undef CODEC_PASS_NAME
    };
    return names[type] ? names[type] : "?";
}

void ipc_session_text(uint64_t session, char out[static IPC_SESSION_TEXT])
{
    snprintf(out, IPC_SESSION_TEXT, "%" PRIx32 "-%" PRIu32, (uint32_t)(session >> 32),
             (uint32_t)session);
}

enum { HEAD = 4 + 1 }; /* of a message in a bundle */

/* Ancillary data, aligned as the kernel wants it. */
union control {
    struct cmsghdr head;
    char room[CMSG_SPACE(IPC_FDS * sizeof(int))];
};

/* Has fd send messages of IPC_MAX bytes. The kernel doubles what it is asked for, within a bound
 * that only root may pass. */
static enum err widen(int fd)
{
    int want = IPC_MAX, got = 0;
    socklen_t n = sizeof got;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &want, sizeof want) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &got, &n) != 0)
        return log_fail_errno("buffer between processes");
    if (got >= 2 * IPC_MAX || setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &want, sizeof want) == 0)
        return ERR_OK;
    return log_fail(ERR_CONFIG, "net.core.wmem_max does not allow buffers of %d bytes", IPC_MAX);
}

enum err ipc_pair(int pair[static 2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        pair[0] = pair[1] = -1;
        return log_fail_errno("socket between processes");
    }
    enum err e = widen(pair[0]);
    if (e == ERR_OK)
        e = widen(pair[1]);
    for (int i = 0; e != ERR_OK && i < 2; i++) {
        close(pair[i]);
        pair[i] = -1;
    }
    return e;
}

static bool gone(int errnum)
{
    return errnum == EPIPE || errnum == ECONNRESET || errnum == ENOTCONN || errnum == ECONNREFUSED;
}

/* Waits for events on fd; a hang-up counts as an event, for the call that follows tells what it is.
 */
static enum err await(int fd, short events, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t end = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + timeout_ms;
    int left = timeout_ms;
    for (;;) {
        int n = poll(&p, 1, left);
        if (n > 0)
            return ERR_OK;
        if (n == 0)
            return ERR_TIMEOUT;
        if (errno != EINTR)
            return log_fail_errno("waiting for another process");
        if (timeout_ms < 0)
            continue;
        clock_gettime(CLOCK_MONOTONIC, &t);
        int64_t rest = end - ((int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000);
        left = rest > 0 ? (int)rest : 0;
    }
}

static void attach(struct msghdr *msg, union control *control, const int *fds, unsigned n_fds)
{
    memset(control, 0, sizeof *control);
    msg->msg_control = control;
    msg->msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
    memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
}

enum err ipc_send(int fd, uint8_t type, const struct buf *body, const int *fds, unsigned n_fds,
                  bool dontwait)
{
    struct iovec part[2] = {{&type, 1}, {body->data, body->len}};
    struct msghdr msg = {.msg_iov = part, .msg_iovlen = 2};
    union control control;
    if (body->bad || body->len >= IPC_MAX || n_fds > IPC_FDS)
        return log_fail(ERR_LIMIT, "message %s is too large", ipc_name(type));
    if (fds && n_fds > 0)
        attach(&msg, &control, fds, n_fds);
    int flags = MSG_NOSIGNAL | (dontwait ? MSG_DONTWAIT : 0);
    while (sendmsg(fd, &msg, flags) < 0) {
        if (gone(errno))
            return ERR_CONN;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return log_fail_errno("sending %s", ipc_name(type));
        if (dontwait)
            return ERR_BUSY;
        enum err rc = await(fd, POLLOUT, -1);
        if (rc)
            return rc;
    }
    return ERR_OK;
}

size_t ipc_begin(struct buf *bundle, uint8_t type)
{
    size_t at = bundle->len;
    wire_put_u32(bundle, 0);
    wire_put_u8(bundle, type);
    return at;
}

bool ipc_end(struct buf *bundle, size_t at)
{
    if (bundle->bad) {
        bundle->len = at;
        bundle->bad = false;
        return false;
    }
    wire_store_u32(bundle->data + at, (uint32_t)(bundle->len - at - HEAD));
    return true;
}

enum err ipc_send_bundle(int fd, struct buf *bundle)
{
    enum err e = bundle->len == 0 ? ERR_OK : ipc_send(fd, IPC_BUNDLE, bundle, NULL, 0, false);
    buf_clear(bundle);
    return e;
}

bool ipc_next(const struct ipc_in *in, struct slice *rest, struct ipc_in *out)
{
    if (!rest->p) {
        *rest = slice_of(in->body, in->n);
        if (in->type != IPC_BUNDLE) {
            *out = (struct ipc_in){.type = in->type, .body = in->body, .n = in->n};
            rest->n = 0;
            return true;
        }
    }
    if (rest->n < HEAD)
        return false;
    size_t n = wire_load_u32(rest->p);
    if (n > rest->n - HEAD)
        return false;
    *out = (struct ipc_in){.type = rest->p[4], .body = rest->p + HEAD, .n = n};
    *rest = slice_of(rest->p + HEAD + n, rest->n - HEAD - n);
    return true;
}

/* Gathers every descriptor that the kernel installed, whatever else is wrong with the message. */
static void collect(struct msghdr *msg, struct ipc_in *in)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n && in->n_fds < IPC_FDS; i++)
            memcpy(&in->fds[in->n_fds++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
}

/* Nothing was read: an empty datagram looks like the end, but then the other side is still there.
 */
static enum err explain_empty(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    if (poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLRDHUP | POLLERR)))
        return ERR_CONN;
    return log_fail(ERR_PROTO, "empty message from another process");
}

enum err ipc_recv(int fd, uint8_t *buffer, size_t size, struct ipc_in *in, int timeout_ms)
{
    struct iovec part = {buffer, size};
    union control control;
    struct msghdr msg = {.msg_iov = &part,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    ssize_t n;
    *in = (struct ipc_in){.fds = {-1, -1, -1, -1}};
    /* Messages often come one behind the other: it is not waited before each. */
    while ((n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) < 0 &&
           (errno == EINTR || errno == EAGAIN)) {
        enum err rc = errno == EINTR ? ERR_OK : await(fd, POLLIN, timeout_ms);
        if (rc)
            return rc;
    }
    if (n < 0)
        return gone(errno) ? ERR_CONN : log_fail_errno("receiving from another process");
    collect(&msg, in);
    if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        ipc_drop(in);
        return log_fail(ERR_PROTO, "oversized message from another process");
    }
    if (n == 0) {
        ipc_drop(in);
        return explain_empty(fd);
    }
    in->type = buffer[0];
    in->body = buffer + 1;
    in->n = (size_t)n - 1;
    return ERR_OK;
}

void ipc_drop(struct ipc_in *in)
{
    for (unsigned i = 0; i < in->n_fds; i++) {
        if (in->fds[i] >= 0)
            close(in->fds[i]);
        in->fds[i] = -1;
    }
    in->n_fds = 0;
}
