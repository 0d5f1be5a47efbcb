/* SPDX-License-Identifier: ISC */
#include "hub.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

struct hub {
    int epoll;
    size_t max;
    size_t sessions;
    struct hub_client control; /* head of the ring of clients */
    const struct hub_work *work;
    uint8_t buffer[IPC_SMALL];
};

static enum err watch(struct hub *h, struct hub_client *c)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(h->epoll, EPOLL_CTL_ADD, c->fd, &e) != 0)
        return log_fail_errno("watching a session's socket");
    return ERR_OK;
}

static void detach(struct hub *h, struct hub_client *c)
{
    if (h->work->gone)
        h->work->gone(h->work->arg, c);
    c->prev->next = c->next;
    c->next->prev = c->prev;
    h->sessions--;
    close(c->fd);
    free(c);
}

void hub_close(struct hub_client *client)
{
    detach(client->hub, client);
}

/* Takes the descriptor out of in. What goes wrong concerns this one session, which finds its socket
 * closed. */
static void attach(struct hub *h, struct ipc_in *in)
{
    struct ipc_attach m;
    if (!ipc_get_attach(in->body, in->n, &m) || in->n_fds != 1) {
        log_warn("malformed ATTACH from the master");
        return;
    }
    struct hub_client *c = h->sessions < h->max ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        log_warn("session %x-%u refused: %zu sessions are attached already",
                 (unsigned)(m.session >> 32), (unsigned)m.session, h->sessions);
        return;
    }
    c->fd = in->fds[0];
    if (watch(h, c)) {
        free(c);
        return;
    }
    in->n_fds = 0;
    c->number = m.session;
    ipc_session_text(m.session, c->session);
    log_scrub(c->peer, sizeof c->peer, m.peer.p, m.peer.n);
    c->service = m.session == 0;
    c->hub = h;
    c->next = &h->control;
    c->prev = h->control.prev;
    c->prev->next = c->next->prev = c;
    h->sessions++;
}

static enum hub_next receive(struct hub *h, struct hub_client *c)
{
    struct ipc_in in;
    enum err rc = ipc_recv(c->fd, h->buffer, sizeof h->buffer, &in, 0);
    if (rc == ERR_TIMEOUT)
        return HUB_KEEP;
    if (rc) {
        if (rc == ERR_PROTO)
            log_warn("session %s, peer %s: closed after that", c->session, c->peer);
        return HUB_CLOSE;
    }
    enum hub_next next = HUB_KEEP;
    if (c->control && in.type == IPC_ATTACH)
        attach(h, &in);
    else
        next = h->work->handle(h->work->arg, c, &in);
    ipc_drop(&in);
    return next;
}

/* One round: waits up to timeout_ms, handles one message of each client that has one; *idle is set
 * when there was none. HUB_CLOSE: control closed. */
static enum hub_next turn(struct hub *h, int timeout_ms, bool *idle)
{
    struct epoll_event ready[64];
    int n = epoll_wait(h->epoll, ready, 64, timeout_ms);
    *idle = n <= 0;
    if (n < 0 && errno != EINTR) {
        log_error("waiting for sessions failed with errno %d", errno);
        return HUB_STOP;
    }
    for (int i = 0; i < n; i++) {
        struct hub_client *c = ready[i].data.ptr;
        if (!c) /* the work's own descriptor: its tend looks */
            continue;
        enum hub_next next = receive(h, c);
        if (next == HUB_STOP || (next == HUB_CLOSE && c->control))
            return next;
        if (next == HUB_CLOSE)
            detach(h, c);
    }
    return HUB_KEEP;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void drain(struct hub *h, int drain_ms)
{
    int64_t end = now_ms() + drain_ms;
    bool idle = false;
    epoll_ctl(h->epoll, EPOLL_CTL_DEL, h->control.fd, NULL);
    int wait_ms;
    while (!idle && now_ms() < end) {
        if (h->work->tend && h->work->tend(h->work->arg, &wait_ms) == HUB_STOP)
            return;
        if (turn(h, 0, &idle) != HUB_KEEP)
            return;
    }
}

/* Rounds until control closes or the work says so. */
static enum hub_next rounds(struct hub *h)
{
    enum hub_next next = HUB_KEEP;
    int wait_ms = -1;
    bool idle;
    while (next == HUB_KEEP) {
        if (h->work->tend && h->work->tend(h->work->arg, &wait_ms) == HUB_STOP)
            return HUB_STOP;
        next = turn(h, wait_ms, &idle);
    }
    return next;
}

enum err hub_serve(int control, size_t max, int drain_ms, const struct hub_work *work)
{
    struct hub h = {.max = max, .work = work, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    struct epoll_event own = {.events = EPOLLIN, .data.ptr = NULL};
    h.control = (struct hub_client){.fd = control, .control = true, .hub = &h};
    h.control.next = h.control.prev = &h.control;
    if (h.epoll < 0)
        return log_fail_errno("epoll");
    enum err rc = watch(&h, &h.control);
    if (!rc && work->fd >= 0 && epoll_ctl(h.epoll, EPOLL_CTL_ADD, work->fd, &own) != 0)
        rc = log_fail_errno("epoll");
    if (!rc && rounds(&h) == HUB_CLOSE && drain_ms > 0)
        drain(&h, drain_ms);
    for (struct hub_client *c = h.control.next, *after; c != &h.control; c = after) {
        after = c->next;
        detach(&h, c);
    }
    close(h.epoll);
    return rc;
}

enum err hub_run(int control, size_t max, int drain_ms, hub_fn *handle, void *arg)
{
    const struct hub_work work = {.handle = handle, .fd = -1, .arg = arg};
    return hub_serve(control, max, drain_ms, &work);
}

void hub_tell(struct hub *hub, uint8_t type, const struct buf *body)
{
    for (struct hub_client *c = hub->control.next, *after; c != &hub->control; c = after) {
        after = c->next;
        if (!c->service && hub_answer(c, type, body) != HUB_KEEP)
            detach(hub, c);
    }
}

enum hub_next hub_answer(const struct hub_client *to, uint8_t type, const struct buf *body)
{
    enum err rc = ipc_send(to->fd, type, body, NULL, 0, true);
    if (rc == ERR_BUSY)
        log_warn("session %s, peer %s: does not read its answers; closed", to->session, to->peer);
    return rc ? HUB_CLOSE : HUB_KEEP;
}
