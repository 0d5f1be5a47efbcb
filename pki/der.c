/* SPDX-License-Identifier: ISC */
#include "der.h"

#include <string.h>

/* The length in its shortest form. */
static size_t length_octets(size_t n, uint8_t out[static 5])
{
    size_t octets = n < 0x80 ? 0 : n < 0x100 ? 1 : n < 0x10000 ? 2 : n < 0x1000000 ? 3 : 4;
    out[0] = octets ? (uint8_t)(0x80 | octets) : (uint8_t)n;
    for (size_t i = 0; i < octets; i++)
        out[1 + i] = (uint8_t)(n >> 8 * (octets - 1 - i));
    return 1 + octets;
}

void der_put(struct buf *b, uint8_t tag, const void *content, size_t n)
{
    uint8_t length[5];
    buf_put(b, &tag, 1);
    buf_put(b, length, length_octets(n, length));
    buf_put(b, content, n);
}

void der_wrap(struct buf *b, size_t from, uint8_t tag)
{
    uint8_t head[6] = {tag};
    if (b->bad)
        return;
    size_t n = b->len - from, h = 1 + length_octets(n, head + 1);
    if (!buf_room(b, h))
        return;
    memmove(b->data + from + h, b->data + from, n);
    memcpy(b->data + from, head, h);
    b->len += h;
}

void der_unsigned(struct buf *b, uint8_t tag, const uint8_t *number, size_t n)
{
    size_t from = b->len;
    uint8_t zero = 0;
    while (n > 1 && *number == 0) {
        number++;
        n--;
    }
    if (n == 0 || *number & 0x80)
        buf_put(b, &zero, 1);
    buf_put(b, number, n);
    der_wrap(b, from, tag);
}

void der_time(struct buf *b, time_t at)
{
    char text[32] = "";
    struct tm tm;
    if (!gmtime_r(&at, &tm) || !strftime(text, sizeof text, "%Y%m%d%H%M%SZ", &tm)) {
        b->bad = true;
        return;
    }
    bool utc = tm.tm_year < 150;
    const char *shown = text + (utc ? 2 : 0);
    der_put(b, utc ? DER_UTC_TIME : DER_GENERAL_TIME, shown, strlen(shown));
}
