/* SPDX-License-Identifier: ISC */
/* The receiver of a transfer: xfer.h has the contract. One thread takes frames from the channel and
 * checks their order; what they bring is hashed, written and entered in the journal on a lane, in that
 * order. */
#include "deflate.h"
#include "hole.h"
#include "lane.h"
#include "log.h"
#include "match.h"
#include "old.h"
#include "patience.h"
#include "xfer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    TICK_MS = 1000,        /* between two PROGRESS frames */
    THREAD_MIN = 4 << 20,  /* shorter contents are not worth a thread */
    DRAIN_MAX = 128 << 20, /* bytes that sockets and a link may hold */
};

/* What a frame brought. */
struct job {
    uint8_t type;    /* MSG_DATA, MSG_CHUNK, MSG_KEEP, MSG_COPY or MSG_HOLE */
    uint8_t *buffer; /* that holds the bytes of DATA, or did so before; NULL: none yet */
    uint64_t index;
    uint32_t offset;
    struct slice bytes;
    uint8_t kind;  /* enum msg_kind: what the bytes are */
    size_t length; /* of the content that they give */
    uint8_t hash[TREE_HASH];
    uint64_t count;
    uint64_t from;
};

enum { WANTS = 2 };

struct receiver {
    const struct xfer *x;
    const struct xfer_sink *sink;
    struct xfer_result *result;
    struct msg_offer offer;
    uint64_t chunks;
    struct fs_part files;
    bool opened; /* sink->open succeeded */
    bool begun;  /* part_begin too: the slots speak of this data */
    struct part part;
    struct old old;
    struct tree_chunk hasher;
    struct tree_zeros zeros;
    struct deflate deflate; /* made with the first compressed piece, as is: */
    uint8_t *plain;         /* DEFLATE_MAX bytes */
    struct lane lane; /* part, old, hasher and what follows it are its own while it has jobs */
    struct job jobs[LANE_SLOTS];
    uint64_t cursor;  /* the chunk that comes next: all before it are settled */
    uint64_t at;      /* bytes of it received */
    uint64_t told;    /* chunks whose hashes went out in HAVE */
    bool sender_done; /* COMMIT or ABORT came: the sender is silent now */
    bool replied;     /* the peer answered instead of sending */
    int64_t tick_ms;
    bool wanting;              /* the sender sends what it is asked for: */
    uint64_t want_ends[WANTS]; /* ends of what was asked for and has not come */
    unsigned n_wants;
    bool want_over; /* no more will be */
};

/* ---- what goes back ---- */

/* Lets the sender hear of us, when it is time. */
static enum err tell_progress(struct receiver *r, enum msg_phase phase, uint64_t done,
                              uint64_t total)
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
    return tell_progress(r, MSG_PHASE_HASHING, done, total);
}

/* Sends the hashes the sender may know now: it works in the window of the cursor, so that one and
 * the next. */
static enum err send_have(struct receiver *r)
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

/* ---- what becomes of the content: on the lane ---- */

static enum err inflate_piece(struct receiver *r, const struct job *j)
{
    if (!r->plain && !(r->plain = malloc(DEFLATE_MAX)))
        return log_fail(ERR_INTERNAL, "out of memory for compressed content");
    if (!r->deflate.state) {
        enum err e = deflate_init(&r->deflate, deflate_engine());
        if (e != ERR_OK)
            return e;
    }
    if (deflate_unpack(&r->deflate, j->bytes.p, j->bytes.n, r->plain, j->length))
        return ERR_OK;
    return log_fail(ERR_PROTO, "%s: a compressed piece of chunk %llu does not give %zu bytes",
                    r->x->name, (unsigned long long)j->index, j->length);
}

static enum err take_bytes(struct receiver *r, const struct job *j)
{
    const uint8_t *p = j->bytes.p;
    if (j->kind == MSG_KIND_DEFLATE) {
        enum err e = inflate_piece(r, j);
        if (e != ERR_OK)
            return e;
        p = r->plain;
    }
    if (j->offset == 0)
        tree_chunk_begin(&r->hasher, r->offer.length);
    tree_chunk_add(&r->hasher, p, j->length);
    return part_write(&r->part, j->index, j->offset, p, j->length);
}

static enum err take_hash(struct receiver *r, const struct job *j)
{
    uint8_t hash[TREE_HASH];
    tree_chunk_end(&r->hasher, hash);
    if (memcmp(hash, j->hash, TREE_HASH) == 0)
        return part_settle(&r->part, j->index, hash);
    return log_fail(ERR_CORRUPT,
                    "%s: chunk %llu (bytes %llu and on) does not match its hash: "
                    "the sender's copy is damaged",
                    r->x->name, (unsigned long long)j->index,
                    (unsigned long long)(j->index << r->offer.chunk_log2));
}

/* The bytes of count chunks from number first. */
static uint64_t bytes_of(const struct receiver *r, uint64_t first, uint64_t count)
{
    uint64_t end = (first + count) << r->offer.chunk_log2;
    return (end < r->offer.length ? end : r->offer.length) - (first << r->offer.chunk_log2);
}

/* Zeros, whose hashes are known: that of the content's last chunk may be another. */
static enum err take_hole(struct receiver *r, const struct job *j)
{
    uint64_t last = j->index + j->count - 1;
    enum err e = part_claim(&r->part, j->index, j->count);
    if (e == ERR_OK)
        e = hole_make(r->part.data, j->index << r->offer.chunk_log2,
                      bytes_of(r, j->index, j->count));
    if (e == ERR_OK && j->count > 1)
        e = part_settle_run(&r->part, j->index, j->count - 1, r->zeros.whole);
    return e == ERR_OK ? part_settle(&r->part, last, tree_zeros_hash(&r->zeros, last)) : e;
}

static enum err work(void *arg, void *job)
{
    struct receiver *r = arg;
    const struct job *j = job;
    switch (j->type) {
    case MSG_DATA:
        return take_bytes(r, j);
    case MSG_CHUNK:
        return take_hash(r, j);
    case MSG_COPY:
        return old_copy(&r->old, &r->part, j->index, j->from, j->count);
    case MSG_SKIP:
        return part_skip(&r->part, j->index, j->count);
    case MSG_HOLE:
        return take_hole(r, j);
    default:
        return part_keep(&r->part, j->index, j->count);
    }
}

/* ---- what comes ---- */

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
    struct job *j = lane_slot(&r->lane);
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

/* Asks for more, so that something is always on its way. Stream 0 waits for what others still have,
 * which it may have to ask for itself. */
static enum err want(struct receiver *r)
{
    struct share *share = r->x->streams->share;
    uint64_t first, count, from = r->n_wants ? r->want_ends[r->n_wants - 1] : r->cursor;
    enum err e = ERR_OK;
    while (e == ERR_OK && r->n_wants < WANTS && !r->want_over) {
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
            e = CHAN_SEND(r->x->chan, progress, PROGRESS, .id = r->x->id,
                          .phase = MSG_PHASE_HASHING, .done = r->cursor << r->offer.chunk_log2,
                          .total = r->offer.length);
            if (e == ERR_OK)
                e = chan_flush(r->x->chan);
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
    enum err e = send_have(r);
    if (e != ERR_OK || !r->wanting)
        return e;
    while (r->n_wants > 0 && r->cursor >= r->want_ends[0]) {
        memmove(r->want_ends, r->want_ends + 1, sizeof r->want_ends - sizeof r->want_ends[0]);
        r->n_wants--;
    }
    return want(r);
}

static enum err on_chunk(struct receiver *r, const struct frame *f)
{
    struct msg_chunk m;
    if (!CHAN_GET(f, chunk, &m) || m.id != r->x->id)
        return chan_malformed(f);
    if (m.index != r->cursor || r->at == 0 ||
        r->at != tree_chunk_size(r->offer.length, r->offer.chunk_log2, m.index))
        return chan_unexpected(f, "for a chunk that is not complete");
    struct job *j = lane_slot(&r->lane);
    j->type = MSG_CHUNK;
    j->index = m.index;
    memcpy(j->hash, m.hash, TREE_HASH);
    enum err e = lane_go(&r->lane);
    return e == ERR_OK ? advance(r, 1) : e;
}

static enum err on_keep(struct receiver *r, const struct frame *f)
{
    struct msg_keep m;
    if (!CHAN_GET(f, keep, &m) || m.id != r->x->id)
        return chan_malformed(f);
    if (m.first != r->cursor || r->at != 0 || m.count == 0 || m.count > r->chunks - m.first)
        return chan_unexpected(f, "out of place: not the next chunks");
    struct job *j = lane_slot(&r->lane);
    j->type = MSG_KEEP;
    j->index = m.first;
    j->count = m.count;
    enum err e = lane_go(&r->lane);
    if (e != ERR_OK)
        return e;
    r->result->kept += bytes_of(r, m.first, m.count);
    return advance(r, m.count);
}

static enum err on_skip(struct receiver *r, const struct frame *f)
{
    struct msg_skip m;
    if (!CHAN_GET(f, skip, &m) || m.id != r->x->id)
        return chan_malformed(f);
    if (!r->part.shared || m.first != r->cursor || r->at != 0 || m.count == 0 ||
        m.count > r->chunks - m.first)
        return chan_unexpected(f, "out of place: chunks that nobody else brings");
    struct job *j = lane_slot(&r->lane);
    j->type = MSG_SKIP;
    j->index = m.first;
    j->count = m.count;
    enum err e = lane_go(&r->lane);
    return e == ERR_OK ? advance(r, m.count) : e;
}

static enum err on_hole(struct receiver *r, const struct frame *f)
{
    struct msg_hole m;
    if (!CHAN_GET(f, hole, &m) || m.id != r->x->id)
        return chan_malformed(f);
    if (m.first != r->cursor || r->at != 0 || m.count == 0 || m.count > r->chunks - m.first)
        return chan_unexpected(f, "out of place: not the next chunks");
    if (m.first % XFER_WINDOW + m.count > XFER_WINDOW)
        return chan_unexpected(f, "of too many chunks at once");
    struct job *j = lane_slot(&r->lane);
    j->type = MSG_HOLE;
    j->index = m.first;
    j->count = m.count;
    enum err e = lane_go(&r->lane);
    if (e != ERR_OK)
        return e;
    r->result->zeros += bytes_of(r, m.first, m.count);
    return advance(r, m.count);
}

static enum err on_copy(struct receiver *r, const struct frame *f)
{
    struct msg_copy m;
    if (!CHAN_GET(f, copy, &m) || m.id != r->x->id)
        return chan_malformed(f);
    if (m.index != r->cursor || r->at != 0 || m.count == 0 || m.count > r->chunks - m.index)
        return chan_unexpected(f, "out of place: not the next chunks");
    if (m.index % XFER_WINDOW + m.count > XFER_WINDOW ||
        (m.count > 1 && m.count << r->offer.chunk_log2 > XFER_COPY_MAX))
        return chan_unexpected(f, "of too many chunks at once");
    if (!old_fits(&r->old, m.from, m.count,
                  tree_chunk_size(r->offer.length, r->offer.chunk_log2, m.index + m.count - 1)))
        return chan_unexpected(f, "of what the old version does not have");
    struct job *j = lane_slot(&r->lane);
    j->type = MSG_COPY;
    j->index = m.index;
    j->from = m.from;
    j->count = m.count;
    enum err e = lane_go(&r->lane);
    if (e != ERR_OK)
        return e;
    r->result->copied += bytes_of(r, m.index, m.count);
    return advance(r, m.count);
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
        e = r->sink->unshare(r->sink->arg, &r->files);
    if (e == ERR_OK)
        e = part_finish(&r->part, r->x->engine, r->result->root);
    if (e != ERR_OK)
        return e;
    if (memcmp(r->result->root, m.root, TREE_HASH) != 0)
        return log_fail(ERR_CORRUPT, "%s: the root of what arrived is not the sender's",
                        r->x->name);
    if ((e = tell_progress(r, MSG_PHASE_COMMITTING, m.length, m.length)) != ERR_OK)
        return e;
    return r->sink->commit(r->sink->arg, &r->files, &r->offer);
}

static enum err on_abort(struct receiver *r, const struct frame *f)
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

static enum err on_frame(struct receiver *r, const struct frame *f)
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
        return on_abort(r, f);
    default:
        return f->type >= MSG_IGNORABLE ? ERR_OK : chan_unexpected(f, "while it sends a file");
    }
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
    if (f.type == MSG_DONE)
        return on_done_instead(r, &f);
    if (f.type == MSG_ABORT)
        return on_abort(r, &f);
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
    bool shared = x->streams ? r->wanting : x->shared;
    uint64_t token = 0;
    while (e == ERR_OK && shared && token == 0)
        if (getrandom(&token, sizeof token, 0) != sizeof token)
            e = log_fail_errno("%s: a token for other connections", x->name);
    if (e == ERR_OK && shared && (e = part_share(&r->part, token)) == ERR_OK)
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
    lane_start(&r->lane, work, r, r->jobs, sizeof r->jobs[0],
               r->x->threads && r->offer.length >= THREAD_MIN);
    if ((e = look_at_old(r)) != ERR_OK)
        return e;
    /* Slots may be filled anywhere before the last one that is. */
    if (r->part.have > 0)
        r->part.have = r->chunks;
    e = CHAN_SEND(r->x->chan, ready, READY, .id = r->x->id, .have = r->part.have, .old = r->old.n,
                  .old_length = r->old.length, .token = r->part.header.token);
    if (e == ERR_OK)
        e = send_old(r);
    if (e == ERR_OK && r->x->event)
        r->x->event(r->x->event_arg, XFER_MOVING, 0, r->offer.length);
    if (e == ERR_OK)
        e = send_have(r);
    if (e == ERR_OK && r->wanting && !r->x->joined && r->old.n == 0)
        r->x->streams->open(r->x->streams->arg, r->part.header.token);
    return e == ERR_OK && r->wanting ? want(r) : e;
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
            e = on_frame(&r, &f);
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
