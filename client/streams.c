/* SPDX-License-Identifier: ISC */
#include "streams.h"
#include "growth.h"

#include "log.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TRIES = 5, PAUSE_MS = 200, LOOK_MS = 1000, GROW_MS = 100 };

struct stream {
    struct streams *streams;
    unsigned number;
    pthread_t thread;
    struct link link;
    bool open;
    bool was_open; /* once, at least */
};

struct streams {
    struct worker *worker;
    struct job *job;
    uint32_t flags;
    struct xfer_streams common;
    uint8_t token[PART_TOKEN]; /* by which they join */
    struct stream *list;
    unsigned n;
    struct growth growth;
    pthread_t grower;
    bool growing;
    pthread_mutex_t lock; /* for the handshakes, one at a time, and what follows */
    uint64_t moved, kept, zeros, wire;
};

bool streams_worth(const struct work *w, uint64_t size)
{
    return work_most(w) > 1 && !w->crew && size >= (uint64_t)4 * SHARE_BYTES;
}

/* ---- one of the others ---- */

static enum err connect_stream(struct stream *t)
{
    struct streams *s = t->streams;
    if (t->open)
        return ERR_OK;
    pthread_mutex_lock(&s->lock);
    enum err e = link_open_like(s->worker->link, s->worker->work->at->profile, &t->link);
    pthread_mutex_unlock(&s->lock);
    t->open = e == ERR_OK;
    t->was_open = t->was_open || t->open;
    if (e != ERR_OK)
        link_close(&t->link);
    return e;
}

static void disconnect_stream(struct stream *t)
{
    struct streams *s = t->streams;
    if (!t->open)
        return;
    pthread_mutex_lock(&s->lock);
    s->wire += s->job->up ? tls_bytes_out(t->link.chan.tls) : tls_bytes_in(t->link.chan.tls);
    pthread_mutex_unlock(&s->lock);
    link_close(&t->link);
    t->open = false;
}

static enum err open_part(void *arg, uint64_t length, bool sparse, struct fs_part *out)
{
    struct stream *t = arg;
    (void)length;
    (void)sparse;
    /* The others may have done it all while this one connected: then there is nothing left to join. */
    if (share_look(t->streams->common.share, 0, 0) != SHARE_FREE)
        return ERR_BUSY;
    return download_join(t->streams->job, t->streams->token, out);
}

static enum err send_join(const struct xfer *x, const uint8_t *token, const char *path)
{
    struct msg_join m = {.id = x->id, .path = slice_str(path)};
    memcpy(m.token, token, sizeof m.token);
    size_t at = chan_begin(x->chan, MSG_JOIN);
    (void)msg_put_join(&x->chan->out, &m);
    return chan_end(x->chan, at);
}

static enum err run(struct stream *t)
{
    struct streams *s = t->streams;
    struct job *j = s->job;
    struct fs_source source = {.fd = j->fd, .tree = -1, .st = j->st};
    struct xfer_sink sink = {.open = open_part, .arg = t};
    struct xfer_result r = {0};
    struct xfer x = {.chan = &t->link.chan,
                     .id = t->link.next_id++,
                     .name = j->local,
                     .engine = t->link.engine,
                     .compress = t->link.compress,
                     .threads = true,
                     .joined = true,
                     .token = s->token,
                     .streams = &s->common,
                     .stream = t->number};
    enum err e = j->up ? send_join(&x, s->token, j->path)
                       : CHAN_SEND(x.chan, get, GET, .id = x.id, .flags = s->flags,
                                   .path = slice_str(j->path));
    if (e == ERR_OK)
        e = j->up ? xfer_send(&x, &source, &r) : xfer_receive(&x, &sink, &r);
    pthread_mutex_lock(&s->lock);
    s->moved += r.moved;
    s->kept += r.kept;
    s->zeros += r.zeros;
    pthread_mutex_unlock(&s->lock);
    return e == ERR_OK || !r.peer_said ? e : log_fail(e, "%s: %s", j->local, r.reason);
}

/* What another attempt does not change. A limit that once let the stream in may do so again: at the server the
 * connection that was lost still counts for a while. */
static bool hopeless(const struct stream *t, enum err e)
{
    return (e == ERR_LIMIT && !t->was_open) || e == ERR_AUTH || e == ERR_DENIED ||
           e == ERR_CHANGED || e == ERR_CORRUPT || e == ERR_PROTO;
}

static void *live(void *arg)
{
    struct stream *t = arg;
    struct share *share = t->streams->common.share;
    for (unsigned tries = 0; tries < TRIES;) {
        enum share_state state = share_look(share, 0, LOOK_MS);
        if (state == SHARE_WAIT)
            continue;
        if (state != SHARE_FREE)
            break;
        enum err e = connect_stream(t);
        if (e == ERR_OK && share_look(share, 0, 0) != SHARE_FREE)
            continue;
        if (e == ERR_OK && (e = run(t)) == ERR_OK) {
            share_done(share, t->number);
            continue;
        }
        share_give_back(share, t->number);
        disconnect_stream(t);
        if (hopeless(t, e))
            break;
        struct timespec pause = {0, PAUSE_MS * ++tries * 1000000L};
        nanosleep(&pause, NULL);
    }
    share_leave(share);
    disconnect_stream(t);
    return NULL;
}

/* ---- all of them ---- */

static void add(struct streams *s)
{
    struct stream *t = &s->list[s->n];
    *t = (struct stream){.streams = s, .number = s->n + 1};
    share_join(s->common.share);
    if (pthread_create(&t->thread, NULL, live, t) == 0)
        s->n++;
    else
        share_leave(s->common.share);
}

/* Adds connections while they help and there is something left for them. */
static void *grow(void *arg)
{
    struct streams *s = arg;
    struct share *share = s->common.share;
    const struct timespec pause = {0, GROW_MS * 1000000L};
    while (share_look(share, 0, 0) == SHARE_FREE) {
        for (unsigned n = growth_ask(&s->growth, share_count(share), tls_now_ms()); n > 0; n--)
            add(s);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void start(void *arg, const uint8_t token[static PART_TOKEN])
{
    struct streams *s = arg;
    const struct work *w = s->worker->work;
    unsigned first = work_first(w), most = work_most(w);
    memcpy(s->token, token, sizeof s->token);
    s->list = calloc(most - 1, sizeof *s->list);
    for (unsigned i = 1; s->list && i < first; i++)
        add(s);
    growth_init(&s->growth, most, tls_round_trip_ms(s->worker->link->chan.tls));
    s->growing = s->list && first < most && pthread_create(&s->grower, NULL, grow, s) == 0;
}

enum err streams_new(struct worker *w, struct job *j, uint32_t flags, struct streams **out)
{
    struct streams *s = calloc(1, sizeof *s);
    uint64_t n = (uint64_t)j->st.st_size;
    unsigned log2 = tree_chunk_log2(n);
    *out = NULL;
    if (!s)
        return log_fail(ERR_INTERNAL, "out of memory for connections");
    s->worker = w;
    s->job = j;
    s->flags = flags;
    s->common.open = start;
    s->common.arg = s;
    pthread_mutex_init(&s->lock, NULL);
    enum err e = j->up && log2 ? share_new(tree_chunks(n, log2), log2, &s->common.share) : ERR_OK;
    if (e == ERR_OK)
        *out = s;
    else
        free(s);
    return e;
}

struct xfer_streams *streams_of(struct streams *s)
{
    return s ? &s->common : NULL;
}

uint64_t streams_end(struct streams *s, enum err e)
{
    if (!s)
        return 0;
    if (e != ERR_OK && s->common.share)
        share_fail(s->common.share);
    if (s->growing)
        pthread_join(s->grower, NULL);
    for (unsigned i = 0; i < s->n; i++)
        pthread_join(s->list[i].thread, NULL);
    s->job->result.moved += s->moved;
    s->job->result.kept += s->kept;
    s->job->result.zeros += s->zeros;
    share_free(s->common.share);
    pthread_mutex_destroy(&s->lock);
    uint64_t wire = s->wire;
    free(s->list);
    free(s);
    return wire;
}
