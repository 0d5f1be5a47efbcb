/* SPDX-License-Identifier: ISC */
/* The sender of a transfer: xfer.h has the contract. */
#include "hole.h"
#include "log.h"
#include "match.h"
#include "packer.h"
#include "patience.h"
#include "xfer.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Chunks in a row that the receiver has already or that are zeros, not yet said. */
struct run {
    uint8_t type; /* MSG_KEEP, MSG_COPY or MSG_HOLE */
    uint64_t first, n;
    uint64_t from;   /* COPY: the old chunk that is first's */
    int64_t told_ms; /* when the last one went out */
};

enum { WANTS = 4 };

struct sender {
    const struct xfer *x;
    const struct fs_source *source;
    struct xfer_result *result;
    uint64_t length, chunks;
    unsigned chunk_log2;
    bool stored;    /* hashes come from the stored tree */
    uint8_t *piece; /* XFER_PIECE bytes */
    struct packer packer;
    struct tree_chunk hasher;
    struct tree_zeros zeros;
    struct hole_map holes;
    struct tree_root root;
    uint8_t *own; /* window of hashes of the stored tree */
    uint64_t own_first;
    size_t own_n;
    uint8_t *theirs; /* the receiver's hashes: XFER_WINDOWS windows, by chunk index modulo */
    uint64_t have, have_known; /* how many will come; how many came */
    struct match old;          /* what it has in an old version */
    uint64_t shift;            /* of the last chunk found there: its number there less that here */
    struct run run;
    uint64_t cursor; /* the chunk that comes next */
    bool wanted;     /* the receiver says which chunks: */
    struct {
        uint64_t first, count;
    } wants[WANTS];
    unsigned n_wants;
    uint8_t stored_root[TREE_HASH];
    struct patience patience; /* for the receiver's next word */
    bool ready;               /* READY came */
    bool over;                /* the receiver said DONE */
    enum err status;          /* with this */
};

enum { THEIRS = XFER_WINDOW * XFER_WINDOWS, RUN_MS = 5000 };

/* ---- what the receiver says ---- */

static enum err on_done(struct sender *s, const struct frame *f)
{
    struct msg_done m;
    if (!CHAN_GET(f, done, &m) || m.id != s->x->id)
        return chan_malformed(f);
    s->over = true;
    s->status = err_from_wire(m.status);
    if (s->status != ERR_OK) {
        s->result->peer_said = true;
        log_scrub(s->result->reason, sizeof s->result->reason, m.reason.p, m.reason.n);
    }
    return ERR_OK;
}

static enum err on_have(struct sender *s, const struct frame *f)
{
    struct msg_have m;
    if (!CHAN_GET(f, have, &m) || m.id != s->x->id)
        return chan_malformed(f);
    uint64_t n = m.hashes.n / TREE_HASH;
    if (m.hashes.n % TREE_HASH || n == 0 || m.first != s->have_known || n > s->have - m.first ||
        m.first % XFER_WINDOW || (n < XFER_WINDOW && m.first + n != s->have))
        return chan_unexpected(f, "that does not follow the one before");
    memcpy(s->theirs + m.first % THEIRS * TREE_HASH, m.hashes.p, m.hashes.n);
    s->have_known += n;
    return ERR_OK;
}

static enum err on_old(struct sender *s, const struct frame *f)
{
    struct msg_old m;
    if (!CHAN_GET(f, old, &m) || m.id != s->x->id)
        return chan_malformed(f);
    uint64_t n = m.hashes.n / TREE_HASH, left = s->old.n - s->old.known;
    if (m.hashes.n % TREE_HASH || n == 0 || m.first != s->old.known || n > left ||
        (n < XFER_WINDOW && n != left))
        return chan_unexpected(f, "that does not follow the one before");
    match_add(&s->old, m.hashes.p, n);
    return ERR_OK;
}

static enum err on_progress(struct sender *s, const struct frame *f)
{
    struct msg_progress m;
    if (!CHAN_GET(f, progress, &m) || m.id != s->x->id)
        return chan_malformed(f);
    if (s->x->event && m.phase != MSG_PHASE_BUSY)
        s->x->event(s->x->event_arg,
                    m.phase == MSG_PHASE_COMMITTING ? XFER_COMMITTING : XFER_PEER_HASHING, m.done,
                    m.total);
    return ERR_OK;
}

static enum err on_want(struct sender *s, const struct frame *f)
{
    struct msg_want m;
    if (!CHAN_GET(f, want, &m) || m.id != s->x->id)
        return chan_malformed(f);
    if (!s->wanted || s->n_wants == WANTS || m.first > s->chunks || m.count > s->chunks - m.first)
        return chan_unexpected(f, "that can't be had");
    s->wants[s->n_wants].first = m.first;
    s->wants[s->n_wants++].count = m.count;
    return ERR_OK;
}

/* One frame of the receiver's, whatever it is. */
static enum err take_frame(struct sender *s, struct msg_ready *ready)
{
    struct frame f;
    enum err e = patience_recv(&s->patience, &f);
    if (e == ERR_TIMEOUT)
        return log_fail(e, "%s: no answer from the receiver", s->x->name);
    if (e != ERR_OK)
        return e;
    switch (f.type) {
    case MSG_DONE:
        return on_done(s, &f);
    case MSG_HAVE:
        return on_have(s, &f);
    case MSG_OLD:
        return on_old(s, &f);
    case MSG_PROGRESS:
        return on_progress(s, &f);
    case MSG_WANT:
        return on_want(s, &f);
    case MSG_READY:
        if (ready && CHAN_GET(&f, ready, ready) && ready->id == s->x->id) {
            s->ready = true;
            return ERR_OK;
        }
        break;
    default:
        break;
    }
    return chan_unexpected(&f, "while a file is sent to it");
}

/* Takes what has come. */
static enum err take_ready(struct sender *s)
{
    enum err e = ERR_OK;
    patience_begin(&s->patience, s->x->chan);
    while (e == ERR_OK && !s->over && chan_ready(s->x->chan))
        e = take_frame(s, NULL);
    return e;
}

/* ---- hashes ---- */

static enum err open_tree(struct sender *s)
{
    struct part_header h;
    if (s->source->tree < 0 || s->x->recheck)
        return ERR_OK;
    enum err e = part_header_read(s->source->tree, &h);
    if (e == ERR_NOENT)
        return ERR_OK;
    if (e != ERR_OK)
        return e;
    if (h.complete && h.length == s->length) {
        s->stored = true;
        s->wanted = s->x->shared;
        s->chunk_log2 = h.chunk_log2;
        memcpy(s->stored_root, h.root, TREE_HASH);
    }
    return ERR_OK;
}

static enum err stored_hash(struct sender *s, uint64_t index, uint8_t hash[static TREE_HASH])
{
    if (index < s->own_first || index >= s->own_first + s->own_n) {
        size_t n = s->chunks - index < XFER_WINDOW ? (size_t)(s->chunks - index) : XFER_WINDOW;
        enum err e = part_slots_read(s->source->tree, index, n, s->own);
        if (e != ERR_OK)
            return e;
        s->own_first = index;
        s->own_n = n;
    }
    memcpy(hash, s->own + (index - s->own_first) * TREE_HASH, TREE_HASH);
    return ERR_OK;
}

/* ---- the chunks ---- */

static enum err changed(const struct sender *s)
{
    return log_fail(ERR_CHANGED, "%s: the file changed while it was read; nothing was replaced",
                    s->x->name);
}

static enum err read_piece(struct sender *s, uint64_t at, size_t n)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = pread(s->source->fd, s->piece + got, n - got, (off_t)(at + got));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return log_fail_errno("%s: reading", s->x->name);
        if (r == 0)
            return changed(s);
        got += (size_t)r;
    }
    return ERR_OK;
}

/* Reads one chunk piece by piece: hashes it when hash is set, sends it when send is set. */
static enum err walk_chunk(struct sender *s, uint64_t index, bool hash, bool send)
{
    uint64_t size = tree_chunk_size(s->length, s->chunk_log2, index);
    for (uint64_t at = 0; at < size; at += XFER_PIECE) {
        size_t n = size - at < XFER_PIECE ? (size_t)(size - at) : XFER_PIECE;
        enum err e = read_piece(s, (index << s->chunk_log2) + at, n);
        if (e != ERR_OK)
            return e;
        if (hash)
            tree_chunk_add(&s->hasher, s->piece, n);
        if (!send)
            continue;
        struct msg_data m = {s->x->id, index, (uint32_t)at, MSG_KIND_PLAIN, slice_of(s->piece, n)};
        if ((e = packer_send(&s->packer, &m)) != ERR_OK)
            return e;
        s->result->moved += n;
    }
    return ERR_OK;
}

static enum err tell_run(struct sender *s)
{
    struct run *r = &s->run;
    uint64_t n = r->n;
    r->n = 0;
    r->told_ms = tls_now_ms();
    if (n == 0)
        return ERR_OK;
    if (r->type == MSG_HOLE)
        return CHAN_SEND(s->x->chan, hole, HOLE, .id = s->x->id, .first = r->first, .count = n);
    if (r->type == MSG_KEEP)
        return CHAN_SEND(s->x->chan, keep, KEEP, .id = s->x->id, .first = r->first, .count = n);
    return CHAN_SEND(s->x->chan, copy, COPY, .id = s->x->id, .index = r->first, .from = r->from,
                     .count = n);
}

/* Takes chunk index into the run, behind what was told of it if it does not go on there. */
static enum err extend_run(struct sender *s, uint8_t type, uint64_t index, uint64_t from)
{
    struct run *r = &s->run;
    enum err e = ERR_OK;
    if (r->n > 0 && (r->type != type || from != r->from + r->n))
        e = tell_run(s);
    if (r->n++ == 0) {
        r->type = type;
        r->first = index;
        r->from = from;
    }
    /* A run ends with its window, so that the receiver sends the next one; and it is heard of in
     * time where reading is slow, so that the receiver does not take this side for dead. */
    bool full = type == MSG_COPY && (r->n + 1) << s->chunk_log2 > XFER_COPY_MAX;
    bool window = (index + 1) % XFER_WINDOW == 0;
    bool late = tls_now_ms() - r->told_ms > RUN_MS;
    if (e == ERR_OK && (full || window || late))
        e = tell_run(s);
    return e == ERR_OK && (full || late) ? chan_flush(s->x->chan) : e;
}

static enum err keep(struct sender *s, uint64_t index)
{
    s->result->kept += tree_chunk_size(s->length, s->chunk_log2, index);
    return extend_run(s, MSG_KEEP, index, index);
}

static enum err hole(struct sender *s, uint64_t index)
{
    s->result->zeros += tree_chunk_size(s->length, s->chunk_log2, index);
    return extend_run(s, MSG_HOLE, index, index);
}

static enum err copy(struct sender *s, uint64_t index, uint64_t from)
{
    s->result->copied += tree_chunk_size(s->length, s->chunk_log2, index);
    s->shift = from - index;
    return extend_run(s, MSG_COPY, index, from);
}

static enum err send_chunk(struct sender *s, uint64_t index)
{
    static const uint8_t none[TREE_HASH];
    uint8_t hash[TREE_HASH];
    const uint8_t *theirs = none;
    uint64_t size = tree_chunk_size(s->length, s->chunk_log2, index), from;
    bool one_piece = size <= XFER_PIECE;
    bool has = false, sent = false;
    enum err e;

    if (index < s->have && index >= s->have_known)
        patience_begin(&s->patience, s->x->chan);
    while (index < s->have && index >= s->have_known && !s->over)
        if ((e = take_frame(s, NULL)) != ERR_OK)
            return e;
    if (s->over)
        return ERR_OK;
    if (index < s->have)
        theirs = s->theirs + index % THEIRS * TREE_HASH;
    has = memcmp(theirs, none, TREE_HASH) != 0;

    if (s->stored) {
        if ((e = stored_hash(s, index, hash)) != ERR_OK)
            return e;
    } else if (hole_covers(&s->holes, index << s->chunk_log2, size)) {
        memcpy(hash, tree_zeros_hash(&s->zeros, index), TREE_HASH);
    } else {
        /* A long chunk the receiver surely lacks is read once; else it is hashed first. */
        sent = !has && !one_piece && s->old.n == 0;
        if (sent && (e = tell_run(s)) != ERR_OK)
            return e;
        tree_chunk_begin(&s->hasher, s->length);
        if ((e = walk_chunk(s, index, true, sent)) != ERR_OK)
            return e;
        tree_chunk_end(&s->hasher, hash);
    }
    if (s->x->streams)
        share_hash(s->x->streams->share, index, hash);
    else if (!s->wanted)
        tree_root_add(&s->root, hash);
    if (!sent && memcmp(hash, tree_zeros_hash(&s->zeros, index), TREE_HASH) == 0)
        return hole(s, index);
    if (has && memcmp(theirs, hash, TREE_HASH) == 0)
        return keep(s, index);
    if (match_find(&s->old, hash, size, index + s->shift, index, &from))
        return copy(s, index, from);
    if ((e = tell_run(s)) != ERR_OK)
        return e;
    if (!sent && !s->stored && one_piece) {
        struct msg_data m = {s->x->id, index, 0, MSG_KIND_PLAIN, slice_of(s->piece, size)};
        if ((e = packer_send(&s->packer, &m)) != ERR_OK)
            return e;
        s->result->moved += size;
    } else if (!sent && (e = walk_chunk(s, index, false, true)) != ERR_OK) {
        return e;
    }
    struct msg_chunk m = {.id = s->x->id, .index = index};
    memcpy(m.hash, hash, TREE_HASH);
    size_t at = chan_begin(s->x->chan, MSG_CHUNK);
    (void)msg_put_chunk(&s->x->chan->out, &m);
    return chan_end(s->x->chan, at);
}

/* Others bring the chunks before index. */
static enum err skip_to(struct sender *s, uint64_t index)
{
    uint64_t first = s->cursor, n = index - s->cursor;
    enum err e = tell_run(s);
    s->cursor = index;
    return e == ERR_OK && n > 0
               ? CHAN_SEND(s->x->chan, skip, SKIP, .id = s->x->id, .first = first, .count = n)
               : e;
}

static enum err send_range(struct sender *s, uint64_t first, uint64_t count)
{
    enum err begun = skip_to(s, first);
    if (begun != ERR_OK)
        return begun;
    for (uint64_t i = first; i < first + count && !s->over; i++) {
        enum err e = send_chunk(s, i);
        s->cursor = i + 1;
        if (e != ERR_OK)
            return e;
        if ((e = take_ready(s)) != ERR_OK)
            return e;
        if (s->x->event) {
            uint64_t done = (i + 1) << s->chunk_log2;
            s->x->event(s->x->event_arg, XFER_MOVING, done < s->length ? done : s->length,
                        s->length);
        }
    }
    return s->over ? ERR_OK : tell_run(s);
}

/* What the receiver asks for, until it asks for nothing. */
static enum err send_wanted(struct sender *s)
{
    enum err e = ERR_OK;
    while (e == ERR_OK && !s->over) {
        if (s->n_wants == 0) {
            /* Other connections may be at theirs for long: what is done here does not grow then. */
            patience_begin(&s->patience, s->x->chan);
            e = take_frame(s, NULL);
            continue;
        }
        uint64_t first = s->wants[0].first, count = s->wants[0].count;
        memmove(s->wants, s->wants + 1, sizeof s->wants - sizeof s->wants[0]);
        s->n_wants--;
        if (count == 0)
            return ERR_OK;
        if (first < s->cursor)
            return log_fail(ERR_PROTO, "%s: the receiver asks for chunks that were sent",
                            s->x->name);
        e = send_range(s, first, count);
    }
    return e;
}

/* The other streams are still at their shares: makes this one heard of. */
static enum err wait_for_streams(struct sender *s, enum share_state *state)
{
    enum err e = ERR_OK;
    *state = share_look(s->x->streams->share, s->cursor, XFER_TICK_MS);
    if (*state == SHARE_FAILED)
        return log_fail(ERR_CONN, "%s: another connection of the transfer was lost", s->x->name);
    if (*state != SHARE_ALL_DONE) {
        e = CHAN_SEND(s->x->chan, progress, PROGRESS, .id = s->x->id, .phase = MSG_PHASE_HASHING,
                      .done = s->cursor << s->chunk_log2, .total = s->length);
        if (e == ERR_OK)
            e = chan_flush(s->x->chan);
    }
    return e == ERR_OK ? take_ready(s) : e;
}

/* What the streams of this process deal out among themselves. Stream 0 stays until all is sent. */
static enum err send_shares(struct sender *s)
{
    struct share *share = s->x->streams->share;
    enum share_state state = SHARE_WAIT;
    uint64_t first, count;
    enum err e = ERR_OK;
    while (e == ERR_OK && !s->over && state != SHARE_ALL_DONE) {
        if (share_take(share, s->x->stream, s->cursor, &first, &count))
            e = send_range(s, first, count);
        else if (s->x->joined)
            return ERR_OK;
        else
            e = wait_for_streams(s, &state);
    }
    return e == ERR_OK && !s->over ? skip_to(s, s->chunks) : e;
}

static enum err send_chunks(struct sender *s)
{
    if (s->x->event)
        s->x->event(s->x->event_arg, XFER_MOVING, 0, s->length);
    if (s->wanted)
        return send_wanted(s);
    return s->x->streams ? send_shares(s) : send_range(s, 0, s->chunks);
}

/* ---- the whole ---- */

static enum err check_source(const struct sender *s)
{
    struct stat now;
    struct part_stamp before, after;
    if (fstat(s->source->fd, &now) < 0)
        return log_fail_errno("%s: looking at the file again", s->x->name);
    part_stamp_of(&s->source->st, &before);
    part_stamp_of(&now, &after);
    /* What a stored tree vouches for is proven chunk by chunk at the receiver. So the time of change,
     * which renaming, replacing and removing the file move too, need not be what it was. */
    if (s->stored) {
        after.ctime_s = before.ctime_s;
        after.ctime_ns = before.ctime_ns;
    }
    return part_stamp_eq(&before, &after) ? ERR_OK : changed(s);
}

/* Waits for DONE, before which the receiver may have to sync. */
static enum err await_done(struct sender *s)
{
    enum err e = ERR_OK;
    patience_begin(&s->patience, s->x->chan);
    if (s->patience.silent_ms < XFER_SYNC_MS)
        s->patience.silent_ms = XFER_SYNC_MS;
    while (e == ERR_OK && !s->over)
        e = take_frame(s, NULL);
    return e;
}

static enum err commit(struct sender *s)
{
    struct msg_commit m = {.id = s->x->id, .length = s->length};
    memcpy(m.root, s->stored_root, TREE_HASH);
    if (s->x->streams ? !share_root(s->x->streams->share, s->x->engine, s->length, m.root)
                      : !s->wanted && !tree_root_end(&s->root, m.root))
        return log_fail(ERR_INTERNAL, "%s: not all chunks were hashed", s->x->name);
    memcpy(s->result->root, m.root, TREE_HASH);
    size_t at = chan_begin(s->x->chan, MSG_COMMIT);
    (void)msg_put_commit(&s->x->chan->out, &m);
    enum err e = chan_end(s->x->chan, at);
    if (e == ERR_OK && s->x->event)
        s->x->event(s->x->event_arg, XFER_COMMITTING, s->length, s->length);
    if (e == ERR_OK)
        e = await_done(s);
    return e;
}

/* The end of a stream that joined: what it brought counts once the receiver says so. */
static enum err leave(struct sender *s)
{
    enum err e = CHAN_SEND(s->x->chan, finish, FINISH, .id = s->x->id);
    if (e == ERR_OK)
        e = await_done(s);
    return e;
}

/* Tells the receiver that nothing more comes, and waits until it has let go. */
static enum err abort_send(struct sender *s, enum err why)
{
    bool ours = !s->over;
    enum err e = CHAN_SEND(s->x->chan, abort, ABORT, .id = s->x->id, .status = (uint16_t)why,
                           .reason = slice_str(s->over ? "" : log_reason()));
    if (e == ERR_OK)
        e = chan_flush(s->x->chan);
    if (e == ERR_OK)
        (void)await_done(s);
    if (ours) /* DONE repeats what we said */
        s->result->peer_said = false;
    return why;
}

static enum err prepare(struct sender *s)
{
    enum err e;
    s->length = (uint64_t)s->source->st.st_size;
    s->chunk_log2 = tree_chunk_log2(s->length);
    s->result->length = s->length;
    if (s->chunk_log2 == 0)
        return log_fail(ERR_LIMIT, "%s: too long", s->x->name);
    if ((e = open_tree(s)) != ERR_OK ||
        (e = tree_chunk_init(&s->hasher, s->x->engine, s->chunk_log2)) != ERR_OK)
        return e;
    s->chunks = tree_chunks(s->length, s->chunk_log2);
    tree_root_begin(&s->root, s->x->engine, s->length, s->chunk_log2);
    tree_zeros_init(&s->zeros, &s->hasher, s->length, s->chunk_log2);
    hole_map_init(&s->holes, s->source->fd);
    s->piece = malloc(XFER_PIECE);
    s->own = malloc((size_t)XFER_WINDOW * TREE_HASH);
    s->theirs = calloc(THEIRS, TREE_HASH);
    if (!s->piece || !s->own || !s->theirs)
        return log_fail(ERR_INTERNAL, "%s: out of memory", s->x->name);
    if (s->source->has_root && !s->x->recheck && s->chunks == 1) {
        s->stored = true;
        s->own_n = 1;
        memcpy(s->own, s->source->root, TREE_HASH);
    }
    return ERR_OK;
}

static enum err offer(struct sender *s)
{
    const struct stat *st = &s->source->st;
    struct msg_ready ready = {0};
    uint64_t allocated = (uint64_t)st->st_blocks * 512;
    enum err e =
        CHAN_SEND(s->x->chan, offer, OFFER, .id = s->x->id, .length = s->length,
                  .chunk_log2 = (uint8_t)s->chunk_log2, .mtime_s = (uint64_t)st->st_mtim.tv_sec,
                  .mtime_ns = (uint32_t)st->st_mtim.tv_nsec, .mode = st->st_mode & 0777,
                  .shared = s->wanted, .allocated = allocated < s->length ? allocated : s->length);
    patience_begin(&s->patience, s->x->chan);
    while (e == ERR_OK && !s->ready && !s->over)
        e = take_frame(s, &ready);
    if (e != ERR_OK || s->over)
        return e;
    if (ready.have > s->chunks)
        return log_fail(ERR_PROTO, "%s: the receiver claims more chunks than there are",
                        s->x->name);
    if (!match_possible(ready.old, ready.old_length, s->chunk_log2))
        return log_fail(ERR_PROTO, "%s: the receiver claims an old version that can't be",
                        s->x->name);
    s->have = ready.have;
    e = match_begin(&s->old, ready.old, ready.old_length, s->chunk_log2);
    while (e == ERR_OK && !s->over && s->old.known < s->old.n)
        e = take_frame(s, NULL);
    /* What the old version has is known to this stream alone: it is better left to it. */
    if (e == ERR_OK && !s->over && s->x->streams && !s->x->joined && ready.token && ready.old == 0)
        s->x->streams->open(s->x->streams->arg, ready.token);
    return e;
}

/* Ends it one way or the other; e is how it went so far. */
static enum err end(struct sender *s, enum err e)
{
    struct chan *chan = s->x->chan;
    bool early = e != ERR_OK || s->over;
    if (!early)
        e = s->x->joined ? leave(s) : commit(s);
    else if (e == ERR_OK && s->status == ERR_OK)
        e = log_fail(ERR_PROTO, "%s: the receiver says that it is done before it can be",
                     s->x->name);
    /* From a receiver that does not keep to the protocol no DONE can be expected. */
    if (e == ERR_PROTO && !chan->failed)
        chan_reject(chan, e, log_reason());
    else if (early && !chan->failed)
        return abort_send(s, e != ERR_OK ? e : s->status);
    return e == ERR_OK ? s->status : e;
}

enum err xfer_send(const struct xfer *x, const struct fs_source *source, struct xfer_result *result)
{
    struct sender s = {.x = x, .source = source, .result = result, .run.told_ms = tls_now_ms()};
    *result = (struct xfer_result){0};
    packer_init(&s.packer, x->chan, x->compress);
    enum err e = prepare(&s);
    if (e == ERR_OK)
        e = offer(&s);
    if (e == ERR_OK && !s.over)
        e = send_chunks(&s);
    if (e == ERR_OK && !s.over && !x->joined)
        e = check_source(&s);
    e = end(&s, e);
    packer_release(&s.packer);
    tree_chunk_release(&s.hasher);
    match_release(&s.old);
    free(s.piece);
    free(s.own);
    free(s.theirs);
    return e;
}
