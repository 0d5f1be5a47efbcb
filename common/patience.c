/* SPDX-License-Identifier: ISC */
#include "patience.h"

void patience_begin(struct patience *p, struct chan *chan)
{
    int64_t now = tls_now_ms();
    *p = (struct patience){
        .chan = chan, .silent_ms = chan->limits.stall_ms, .heard_ms = now, .moved_ms = now};
}

static int64_t left(const struct patience *p)
{
    int64_t silent = p->heard_ms + p->silent_ms, still = p->moved_ms + PATIENCE_MS;
    int64_t ms = (silent < still ? silent : still) - tls_now_ms();
    return ms > 0 ? ms : 0;
}

static void note(struct patience *p, const struct frame *f)
{
    struct msg_progress m;
    p->heard_ms = tls_now_ms();
    /* One that is malformed is for the caller to find. */
    if (f->type == MSG_PROGRESS && CHAN_GET(f, progress, &m)) {
        if (m.phase == p->phase && m.done <= p->done)
            return;
        p->phase = m.phase;
        p->done = m.done;
    }
    p->moved_ms = p->heard_ms;
}

enum err patience_recv(struct patience *p, struct frame *f)
{
    enum err e;
    /* What is here already is taken even when there is no time left; what may be ignored is not. */
    while ((e = chan_recv(p->chan, f, left(p))) == ERR_OK && f->type >= MSG_IGNORABLE)
        if (left(p) == 0)
            return ERR_TIMEOUT;
    if (e == ERR_OK)
        note(p, f);
    return e == ERR_OK && f->type == MSG_PROGRESS && left(p) == 0 ? ERR_TIMEOUT : e;
}
