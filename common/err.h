/* SPDX-License-Identifier: ISC */
/* Errors: one short list that serves the caller, the wire status and the exit status.
 *
 * A function that can fail returns `enum err`; 0 (ERR_OK) is success. The place that detects a
 * failure logs it once (log.h) with what, where and why; the layers above pass the code on in
 * silence. */
#ifndef CONSIGN_ERR_H
#define CONSIGN_ERR_H

#include <stdbool.h>
#include <stdint.h>

enum err {
#define ERR(name, wire, exit, retry, text) ERR_##name = wire,
#include "err.def"
#undef ERR
};

/* Functions whose result must be looked at. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* The error for a status received from a peer; an unknown status is ERR_INTERNAL. */
enum err err_from_wire(uint16_t status);

/* A short English text, lower case, no full stop. Static storage. */
const char *err_text(enum err e);

/* The name as in err.def, e.g. "DENIED". Static storage. */
const char *err_name(enum err e);

/* The process exit status for e: 0, 1 or a value of sysexits.h; listed in consign(1). */
int err_exit(enum err e);

/* Whether the same request may succeed later without anybody changing anything. */
bool err_retry(enum err e);

/* The closest error for an errno value of a file operation. */
enum err err_from_errno(int errnum);

#endif
