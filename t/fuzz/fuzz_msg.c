/* SPDX-License-Identifier: ISC */
/* The messages of a peer: what decodes encodes to the same bytes. Items of a listing likewise, one after the other. */
#include "fuzz.h"

#include "../unit/lib/msg_fuzz.h"

static void check_items(struct slice items)
{
    struct buf again;
    struct msg_item m;
    struct slice left = items;
    buf_init(&again, items.n);
    while (msg_take_item(&left, &m))
        FUZZ_MUST(msg_add_item(&again, &m));
    FUZZ_MUST(again.len == items.n - left.n);
    FUZZ_MUST(again.len == 0 || memcmp(again.data, items.p, again.len) == 0);
    buf_release(&again);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct msg_items m;
    uint8_t *copy = fuzz_copy(data, n);
    bool good = msg_fuzz_one(copy, n);
    if (good && copy[0] == MSG_ITEMS && msg_get_items(copy + 1, n - 1, &m))
        check_items(m.items);
    free(copy);
}

static void seed_items(void)
{
    struct buf items, b;
    struct msg_item m = {.type = MSG_FILE, .name = slice_str("a/b")};
    buf_init(&items, MSG_ITEMS_MAX);
    buf_init(&b, MSG_FRAME_MAX);
    for (uint8_t type = MSG_MISSING; type <= MSG_FAULT; type++) {
        m.type = type;
        FUZZ_MUST(msg_add_item(&items, &m));
    }
    struct msg_items page = {.items = slice_of(items.data, items.len)};
    wire_put_u8(&b, MSG_ITEMS);
    FUZZ_MUST(msg_put_items(&b, &page));
    fuzz_seed(b.data, b.len);
    buf_release(&items);
    buf_release(&b);
}

void fuzz_seeds(void)
{
    struct buf b;
    buf_init(&b, MSG_FRAME_MAX);
    for (enum fuzz_size size = FUZZ_LEAST; size < FUZZ_SIZES; size++)
        for (size_t i = 0; msg_fuzz_seed(i, size, &b); i++, buf_clear(&b))
            fuzz_seed(b.data, b.len);
    seed_items();
    buf_release(&b);
}
