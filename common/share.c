/* SPDX-License-Identifier: ISC */
#include "share.h"

#include "log.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FREE = 0xff, DONE = 0xfe }; /* else the stream that has it */

struct share {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t chunks, per; /* chunks in a share */
    unsigned chunk_log2;
    size_t n;
    uint8_t *holder;        /* of each share */
    uint8_t *hashes;        /* of each chunk; zeros: not known */
    _Atomic uint64_t known; /* hashes that were given */
    unsigned others;        /* streams besides 0 */
    bool failed;
};

enum err share_new(uint64_t chunks, unsigned chunk_log2, struct share **out)
{
    struct share *s = calloc(1, sizeof *s);
    pthread_condattr_t attr;
    *out = NULL;
    if (s) {
        s->chunks = chunks;
        s->chunk_log2 = chunk_log2;
        s->per = (uint64_t)SHARE_BYTES >> chunk_log2;
        s->per = s->per > 0 ? s->per : 1;
        s->n = (size_t)((chunks + s->per - 1) / s->per);
        s->holder = malloc(s->n + 1);
        s->hashes = calloc((size_t)chunks + 1, TREE_HASH);
    }
    if (!s || !s->holder || !s->hashes) {
        share_free(s);
        return log_fail(ERR_INTERNAL, "out of memory for a transfer");
    }
    memset(s->holder, FREE, s->n);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attr);
    pthread_condattr_destroy(&attr);
    *out = s;
    return ERR_OK;
}

void share_free(struct share *s)
{
    if (!s)
        return;
    free(s->holder);
    free(s->hashes);
    free(s);
}

static void count(struct share *s, int by)
{
    pthread_mutex_lock(&s->lock);
    s->others += (unsigned)by;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void share_join(struct share *s)
{
    count(s, 1);
}

void share_leave(struct share *s)
{
    count(s, -1);
}

bool share_alone(struct share *s)
{
    pthread_mutex_lock(&s->lock);
    bool alone = s->others == 0;
    pthread_mutex_unlock(&s->lock);
    return alone;
}

bool share_take(struct share *s, unsigned stream, uint64_t from, uint64_t *first, uint64_t *count)
{
    bool found = false;
    pthread_mutex_lock(&s->lock);
    for (size_t i = (size_t)((from + s->per - 1) / s->per); i < s->n && !s->failed && !found; i++) {
        if (s->holder[i] != FREE)
            continue;
        found = true;
        s->holder[i] = (uint8_t)stream;
        *first = i * s->per;
        *count = s->chunks - *first < s->per ? s->chunks - *first : s->per;
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

static void settle(struct share *s, unsigned stream, uint8_t as)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n; i++)
        if (s->holder[i] == stream)
            s->holder[i] = as;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void share_done(struct share *s, unsigned stream)
{
    settle(s, stream, DONE);
}

void share_give_back(struct share *s, unsigned stream)
{
    settle(s, stream, FREE);
}

void share_fail(struct share *s)
{
    pthread_mutex_lock(&s->lock);
    s->failed = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static enum share_state state(const struct share *s, uint64_t from)
{
    enum share_state state = SHARE_ALL_DONE;
    if (s->failed)
        return SHARE_FAILED;
    for (size_t i = 0; i < s->n; i++) {
        if (s->holder[i] == FREE && i * s->per >= from)
            return SHARE_FREE;
        if (s->holder[i] != DONE && s->holder[i] != 0)
            state = s->others > 0 ? SHARE_WAIT : SHARE_FAILED;
    }
    return state;
}

enum share_state share_look(struct share *s, uint64_t from, int wait_ms)
{
    struct timespec until;
    enum share_state now;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += wait_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&s->lock);
    while ((now = state(s, from)) == SHARE_WAIT && wait_ms > 0 &&
           pthread_cond_timedwait(&s->changed, &s->lock, &until) == 0)
        continue;
    pthread_mutex_unlock(&s->lock);
    return now;
}

void share_hash(struct share *s, uint64_t chunk, const uint8_t hash[static TREE_HASH])
{
    /* A chunk has one holder at a time; the lock of the next take or look orders the memory. */
    memcpy(s->hashes + chunk * TREE_HASH, hash, TREE_HASH);
    s->known++;
}

uint64_t share_count(const struct share *s)
{
    return s->known;
}

bool share_root(struct share *s, const struct tree_engine *engine, uint64_t length,
                uint8_t root[static TREE_HASH])
{
    static const uint8_t none[TREE_HASH];
    struct tree_root r;
    tree_root_begin(&r, engine, length, s->chunk_log2);
    for (uint64_t i = 0; i < s->chunks; i++) {
        if (memcmp(s->hashes + i * TREE_HASH, none, TREE_HASH) == 0)
            return false;
        tree_root_add(&r, s->hashes + i * TREE_HASH);
    }
    return tree_root_end(&r, root);
}
