/* SPDX-License-Identifier: ISC */
/* The log: lines on standard error, one event each.
 *
 *   consignd[4711] error peer=192.0.2.7:50312 user=alice: part of "in/a.bin": write: no space left
 *
 * Rules: lower case, no full stop; the cause is logged once, where it is known; never a PIN, a key
 * or payload. Every byte that is not printable ASCII or valid UTF-8 is written as \xNN, whatever
 * put it there, so a name or a subject from outside can neither break a line nor reach a terminal.
 */
#ifndef CONSIGN_LOG_H
#define CONSIGN_LOG_H

#include "err.h"
#include <stdarg.h>
#include <stddef.h>

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG };

/* Sets the name that starts each line and the least important level that is written.
 * prog must live as long as the process. With plain set, lines are "prog: text" (the client's
 * form). */
void log_init(const char *prog, enum log_level most, bool plain);

/* Sets the " key=value" context of this process's lines (copied, cut at 300 bytes); NULL clears it.
 */
void log_context(const char *context);

#define LOG_PRINTF(f, a) __attribute__((format(printf, f, a)))

void log_at(enum log_level level, const char *fmt, ...) LOG_PRINTF(2, 3);
#define log_error(...) log_at(LOG_LVL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_LVL_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_LVL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LVL_DEBUG, __VA_ARGS__)

/* Logs at error level, remembers the text as the failure's reason (log_reason) and returns e. */
enum err log_fail(enum err e, const char *fmt, ...) LOG_PRINTF(2, 3) MUST_CHECK;

/* Like log_fail with ": " and strerror(errno) appended; the error is err_from_errno(errno). */
enum err log_fail_errno(const char *fmt, ...) LOG_PRINTF(1, 2) MUST_CHECK;

/* The text of the last log_fail* in this thread, scrubbed; "" when there was none. What a process
 * reports to its peer or user. Borrowed until the next log_fail*. log_clear_reason forgets it;
 * log_take_reason puts another thread's in its place and writes nothing. */
const char *log_reason(void);
void log_clear_reason(void);
void log_take_reason(const char *text);

/* While quiet is set, log_fail* remember their text but write nothing: for a process whose caller
 * reports the reason itself. */
void log_quiet(bool quiet);

/* The same for this thread alone, while it tries what may well fail. */
void log_hush(bool hush);

/* Copies n bytes of src to dst (size cap, always ended by NUL), with every byte that is not part of
 * a character that may be shown (text.h) as \xNN. Text that was scrubbed before stays as it is: a
 * reason passes through several processes. Returns the length written, cut before an escape that
 * does not fit. */
size_t log_scrub(char *dst, size_t cap, const void *src, size_t n);

#endif
