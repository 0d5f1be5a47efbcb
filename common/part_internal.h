/* SPDX-License-Identifier: ISC */
/* What the files of the module part share. Nobody else includes this. */
#ifndef CONSIGN_PART_INTERNAL_H
#define CONSIGN_PART_INTERNAL_H

#include "part.h"

/* Writes all n bytes at offset at; what is for the message. */
enum err part_write_at(int fd, const uint8_t *from, size_t n, off_t at,
                       const char *what) MUST_CHECK;

/* count slots from index first, from hashes (32 * count bytes). */
enum err part_slots_write(int fd, uint64_t first, size_t count, const uint8_t *hashes) MUST_CHECK;

#endif
