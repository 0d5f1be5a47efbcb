/* SPDX-License-Identifier: ISC */
/* What the tests of the client's requests share: a client connected to a server that is a function. */
#ifndef TEST_CLIENT_H
#define TEST_CLIENT_H

#include "../../client/pipeline.h"
#include "lib/pair.h"

struct client {
    struct link link;
    struct pipeline pipeline;
    int pid;
};

static inline void client_open(struct client *c, int (*side)(struct chan *c))
{
    c->link = (struct link){.next_id = 1};
    c->pid = pair_start(side, &c->link.chan);
    pipeline_init(&c->pipeline, &c->link);
}

/* The exit status of the other side. */
static inline int client_close(struct client *c)
{
    if (!c->link.chan.failed)
        chan_bye(&c->link.chan);
    chan_release(&c->link.chan);
    return pair_end(c->pid);
}

#endif
