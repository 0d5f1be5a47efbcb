/* SPDX-License-Identifier: ISC */
#include "wire.h"

#include <string.h>

static void put_be(struct buf *b, uint64_t v, size_t n)
{
    uint8_t *to = buf_room(b, n);
    if (!to)
        return;
    for (size_t i = n; i-- > 0; v >>= 8)
        to[i] = (uint8_t)v;
    b->len += n;
}

void wire_put_u8(struct buf *b, uint8_t v)
{
    put_be(b, v, 1);
}

void wire_put_u16(struct buf *b, uint16_t v)
{
    put_be(b, v, 2);
}

void wire_put_u32(struct buf *b, uint32_t v)
{
    put_be(b, v, 4);
}

void wire_put_u64(struct buf *b, uint64_t v)
{
    put_be(b, v, 8);
}

void wire_put_hash(struct buf *b, const uint8_t hash[static WIRE_HASH])
{
    buf_put(b, hash, WIRE_HASH);
}

void wire_put_str(struct buf *b, struct slice s, size_t max)
{
    if (s.n > max || s.n > UINT16_MAX) {
        b->bad = true;
        return;
    }
    put_be(b, s.n, 2);
    buf_put(b, s.p, s.n);
}

void wire_put_tail(struct buf *b, struct slice s, size_t max)
{
    if (s.n > max)
        b->bad = true;
    else
        buf_put(b, s.p, s.n);
}

struct wire_rd wire_read(const void *p, size_t n)
{
    const uint8_t *bytes = p;
    return (struct wire_rd){bytes, bytes ? bytes + n : bytes, false};
}

/* n bytes from the reader, or NULL and bad. */
static const uint8_t *take(struct wire_rd *r, size_t n)
{
    if (r->bad || n > (size_t)(r->end - r->p)) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *at = r->p;
    if (n)
        r->p += n;
    return at;
}

static uint64_t get_be(struct wire_rd *r, size_t n)
{
    const uint8_t *at = take(r, n);
    uint64_t v = 0;
    for (size_t i = 0; at && i < n; i++)
        v = v << 8 | at[i];
    return v;
}

uint8_t wire_get_u8(struct wire_rd *r)
{
    return (uint8_t)get_be(r, 1);
}

uint16_t wire_get_u16(struct wire_rd *r)
{
    return (uint16_t)get_be(r, 2);
}

uint32_t wire_get_u32(struct wire_rd *r)
{
    return (uint32_t)get_be(r, 4);
}

uint64_t wire_get_u64(struct wire_rd *r)
{
    return get_be(r, 8);
}

void wire_get_hash(struct wire_rd *r, uint8_t hash[static WIRE_HASH])
{
    const uint8_t *at = take(r, WIRE_HASH);
    if (at)
        memcpy(hash, at, WIRE_HASH);
    else
        memset(hash, 0, WIRE_HASH);
}

static struct slice get_bytes(struct wire_rd *r, size_t n, size_t max)
{
    if (n > max) {
        r->bad = true;
        return (struct slice){0};
    }
    const uint8_t *at = take(r, n);
    return at ? (struct slice){at, n} : (struct slice){0};
}

struct slice wire_get_str(struct wire_rd *r, size_t max)
{
    size_t n = wire_get_u16(r);
    return get_bytes(r, n, max);
}

struct slice wire_get_tail(struct wire_rd *r, size_t max)
{
    return r->bad ? (struct slice){0} : get_bytes(r, (size_t)(r->end - r->p), max);
}

bool wire_done(const struct wire_rd *r)
{
    return !r->bad && r->p == r->end;
}

void wire_store_u32(uint8_t to[static 4], uint32_t v)
{
    for (int i = 3; i >= 0; i--, v >>= 8)
        to[i] = (uint8_t)v;
}

void wire_store_u64(uint8_t to[static 8], uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        to[i] = (uint8_t)v;
}

uint32_t wire_load_u32(const uint8_t from[static 4])
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

struct slice slice_str(const char *s)
{
    return (struct slice){(const uint8_t *)s, s ? strlen(s) : 0};
}

struct slice slice_of(const void *p, size_t n)
{
    return (struct slice){p, n};
}

bool slice_copy(struct slice s, char *dst, size_t cap)
{
    if (s.n >= cap || (s.n && memchr(s.p, 0, s.n)))
        return false;
    if (s.n)
        memcpy(dst, s.p, s.n);
    dst[s.n] = '\0';
    return true;
}

bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
