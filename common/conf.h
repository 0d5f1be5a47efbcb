/* SPDX-License-Identifier: ISC */
/* INI files, strictly: every section and key must be known, nothing is guessed. An own reader, since
 * inih passes over lines that it can't parse.
 *
 *   [SECTION]        KEY = VALUE        # and ; begin comments, on lines of their own
 */
#ifndef CONSIGN_CONF_H
#define CONSIGN_CONF_H

#include "err.h"
#include <stdint.h>

/* One value, where it stands. */
struct conf_at {
    const char *file;
    unsigned line;
    const char *section;
    const char *key;
};

/* Called for each "key = value" in file order, and with key NULL at the head of each section. A
 * result other than ERR_OK ends the reading with it; the handler logs with conf_fail. */
typedef enum err conf_fn(void *arg, const struct conf_at *at, const char *value);

/* Reads the file. It must be a regular file that belongs to root or to this process's user and that
 * nobody else can write (ERR_CONFIG with the reason); a symbolic link as the last component is
 * refused. */
enum err conf_read(const char *file, conf_fn *each, void *arg) MUST_CHECK;

/* The same for a file that must never be read by half, since what is missing would not be missed: refused is one whose
 * last line does not end, one that changes while it is read, and, where the kernel can tell (not over the network,
 * nor for a file of somebody else without CAP_LEASE), one that any process has open for writing. */
enum err conf_read_whole(const char *file, conf_fn *each, void *arg) MUST_CHECK;

/* Logs "FILE:LINE: [SECTION] KEY: text" and returns ERR_CONFIG. */
enum err conf_fail(const struct conf_at *at, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))) MUST_CHECK;

/* Values. Each refuses junk behind the value, and what is out of [min, max]. */
enum err conf_u64(const struct conf_at *at, const char *value, uint64_t min, uint64_t max,
                  uint64_t *out) MUST_CHECK;
/* Bytes with an optional K M G T (powers of 1024). */
enum err conf_size(const struct conf_at *at, const char *value, uint64_t *out) MUST_CHECK;
/* The same for an option, which has no place in a file: false when it is none. */
bool conf_parse_size(const char *value, uint64_t *out);
/* Seconds with an optional s m h d w y (365 days). */
enum err conf_seconds(const struct conf_at *at, const char *value, uint64_t min, uint64_t max,
                      uint64_t *out) MUST_CHECK;
enum err conf_bool(const struct conf_at *at, const char *value, bool *out) MUST_CHECK;
/* A copy; frees *out first. A relative path is taken from the folder of the file when path is set.
 */
enum err conf_string(const struct conf_at *at, const char *value, bool path, char **out) MUST_CHECK;

/* The same reading for a secret or a key: opens file without following a last symbolic link and
 * checks that it is a regular file of root or this user, and that group and others can't write it
 * (private: nor read it), nor its folder but for a sticky one. Returns a descriptor, or -1 (logged). */
int conf_open(const char *file, bool private);

#endif
