/* SPDX-License-Identifier: ISC */
/* A lane: jobs that one caller hands over and a second thread does, in order, while the caller goes
 * on. Without a thread each job is done at once by the caller.
 *
 *   struct job *j = lane_slot(&l);  *j = ...;  if ((e = lane_go(&l)) != ERR_OK) ...
 *
 * After a job failed, those behind it are dropped, and every later call returns its error. A slot keeps
 * what it holds until it is filled again, so a job may own memory for the next one in its place. */
#ifndef CONSIGN_LANE_H
#define CONSIGN_LANE_H

#include "err.h"
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum { LANE_SLOTS = 5 };

typedef enum err lane_fn(void *arg, void *job);

struct lane {
    lane_fn *work;
    void *arg;
    char *slots; /* LANE_SLOTS jobs of size bytes, the caller's memory */
    size_t size;
    bool threaded;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned long put, done; /* jobs handed over, jobs finished */
    bool stop;
    enum err failed;
    char reason[512]; /* of the failed job: log_reason of the thread that did it */
};

/* slots: memory for LANE_SLOTS jobs of size bytes, which must outlive the lane. threaded asks for a
 * thread; where none can be had the lane works without. */
void lane_start(struct lane *l, lane_fn *work, void *arg, void *slots, size_t size, bool threaded);

/* The slot of the next job; waits until it is free. */
void *lane_slot(struct lane *l);

/* Hands it over. The first failure of a job so far, with its reason as log_reason. */
enum err lane_go(struct lane *l) MUST_CHECK;

/* Waits until all jobs are done. Returns as lane_go does. */
enum err lane_wait(struct lane *l) MUST_CHECK;

/* Waits likewise, then ends the thread. */
void lane_stop(struct lane *l);

#endif
