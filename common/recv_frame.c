/* SPDX-License-Identifier: ISC */
/* What comes from the sender: its order is checked here, then it goes to the lane. */
#include "recv_internal.h"

#include "log.h"
#include <string.h>

enum { JOINED_MS = 5 * 1000 }; /* what a connection that is given up takes to end */

enum err recv_send_have(struct receiver *r)
{
    uint8_t hashes[XFER_WINDOW * TREE_HASH];
    while (r->told < r->part.have &&
           r->told < (r->cursor / XFER_WINDOW + XFER_WINDOWS) * XFER_WINDOW) {
        uint64_t left = r->part.have - r->told;
        size_t n = left < XFER_WINDOW ? (size_t)left : XFER_WINDOW;
        enum err e = part_slots_read(r->part.journal, r->told, n, hashes);
        if (e == ERR_OK)
            e = CHAN_SEND(r->x->chan, have, HAVE, .id = r->x->id, .first = r->told,
                          .hashes = slice_of(hashes, n * TREE_HASH));
        if (e != ERR_OK)
            return e;
        r->told += n;
    }
    return ERR_OK;
}

/* The length of the content in m, whose bytes are then what gives it; 0 when it can't be. */
static size_t content_length(struct msg_data *m)
{
    struct wire_rd rd = wire_read(m->bytes.p, m->bytes.n);
    if (m->kind == MSG_KIND_PLAIN)
        return m->bytes.n;
    size_t length = wire_get_u32(&rd);
    if (length > DEFLATE_MAX || m->bytes.n >= length)
        return 0;
    m->bytes = wire_get_tail(&rd, MSG_DATA_MAX);
    return length;
}

static enum err on_data(struct receiver *r, const struct frame *f)
{
    struct msg_data m;
    if (!CHAN_GET(f, data, &m) || m.id != r->x->id)
        return chan_malformed(f);
    if (m.kind > MSG_KIND_DEFLATE)
        return chan_unexpected(f, "of an unknown kind");
    size_t length = content_length(&m);
    if (length == 0)
        return chan_malformed(f);
    uint64_t size = tree_chunk_size(r->offer.length, r->offer.chunk_log2, m.index);
    if (m.index >= r->chunks || m.index != r->cursor || m.offset != r->at ||
        length > size - r->at || (length % TREE_LEAF && r->at + length != size))
        return chan_unexpected(f, "out of place: not the next piece of the content");
    struct recv_job *j = lane_slot(&r->lane);
    j->type = MSG_DATA;
    j->index = m.index;
    j->offset = m.offset;
    j->bytes = m.bytes;
    j->kind = m.kind;
    j->length = length;
    if (r->lane.threaded) {
        enum err e = chan_keep_frame(r->x->chan, &j->buffer);
        if (e != ERR_OK)
            return e;
    }
    r->at += length;
    r->result->moved += length;
    return lane_go(&r->lane);
}

enum err recv_want(struct receiver *r)
{
    struct share *share = r->x->streams->share;
    uint64_t first, count, from = r->n_wants ? r->want_ends[r->n_wants - 1] : r->cursor;
    unsigned ahead = share_alone(share) ? RECV_WANTS : RECV_WANTS_SHARED;
    enum err e = ERR_OK;
    while (e == ERR_OK && r->n_wants < ahead && !r->want_over) {
        enum share_state state = SHARE_FREE;
        if (share_take(share, r->x->stream, from, &first, &count)) {
            from = r->want_ends[r->n_wants++] = first + count;
        } else if (r->n_wants > 0) {
            return ERR_OK;
        } else if (r->x->joined ||
                   (state = share_look(share, from, XFER_TICK_MS)) == SHARE_ALL_DONE) {
            r->want_over = true;
            first = count = 0;
        } else if (state == SHARE_FAILED) {
            return log_fail(ERR_CONN, "%s: another connection of the transfer was lost",
                            r->x->name);
        } else {
            e = recv_tell(r, MSG_PHASE_BUSY, r->cursor << r->offer.chunk_log2, r->offer.length);
            continue;
        }
        e = CHAN_SEND(r->x->chan, want, WANT, .id = r->x->id, .first = first, .count = count);
    }
    return e == ERR_OK ? chan_flush(r->x->chan) : e;
}

static enum err advance(struct receiver *r, uint64_t chunks)
{
    r->cursor += chunks;
    r->at = 0;
    if (r->x->event) {
        uint64_t done = r->cursor << r->offer.chunk_log2;
        r->x->event(r->x->event_arg, XFER_MOVING, done < r->offer.length ? done : r->offer.length,
                    r->offer.length);
    }
    enum err e = recv_send_have(r);
    if (e != ERR_OK || !r->wanting)
        return e;
    while (r->n_wants > 0 && r->cursor >= r->want_ends[0]) {
        memmove(r->want_ends, r->want_ends + 1, sizeof r->want_ends - sizeof r->want_ends[0]);
        r->n_wants--;
    }
    return recv_want(r);
}

static enum err on_chunk(struct receiver *r, const struct frame *f)
{
    struct msg_chunk m;
    if (!CHAN_GET(f, chunk, &m) || m.id != r->x->id)
        return chan_malformed(f);
    if (m.index != r->cursor || r->at == 0 ||
        r->at != tree_chunk_size(r->offer.length, r->offer.chunk_log2, m.index))
        return chan_unexpected(f, "for a chunk that is not complete");
    struct recv_job *j = lane_slot(&r->lane);
    j->type = MSG_CHUNK;
    j->index = m.index;
    memcpy(j->hash, m.hash, TREE_HASH);
    enum err e = lane_go(&r->lane);
    return e == ERR_OK ? advance(r, 1) : e;
}

/* Whether chunks [first, first+count) are the next ones, of which nothing has come. */
static bool next_chunks(const struct receiver *r, uint64_t first, uint64_t count)
{
    return first == r->cursor && r->at == 0 && count > 0 && count <= r->chunks - first;
}

/* Whether they lie in one window, as a run must that takes long. */
static bool one_window(uint64_t first, uint64_t count)
{
    return first % XFER_WINDOW + count <= XFER_WINDOW;
}

/* Covers the next count chunks in a way that brings no bytes: *sum, unless it is NULL, counts theirs. */
static enum err cover(struct receiver *r, uint8_t type, uint64_t count, uint64_t from,
                      uint64_t *sum)
{
    struct recv_job *j = lane_slot(&r->lane);
    j->type = type;
    j->index = r->cursor;
    j->count = count;
    j->from = from;
    enum err e = lane_go(&r->lane);
    if (e != ERR_OK)
        return e;
    if (sum)
        *sum += recv_bytes(r, r->cursor, count);
    return advance(r, count);
}

static enum err on_keep(struct receiver *r, const struct frame *f)
{
    struct msg_keep m;
    if (!CHAN_GET(f, keep, &m) || m.id != r->x->id)
        return chan_malformed(f);
    if (!next_chunks(r, m.first, m.count))
        return chan_unexpected(f, "out of place: not the next chunks");
    return cover(r, MSG_KEEP, m.count, 0, &r->result->kept);
}

static enum err on_skip(struct receiver *r, const struct frame *f)
{
    struct msg_skip m;
    if (!CHAN_GET(f, skip, &m) || m.id != r->x->id)
        return chan_malformed(f);
    if (!r->part.shared || !next_chunks(r, m.first, m.count))
        return chan_unexpected(f, "out of place: chunks that nobody else brings");
    return cover(r, MSG_SKIP, m.count, 0, NULL);
}

static enum err on_hole(struct receiver *r, const struct frame *f)
{
    struct msg_hole m;
    if (!CHAN_GET(f, hole, &m) || m.id != r->x->id)
        return chan_malformed(f);
    if (!next_chunks(r, m.first, m.count))
        return chan_unexpected(f, "out of place: not the next chunks");
    if (!one_window(m.first, m.count))
        return chan_unexpected(f, "of too many chunks at once");
    return cover(r, MSG_HOLE, m.count, 0, &r->result->zeros);
}

static enum err on_copy(struct receiver *r, const struct frame *f)
{
    struct msg_copy m;
    if (!CHAN_GET(f, copy, &m) || m.id != r->x->id)
        return chan_malformed(f);
    if (!next_chunks(r, m.index, m.count))
        return chan_unexpected(f, "out of place: not the next chunks");
    if (!one_window(m.index, m.count) ||
        (m.count > 1 && m.count << r->offer.chunk_log2 > XFER_COPY_MAX))
        return chan_unexpected(f, "of too many chunks at once");
    if (!old_fits(&r->old, m.from, m.count,
                  tree_chunk_size(r->offer.length, r->offer.chunk_log2, m.index + m.count - 1)))
        return chan_unexpected(f, "of what the old version does not have");
    return cover(r, MSG_COPY, m.count, m.from, &r->result->copied);
}

/* The end of what a joined stream brings. */
static enum err settle_share(struct receiver *r)
{
    enum err e = lane_wait(&r->lane);
    return e == ERR_OK ? part_checkpoint(&r->part) : e;
}

static enum err on_finish(struct receiver *r, const struct frame *f)
{
    struct msg_finish m;
    if (!CHAN_GET(f, finish, &m) || m.id != r->x->id)
        return chan_malformed(f);
    r->sender_done = true;
    if (!r->x->joined || r->at != 0)
        return chan_unexpected(f, "of a stream that did not join, or inside a chunk");
    return settle_share(r);
}

/* Those who joined and have fallen silent are there until their sessions' limit ends them. */
static enum err end_sharing(struct receiver *r)
{
    int64_t due = tls_now_ms() + r->x->chan->limits.stall_ms + JOINED_MS;
    enum err e, told = ERR_OK;
    while ((e = r->sink->unshare(r->sink->arg, &r->files)) == ERR_BUSY && tls_now_ms() < due &&
           told == ERR_OK)
        told = recv_tell(r, MSG_PHASE_BUSY, r->offer.length, r->offer.length);
    if (told != ERR_OK)
        return told;
    return e == ERR_BUSY ? log_fail(e, "%s: another connection still writes to it", r->x->name) : e;
}

static enum err on_commit(struct receiver *r, const struct frame *f)
{
    struct msg_commit m;
    if (!CHAN_GET(f, commit, &m) || m.id != r->x->id)
        return chan_malformed(f);
    r->sender_done = true;
    bool complete = r->wanting ? r->want_over && r->n_wants == 0 : r->cursor == r->chunks;
    if (m.length != r->offer.length || !complete || r->at != 0 || (r->x->joined && !r->wanting))
        return chan_unexpected(f, "before the content was complete");
    if (r->x->joined)
        return settle_share(r);
    if (r->x->event)
        r->x->event(r->x->event_arg, XFER_COMMITTING, m.length, m.length);
    r->tick_ms = tls_now_ms();
    enum err e = lane_wait(&r->lane);
    if (e == ERR_OK && r->cursor < r->chunks)
        e = part_skip(&r->part, r->cursor, r->chunks - r->cursor);
    if (e == ERR_OK && r->part.shared)
        e = end_sharing(r);
    if (e == ERR_OK)
        e = part_finish(&r->part, r->x->engine, r->result->root);
    if (e != ERR_OK)
        return e;
    if (memcmp(r->result->root, m.root, TREE_HASH) != 0)
        return log_fail(ERR_CORRUPT, "%s: the root of what arrived is not the sender's",
                        r->x->name);
    if ((e = recv_tell(r, MSG_PHASE_COMMITTING, m.length, m.length)) != ERR_OK)
        return e;
    return r->sink->commit(r->sink->arg, &r->files, &r->offer);
}

enum err recv_abort(struct receiver *r, const struct frame *f)
{
    struct msg_abort m;
    if (!CHAN_GET(f, abort, &m) || m.id != r->x->id)
        return chan_malformed(f);
    r->sender_done = true;
    r->result->peer_said = true;
    log_scrub(r->result->reason, sizeof r->result->reason, m.reason.p, m.reason.n);
    enum err e = err_from_wire(m.status);
    return e == ERR_OK ? ERR_PROTO : e;
}

enum err recv_frame(struct receiver *r, const struct frame *f)
{
    switch (f->type) {
    case MSG_DATA:
        return on_data(r, f);
    case MSG_CHUNK:
        return on_chunk(r, f);
    case MSG_KEEP:
        return on_keep(r, f);
    case MSG_SKIP:
        return on_skip(r, f);
    case MSG_FINISH:
        return on_finish(r, f);
    case MSG_PROGRESS:
        return ERR_OK;
    case MSG_COPY:
        return on_copy(r, f);
    case MSG_HOLE:
        return on_hole(r, f);
    case MSG_COMMIT:
        return on_commit(r, f);
    case MSG_ABORT:
        return recv_abort(r, f);
    default:
        return f->type >= MSG_IGNORABLE ? ERR_OK : chan_unexpected(f, "while it sends a file");
    }
}
