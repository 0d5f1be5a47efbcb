/* SPDX-License-Identifier: ISC */
#include "send_internal.h"

#include "log.h"
#include <string.h>

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
    memcpy(s->theirs + m.first % SEND_THEIRS * TREE_HASH, m.hashes.p, m.hashes.n);
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
    if (!s->wanted || s->n_wants == SEND_WANTS || m.first > s->chunks ||
        m.count > s->chunks - m.first)
        return chan_unexpected(f, "that can't be had");
    s->wants[s->n_wants].first = m.first;
    s->wants[s->n_wants++].count = m.count;
    return ERR_OK;
}

enum err send_take(struct sender *s, struct msg_ready *ready)
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

enum err send_take_ready(struct sender *s)
{
    enum err e = ERR_OK;
    patience_begin(&s->patience, s->x->chan);
    while (e == ERR_OK && !s->over && chan_ready(s->x->chan))
        e = send_take(s, NULL);
    return e;
}
