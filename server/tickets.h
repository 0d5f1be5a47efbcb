/* SPDX-License-Identifier: ISC */
/* The keys by which sessions are resumed (tls_accept_tickets), one for each epoch: a span of
 * config->ticket_epoch_s seconds, numbered from 1970 on, so that all servers agree on it.
 *
 * The master has the key of the epoch that runs and, fetched ahead, of the next, so that a token that is
 * away when the epoch ends does not end resumption. They are in a page that is locked, goes to no core
 * dump and is empty in children; one that is over is erased. A session is forked with a copy of
 * the current one in another such page, which both sides erase at once. */
#ifndef CONSIGND_TICKETS_H
#define CONSIGND_TICKETS_H

#include "config.h"
#include "tls.h"
#include <time.h>

struct tickets {
    struct tickets_key {
        uint64_t epoch; /* 0: none */
        uint8_t key[TLS_TICKET_KEY];
    } * keys;      /* TICKETS_KEYS of them */
    uint8_t *lent; /* TLS_TICKET_KEY bytes */
};
enum { TICKETS_KEYS = 2 };

enum err tickets_init(struct tickets *t) MUST_CHECK;
void tickets_release(struct tickets *t);

/* How long a ticket is good: a third of an epoch, which is what the keys go by that GnuTLS derives. An
 * epoch is three of these, which may be up to 2 s less than what is configured. */
unsigned tickets_lifetime(const struct config *c);
uint64_t tickets_epoch(const struct config *c, time_t now);
/* When that ends. */
time_t tickets_epoch_end(const struct config *c, time_t now);

/* Erases what is over. Whether a key is missing, and then of which epoch. */
bool tickets_wanted(struct tickets *t, const struct config *c, time_t now, uint64_t *epoch);

/* Keeps the key of an epoch. */
void tickets_put(struct tickets *t, uint64_t epoch, const uint8_t key[static TLS_TICKET_KEY]);

/* Whether there is one of the epoch that runs. */
bool tickets_ready(const struct tickets *t, const struct config *c, time_t now);

/* The key of the epoch that runs, for a fork; NULL when there is none. Afterwards it is taken back. */
uint8_t *tickets_lend(struct tickets *t, const struct config *c, time_t now);
void tickets_take_back(struct tickets *t);

/* Erases all: what they were made from, or for, has changed. */
void tickets_clear(struct tickets *t);

/* Whether keys made under one configuration are as good under the other. */
bool tickets_same(const struct config *a, const struct config *b);

#endif
