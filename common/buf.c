/* SPDX-License-Identifier: ISC */
#include "buf.h"

#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_release(struct buf *b)
{
    if (!b)
        return;
    free(b->data);
    buf_init(b, b->max);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->bad = false;
}

uint8_t *buf_room(struct buf *b, size_t n)
{
    if (b->bad || n > b->max - b->len) {
        b->bad = true;
        return NULL;
    }
    if (b->len + n > b->cap || !b->data) {
        size_t want = b->cap ? b->cap : 256;
        while (want < b->len + n)
            want = want > b->max / 2 ? b->max : want * 2;
        if (want > b->max)
            want = b->max;
        uint8_t *grown = realloc(b->data, want ? want : 1);
        if (!grown) {
            b->bad = true;
            return NULL;
        }
        b->data = grown;
        b->cap = want;
    }
    return b->data + b->len;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
    uint8_t *to = buf_room(b, n);
    if (to && n) {
        memcpy(to, p, n);
        b->len += n;
    }
}

void buf_consume(struct buf *b, size_t n)
{
    if (n < b->len)
        memmove(b->data, b->data + n, b->len - n);
    b->len -= n < b->len ? n : b->len;
}
