/* SPDX-License-Identifier: ISC */
/* A client whose server answers anything: a walk whose folders it sometimes goes over, and questions about names under way
 * at the same time. All that are asked are answered or told that the connection was lost, nothing is told of a name that
 * was not asked for, and the client says nothing but well-formed messages. The first byte: 1: frames come in
 * pieces, 2: folders are gone over. */
#include "fuzz.h"

#include "../../client/lookup.h"
#include "../../client/pipeline.h"
#include "../../client/remote_walk.h"
#include "../unit/lib/msg_fuzz.h"
#include "transport.h"

enum { PIECES = 1, SKIP = 2, NAMES = 3 };

struct options options; /* those of the program */

static const char *const names[NAMES] = {"a", "b/c", "d"};

static void check_lookup(const struct lookup *l, bool good)
{
    FUZZ_MUST(l->answered <= l->n && (!good || (l->answered == l->n && l->last)));
    for (size_t i = 0; i < l->n; i++) {
        const struct looked_up *e = &l->list[i];
        FUZZ_MUST(!e->known || i < l->answered);
        FUZZ_MUST(!e->known || (e->there.type < MSG_LEAVE && e->there.mode <= 0777));
        FUZZ_MUST(!e->target || (e->there.type == MSG_LINK && e->target[0]));
    }
}

static enum err walk(struct remote_walk *w, bool skip)
{
    struct remote_item item;
    enum err e;
    for (unsigned n = 0; (e = remote_walk_next(w, &item)) == ERR_OK; n++) {
        char path[PATH_MAX_BYTES + 2] = "/";
        FUZZ_MUST(n < 100000);
        if (item.info.type == MSG_FAULT)
            continue;
        strncat(path, item.path, PATH_MAX_BYTES);
        FUZZ_MUST(path_check(slice_str(path)) == ERR_OK);
        if (skip && item.info.type == MSG_FOLDER)
            remote_walk_skip(w);
    }
    return e;
}

static void ask(struct pipeline *p, bool skip)
{
    static struct lookup l;
    const struct stat st = {.st_size = 7};
    struct remote_walk *w;
    l.n = l.names = 0;
    for (size_t i = 0; i < NAMES; i++)
        FUZZ_MUST(lookup_add(&l, names[i], &st, false) == ERR_OK);
    bool asked = lookup_ask(&l, p, "/", MSG_ITEMS_LINKS) == ERR_OK;
    if (asked && remote_walk_open(p, "/x", 0, &w) == ERR_OK) {
        enum err e = walk(w, skip);
        FUZZ_MUST(e != ERR_OK && (e == ERR_NOENT || !p->link->chan.failed || p->n == 0));
        remote_walk_close(w);
    }
    bool good = asked && !p->link->chan.failed && lookup_wait(&l, p) == ERR_OK;
    check_lookup(&l, false);
    FUZZ_MUST(!good || p->link->chan.failed || l.answered <= NAMES);
    if (!p->link->chan.failed)
        (void)!pipeline_wait(p, 0);
    FUZZ_MUST(p->n == 0);
    lookup_clear(&l);
}

static void check_said(struct slice sent)
{
    while (sent.n > 0) {
        FUZZ_MUST(sent.n >= 5);
        uint32_t n = wire_load_u32(sent.p);
        FUZZ_MUST(n > 0 && n <= sent.n - 4 && msg_fuzz_one(sent.p + 4, n));
        sent = slice_of(sent.p + 4 + n, sent.n - 4 - n);
    }
}

void fuzz_one(const uint8_t *data, size_t n)
{
    static const struct chan_limits limits = {1000, 1};
    static struct pipeline p;
    struct link link = {.next_id = 1};
    if (n == 0)
        return;
    struct slice said = slice_of(data + 1, n - 1);
    FUZZ_MUST(chan_init(&link.chan, transport_new(said, data[0] & PIECES ? 9 : 0), &limits) ==
              ERR_OK);
    chan_allow_data(&link.chan);
    pipeline_init(&p, &link);
    ask(&p, data[0] & SKIP);
    check_said(transport_sent(link.chan.tls));
    chan_release(&link.chan);
}

/* ---- seeds ---- */

static void put_item(struct buf *items, uint8_t type, const char *name, const char *target)
{
    const struct msg_item m = {.type = type,
                               .mode = type == MSG_FAULT ? ERR_IO : 0644,
                               .name = slice_str(name),
                               .target = slice_str(target)};
    FUZZ_MUST(msg_add_item(items, &m));
}

static void seed(uint8_t way, bool all, enum err status)
{
    struct buf b, items;
    buf_init(&b, 1 << 16);
    buf_init(&items, MSG_ITEMS_MAX);
    wire_put_u8(&b, way);
    put_item(&items, MSG_FILE, "a", NULL);
    put_item(&items, all ? MSG_LINK : MSG_MISSING, "b/c", all ? "x" : NULL);
    if (all)
        put_item(&items, MSG_FAULT, "d", NULL);
    TRANSPORT_PUT(&b, items, ITEMS, .id = 1, .more = !all,
                  .items = slice_of(items.data, items.len));
    buf_clear(&items);
    put_item(&items, MSG_MISSING, "d", NULL);
    if (!all)
        TRANSPORT_PUT(&b, items, ITEMS, .id = 1, .items = slice_of(items.data, items.len));
    TRANSPORT_PUT(&b, done, DONE, .id = 1);
    buf_clear(&items);
    put_item(&items, MSG_FOLDER, "f", NULL);
    put_item(&items, MSG_FILE, "f/g", NULL);
    TRANSPORT_PUT(&b, items, ITEMS, .id = 2, .more = 1, .items = slice_of(items.data, items.len));
    TRANSPORT_PUT(&b, done, DONE, .id = 2);
    TRANSPORT_PUT(&b, progress, PROGRESS, .id = 3);
    buf_clear(&items);
    put_item(&items, MSG_LEAVE, "f", NULL);
    TRANSPORT_PUT(&b, items, ITEMS, .id = 3, .items = slice_of(items.data, items.len));
    TRANSPORT_PUT(&b, done, DONE, .id = 3, .status = (uint16_t)status,
                  .reason = slice_str("why\x1b"));
    fuzz_seed(b.data, b.len);
    buf_release(&b);
    buf_release(&items);
}

void fuzz_seeds(void)
{
    for (uint8_t way = 0; way < 4; way++) {
        seed(way, way & 1, ERR_OK);
        seed(way, way & 2, ERR_DENIED);
    }
}
