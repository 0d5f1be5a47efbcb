/* SPDX-License-Identifier: ISC */
/* Holes: ranges of a file that read as zeros and for which the file system keeps nothing. */
#ifndef CONSIGN_HOLE_H
#define CONSIGN_HOLE_H

#include "err.h"
#include <stdbool.h>
#include <stdint.h>

/* Where a file that is read from its beginning on has holes: one look for each of its extents. Where
 * the file system can't tell there are none. The position of fd is moved. */
struct hole_map {
    int fd;        /* borrowed */
    uint64_t from; /* what is known begins here: */
    uint64_t data; /* up to here a hole, */
    uint64_t end;  /* and up to here data */
};
void hole_map_init(struct hole_map *m, int fd);

/* Whether the n bytes at offset at lie wholly in a hole. What a file that is written to meanwhile
 * holds there is for the caller to find out. */
bool hole_covers(struct hole_map *m, uint64_t at, uint64_t n) MUST_CHECK;

/* Makes n bytes at offset at of a file read as zeros: nothing is done behind its end, and its size
 * stays. Blocks are given back where the file system can, else zeros are written over data. Failures
 * are logged. */
enum err hole_make(int fd, uint64_t at, uint64_t n) MUST_CHECK;

#endif
