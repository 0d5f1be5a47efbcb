/* SPDX-License-Identifier: ISC */
/* How long a side waits for the other's answer. The other side is heard of by any message but those that
 * may be ignored. One that is busy sends PROGRESS; but it must get on: its phase changes or what is
 * done grows within PATIENCE_MS, which no honest step of it takes. */
#ifndef CONSIGN_PATIENCE_H
#define CONSIGN_PATIENCE_H

#include "chan.h"

enum { PATIENCE_MS = 10 * 60 * 1000 };

struct patience {
    struct chan *chan;
    int64_t silent_ms; /* longest silence */
    int64_t heard_ms;  /* when there was a message last, ... */
    int64_t moved_ms;  /* ... and one that was not only PROGRESS of the same */
    uint8_t phase;
    uint64_t done;
};

/* A wait begins; the channel's stall limit is the longest silence. */
void patience_begin(struct patience *p, struct chan *chan);

/* The next frame that may not be ignored, as chan_recv gives it. ERR_TIMEOUT (silent) when patience
 * ended. */
enum err patience_recv(struct patience *p, struct frame *f) MUST_CHECK;

#endif
