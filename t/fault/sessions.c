/* SPDX-License-Identifier: ISC */
#include "fault.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct session {
    CK_SESSION_HANDLE handle;
    CK_SLOT_ID slot;
    uint64_t used_ms;
    bool lost;
};

static struct session *all;
static size_t n_all;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct session *find(CK_SESSION_HANDLE handle)
{
    for (size_t i = 0; i < n_all; i++)
        if (all[i].handle == handle)
            return &all[i];
    return NULL;
}

void session_opened(CK_SESSION_HANDLE handle, CK_SLOT_ID slot)
{
    pthread_mutex_lock(&lock);
    struct session *s = find(handle);
    if (!s) {
        all = realloc(all, (n_all + 1) * sizeof *all);
        if (!all)
            abort();
        s = &all[n_all++];
    }
    *s = (struct session){handle, slot, now_ms(), false};
    pthread_mutex_unlock(&lock);
}

void session_closed(CK_SESSION_HANDLE handle)
{
    pthread_mutex_lock(&lock);
    struct session *s = find(handle);
    if (s)
        *s = all[--n_all];
    pthread_mutex_unlock(&lock);
}

void sessions_closed(CK_SLOT_ID slot)
{
    size_t n = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < n_all; i++)
        if (all[i].slot != slot)
            all[n++] = all[i];
    n_all = n;
    pthread_mutex_unlock(&lock);
}

void sessions_forget(void)
{
    pthread_mutex_lock(&lock);
    free(all);
    all = NULL;
    n_all = 0;
    pthread_mutex_unlock(&lock);
}

unsigned sessions_open(void)
{
    unsigned n = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < n_all; i++)
        n += !all[i].lost;
    pthread_mutex_unlock(&lock);
    return n;
}

bool session_lost(CK_SESSION_HANDLE handle)
{
    pthread_mutex_lock(&lock);
    const struct session *s = find(handle);
    bool lost = s && s->lost;
    pthread_mutex_unlock(&lock);
    return lost;
}

unsigned long session_idle(CK_SESSION_HANDLE handle)
{
    pthread_mutex_lock(&lock);
    const struct session *s = find(handle);
    uint64_t ms = s ? now_ms() - s->used_ms : 0;
    pthread_mutex_unlock(&lock);
    return (unsigned long)ms;
}

void session_used(CK_SESSION_HANDLE handle)
{
    pthread_mutex_lock(&lock);
    struct session *s = find(handle);
    if (s)
        s->used_ms = now_ms();
    pthread_mutex_unlock(&lock);
}

bool session_lose(CK_SESSION_HANDLE handle)
{
    pthread_mutex_lock(&lock);
    struct session *s = find(handle);
    bool fresh = s && !s->lost;
    if (fresh)
        s->lost = true;
    pthread_mutex_unlock(&lock);
    return fresh;
}

CK_SESSION_HANDLE sessions_lose(void)
{
    CK_SESSION_HANDLE one = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < n_all; i++) {
        if (!all[i].lost)
            one = all[i].handle;
        all[i].lost = true;
    }
    pthread_mutex_unlock(&lock);
    return one;
}
