/* SPDX-License-Identifier: ISC */
#include "chan.h"

#include "log.h"
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECORD = 16384,           /* content of one TLS record */
    GATHER_PLAIN = 16 * 1024, /* queued frames are encrypted from here on */
    QUEUED_MAX = 192 * 1024,  /* longest frame but DATA: SMALL */
    REJECT_MS = 1000,
    SAMPLE_MS = 100,    /* a full socket is looked at more closely from then on */
    PACE_STEP_MS = 100, /* the longest sleep at a time */
    HEED_MS = 100,
    PACE_ROOM_MIN = 64 * 1024,
    PACE_ROOM_MAX = 1024 * 1024,
};

enum err chan_init(struct chan *c, struct tls *tls, const struct chan_limits *limits)
{
    *c = (struct chan){
        .tls = tls, .limits = *limits, .frame_max = MSG_FRAME_MAX_EARLY, .heed_fd = -1};
    /* Pages of the long buffer are only touched once long frames arrive. */
    c->in_cap = MSG_HEADER + MSG_FRAME_MAX + 2 * RECORD;
    c->in = malloc(c->in_cap);
    buf_init(&c->out, GATHER_PLAIN + QUEUED_MAX);
    if (c->in)
        return ERR_OK;
    chan_release(c);
    return log_fail(ERR_INTERNAL, "out of memory for a connection");
}

void chan_release(struct chan *c)
{
    tls_free(c->tls);
    free(c->in);
    buf_release(&c->out);
    *c = (struct chan){.failed = true, .heed_fd = -1};
}

void chan_allow_data(struct chan *c)
{
    c->frame_max = MSG_FRAME_MAX;
}

static enum err broken(struct chan *c, enum err e)
{
    c->failed = true;
    return e;
}

/* What the kernel takes in beyond a second's worth, the sender takes for received: its waits for an
 * answer would run while we are busy with it. Fast ones are left to the kernel's own tuning. */
void chan_pace(struct chan *c, struct pace *p)
{
    c->pace = p;
    if (p && p->rate <= PACE_ROOM_MAX)
        tls_receive_room(c->tls, p->rate < PACE_ROOM_MIN ? PACE_ROOM_MIN : (int)p->rate);
}

/* ---- an end from outside ---- */

void chan_heed(struct chan *c, int fd, chan_heed_fn *heed, void *arg)
{
    c->heed_fd = fd;
    c->heed = heed;
    c->heed_arg = arg;
}

static enum err ask(struct chan *c)
{
    bool ever = true;
    enum err e = c->heed(c->heed_arg, &ever);
    c->heed_ms = tls_now_ms() + HEED_MS;
    if (!ever)
        c->heed_fd = -1;
    c->cut = e != ERR_OK;
    return e == ERR_OK ? e : broken(c, e);
}

/* Between two frames of ours, when it is time. */
static enum err heed_now_and_then(struct chan *c)
{
    return c->heed_fd >= 0 && tls_now_ms() >= c->heed_ms ? ask(c) : ERR_OK;
}

/* ---- progress watch ---- */

static void watch_start(struct chan *c)
{
    c->watch_ms = tls_now_ms();
    c->watch_moved = c->moved;
    c->watch_sampled = false;
}

/* What moved in the running span. A socket whose buffer is long takes nothing for long while a slow
 * peer empties it: then what the peer's kernel acknowledged since the sample counts. */
static uint64_t watch_progress(const struct chan *c, short events)
{
    uint64_t moved = c->moved - c->watch_moved;
    uint64_t acked = events & POLLOUT ? tls_bytes_acked(c->tls) - c->watch_acked : 0;
    return moved > acked ? moved : acked;
}

/* Waits for the socket; ERR_TIMEOUT, logged, when too little moved in the running span. */
static enum err watch_wait(struct chan *c, short events, short *ready)
{
    for (;;) {
        int64_t end = c->watch_ms + c->limits.stall_ms, sample = tls_now_ms() + SAMPLE_MS;
        int also = events == POLLIN ? c->heed_fd : -1;
        enum err e = tls_wait_also(c->tls, events, also,
                                   c->watch_sampled || sample > end ? end : sample, ready);
        if (e != ERR_TIMEOUT)
            return e;
        if (!c->watch_sampled) {
            c->watch_sampled = true;
            c->watch_acked = tls_bytes_acked(c->tls);
        }
        if (tls_now_ms() < end)
            continue;
        uint64_t need = c->limits.min_rate * (uint64_t)c->limits.stall_ms / 1000;
        uint64_t moved = watch_progress(c, events);
        need = need ? need : 1;
        if (moved < need)
            return log_fail(ERR_TIMEOUT,
                            "connection stalled: %llu bytes in %lld s; %llu are the least",
                            (unsigned long long)moved, (long long)c->limits.stall_ms / 1000,
                            (unsigned long long)need);
        watch_start(c);
    }
}

/* ---- receiving ---- */

static size_t in_len(const struct chan *c)
{
    return c->in_to - c->in_from;
}

/* The length of the frame at the front including its header, 0 while unknown; *e for an illegal
 * one. */
static size_t front_size(const struct chan *c, enum err *e)
{
    *e = ERR_OK;
    if (in_len(c) < 4)
        return 0;
    uint32_t n = wire_load_u32(c->in + c->in_from);
    if (n == 0)
        *e = log_fail(ERR_PROTO, "the peer sent an empty frame");
    else if (n > c->frame_max)
        *e = log_fail(ERR_PROTO, "the peer sent a frame of %lu bytes; at most %lu are allowed here",
                      (unsigned long)n, (unsigned long)c->frame_max);
    return *e == ERR_OK ? 4 + (size_t)n : 0;
}

/* Takes in one record's content if there is room and the peer sent one. An orderly close between two
 * frames is ERR_CONN in silence. */
static enum err take_in(struct chan *c)
{
    size_t got, room = c->in_cap - c->in_to;
    if (room < RECORD)
        return ERR_BUSY;
    enum err e = tls_read(c->tls, c->in + c->in_to, room, &got);
    if (e == ERR_OK && got == 0)
        e = in_len(c) == 0 ? ERR_CONN : log_fail(ERR_CONN, "the peer closed inside a message");
    c->in_to += got;
    c->moved += got;
    if (c->pace && got > 0)
        c->pace_ms = pace_take(c->pace, got);
    return e;
}

static void compact(struct chan *c)
{
    if (c->in_from == 0)
        return;
    memmove(c->in, c->in + c->in_from, in_len(c));
    c->in_to -= c->in_from;
    c->in_from = 0;
}

/* Waits for more input: for a frame's first byte until deadline, inside a frame by the progress
 * watch. */
static enum err wait_input(struct chan *c, int64_t deadline)
{
    short ready;
    enum err e = in_len(c) == 0 ? tls_wait_also(c->tls, POLLIN, c->heed_fd, deadline, &ready)
                                : watch_wait(c, POLLIN, &ready);
    return e == ERR_OK && ready == 0 ? ask(c) : e;
}

static enum err on_error(struct chan *c, const struct frame *f)
{
    struct msg_error m;
    char reason[513];
    c->failed = c->peer_ended = true;
    if (!CHAN_GET(f, error, &m))
        return chan_malformed(f);
    log_scrub(reason, sizeof reason, m.reason.p, m.reason.n);
    enum err e = err_from_wire(m.status);
    return log_fail(e == ERR_OK ? ERR_PROTO : e, "the peer ended the connection: %s", reason);
}

/* While something is sent, frames wait until they are asked for; but ERROR ends the connection, which the
 * peer may be about to close. */
static enum err take_in_between(struct chan *c)
{
    enum err e = take_in(c);
    uint32_t n = 0;
    for (size_t at = c->in_from; e == ERR_OK && c->in_to - at > 4; at += 4 + (size_t)n) {
        n = wire_load_u32(c->in + at);
        if (n == 0 || n > c->frame_max || c->in_to - at - 4 < n)
            break;
        if (c->in[at + 4] == MSG_ERROR)
            e = on_error(c, &(struct frame){MSG_ERROR, c->in + at + MSG_HEADER, n - 1});
    }
    return e;
}

/* ---- pace ---- */

/* Sleeps for a step at most; where take is set, what the peer sends meanwhile is taken in as far as
 * there is room. */
static enum err pace_step(struct chan *c, int64_t ms, bool take)
{
    short ready = 0;
    ms = ms < PACE_STEP_MS ? ms : PACE_STEP_MS;
    if (!take || c->in_cap - c->in_to < RECORD) {
        (void)poll(NULL, 0, (int)ms);
        return ERR_OK;
    }
    enum err e = tls_wait(c->tls, POLLIN, tls_now_ms() + ms, &ready);
    if (e == ERR_OK)
        e = take_in_between(c);
    return e == ERR_TIMEOUT || e == ERR_BUSY ? ERR_OK : e;
}

/* Waits for a turn. What was encrypted goes out before, so that the peer sees bytes come steadily; and
 * the time is not the peer's: the watch stands still. */
static enum err pace_wait(struct chan *c, int64_t turn_ms, bool take)
{
    int64_t start = tls_now_ms(), now = start;
    enum err e = ERR_OK;
    for (; e == ERR_OK && now < turn_ms; now = tls_now_ms()) {
        e = tls_flush(c->tls);
        if (e == ERR_OK || e == ERR_BUSY)
            e = pace_step(c, turn_ms - now, take);
        if (e == ERR_OK && !take)
            e = heed_now_and_then(c);
    }
    c->watch_ms += now - start;
    return e;
}

/* What was taken in has to be paid for before there is more, or before it is handed on. */
static enum err pay(struct chan *c, int64_t *deadline)
{
    int64_t now = tls_now_ms();
    if (now >= c->pace_ms)
        return ERR_OK;
    enum err e = pace_wait(c, c->pace_ms, false);
    *deadline += tls_now_ms() - now;
    return e == ERR_OK ? e : broken(c, e);
}

enum err chan_recv(struct chan *c, struct frame *f, int64_t timeout_ms)
{
    enum err e = chan_flush(c);
    int64_t deadline = tls_now_ms() + timeout_ms;
    size_t size;
    if (e != ERR_OK)
        return e;
    if (in_len(c) <= 2 * RECORD)
        compact(c); /* many small frames are not moved up one by one */
    watch_start(c);
    while ((size = front_size(c, &e)) == 0 || size > in_len(c)) {
        if (e != ERR_OK)
            return broken(c, e);
        bool inside = in_len(c) > 0;
        if (c->in_cap - c->in_to < RECORD)
            compact(c);
        if (c->pace && (e = pay(c, &deadline)) != ERR_OK)
            return e;
        e = take_in(c);
        if (e == ERR_BUSY)
            e = wait_input(c, deadline);
        else if (e == ERR_OK && !inside)
            watch_start(c);
        if (e == ERR_TIMEOUT && !inside)
            return e; /* nothing was lost: the channel is still good */
        if (e != ERR_OK)
            return broken(c, e);
    }
    if (c->pace && (e = pay(c, &deadline)) != ERR_OK)
        return e;
    *f = (struct frame){c->in[c->in_from + 4], c->in + c->in_from + MSG_HEADER, size - MSG_HEADER};
    c->in_from += size;
    return f->type == MSG_ERROR ? on_error(c, f) : ERR_OK;
}

enum err chan_keep_frame(struct chan *c, uint8_t **buffer)
{
    uint8_t *next = *buffer ? *buffer : malloc(c->in_cap);
    if (!next)
        return log_fail(ERR_INTERNAL, "out of memory for a connection");
    memcpy(next, c->in + c->in_from, in_len(c));
    c->in_to -= c->in_from;
    c->in_from = 0;
    *buffer = c->in;
    c->in = next;
    return ERR_OK;
}

bool chan_ready(struct chan *c)
{
    for (;;) {
        if (in_len(c) >= 4) {
            uint32_t n = wire_load_u32(c->in + c->in_from);
            if (n == 0 || n > c->frame_max || 4 + (size_t)n <= in_len(c))
                return true;
        }
        if (c->failed)
            return true;
        /* Else a frame that began far up in a full buffer would never be whole, and whoever waits for more
         * would not wait at all. */
        if (c->in_cap - c->in_to < RECORD)
            compact(c);
        enum err e = take_in(c);
        if (e == ERR_BUSY)
            return false;
        if (e != ERR_OK) {
            c->failed = true;
            return true;
        }
    }
}

/* ---- sending ---- */

/* A frame may be half out: nothing that follows would be understood. */
static enum err cut_short(struct chan *c, enum err e)
{
    c->mute = true;
    return broken(c, e);
}

/* Waits until the socket takes more, and takes in what the peer sends meanwhile. */
static enum err wait_room(struct chan *c)
{
    int64_t since = tls_now_ns();
    short ready = 0, events = POLLOUT;
    if (c->in_cap - c->in_to >= RECORD)
        events |= POLLIN;
    enum err e = watch_wait(c, events, &ready);
    c->waited_ns += tls_now_ns() - since;
    if (e == ERR_OK && ready & POLLIN && (e = take_in_between(c)) == ERR_BUSY)
        e = ERR_OK;
    return e;
}

/* Encrypts n bytes at p, waiting for the socket as needed. */
static enum err write_piece(struct chan *c, const uint8_t *p, size_t n)
{
    while (n > 0) {
        size_t done;
        enum err e = tls_write(c->tls, p, n, &done);
        if (e == ERR_OK) {
            p += done;
            n -= done;
            c->moved += done;
            continue;
        }
        if (e != ERR_BUSY || (e = wait_room(c)) != ERR_OK)
            return cut_short(c, e);
    }
    return ERR_OK;
}

/* The same, in pieces at their turn where there is a limit. */
static enum err write_all(struct chan *c, const uint8_t *p, size_t n)
{
    enum err e = ERR_OK;
    if (!c->pace)
        return write_piece(c, p, n);
    for (size_t piece; n > 0 && e == ERR_OK; p += piece, n -= piece) {
        piece = (size_t)pace_piece(c->pace);
        piece = n < piece ? n : piece;
        int64_t since = tls_now_ns();
        if ((e = pace_wait(c, pace_take(c->pace, piece), true)) != ERR_OK)
            return cut_short(c, e);
        c->waited_ns += tls_now_ns() - since;
        e = write_piece(c, p, piece);
    }
    return e;
}

/* Encrypts the queued frames. */
static enum err encrypt(struct chan *c)
{
    enum err e = write_all(c, c->out.data, c->out.len);
    buf_clear(&c->out);
    return e;
}

size_t chan_begin(struct chan *c, uint8_t type)
{
    size_t at = c->out.len;
    wire_put_u32(&c->out, 0);
    wire_put_u8(&c->out, type);
    return at;
}

enum err chan_end(struct chan *c, size_t at)
{
    if (c->failed)
        return ERR_CONN;
    if (c->out.bad) {
        buf_clear(&c->out);
        return broken(c, log_fail(ERR_INTERNAL, "a message is too long to send"));
    }
    wire_store_u32(c->out.data + at, (uint32_t)(c->out.len - at - 4));
    if (c->out.len < GATHER_PLAIN)
        return ERR_OK;
    enum err e = heed_now_and_then(c);
    watch_start(c);
    return e == ERR_OK ? encrypt(c) : e;
}

enum err chan_send_data(struct chan *c, const struct msg_data *m)
{
    struct msg_data head = *m;
    enum err e = heed_now_and_then(c);
    if (e != ERR_OK)
        return e;
    size_t at = chan_begin(c, MSG_DATA);
    head.bytes.n = 0;
    (void)msg_put_data(&c->out, &head);
    if (c->out.bad || m->bytes.n > MSG_DATA_MAX)
        return broken(c, log_fail(ERR_INTERNAL, "a message is too long to send"));
    if (c->failed)
        return ERR_CONN;
    wire_store_u32(c->out.data + at, (uint32_t)(c->out.len - at - 4 + m->bytes.n));
    watch_start(c);
    e = encrypt(c);
    return e == ERR_OK ? write_all(c, m->bytes.p, m->bytes.n) : e;
}

enum err chan_flush(struct chan *c)
{
    enum err e;
    if (c->failed)
        return ERR_CONN;
    if ((e = heed_now_and_then(c)) != ERR_OK)
        return e;
    watch_start(c);
    if (c->out.len > 0 && (e = encrypt(c)) != ERR_OK)
        return e;
    while ((e = tls_flush(c->tls)) == ERR_BUSY)
        if ((e = wait_room(c)) != ERR_OK)
            break;
    return e == ERR_OK ? e : cut_short(c, e);
}

/* ---- endings ---- */

void chan_reject(struct chan *c, enum err status, const char *reason)
{
    struct slice text = slice_str(reason);
    bool heard = !c->failed || c->cut || status == ERR_PROTO || status == ERR_TIMEOUT;
    if (c->peer_ended || c->mute || !heard)
        return;
    c->failed = c->cut = false;
    c->heed_fd = -1;
    c->limits = (struct chan_limits){REJECT_MS, 1};
    c->pace = NULL;
    text.n = text.n > 512 ? 512 : text.n;
    buf_clear(&c->out);
    if (CHAN_SEND(c, error, ERROR, .status = (uint16_t)status, .reason = text) == ERR_OK &&
        chan_flush(c) == ERR_OK)
        tls_bye(c->tls);
    c->failed = true;
}

void chan_linger(struct chan *c, int64_t ms)
{
    int64_t end = tls_now_ms() + ms;
    size_t got = 1;
    short ready;
    enum err e = c->mute || c->peer_ended ? ERR_CONN : ERR_OK;
    while (e == ERR_OK && got > 0 && tls_now_ms() < end) {
        e = tls_read(c->tls, c->in, c->in_cap, &got);
        if (e == ERR_BUSY && (e = tls_wait(c->tls, POLLIN, end, &ready)) == ERR_OK)
            got = 1;
    }
}

void chan_bye(struct chan *c)
{
    if (chan_flush(c) == ERR_OK)
        tls_bye(c->tls);
    c->failed = true;
}

enum err chan_unexpected(const struct frame *f, const char *where)
{
    return log_fail(ERR_PROTO, "the peer sent %s (type %u) %s", msg_name(f->type), f->type, where);
}

enum err chan_malformed(const struct frame *f)
{
    return log_fail(ERR_PROTO, "the peer sent a malformed %s (type %u, %zu bytes)",
                    msg_name(f->type), f->type, f->n);
}

enum err chan_token(const struct chan *c, uint32_t id, uint8_t token[static TLS_EXPORT])
{
    uint8_t context[4];
    wire_store_u32(context, id);
    return tls_export(c->tls, "EXPORTER-consign-join", context, sizeof context, token);
}
