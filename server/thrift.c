/* SPDX-License-Identifier: ISC */
#include "thrift.h"

#include <malloc.h>

enum { LONG_BUFFER = 64 * 1024 };

void thrift_begin(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, LONG_BUFFER);
}

void thrift_rest(void)
{
    (void)malloc_trim(0);
}
