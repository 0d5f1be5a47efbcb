/* SPDX-License-Identifier: ISC */
#include "lane.h"

#include "log.h"
#include <signal.h>
#include <stdio.h>

static void *slot(struct lane *l, unsigned long n)
{
    return l->slots + n % LANE_SLOTS * l->size;
}

/* The thread: does the jobs that are there, until there are none and none will come. */
static void *run(void *arg)
{
    struct lane *l = arg;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (l->done == l->put && !l->stop)
            pthread_cond_wait(&l->changed, &l->lock);
        if (l->done == l->put)
            break;
        if (l->failed == ERR_OK) {
            pthread_mutex_unlock(&l->lock);
            enum err e = l->work(l->arg, slot(l, l->done));
            pthread_mutex_lock(&l->lock);
            if (e != ERR_OK)
                snprintf(l->reason, sizeof l->reason, "%s", log_reason());
            l->failed = e;
        }
        l->done++;
        pthread_cond_signal(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Signals are for the thread that was there before. */
static bool start_thread(struct lane *l)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&l->thread, NULL, run, l) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

void lane_start(struct lane *l, lane_fn *work, void *arg, void *slots, size_t size, bool threaded)
{
    *l = (struct lane){.work = work, .arg = arg, .slots = slots, .size = size};
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    l->threaded = threaded && start_thread(l);
}

/* Waits until fewer than room jobs are under way. */
static void wait_below(struct lane *l, unsigned long room)
{
    pthread_mutex_lock(&l->lock);
    while (l->put - l->done >= room)
        pthread_cond_wait(&l->changed, &l->lock);
    pthread_mutex_unlock(&l->lock);
}

void *lane_slot(struct lane *l)
{
    wait_below(l, LANE_SLOTS);
    return slot(l, l->put);
}

static enum err outcome(struct lane *l)
{
    pthread_mutex_lock(&l->lock);
    enum err e = l->failed;
    pthread_mutex_unlock(&l->lock);
    if (e != ERR_OK && l->threaded)
        log_take_reason(l->reason);
    return e;
}

enum err lane_go(struct lane *l)
{
    if (l->threaded) {
        pthread_mutex_lock(&l->lock);
        l->put++;
        pthread_cond_signal(&l->changed);
        pthread_mutex_unlock(&l->lock);
    } else if (l->failed == ERR_OK) {
        l->failed = l->work(l->arg, slot(l, 0));
    }
    return outcome(l);
}

enum err lane_wait(struct lane *l)
{
    wait_below(l, 1);
    return outcome(l);
}

void lane_stop(struct lane *l)
{
    if (l->threaded) {
        pthread_mutex_lock(&l->lock);
        l->stop = true;
        pthread_cond_signal(&l->changed);
        pthread_mutex_unlock(&l->lock);
        pthread_join(l->thread, NULL);
    }
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    l->threaded = false;
}
