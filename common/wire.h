/* SPDX-License-Identifier: ISC */
/* The codec: typed fields in network byte order, with sticky failure in both directions.
 *
 * Writing appends to a bounded buffer; whether everything fitted is asked once (wire_ok). Reading
 * never leaves the slice: a get that finds too few bytes, or a length over its cap, returns 0 or an
 * empty slice and marks the reader bad for good. Nothing read may be used before wire_done() said
 * true: it also demands that no byte is left over. Strings and blobs borrow from the slice that is
 * read. */
#ifndef CONSIGN_WIRE_H
#define CONSIGN_WIRE_H

#include "buf.h"

enum { WIRE_HASH = 32 };

/* Borrowed bytes; not ended by NUL. */
struct slice {
    const uint8_t *p;
    size_t n;
};

struct wire_rd {
    const uint8_t *p;
    const uint8_t *end;
    bool bad;
};

void wire_put_u8(struct buf *b, uint8_t v);
void wire_put_u16(struct buf *b, uint16_t v);
void wire_put_u32(struct buf *b, uint32_t v);
void wire_put_u64(struct buf *b, uint64_t v);
/* 32 bytes as they are. */
void wire_put_hash(struct buf *b, const uint8_t hash[static WIRE_HASH]);
/* u16 length, then the bytes; longer than max (or 65535) makes b bad. */
void wire_put_str(struct buf *b, struct slice s, size_t max);
/* The bytes alone: only as a message's last field; longer than max makes b bad. */
void wire_put_tail(struct buf *b, struct slice s, size_t max);

struct wire_rd wire_read(const void *p, size_t n);
uint8_t wire_get_u8(struct wire_rd *r);
uint16_t wire_get_u16(struct wire_rd *r);
uint32_t wire_get_u32(struct wire_rd *r);
uint64_t wire_get_u64(struct wire_rd *r);
void wire_get_hash(struct wire_rd *r, uint8_t hash[static WIRE_HASH]);
/* At most max bytes of content. */
struct slice wire_get_str(struct wire_rd *r, size_t max);
/* All that is left, at most max bytes. */
struct slice wire_get_tail(struct wire_rd *r, size_t max);
/* True when every get succeeded and nothing is left. */
bool wire_done(const struct wire_rd *r);

/* Fixed places, for headers of a known shape. */
void wire_store_u32(uint8_t to[static 4], uint32_t v);
void wire_store_u64(uint8_t to[static 8], uint64_t v);
uint32_t wire_load_u32(const uint8_t from[static 4]);

/* A slice of a C string (without its NUL); NULL gives an empty slice. */
struct slice slice_str(const char *s);
struct slice slice_of(const void *p, size_t n);
/* Copies s into dst as a C string. False when it does not fit or holds a NUL. */
bool slice_copy(struct slice s, char *dst, size_t cap);
bool slice_eq(struct slice a, struct slice b);

#endif
