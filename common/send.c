/* SPDX-License-Identifier: ISC */
/* The sender of a transfer: xfer.h has the contract. */
#include "send_internal.h"

#include "log.h"
#include <stdlib.h>
#include <string.h>

/* ---- which chunks ---- */

/* What the receiver asks for, until it asks for nothing. */
static enum err send_wanted(struct sender *s)
{
    enum err e = ERR_OK;
    while (e == ERR_OK && !s->over) {
        if (s->n_wants == 0) {
            /* Other connections may be at theirs for long: what is done here does not grow then. */
            patience_begin(&s->patience, s->x->chan);
            e = send_take(s, NULL);
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
        e = CHAN_SEND(s->x->chan, progress, PROGRESS, .id = s->x->id, .phase = MSG_PHASE_BUSY,
                      .done = s->cursor << s->chunk_log2, .total = s->length);
        if (e == ERR_OK)
            e = chan_flush(s->x->chan);
    }
    return e == ERR_OK ? send_take_ready(s) : e;
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
    return e == ERR_OK && !s->over ? send_skip_to(s, s->chunks) : e;
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
    return part_stamp_eq(&before, &after) ? ERR_OK : send_changed(s);
}

/* Waits for DONE, before which the receiver may have to sync. */
static enum err await_done(struct sender *s)
{
    enum err e = ERR_OK;
    patience_begin(&s->patience, s->x->chan);
    if (s->patience.silent_ms < XFER_SYNC_MS)
        s->patience.silent_ms = XFER_SYNC_MS;
    while (e == ERR_OK && !s->over)
        e = send_take(s, NULL);
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
    if ((e = send_open_tree(s)) != ERR_OK ||
        (e = tree_chunk_init(&s->hasher, s->x->engine, s->chunk_log2)) != ERR_OK)
        return e;
    s->chunks = tree_chunks(s->length, s->chunk_log2);
    tree_root_begin(&s->root, s->x->engine, s->length, s->chunk_log2);
    tree_zeros_init(&s->zeros, &s->hasher, s->length, s->chunk_log2);
    hole_map_init(&s->holes, s->source->fd);
    s->piece = malloc(XFER_PIECE);
    s->own = malloc((size_t)XFER_WINDOW * TREE_HASH);
    s->theirs = calloc(SEND_THEIRS, TREE_HASH);
    if (!s->piece || !s->own || !s->theirs)
        return log_fail(ERR_INTERNAL, "%s: out of memory", s->x->name);
    if (s->source->has_root && !s->x->recheck && s->chunks == 1) {
        s->stored = true;
        s->own_n = 1;
        memcpy(s->own, s->source->root, TREE_HASH);
    }
    return ERR_OK;
}

static enum err open_streams(struct sender *s)
{
    uint8_t token[PART_TOKEN];
    enum err e = chan_token(s->x->chan, s->x->id, token);
    if (e == ERR_OK)
        s->x->streams->open(s->x->streams->arg, token);
    return e;
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
        e = send_take(s, &ready);
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
        e = send_take(s, NULL);
    /* What the old version has is known to this stream alone: it is better left to it. */
    if (e == ERR_OK && !s->over && s->x->streams && !s->x->joined && ready.shared && ready.old == 0)
        e = open_streams(s);
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
