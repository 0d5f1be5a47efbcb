/* SPDX-License-Identifier: ISC */
/* The audit log as a chain: what the server writes and consign-pki audit verify reads. Pure text, no files.
 *
 *   {"time":"2026-11-24T13:37:05.123456Z","seq":17,"prev":"9f86...","session":...,"event":"put",...}\n
 *
 * A line carries the number after that of the line before, and its SHA-256, newline included; the first line of a
 * chain has number 1 and 64 zeros. Rotated files follow each other without a break.
 *
 * A head is the statement "line seq of the log called log has this hash". What is signed of it is the text
 *
 *   consign/1 audit head NUL log LF seq LF hash LF time LF
 *
 * (log: 32 hexadecimal digits, made at random when the chain begins; seq and time, seconds since 1970, in decimal
 * digits; hash in 64 hexadecimal digits), and nothing else that the key signs begins so. */
#ifndef CONSIGN_AUDIT_H
#define CONSIGN_AUDIT_H

#include "wire.h"
#include <time.h>

enum {
    AUDIT_LINE_MAX = 64 * 1024, /* with its newline */
    AUDIT_LOG = 32,             /* digits of a log's name */
    AUDIT_HEX = 2 * WIRE_HASH,
    AUDIT_TIME = 28,
    AUDIT_HEAD_TEXT = 192,
};

/* A line, taken apart; borrows from it. */
struct audit_line {
    struct slice text; /* all of it */
    struct slice time;
    uint64_t seq;
    uint8_t prev[WIRE_HASH];
    struct slice event;
};

/* Reads a line, without its newline; false when it is none of a chain. */
bool audit_line_read(struct slice text, struct audit_line *out);

/* The value of a key of a flat JSON object, a number's digits or a string between its quotes with all
 * escapes as they stand. False when there is none, or text is no such object up to there. */
bool audit_get(struct slice text, const char *key, struct slice *out);
/* Those that are numbers in decimal digits, and hashes. */
bool audit_get_number(struct slice text, const char *key, uint64_t *out);
bool audit_get_hash(struct slice text, const char *key, uint8_t out[static WIRE_HASH]);

/* Decimal digits and nothing else, of a number below 2^64. */
bool audit_number(struct slice digits, uint64_t *out);

/* The hash of a line with its newline. */
void audit_hash(const void *line, size_t n, uint8_t out[static WIRE_HASH]);

/* UTC to the microsecond, as lines have it; and back. */
void audit_time(const struct timespec *at, char out[static AUDIT_TIME]);
bool audit_time_read(struct slice text, struct timespec *out);

struct audit_head {
    char log[AUDIT_LOG + 1];
    uint64_t seq;
    uint8_t hash[WIRE_HASH];
    uint64_t time;
};

/* The head in a line of event head, or in the first line of a head file. */
bool audit_head_read(struct slice text, bool file, struct audit_head *out);

/* What is signed of it; its length. */
size_t audit_head_text(const struct audit_head *h, char out[static AUDIT_HEAD_TEXT]);

#endif
