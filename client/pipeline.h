/* SPDX-License-Identifier: ISC */
/* Requests that are on their way over one connection: sent without waiting for the answers, which come
 * in the same order. */
#ifndef CONSIGN_PIPELINE_H
#define CONSIGN_PIPELINE_H

#include "client.h"

enum {
    PIPELINE_MAX = 1024,       /* requests under way */
    PIPELINE_BYTES = 16 << 20, /* and what they carry or ask for, before the next one waits */
};

/* A request that waits for its answer. */
struct request;

/* Called with each frame of the answer (f) before DONE, whose error ends the connection; then once
 * with f NULL: status and reason (for people, escaped) of DONE, or of the connection that was lost
 * with the request on its way (q->lost). Must not make requests of its own. */
typedef enum err request_fn(struct request *q, const struct frame *f, enum err status,
                            const char *reason);

struct request {
    uint32_t id;
    request_fn *answer;
    void *arg;
    uint64_t bytes;
    bool lost;
};

struct pipeline {
    struct link *link;
    struct request ring[PIPELINE_MAX];
    size_t first, n;
    uint64_t bytes;
    unsigned unpolled; /* requests since the last look at the socket */
    int64_t said_ms;   /* when the last request was sent; 0: none was */
};

void pipeline_init(struct pipeline *p, struct link *link);

/* Makes room for one more request (waiting for answers if it must) and enters it; the caller sends it
 * with this id. bytes: what it or its answer carries. Errors, here and below, are the connection's:
 * every request under way has been told of it then, and the pipeline is empty. */
enum err pipeline_enter(struct pipeline *p, request_fn *answer, void *arg, uint64_t bytes,
                        uint32_t *id) MUST_CHECK;

/* The request just entered was sent, with this result; takes what answers there are meanwhile. */
enum err pipeline_sent(struct pipeline *p, enum err sent) MUST_CHECK;

/* Waits until at most left requests are under way. */
enum err pipeline_wait(struct pipeline *p, size_t left) MUST_CHECK;

/* Waits until the request with this id has been answered. */
enum err pipeline_until(struct pipeline *p, uint32_t id) MUST_CHECK;

/* Takes what answers there are. To be called now and then by who does something else for long: the
 * server hears a PING before it takes us for idle. */
enum err pipeline_poll(struct pipeline *p) MUST_CHECK;

/* For an answer that turns out later not to be in order: ends the connection with e, which has been
 * logged; returns e. */
enum err pipeline_reject(struct pipeline *p, enum err e) MUST_CHECK;

#endif
