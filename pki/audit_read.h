/* SPDX-License-Identifier: ISC */
/* Files line by line, however long they and their lines are, in constant memory. */
#ifndef CONSIGN_PKI_AUDIT_READ_H
#define CONSIGN_PKI_AUDIT_READ_H

#include "audit.h"
#include "err.h"

/* Called for each line: number from 1; without its newline, which is behind it in memory where ended says that there
 * was one. Of a line that is longer than AUDIT_LINE_MAX the first part comes, as not ended. False ends the reading. */
typedef bool audit_read_fn(void *arg, const char *file, uint64_t number, struct slice line,
                           bool ended);

/* Reads file; "-" is standard input. */
enum err audit_read(const char *file, audit_read_fn *each, void *arg) MUST_CHECK;

#endif
