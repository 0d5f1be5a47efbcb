/* SPDX-License-Identifier: ISC */
/* Frames, as they come in pieces over a connection: the same as in one look at all bytes. */
#include "fuzz.h"

#include "transport.h"

enum { LARGE = 1, LOOK = 2 };

/* What the next frame has to be: its length, or 0 with the error that has to come. */
static size_t expect(struct slice left, uint32_t most, enum err *e)
{
    *e = left.n == 0 ? ERR_CONN : ERR_OK;
    if (left.n < 4)
        *e = ERR_CONN;
    uint32_t n = left.n < 4 ? 0 : wire_load_u32(left.p);
    if (*e == ERR_OK && (n == 0 || n > most))
        *e = ERR_PROTO;
    if (*e == ERR_OK && n > left.n - 4)
        *e = ERR_CONN;
    return *e == ERR_OK ? n : 0;
}

static void check(struct chan *c, struct slice left, bool look)
{
    for (;;) {
        struct frame f;
        enum err wanted, e;
        size_t n = expect(left, c->frame_max, &wanted);
        if (look)
            (void)chan_ready(c);
        e = chan_recv(c, &f, 1000);
        if (wanted == ERR_OK && left.p[4] == MSG_ERROR) {
            FUZZ_MUST(e != ERR_OK && c->peer_ended);
            return;
        }
        FUZZ_MUST(e == wanted);
        if (e != ERR_OK)
            return;
        FUZZ_MUST(f.type == left.p[4] && f.n == n - 1 && memcmp(f.body, left.p + 5, f.n) == 0);
        left = slice_of(left.p + 4 + n, left.n - 4 - n);
    }
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct chan c;
    const struct chan_limits limits = {1000, 1};
    if (n < 2)
        return;
    struct slice stream = slice_of(data + 2, n - 2);
    FUZZ_MUST(chan_init(&c, transport_new(stream, data[1]), &limits) == ERR_OK);
    if (data[0] & LARGE)
        chan_allow_data(&c);
    check(&c, stream, data[0] & LOOK);
    chan_release(&c);
}

static void put(struct buf *b, uint8_t type, const void *body, size_t n)
{
    wire_put_u32(b, (uint32_t)n + 1);
    wire_put_u8(b, type);
    buf_put(b, body, n);
}

void fuzz_seeds(void)
{
    static const uint8_t body[6000];
    struct buf b;
    buf_init(&b, 1 << 20);
    for (uint8_t way = 0; way < 4; way++) {
        buf_clear(&b);
        wire_put_u8(&b, way);
        wire_put_u8(&b, (uint8_t)(way * 9));
        put(&b, MSG_PING, body, 4);
        put(&b, MSG_DONE, body, 8);
        put(&b, MSG_DATA, body, way & LARGE ? sizeof body : 40);
        put(&b, MSG_IGNORABLE, body, 0);
        if (way & LOOK)
            put(&b, MSG_ERROR, body, 4);
        fuzz_seed(b.data, b.len);
    }
    buf_release(&b);
}
