/* SPDX-License-Identifier: ISC */
#include "admission.h"

enum {
    PATIENCE_DIVISOR = 4,
    PATIENCE_MIN_MS = 1000,
    DESCRIPTORS_ELSE = 48, /* sockets of helpers, status and chores, files while they are read */
};

bool admission_share(uint64_t held, uint64_t taken, uint64_t places)
{
    return taken < places && held < ADMISSION_SHARE * (places - taken);
}

int admission_nice(uint64_t n)
{
    int value = 0;
    /* 1.25^value in 1/1024, as the kernel's table of weights has it. */
    for (uint64_t power = 1280; value < ADMISSION_NICE_MAX && power * ADMISSION_FULL <= n * 1024;
         power += power / 4)
        value++;
    return value;
}

int64_t admission_patience_ms(uint64_t handshake_s)
{
    int64_t ms = (int64_t)handshake_s * 1000 / PATIENCE_DIVISOR;
    return ms < PATIENCE_MIN_MS ? PATIENCE_MIN_MS : ms;
}

uint64_t admission_places(uint64_t descriptors)
{
    return descriptors > DESCRIPTORS_ELSE ? descriptors - DESCRIPTORS_ELSE : 0;
}
