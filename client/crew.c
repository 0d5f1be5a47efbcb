/* SPDX-License-Identifier: ISC */
#include "crew.h"
#include "growth.h"

#include "log.h"
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum {
    QUEUE_MAX = 64,  /* jobs, each with an open file */
    TRIES = 3,       /* for one file */
    RECONNECTS = 10, /* of one connection */
    LOOK_MS = 250,   /* between two looks at a connection that rests */
};

struct member {
    struct crew *crew;
    pthread_t thread;
    struct link link;
    struct worker worker;
};

struct crew {
    struct work *work;
    struct worker *first;
    const struct profile *profile;
    struct member *members;
    unsigned n;
    struct growth growth;
    pthread_mutex_t lock; /* for all below */
    pthread_cond_t changed;
    struct job *head, **tail;
    unsigned queued;
    unsigned alive; /* members that have a connection, or are about to */
    unsigned busy;  /* members that have jobs */
    bool lost;      /* the first connection */
    bool stop;
    pthread_mutex_t door; /* one handshake at a time: a token may not take more */
};

/* ---- the queue ---- */

static void push(struct crew *c, struct job *j)
{
    j->next = NULL;
    *c->tail = j;
    c->tail = &j->next;
    c->queued++;
    pthread_cond_broadcast(&c->changed);
}

static struct job *pop(struct crew *c)
{
    struct job *j = c->head;
    if (!j)
        return NULL;
    c->head = j->next;
    c->tail = c->head ? c->tail : &c->head;
    c->queued--;
    j->next = NULL;
    return j;
}

bool crew_take_back(struct crew *c, struct job *j)
{
    if (!c || ++j->tries >= TRIES)
        return false;
    pthread_mutex_lock(&c->lock);
    bool taken = c->alive > 0 || !c->lost;
    if (taken)
        push(c, j);
    pthread_mutex_unlock(&c->lock);
    return taken;
}

/* Waits for a change under the lock; false when there was none for a while. */
static bool wait_change(struct crew *c)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return pthread_cond_timedwait(&c->changed, &c->lock, &until) == 0;
}

/* ---- a member ---- */

static enum err connect_member(struct member *m)
{
    struct crew *c = m->crew;
    pthread_mutex_lock(&c->door);
    enum err e = link_open_like(c->first->link, c->profile, &m->link);
    pthread_mutex_unlock(&c->door);
    if (e == ERR_OK)
        e = worker_init(&m->worker, c->work, &m->link);
    return e;
}

static void disconnect_member(struct member *m)
{
    worker_release(&m->worker);
    link_close(&m->link);
}

/* The member has nothing to do: settles what is under way on its connection, then rests. */
static enum err rest(struct member *m, bool *busy)
{
    struct crew *c = m->crew;
    enum err e = ERR_OK;
    if (!*busy && wait_change(c))
        return ERR_OK;
    pthread_mutex_unlock(&c->lock);
    e = *busy ? worker_settle(&m->worker) : pipeline_poll(&m->worker.pipeline);
    pthread_mutex_lock(&c->lock);
    if (*busy) {
        c->busy--;
        *busy = false;
        pthread_cond_broadcast(&c->changed);
    }
    return e;
}

/* The next job; NULL when the crew stops. *e: the connection's error, then without a job. */
static struct job *wait_job(struct member *m, bool *busy, enum err *e)
{
    struct crew *c = m->crew;
    struct job *j = NULL;
    pthread_mutex_lock(&c->lock);
    while (*e == ERR_OK && !(j = pop(c)) && !c->stop)
        *e = rest(m, busy);
    if (j && !*busy) {
        c->busy++;
        *busy = true;
    }
    pthread_mutex_unlock(&c->lock);
    return j;
}

/* Works until the crew stops, or the connection is lost. */
static enum err serve(struct member *m)
{
    struct crew *c = m->crew;
    struct job *j;
    bool busy = false;
    enum err e = ERR_OK;
    while (e == ERR_OK && (j = wait_job(m, &busy, &e)))
        e = worker_do(&m->worker, j);
    if (busy) {
        enum err settled = worker_settle(&m->worker);
        e = e == ERR_OK ? settled : e;
        pthread_mutex_lock(&c->lock);
        c->busy--;
        pthread_cond_broadcast(&c->changed);
        pthread_mutex_unlock(&c->lock);
    }
    return e;
}

static bool stopped(struct crew *c)
{
    pthread_mutex_lock(&c->lock);
    bool stop = c->stop;
    pthread_mutex_unlock(&c->lock);
    return stop;
}

static void *live(void *arg)
{
    struct member *m = arg;
    struct crew *c = m->crew;
    enum err e = ERR_OK;
    for (unsigned i = 0; i <= RECONNECTS && !stopped(c); i++) {
        if ((e = connect_member(m)) == ERR_OK)
            e = serve(m);
        disconnect_member(m);
        /* Refused or not reachable: the others do the work. */
        if (e == ERR_OK || i == RECONNECTS || m->link.session[0] == '\0')
            break;
    }
    pthread_mutex_lock(&c->lock);
    c->alive--;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* ---- the whole ---- */

static void add_member(struct crew *c)
{
    struct member *m = &c->members[c->n];
    *m = (struct member){.crew = c, .link.chan.failed = true};
    pthread_mutex_lock(&c->lock);
    bool started = pthread_create(&m->thread, NULL, live, m) == 0;
    c->n += started;
    c->alive += started;
    pthread_mutex_unlock(&c->lock);
}

enum err crew_open(struct work *work, struct worker *first, const struct profile *p)
{
    struct crew *c = calloc(1, sizeof *c);
    pthread_condattr_t clock;
    if (c)
        c->members = calloc(work_most(work) - 1, sizeof *c->members);
    if (!c || !c->members) {
        free(c);
        return log_fail(ERR_INTERNAL, "out of memory for connections");
    }
    c->work = work;
    c->first = first;
    c->profile = p;
    c->tail = &c->head;
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->door, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &clock);
    pthread_condattr_destroy(&clock);
    work->crew = c;
    growth_init(&c->growth, work->connections == 0 ? work_most(work) : 1,
                tls_round_trip_ms(first->link->chan.tls));
    for (unsigned i = 1; i < work_first(work); i++)
        add_member(c);
    return ERR_OK;
}

static enum err note_loss(struct crew *c, enum err e)
{
    pthread_mutex_lock(&c->lock);
    c->lost = c->lost || e != ERR_OK;
    pthread_mutex_unlock(&c->lock);
    return e;
}

/* The job is done by the first connection; without one, what is under way there is settled. */
static enum err by_first(struct crew *c, struct job *j)
{
    return note_loss(c, j ? worker_do(c->first, j) : worker_settle(c->first));
}

static struct job *take_job(struct crew *c)
{
    pthread_mutex_lock(&c->lock);
    struct job *j = pop(c);
    pthread_mutex_unlock(&c->lock);
    return j;
}

enum err crew_do(struct crew *c, struct job *j)
{
    for (unsigned n = growth_ask(&c->growth, batch_amount(&c->work->batch), tls_now_ms()); n > 0;
         n--)
        add_member(c);
    pthread_mutex_lock(&c->lock);
    bool queued = c->alive > 0 && c->queued < QUEUE_MAX;
    if (queued)
        push(c, j);
    pthread_mutex_unlock(&c->lock);
    return queued ? note_loss(c, pipeline_poll(&c->first->pipeline)) : by_first(c, j);
}

/* Waits until the members have done all they can: false when they left jobs to the first connection.
 * *e: that one's error. */
static bool members_done(struct crew *c, enum err *e)
{
    bool done = false;
    pthread_mutex_lock(&c->lock);
    while (!done && (c->lost || !c->head)) {
        done = c->busy == 0 && (!c->head || c->alive == 0);
        if (!done && !wait_change(c) && !c->lost) {
            pthread_mutex_unlock(&c->lock);
            *e = note_loss(c, pipeline_poll(&c->first->pipeline));
            pthread_mutex_lock(&c->lock);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return done;
}

enum err crew_settle(struct crew *c)
{
    enum err e = c->lost ? ERR_CONN : ERR_OK;
    struct job *j;
    do {
        while (e == ERR_OK && (j = take_job(c)))
            e = by_first(c, j);
        enum err settled = by_first(c, NULL);
        e = e == ERR_OK ? settled : e;
    } while (!members_done(c, &e));
    /* Nobody is left to do them. */
    while ((j = take_job(c)))
        job_lose(j, ERR_CONN);
    return e;
}

void crew_close(struct crew *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    for (unsigned i = 0; i < c->n; i++)
        pthread_join(c->members[i].thread, NULL);
    c->work->crew = NULL;
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->door);
    pthread_mutex_destroy(&c->lock);
    free(c->members);
    free(c);
}
