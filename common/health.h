/* SPDX-License-Identifier: ISC */
/* Health tests of a random generator's bytes: the repetition count test and the adaptive proportion
 * test of NIST SP 800-90B, 4.4.1 and 4.4.2, over bytes as samples.
 *
 * They find a generator that broke: one that stands still, is stuck at few values or strongly
 * prefers one. They can't tell good random bytes from ones that somebody else can compute.
 *
 * The assumed entropy is H = 8 bits a sample, since a token's generator gives conditioned output.
 * The probability of a false alarm is 2^-40 a sample and a window, the lowest that the standard
 * names, as any amount may be drawn: one in 2^40 where its 2^-20 would be one in 512 MiB. Hence
 *
 *   repetition    1 + ceil(40 / H) = 6 equal samples in a row
 *   proportion    in a window of 512 samples the first one 19 times: 1 + CRITBINOM(512, 2^-H,
 *                 1 - 2^-40)
 *
 * A failure stays. */
#ifndef CONSIGN_HEALTH_H
#define CONSIGN_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HEALTH_REPEATED = 6,
    HEALTH_WINDOW = 512,
    HEALTH_PROPORTION = 19,
    HEALTH_START = 1024, /* samples to be tested, and thrown away, before the first is used (4.3) */
};

/* A zeroed one is ready. */
struct health {
    uint8_t last; /* sample, repeated times in a row; 0 times: none yet */
    unsigned repeated;
    uint8_t first; /* of the window, in which seen samples were, found of them equal to it */
    unsigned seen, found;
    const char *fault;
};

/* Counts n samples in. NULL while all is well, else the name of the test that failed, for good: the
 * bytes of this call and of later ones are not to be used. */
const char *health_feed(struct health *h, const uint8_t *samples, size_t n);

#endif
