/* SPDX-License-Identifier: ISC */
/* Files that changed are noticed: all that a policy is made of is looked at once a second (a stat each, which also
 * sees what another node of a cluster file system wrote). A change counts once two looks in a row found the same: so
 * that several files that are replaced one after the other are taken together, and none half written. */
#ifndef CONSIGND_NOTICE_H
#define CONSIGND_NOTICE_H

#include "config.h"

enum { NOTICE_LOOK_MS = 1000, NOTICE_AGAIN_MS = 30 * 1000 };

struct notice {
    uint64_t loaded; /* how the files looked when they were read last, well or not */
    uint64_t seen;   /* at the last look */
    int64_t due_ms;
    int64_t again_ms; /* what could not be loaded is tried again; 0: the last load was good */
};

/* How the files of a configuration look: a number that is another one when one of them was replaced, written,
 * removed or made. */
uint64_t notice_files(const struct config *c);

/* They are about to be read. */
void notice_reading(struct notice *w, const struct config *c);
/* They were: how those of the new configuration looked before; NULL: they could not be loaded. */
void notice_read(struct notice *w, const uint64_t *files, int64_t now_ms);

/* Looks when it is time: whether they should be read again. *changed: since they have changed. */
bool notice_tick(struct notice *w, const struct config *c, int64_t now_ms, bool *changed);

#endif
