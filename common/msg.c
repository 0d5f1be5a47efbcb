/* SPDX-License-Identifier: ISC */
#include "msg.h"

#define CODEC_PASS_PUT
#include "codec.h"
#undef CODEC_PASS_PUT

#define CODEC_PASS_GET
#include "codec.h"
#undef CODEC_PASS_GET

const char *msg_name(uint8_t type)
{
    static const char *const names[256] = {
#define CODEC_PASS_NAME
#include "codec.h"
#undef CODEC_PASS_NAME
    };
    return names[type] ? names[type] : "?";
}

bool msg_add_item(struct buf *b, const struct msg_item *m)
{
    size_t at = b->len;
    wire_put_u16(b, 0);
    if (!msg_put_item(b, m))
        return false;
    size_t n = b->len - at - 2;
    b->data[at] = (uint8_t)(n >> 8);
    b->data[at + 1] = (uint8_t)n;
    return true;
}

bool msg_take_item(struct slice *items, struct msg_item *m)
{
    struct wire_rd r = wire_read(items->p, items->n);
    struct slice one = wire_get_str(&r, UINT16_MAX);
    if (r.bad || !msg_get_item(one.p, one.n, m))
        return false;
    items->p += 2 + one.n;
    items->n -= 2 + one.n;
    return true;
}
