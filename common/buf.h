/* SPDX-License-Identifier: ISC */
/* A bounded byte buffer, the only growing memory that messages are built in.
 *
 * Invariant: len <= cap <= max. Once an append would pass max, or memory runs out, the buffer is
 * bad and stays bad: append freely, test once (wire.h builds on this). */
#ifndef CONSIGN_BUF_H
#define CONSIGN_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t max;
    bool bad;
};

/* An empty buffer that will never hold more than max bytes. Nothing is allocated yet. */
void buf_init(struct buf *b, size_t max);

/* Frees the memory; b is then an empty buffer with the same bound. NULL is allowed. */
void buf_release(struct buf *b);

/* Empties b, keeps its memory, forgets badness. */
void buf_clear(struct buf *b);

/* Appends n bytes. */
void buf_put(struct buf *b, const void *p, size_t n);

/* Makes room for n bytes behind the content and returns where they go; NULL (and bad) when they do
 * not fit. The caller writes there and then adds to b->len. */
uint8_t *buf_room(struct buf *b, size_t n);

/* Drops the first n bytes (n <= len). */
void buf_consume(struct buf *b, size_t n);

#endif
