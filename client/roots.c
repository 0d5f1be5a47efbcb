/* SPDX-License-Identifier: ISC */
#include "roots.h"

#include "log.h"
#include "part.h"
#include <stdio.h>
#include <string.h>

/* ---- the server's ---- */

static enum err on_answer(struct request *r, const struct frame *f, enum err status,
                          const char *reason)
{
    struct root_question *q = r->arg;
    if (f)
        return link_take_info(&q->said, f);
    q->status = status;
    snprintf(q->reason, sizeof q->reason, "%.*s", (int)sizeof q->reason - 1, reason);
    if (status != ERR_OK)
        return ERR_OK;
    if (!q->said.type)
        return log_fail(ERR_PROTO, "the server answered STAT without saying what stands there");
    *q->info = q->said;
    return ERR_OK;
}

enum err roots_ask(struct root_question *q, struct pipeline *p, const char *path,
                   struct fs_info *info)
{
    *q = (struct root_question){.asked = true, .status = ERR_CONN, .info = info};
    enum err e = pipeline_enter(p, on_answer, q, strlen(path), &q->id);
    if (e != ERR_OK)
        return e;
    return pipeline_sent(p, CHAN_SEND(&p->link->chan, stat, STAT, .id = q->id,
                                      .flags = MSG_STAT_ROOT, .path = slice_str(path)));
}

enum err roots_wait(struct root_question *q, struct pipeline *p)
{
    return q->asked ? pipeline_until(p, q->id) : ERR_OK;
}

/* ---- ours ---- */

struct hashing {
    struct pipeline *pipeline;
    struct show *show;
};

static enum err tick(void *arg, uint64_t done, uint64_t total)
{
    const struct hashing *h = arg;
    if (h->show)
        show_event(h->show, XFER_HASHING, done, total);
    return pipeline_poll(h->pipeline);
}

enum err roots_local(struct pipeline *p, int fd, const char *name, const struct stat *st,
                     struct show *show, uint8_t root[static TREE_HASH])
{
    struct hashing h = {p, show};
    struct tree_visitor visitor = {tick, NULL, &h};
    struct part_stamp before, after;
    struct stat now;
    uint64_t length = (uint64_t)st->st_size;
    unsigned chunk_log2 = tree_chunk_log2(length);
    if (chunk_log2 == 0)
        return log_fail(ERR_LIMIT, "%s: too long", name);
    enum err e = tree_file(fd, name, length, chunk_log2, p->link->engine, &visitor, root);
    if (e == ERR_OK && fstat(fd, &now) < 0)
        return log_fail_errno("%s", name);
    if (e != ERR_OK)
        return e;
    part_stamp_of(st, &before);
    part_stamp_of(&now, &after);
    return part_stamp_eq(&before, &after)
               ? ERR_OK
               : log_fail(ERR_CHANGED, "%s: changed while it was read", name);
}

/* ---- both ---- */

enum err roots_same(struct root_question *q, struct pipeline *p, int fd, const char *name,
                    const struct stat *st, const struct fs_info *info, bool *same)
{
    uint8_t root[TREE_HASH];
    enum err ours = roots_local(p, fd, name, st, NULL, root);
    enum err e = p->link->chan.failed ? ours : roots_wait(q, p);
    *same = e == ERR_OK && ours == ERR_OK && info->has_root &&
            info->size == (uint64_t)st->st_size && memcmp(root, info->root, TREE_HASH) == 0;
    return e;
}
