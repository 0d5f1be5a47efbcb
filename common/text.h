/* SPDX-License-Identifier: ISC */
/* Bytes from outside as text for people and programs: what may be shown, and JSON strings (RFC
 * 8259). */
#ifndef CONSIGN_TEXT_H
#define CONSIGN_TEXT_H

#include "wire.h"

/* The length of the character at s (n > 0 bytes left) and its code point in *point; 0 when s does
 * not begin with valid UTF-8 (*point is then the byte). */
size_t text_char(const uint8_t *s, size_t n, uint32_t *point);

/* Whether a character may reach a terminal: no control character (C0, DEL, C1), no line or
 * paragraph separator, nothing that turns the direction of writing. */
bool text_visible(uint32_t point);

/* Appends s as a JSON string with its quotes. Quote and backslash get a backslash; what is not
 * visible becomes \uXXXX, a byte that is no UTF-8 \u00XX. */
void text_json(struct buf *out, struct slice s);

/* Appends a C string as it is. */
void text_put(struct buf *out, const char *s);

/* "1.5 GiB", "17 B": powers of 1024. */
enum { TEXT_SIZE = 16 };
void text_size(uint64_t bytes, char out[static TEXT_SIZE]);

/* Lower-case hex of n bytes and a NUL to out (2 * n + 1 bytes). */
void text_hex(const uint8_t *p, size_t n, char *out);

/* Base64 (RFC 4648, 4) of n bytes and a NUL to out. */
#define TEXT_BASE64(n) (((n) + 2) / 3 * 4 + 1)
void text_base64(const uint8_t *p, size_t n, char *out);

#endif
