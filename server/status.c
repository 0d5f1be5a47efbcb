/* SPDX-License-Identifier: ISC */
#include "status.h"

#include "confine.h"
#include "ipc.h"
#include "log.h"
#include "msg.h"
#include "status_socket.h"
#include "tls.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ASK_MS = 5000, STATUS_MAX = 256 << 20, PENALTIES_SHOWN = 64 };

void status_init(struct status *s)
{
    *s = (struct status){.folder = -1, .listener = -1};
    for (size_t i = 0; i < STATUS_CLIENTS; i++)
        s->clients[i].fd = -1;
}

char *status_path(const struct config *config)
{
    char *path = NULL;
    if (config->status)
        return strdup(config->status);
    if (config->audit && asprintf(&path, "%s.run/status", config->audit) < 0)
        return NULL;
    return path;
}

enum err status_open(struct status *s, const struct config *config, int epoll, void *what)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = what};
    char *path = status_path(config);
    s->epoll = epoll;
    if (!path)
        return ERR_OK;
    enum err e = status_socket_bind(path, &s->folder, &s->listener, s->name);
    free(path);
    if (e == ERR_OK && epoll_ctl(epoll, EPOLL_CTL_ADD, s->listener, &ev) != 0)
        e = log_fail_errno("epoll");
    if (e == ERR_OK || e == ERR_BUSY || config->status)
        return e == ERR_OK ? e : ERR_CONFIG;
    log_warn("there will be no status of this server");
    status_close(s);
    return ERR_OK;
}

void status_close(struct status *s)
{
    for (size_t i = 0; i < STATUS_CLIENTS; i++)
        if (s->clients[i].fd >= 0)
            close(s->clients[i].fd);
    if (s->listener >= 0) {
        close(s->listener);
        (void)unlinkat(s->folder, s->name, 0);
    }
    if (s->folder >= 0)
        close(s->folder);
    status_init(s);
}

/* ---- clients ---- */

static void drop(struct status *s, struct status_client *c)
{
    (void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    close(c->fd);
    c->fd = -1;
}

void status_accept(struct status *s)
{
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct status_client *c = s->clients;
    if (fd < 0)
        return;
    while (c < s->clients + STATUS_CLIENTS && c->fd >= 0)
        c++;
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    if (c == s->clients + STATUS_CLIENTS || !status_socket_trusted(fd) ||
        epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) != 0) {
        close(fd);
        return;
    }
    *c = (struct status_client){fd, tls_now_ms() + ASK_MS};
}

struct status_client *status_client(struct status *s, const void *what)
{
    for (size_t i = 0; i < STATUS_CLIENTS; i++)
        if (what == &s->clients[i])
            return &s->clients[i];
    return NULL;
}

bool status_asked(struct status *s, struct status_client *c, struct status_ask *out)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_status_ask ask;
    struct ipc_scrub_ask scrub;
    *out = (struct status_ask){0};
    /* The event may be of one that went in the same round. */
    enum err e = c->fd < 0 ? ERR_TIMEOUT : ipc_recv(c->fd, buffer, sizeof buffer, &in, 0);
    if (e == ERR_TIMEOUT)
        return false;
    if (e == ERR_OK)
        ipc_drop(&in);
    if (e == ERR_OK && in.type == IPC_STATUS_ASK && ipc_get_status_ask(in.body, in.n, &ask))
        return true;
    out->scrub = true;
    if (e == ERR_OK && in.type == IPC_SCRUB_ASK && ipc_get_scrub_ask(in.body, in.n, &scrub) &&
        slice_copy(scrub.user, out->user, sizeof out->user))
        return true;
    drop(s, c);
    return false;
}

void status_expire(struct status *s, int64_t now_ms)
{
    for (size_t i = 0; i < STATUS_CLIENTS; i++)
        if (s->clients[i].fd >= 0 && now_ms >= s->clients[i].until_ms)
            drop(s, &s->clients[i]);
}

/* ---- answers ---- */

static void send_reply(struct status *s, struct status_client *c, const struct ipc_reply *m, int fd)
{
    struct buf b;
    buf_init(&b, IPC_MAX);
    if (!ipc_put_reply(&b, m) ||
        ipc_send(c->fd, IPC_REPLY, &b, &fd, fd >= 0 ? 1 : 0, true) != ERR_OK)
        log_debug("who asked for the status did not wait for it");
    buf_release(&b);
    drop(s, c);
}

void status_reply(struct status *s, struct status_client *c, enum err status, uint64_t run)
{
    struct slice reason = slice_str(status == ERR_OK ? NULL : log_reason());
    reason.n = reason.n > 512 ? 512 : reason.n;
    send_reply(s, c, &(struct ipc_reply){(uint16_t)status, run, reason}, -1);
}

/* Appends one message: length, type, body. */
#define PUT(out, name, NAME, ...)                                                                  \
    do {                                                                                           \
        size_t at_ = (out)->len;                                                                   \
        struct ipc_##name m_ = {__VA_ARGS__};                                                      \
        wire_put_u32(out, 0);                                                                      \
        wire_put_u8(out, IPC_##NAME);                                                              \
        if (ipc_put_##name(out, &m_))                                                              \
            wire_store_u32((out)->data + at_, (uint32_t)((out)->len - at_ - 5));                   \
    } while (0)

static void put_server(struct buf *out, const struct status_view *v)
{
    const struct sessions *t = v->sessions;
    char confinement[CONFINE_TEXT];
    confine_statement(confinement);
    PUT(out, status_server, STATUS_SERVER, .version = slice_str(CONSIGN_VERSION),
        .address = slice_str(v->address), .pid = (uint32_t)getpid(),
        .started = (uint64_t)v->started, .uptime = (uint64_t)(tls_now_ms() - v->started_ms) / 1000,
        .generation = v->policy->generation, .draining = v->draining,
        .fips = slice_str(fips_mode_name(v->policy->config->tls.fips)),
        .indicator = slice_str(fips_module() ? "module-in-fips-mode" : FIPS_NO_MODULE),
        .tickets = slice_str(v->tickets), .tickets_until = (uint64_t)v->tickets_until,
        .confinement = slice_str(confinement), .sessions = t->n,
        .sessions_max = v->policy->config->sessions, .served = t->served, .granted = t->granted,
        .resumed = t->resumed, .refused = t->refused, .dropped = t->dropped, .killed = t->killed);
}

static void put_session(struct buf *out, const struct sessions_entry *s,
                        const struct status_view *v)
{
    struct board_doing doing;
    int64_t now = tls_now_ms();
    board_read(s->board, &doing);
    /* Not older than the session itself. */
    int64_t since = doing.since_ms < s->started_ms ? s->started_ms : doing.since_ms;
    bool busy = doing.op != BOARD_NOTHING;
    PUT(out, status_session, STATUS_SESSION, .session = slice_str(s->name), .pid = (uint32_t)s->pid,
        .peer = slice_str(s->peer), .user = slice_str(s->user), .agreed = slice_str(s->agreed),
        .unapproved = slice_str(s->unapproved), .indicator = slice_str(s->indicator),
        .since = (uint64_t)(v->started + (s->started_ms - v->started_ms) / 1000),
        .op = slice_str(board_op_name(doing.op)),
        .phase = slice_str(busy ? board_phase_name(doing.phase) : ""),
        .path = slice_str(doing.path), .done = doing.done, .total = doing.total,
        .moved = doing.moved, .ms = busy ? (uint64_t)(now - since) : 0);
}

void status_put_scrub(struct buf *out, const struct scrub *s, int64_t due_ms)
{
    struct fs_scrub_counts c;
    int64_t left = due_ms ? (due_ms - tls_now_ms()) / 1000 : 0;
    scrub_counts(s, &c);
    PUT(out, status_scrub, STATUS_SCRUB, .run = s->run, .began = (uint64_t)s->began,
        .ended = (uint64_t)s->ended, .status = (uint16_t)s->status,
        .next = due_ms ? (uint64_t)((int64_t)time(NULL) + (left > 0 ? left : 0)) : 0,
        .only = slice_str(s->only), .user = slice_str(s->user));
    PUT(out, scrubbed, SCRUBBED, c.files, c.bytes, c.proven, c.rotten, c.chunks, c.damaged, c.plain,
        c.changed, c.moving, c.orphans, c.errors);
    for (size_t i = 0; i < s->n_found; i++) {
        const struct scrub_finding *f = &s->found[i];
        PUT(out, rot, ROT, (uint8_t)f->kind, f->chunk, f->offset, f->size, slice_str(f->user),
            slice_str(f->path));
    }
}

static void put_crls(struct buf *out, const struct status_view *v)
{
    struct cert_crl_facts f;
    uint32_t n = 0;
    while (cert_store_crl(v->policy->anchors, n, &f))
        n++;
    PUT(out, status_crls, STATUS_CRLS, .count = n);
    for (size_t i = 0; cert_store_crl(v->policy->anchors, i, &f); i++)
        PUT(out, status_crl, STATUS_CRL, .anchor = slice_str(f.anchor),
            .issuer = slice_str(f.issuer), .number = slice_str(f.number),
            .this_update = (uint64_t)f.this_update, .next_update = (uint64_t)f.next_update,
            .counts_until = (uint64_t)f.counts_until, .revoked = f.revoked,
            .now = (uint64_t)time(NULL));
}

static void put_gate(struct buf *out, const struct status_view *v)
{
    struct penalty_peer peers[PENALTIES_SHOWN];
    const struct gate *g = v->gate;
    int64_t now = tls_now_ms();
    size_t n = penalties_list(g->penalties, now, peers, PENALTIES_SHOWN);
    PUT(out, status_gate, STATUS_GATE, .handshakes = v->sessions->n - v->sessions->authorised,
        .handshakes_max = v->policy->config->handshakes, .places = g->places,
        .shut_out = g->shut_out, .gave_way = g->gave_way, .peers = n);
    for (size_t i = 0; i < n && i < PENALTIES_SHOWN; i++) {
        char address[NETWORK_TEXT];
        network_text(&peers[i].who, address);
        PUT(out, status_penalty, STATUS_PENALTY, .address = slice_str(address),
            .reason = slice_str(penalty_text(peers[i].last)),
            .seconds = (uint64_t)(peers[i].until_ms - now + 999) / 1000, .turned = peers[i].turned,
            .times = peers[i].times);
    }
}

static void put_reload(struct buf *out, const struct status_view *v)
{
    const struct status_reload *r = v->reload;
    const struct usher *u = v->usher;
    PUT(out, status_reload, STATUS_RELOAD, .loaded = (uint64_t)r->loaded,
        .failed = (uint64_t)r->failed, .reason = slice_str(r->reason), .judged = u->judged,
        .cut = u->cut, .killed = u->killed);
}

/* There is always one, though nothing may be known of it yet. */
static void put_keeper(struct buf *out, const struct buf *said)
{
    if (said->len)
        buf_put(out, said->data, said->len);
    else
        PUT(out, status_keeper, STATUS_KEEPER, .pid = 0);
}

static void put_all(struct buf *out, const struct status_view *v)
{
    const struct sweep *w = &v->housekeeping->sweep;
    put_server(out, v);
    for (const struct sessions_entry *s = v->sessions->head; s; s = s->next)
        put_session(out, s, v);
    put_keeper(out, v->keeper);
    PUT(out, status_sweep, STATUS_SWEEP, (uint64_t)w->began, (uint64_t)w->ended, w->removed,
        w->failed);
    buf_put(out, v->audit->data, v->audit->len);
    put_crls(out, v);
    put_gate(out, v);
    put_reload(out, v);
    status_put_scrub(out, &v->housekeeping->scrub, v->housekeeping->scrub_due_ms);
}

/* A file in memory with n bytes; -1 (logged) when there is no room. */
static int file_of(const uint8_t *p, size_t n)
{
    int fd = memfd_create("consignd-status", MFD_CLOEXEC);
    for (size_t done = 0; fd >= 0 && done < n;) {
        ssize_t wrote = write(fd, p + done, n - done);
        if (wrote > 0) {
            done += (size_t)wrote;
        } else if (errno != EINTR) {
            close(fd);
            fd = -1;
        }
    }
    if (fd < 0)
        log_warn("a status can't be given: %s", strerror(errno));
    return fd;
}

void status_answer(struct status *s, struct status_client *c, const struct status_view *view)
{
    struct buf out;
    buf_init(&out, STATUS_MAX);
    put_all(&out, view);
    int fd = out.bad ? -1 : file_of(out.data, out.len);
    struct ipc_reply m = {.status = fd >= 0 ? ERR_OK : ERR_INTERNAL};
    send_reply(s, c, &m, fd);
    if (fd >= 0)
        close(fd);
    buf_release(&out);
}
