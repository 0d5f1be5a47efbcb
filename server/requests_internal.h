/* SPDX-License-Identifier: ISC */
/* What the files of the module requests share. Nobody else includes this. */
#ifndef CONSIGND_REQUESTS_INTERNAL_H
#define CONSIGND_REQUESTS_INTERNAL_H

#include "requests.h"
#include "xfer.h"

/* What a request did, for the audit log; NULL members are left out. */
struct deed {
    const char *op;
    const char *path;
    const char *to;
    const struct xfer_result *moved;
    bool partial; /* moved is some chunks of a content */
};

/* Adds a record of it to r->records, without waiting for that to be written: scribe_wait does. reason is that of a
 * failure. */
enum err requests_tell(struct requests *r, const struct deed *d, enum err status,
                       const char *reason) MUST_CHECK;

/* Records it with its outcome; the reason of a failure is log_reason(), or the peer's. */
enum err requests_record(struct requests *r, const struct deed *d, enum err status) MUST_CHECK;

/* Records, then answers with DONE: nothing is acknowledged that is not in the audit log. */
enum err requests_conclude(struct requests *r, uint32_t id, const struct deed *d,
                           enum err status) MUST_CHECK;

/* Answers with DONE alone; the reason of a failure is log_reason(). */
enum err requests_answer(struct requests *r, uint32_t id, enum err status) MUST_CHECK;

/* ERR_PROTO, logged. */
enum err requests_bad_flags(uint32_t flags) MUST_CHECK;

/* Whether the user may have a file of so many bytes at r->path; ERR_LIMIT, logged. */
enum err requests_quota(const struct requests *r, uint64_t length) MUST_CHECK;

/* ---- requests_transfer.c ---- */

enum err requests_put(struct requests *r, const struct frame *f) MUST_CHECK;
enum err requests_join(struct requests *r, const struct frame *f) MUST_CHECK;
enum err requests_get(struct requests *r, const struct frame *f) MUST_CHECK;

/* ---- requests_small.c ---- */

/* Finishes what was gathered, unless it is of the same type. */
enum err requests_settle_before(struct requests *r, uint8_t type) MUST_CHECK;

enum err requests_small(struct requests *r, const struct frame *f) MUST_CHECK;
enum err requests_fetch(struct requests *r, const struct frame *f) MUST_CHECK;

/* ---- requests_tree.c ---- */

enum err requests_walk(struct requests *r, const struct frame *f) MUST_CHECK;
enum err requests_next(struct requests *r, const struct frame *f) MUST_CHECK;
enum err requests_stats(struct requests *r, const struct frame *f) MUST_CHECK;
enum err requests_symlink(struct requests *r, const struct frame *f) MUST_CHECK;

/* ---- requests_meta.c ---- */

enum err requests_meta(struct requests *r, const struct frame *f) MUST_CHECK;
enum err requests_meta_get(struct requests *r, const struct frame *f) MUST_CHECK;

#endif
