/* SPDX-License-Identifier: ISC */
/* The sender's way through the chunks: what is said of each. */
#include "send_internal.h"

#include "log.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { RUN_MS = 5000 }; /* a run is told of so often while it grows */

static const uint8_t no_hash[TREE_HASH];

/* ---- hashes ---- */

enum err send_open_tree(struct sender *s)
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

enum err send_changed(const struct sender *s)
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
            return send_changed(s);
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
    struct send_run *r = &s->run;
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
    struct send_run *r = &s->run;
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

/* What the receiver may have of chunk index; zeros for nothing. Waits for it. */
static enum err hash_there(struct sender *s, uint64_t index, const uint8_t **theirs)
{
    enum err e = ERR_OK;
    *theirs = no_hash;
    if (index >= s->have)
        return ERR_OK;
    if (index >= s->have_known)
        patience_begin(&s->patience, s->x->chan);
    while (e == ERR_OK && index >= s->have_known && !s->over)
        e = send_take(s, NULL);
    if (e == ERR_OK && !s->over)
        *theirs = s->theirs + index % SEND_THEIRS * TREE_HASH;
    return e;
}

/* The hash of the source's chunk. A long one that the receiver surely lacks (fresh) is read once, and sent
 * meanwhile. */
static enum err hash_here(struct sender *s, uint64_t index, bool fresh,
                          uint8_t hash[static TREE_HASH], bool *sent)
{
    uint64_t size = tree_chunk_size(s->length, s->chunk_log2, index);
    enum err e = ERR_OK;
    *sent = false;
    if (s->stored)
        return stored_hash(s, index, hash);
    if (hole_covers(&s->holes, index << s->chunk_log2, size)) {
        memcpy(hash, tree_zeros_hash(&s->zeros, index), TREE_HASH);
        return ERR_OK;
    }
    *sent = fresh && size > XFER_PIECE;
    if (*sent)
        e = tell_run(s);
    tree_chunk_begin(&s->hasher, s->length);
    if (e == ERR_OK)
        e = walk_chunk(s, index, true, *sent);
    if (e == ERR_OK)
        tree_chunk_end(&s->hasher, hash);
    return e;
}

/* Sends the content of a chunk; one of a single piece was read already unless its hash was stored. */
static enum err send_content(struct sender *s, uint64_t index)
{
    uint64_t size = tree_chunk_size(s->length, s->chunk_log2, index);
    if (s->stored || size > XFER_PIECE)
        return walk_chunk(s, index, false, true);
    struct msg_data m = {s->x->id, index, 0, MSG_KIND_PLAIN, slice_of(s->piece, size)};
    enum err e = packer_send(&s->packer, &m);
    if (e == ERR_OK)
        s->result->moved += size;
    return e;
}

static enum err end_chunk(struct sender *s, uint64_t index, const uint8_t hash[static TREE_HASH])
{
    struct msg_chunk m = {.id = s->x->id, .index = index};
    memcpy(m.hash, hash, TREE_HASH);
    size_t at = chan_begin(s->x->chan, MSG_CHUNK);
    (void)msg_put_chunk(&s->x->chan->out, &m);
    return chan_end(s->x->chan, at);
}

static enum err send_chunk(struct sender *s, uint64_t index)
{
    uint8_t hash[TREE_HASH];
    const uint8_t *theirs;
    uint64_t size = tree_chunk_size(s->length, s->chunk_log2, index), from;
    bool sent;
    enum err e = hash_there(s, index, &theirs);
    if (e != ERR_OK || s->over)
        return e;
    bool has = memcmp(theirs, no_hash, TREE_HASH) != 0;
    if ((e = hash_here(s, index, !has && s->old.n == 0, hash, &sent)) != ERR_OK)
        return e;
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
    e = tell_run(s);
    if (e == ERR_OK && !sent)
        e = send_content(s, index);
    return e == ERR_OK ? end_chunk(s, index, hash) : e;
}

enum err send_skip_to(struct sender *s, uint64_t index)
{
    uint64_t first = s->cursor, n = index - s->cursor;
    enum err e = tell_run(s);
    s->cursor = index;
    return e == ERR_OK && n > 0
               ? CHAN_SEND(s->x->chan, skip, SKIP, .id = s->x->id, .first = first, .count = n)
               : e;
}

enum err send_range(struct sender *s, uint64_t first, uint64_t count)
{
    enum err begun = send_skip_to(s, first);
    if (begun != ERR_OK)
        return begun;
    for (uint64_t i = first; i < first + count && !s->over; i++) {
        enum err e = send_chunk(s, i);
        s->cursor = i + 1;
        if (e != ERR_OK)
            return e;
        if ((e = send_take_ready(s)) != ERR_OK)
            return e;
        if (s->x->event) {
            uint64_t done = (i + 1) << s->chunk_log2;
            s->x->event(s->x->event_arg, XFER_MOVING, done < s->length ? done : s->length,
                        s->length);
        }
    }
    return s->over ? ERR_OK : tell_run(s);
}
