/* SPDX-License-Identifier: ISC */
#include "crew.h"

#include "log.h"
#include <pthread.h>
#include <stdlib.h>

enum {
    QUEUE_MAX = 64,  /* jobs, each with an open file */
    TRIES = 3,       /* for one file */
    RECONNECTS = 10, /* of one connection */
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
    pthread_mutex_t lock; /* for all below */
    pthread_cond_t changed;
    struct job *head, **tail;
    unsigned queued;
    unsigned alive; /* members that have a connection, or are about to */
    unsigned busy;  /* members that have jobs */
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
    if (!c || c->n == 0 || ++j->tries >= TRIES)
        return false;
    pthread_mutex_lock(&c->lock);
    bool taken = !c->stop;
    if (taken)
        push(c, j);
    pthread_mutex_unlock(&c->lock);
    return taken;
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

/* The next job; NULL when the crew stops. What is under way on the connection is settled before the
 * member rests. *e: the connection's error, then without a job. */
static struct job *wait_job(struct member *m, bool *busy, enum err *e)
{
    struct crew *c = m->crew;
    struct job *j;
    pthread_mutex_lock(&c->lock);
    while (!(j = pop(c)) && !c->stop && *e == ERR_OK) {
        if (*busy) {
            pthread_mutex_unlock(&c->lock);
            *e = worker_settle(&m->worker);
            pthread_mutex_lock(&c->lock);
            c->busy--;
            *busy = false;
            pthread_cond_broadcast(&c->changed);
            continue;
        }
        pthread_cond_wait(&c->changed, &c->lock);
    }
    if (j && !*busy) {
        c->busy++;
        *busy = true;
    }
    pthread_cond_broadcast(&c->changed);
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

static void *live(void *arg)
{
    struct member *m = arg;
    struct crew *c = m->crew;
    enum err e = ERR_OK;
    for (unsigned i = 0; i <= RECONNECTS && !c->stop; i++) {
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

enum err crew_open(struct work *work, struct worker *first, const struct profile *p, unsigned n)
{
    struct crew *c = calloc(1, sizeof *c);
    if (c && n > 1)
        c->members = calloc(n - 1, sizeof *c->members);
    if (!c || (n > 1 && !c->members)) {
        free(c);
        return log_fail(ERR_INTERNAL, "out of memory for connections");
    }
    c->work = work;
    c->first = first;
    c->profile = p;
    c->tail = &c->head;
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->door, NULL);
    pthread_cond_init(&c->changed, NULL);
    work->crew = c;
    for (unsigned i = 0; i + 1 < n; i++) {
        struct member *m = &c->members[c->n];
        *m = (struct member){.crew = c, .link.chan.failed = true};
        pthread_mutex_lock(&c->lock);
        bool started = pthread_create(&m->thread, NULL, live, m) == 0;
        c->n += started;
        c->alive += started;
        pthread_mutex_unlock(&c->lock);
    }
    return ERR_OK;
}

enum err crew_do(struct crew *c, struct job *j)
{
    pthread_mutex_lock(&c->lock);
    bool queued = c->alive > 0 && c->queued < QUEUE_MAX;
    if (queued)
        push(c, j);
    pthread_mutex_unlock(&c->lock);
    return queued ? ERR_OK : worker_do(c->first, j);
}

enum err crew_settle(struct crew *c)
{
    enum err e = ERR_OK;
    bool done = false;
    while (!done) {
        struct job *j;
        pthread_mutex_lock(&c->lock);
        while (!(j = pop(c)) && c->busy > 0)
            pthread_cond_wait(&c->changed, &c->lock);
        pthread_mutex_unlock(&c->lock);
        if (j)
            e = e == ERR_OK ? worker_do(c->first, j) : (job_lose(j, e), e);
        else
            done = true;
    }
    enum err settled = worker_settle(c->first);
    return e == ERR_OK ? settled : e;
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
