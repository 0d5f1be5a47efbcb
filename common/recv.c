/* SPDX-License-Identifier: ISC */
/* The receiver of a transfer: xfer.h has the contract. One thread takes frames from the channel and
 * checks their order; what they bring is hashed, written and entered in the journal on a lane, in that
 * order. */
#include "recv_internal.h"

#include "log.h"
#include "match.h"
#include "patience.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TICK_MS = 1000,        /* between two PROGRESS frames */
    THREAD_MIN = 4 << 20,  /* shorter contents are not worth a thread */
    DRAIN_MAX = 128 << 20, /* bytes that sockets and a link may hold */
};

/* ---- what goes back ---- */

enum err recv_tell(struct receiver *r, enum msg_phase phase, uint64_t done, uint64_t total)
{
    int64_t now = tls_now_ms();
    if (now - r->tick_ms < TICK_MS)
        return ERR_OK;
    r->tick_ms = now;
    enum err e = CHAN_SEND(r->x->chan, progress, PROGRESS, .id = r->x->id, .phase = (uint8_t)phase,
                           .done = done, .total = total);
    return e == ERR_OK ? chan_flush(r->x->chan) : e;
}

static enum err hashing(void *arg, uint64_t done, uint64_t total)
{
    struct receiver *r = arg;
    if (r->x->event)
        r->x->event(r->x->event_arg, XFER_HASHING, done, total);
    return recv_tell(r, MSG_PHASE_HASHING, done, total);
}

/* Sends all hashes of the old version: any of them may be that of the first chunk. */
static enum err send_old(struct receiver *r)
{
    enum err e = ERR_OK;
    for (uint64_t at = 0; at < r->old.n && e == ERR_OK; at += XFER_WINDOW) {
        uint64_t n = r->old.n - at < XFER_WINDOW ? r->old.n - at : XFER_WINDOW;
        e = CHAN_SEND(r->x->chan, old, OLD, .id = r->x->id, .first = at,
                      .hashes = slice_of(r->old.hashes + at * TREE_HASH, n * TREE_HASH));
    }
    return e;
}

/* ---- the beginning ---- */

/* A server that can't send answers GET with DONE; PROGRESS may come while it hashes. */
static enum err on_done_instead(struct receiver *r, const struct frame *f)
{
    struct msg_done m;
    if (!CHAN_GET(f, done, &m) || m.id != r->x->id || m.status == ERR_OK)
        return chan_malformed(f);
    r->replied = r->result->peer_said = true;
    log_scrub(r->result->reason, sizeof r->result->reason, m.reason.p, m.reason.n);
    return err_from_wire(m.status);
}

static enum err take_offer(struct receiver *r)
{
    struct patience patience;
    struct frame f;
    enum err e;
    patience_begin(&patience, r->x->chan);
    do {
        if ((e = patience_recv(&patience, &f)) == ERR_TIMEOUT)
            return log_fail(e, "%s: no offer from the sender", r->x->name);
    } while (e == ERR_OK && f.type == MSG_PROGRESS);
    if (e != ERR_OK)
        return e;
    if (f.type == MSG_DONE && !r->x->upload)
        return on_done_instead(r, &f);
    if (f.type == MSG_ABORT)
        return recv_abort(r, &f);
    if (f.type != MSG_OFFER)
        return chan_unexpected(&f, "where an offer was due");
    if (!CHAN_GET(&f, offer, &r->offer) || r->offer.id != r->x->id)
        return chan_malformed(&f);
    if (r->offer.chunk_log2 < TREE_CHUNK_LOG2_MIN || r->offer.chunk_log2 > TREE_CHUNK_LOG2_MAX ||
        r->offer.length > INT64_MAX || r->offer.allocated > r->offer.length ||
        r->offer.mtime_ns >= 1000000000 ||
        tree_chunks(r->offer.length, r->offer.chunk_log2) > TREE_CHUNKS_MAX)
        return log_fail(ERR_PROTO, "%s: an offer that can't be (%llu bytes in chunks of 2^%u)",
                        r->x->name, (unsigned long long)r->offer.length, r->offer.chunk_log2);
    r->chunks = tree_chunks(r->offer.length, r->offer.chunk_log2);
    r->result->length = r->offer.length;
    return ERR_OK;
}

/* An old version that can't be read is none: what could be wrong with it is no reason not to replace it. */
static enum err look_at_old(struct receiver *r)
{
    struct old_how how = {.chunk_log2 = r->offer.chunk_log2,
                          .most = MATCH_MAX,
                          .recheck = r->x->recheck,
                          .engine = r->x->engine,
                          .progress = hashing,
                          .arg = r};
    if (!r->files.has_old || r->x->whole || r->x->joined || r->chunks <= 1 ||
        r->part.have == r->chunks)
        return ERR_OK;
    r->files.has_old = false;
    enum err e = old_open(&r->old, &r->files.old, r->x->name, &how);
    return r->x->chan->failed ? e : ERR_OK;
}

/* Takes up the part, alone or with others. */
static enum err begin_part(struct receiver *r)
{
    const struct xfer *x = r->x;
    if (x->joined)
        return part_join(&r->part, r->files.data, r->files.journal, r->offer.length,
                         r->offer.chunk_log2, x->token);
    enum err e = part_begin(&r->part, r->files.data, r->files.journal, r->offer.length,
                            r->offer.chunk_log2, x->recheck, x->engine, hashing, r);
    if (e != ERR_OK || !(x->streams ? r->wanting : x->shared))
        return e;
    if ((e = chan_token(x->chan, x->id, r->token)) == ERR_OK &&
        (e = part_share(&r->part, r->token)) == ERR_OK)
        e = r->sink->share(r->sink->arg, &r->files);
    return e;
}

/* What the streams of a download deal out among themselves. */
static enum err begin_streams(struct receiver *r)
{
    struct xfer_streams *s = r->x->streams;
    enum err e = ERR_OK;
    r->wanting = s && r->offer.shared;
    if (s && r->x->joined && !r->wanting)
        return log_fail(ERR_CHANGED, "%s: the file has changed at the sender", r->x->name);
    if (r->wanting && !s->share)
        e = share_new(r->chunks, r->offer.chunk_log2, &s->share);
    return e;
}

/* Whether the source has holes that are worth it; blocks round up what is allocated. */
static bool sparse(const struct receiver *r)
{
    return r->offer.length - r->offer.allocated >= UINT64_C(1) << r->offer.chunk_log2 >> 1;
}

static enum err begin(struct receiver *r)
{
    enum err e;
    if ((e = tree_chunk_init(&r->hasher, r->x->engine, r->offer.chunk_log2)) != ERR_OK ||
        (e = r->sink->open(r->sink->arg, r->offer.length, sparse(r), &r->files)) != ERR_OK)
        return e;
    tree_zeros_init(&r->zeros, &r->hasher, r->offer.length, r->offer.chunk_log2);
    r->opened = true;
    r->tick_ms = tls_now_ms();
    if ((e = begin_streams(r)) != ERR_OK || (e = begin_part(r)) != ERR_OK)
        return e;
    r->begun = true;
    lane_start(&r->lane, recv_work, r, r->jobs, sizeof r->jobs[0],
               r->x->threads && r->offer.length >= THREAD_MIN);
    if ((e = look_at_old(r)) != ERR_OK)
        return e;
    /* Slots may be filled anywhere before the last one that is. */
    if (r->part.have > 0)
        r->part.have = r->chunks;
    e = CHAN_SEND(r->x->chan, ready, READY, .id = r->x->id, .have = r->part.have, .old = r->old.n,
                  .old_length = r->old.length, .shared = r->part.shared && !r->x->joined);
    if (e == ERR_OK)
        e = send_old(r);
    if (e == ERR_OK && r->x->event)
        r->x->event(r->x->event_arg, XFER_MOVING, 0, r->offer.length);
    if (e == ERR_OK)
        e = recv_send_have(r);
    if (e == ERR_OK && r->wanting && !r->x->joined && r->old.n == 0)
        r->x->streams->open(r->x->streams->arg, r->token);
    return e == ERR_OK && r->wanting ? recv_want(r) : e;
}

/* ---- the end ---- */

/* Drops what is in flight until the sender knows that it is over: what sockets and line hold, and the
 * chunk at which it looks for answers. A connection with more than that is of no use any more. */
static enum err drain(const struct xfer *x, unsigned chunk_log2, bool *sender_done)
{
    uint64_t left = DRAIN_MAX;
    int64_t due = tls_now_ms() + PATIENCE_MS;
    struct frame f;
    enum err e = ERR_OK;
    if (chunk_log2 <= TREE_CHUNK_LOG2_MAX)
        left += UINT64_C(2) << chunk_log2;
    while (!*sender_done && (e = chan_recv(x->chan, &f, x->chan->limits.stall_ms)) == ERR_OK) {
        *sender_done = f.type == MSG_ABORT || f.type == MSG_COMMIT || f.type == MSG_FINISH;
        if (f.n + MSG_HEADER > left || tls_now_ms() > due) {
            x->chan->failed = true;
            return log_fail(ERR_PROTO, "%s: the sender goes on though it was told to stop",
                            x->name);
        }
        left -= f.n + MSG_HEADER;
    }
    return e;
}

static enum err finish(struct receiver *r, enum err outcome, const char *reason)
{
    struct slice text = slice_str(reason);
    if (r->sink->record) {
        enum err e = r->sink->record(r->sink->arg, outcome, r->result);
        if (outcome == ERR_OK && e != ERR_OK) {
            outcome = e;
            text = slice_str(log_reason());
        }
    }
    text.n = outcome == ERR_OK ? 0 : text.n > 512 ? 512 : text.n;
    if (r->x->chan->failed || r->replied)
        return outcome;
    enum err e = CHAN_SEND(r->x->chan, done, DONE, .id = r->x->id, .status = (uint16_t)outcome,
                           .reason = text);
    if (e == ERR_OK)
        e = chan_flush(r->x->chan);
    if (e == ERR_OK)
        e = drain(r->x, r->offer.chunk_log2, &r->sender_done);
    return outcome == ERR_OK ? e : outcome;
}

static void let_go(struct receiver *r, enum err outcome)
{
    if (r->begun)
        lane_stop(&r->lane);
    for (size_t i = 0; i < LANE_SLOTS; i++)
        free(r->jobs[i].buffer);
    if (!r->opened)
        return;
    /* What arrived before an error counts when the transfer is taken up again. */
    if (outcome != ERR_OK && r->begun && !r->part.failed && part_checkpoint(&r->part) != ERR_OK)
        log_warn("%s: what was received may have to be sent again", r->x->name);
    part_release(&r->part);
    old_release(&r->old);
    if (r->files.has_old) {
        close(r->files.old.fd);
        if (r->files.old.tree >= 0)
            close(r->files.old.tree);
    }
    if (r->sink->release)
        r->sink->release(r->sink->arg);
}

enum err xfer_receive(const struct xfer *x, const struct xfer_sink *sink,
                      struct xfer_result *result)
{
    struct receiver r = {.x = x, .sink = sink, .result = result, .old.fd = -1};
    char reason[513];
    struct frame f;
    *result = (struct xfer_result){0};
    enum err e = take_offer(&r);
    if (e == ERR_OK)
        e = begin(&r);
    int64_t due = tls_now_ms() + x->chan->limits.stall_ms;
    while (e == ERR_OK && !r.sender_done) {
        e = chan_recv(x->chan, &f, due - tls_now_ms());
        if (e == ERR_TIMEOUT && !x->chan->failed) {
            e = log_fail(e, "%s: the sender fell silent", x->name);
            x->chan->failed = true;
        } else if (e == ERR_OK) {
            e = recv_frame(&r, &f);
            /* What may be ignored does not keep a part locked. */
            if (f.type < MSG_IGNORABLE)
                due = tls_now_ms() + x->chan->limits.stall_ms;
        }
    }
    snprintf(reason, sizeof reason, "%s", result->peer_said ? result->reason : log_reason());
    let_go(&r, e);
    e = finish(&r, e, reason);
    tree_chunk_release(&r.hasher);
    deflate_release(&r.deflate);
    free(r.plain);
    return e;
}

enum err xfer_refuse(const struct xfer *x, enum err e, const char *reason)
{
    struct slice text = slice_str(reason);
    bool sender_done = false;
    text.n = text.n > 512 ? 512 : text.n;
    enum err rc =
        CHAN_SEND(x->chan, done, DONE, .id = x->id, .status = (uint16_t)e, .reason = text);
    return rc == ERR_OK ? drain(x, 0, &sender_done) : rc;
}
