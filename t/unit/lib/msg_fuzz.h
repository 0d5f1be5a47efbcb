/* SPDX-License-Identifier: ISC */
/* The message table as a fuzz target, for t/unit/test_msg_fuzz.c and t/fuzz/fuzz_msg.c. */
#ifndef CONSIGN_T_MSG_FUZZ_H
#define CONSIGN_T_MSG_FUZZ_H

#include "msg.h"

/* Takes type (1 byte) and body as they come from a peer: what decodes must encode to the same
 * bytes, else the process aborts. True when it decoded. */
bool msg_fuzz_one(const uint8_t *data, size_t n);

/* A well-formed input for row i of the table: false past the last one. Every field is as small as it may be, has a
 * value that shows where it stands, or is as large as it may be. */
enum fuzz_size { FUZZ_LEAST, FUZZ_MARKED, FUZZ_MOST, FUZZ_SIZES };
bool msg_fuzz_seed(size_t i, enum fuzz_size size, struct buf *out);

#endif
