/* SPDX-License-Identifier: ISC */
#include "ask_show.h"

#include "ask_rows.h"
#include "log.h"
#include "text.h"
#include <stdio.h>
#include <time.h>

enum { OUT_MAX = 512 << 20, DAY_S = 86400 };

/* ---- reading ---- */

/* The next message of the status; false at its end. *bad is set when it does not end where it should. */
static bool next(struct slice *left, struct ask_item *out, bool *bad)
{
    if (left->n == 0)
        return false;
    size_t n = left->n >= 5 ? wire_load_u32(left->p) : SIZE_MAX;
    if (n > left->n - 5 || left->n < 5) {
        *bad = true;
        return false;
    }
    *out = (struct ask_item){left->p[4], left->p + 5, n};
    left->p += 5 + n;
    left->n -= 5 + n;
    return true;
}

static enum err malformed(void)
{
    return log_fail(ERR_PROTO, "the server's status can't be read: another version?");
}

enum err ask_find_scrub(const struct buf *status, struct ask_scrub *out)
{
    struct slice left = slice_of(status->data, status->len);
    struct ipc_status_scrub m;
    struct ipc_scrubbed c;
    struct ask_item item;
    bool bad = false, meta = false, counts = false;
    *out = (struct ask_scrub){0};
    while (next(&left, &item, &bad)) {
        if (item.type == IPC_STATUS_SCRUB && ipc_get_status_scrub(item.body, item.n, &m)) {
            meta = slice_copy(m.user, out->user, sizeof out->user);
            out->run = m.run;
            out->ended = m.ended;
            out->status = err_from_wire(m.status);
        } else if (item.type == IPC_SCRUBBED && ipc_get_scrubbed(item.body, item.n, &c)) {
            counts = true;
            out->files = c.files;
            out->bytes = c.bytes;
            out->chunks = c.chunks;
        }
    }
    return meta && counts && !bad ? ERR_OK : malformed();
}

/* ---- what both show ---- */

int64_t ask_days_left(const struct ipc_status_crl *m)
{
    uint64_t now = m->now, then = m->next_update;
    return then >= now ? (int64_t)((then - now) / DAY_S) : -1 - (int64_t)((now - then - 1) / DAY_S);
}

const char *ask_crl_state(const struct ipc_status_crl *m)
{
    return m->now < m->next_update                        ? "current"
           : !m->counts_until || m->now < m->counts_until ? "stale, obeyed"
                                                          : "stale";
}

/* ---- the whole ---- */

static bool is_of_scrub(uint8_t type)
{
    return type == IPC_STATUS_SCRUB || type == IPC_SCRUBBED || type == IPC_ROT;
}

/* One message to standard output, or to b. */
static bool show_item(const struct ask_item *item, bool scrub_only, struct buf *b)
{
    if (scrub_only && !is_of_scrub(item->type))
        return true;
    return b ? ask_json(b, item) : ask_text(item);
}

static enum err show_all(const struct buf *status, bool json, bool scrub_only)
{
    struct slice left = slice_of(status->data, status->len);
    struct ask_item item;
    struct buf b;
    bool bad = false;
    buf_init(&b, OUT_MAX);
    text_put(&b, "{");
    while (!bad && next(&left, &item, &bad))
        bad = !show_item(&item, scrub_only, json ? &b : NULL);
    text_put(&b, "]}}\n"); /* findings, scrub, all */
    if (json && !bad && !b.bad)
        fwrite(b.data, 1, b.len, stdout);
    buf_release(&b);
    if (bad)
        return malformed();
    return fflush(stdout) == 0 ? ERR_OK : log_fail_errno("standard output");
}

enum err ask_show(const struct buf *status, bool json)
{
    return show_all(status, json, false);
}

enum err ask_show_scrub(const struct buf *status, bool json)
{
    return show_all(status, json, true);
}
