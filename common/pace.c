/* SPDX-License-Identifier: ISC */
#include "pace.h"

#include "log.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a lock could be left by a process that was killed");

enum { NS_A_MS = 1000 * 1000, PIECES_A_SECOND = 16 };

static const uint64_t ns_a_second = UINT64_C(1000000000);

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * ns_a_second + (uint64_t)t.tv_nsec;
}

void pace_init(struct pace *p, uint64_t rate)
{
    p->rate = rate;
    p->word = &p->own;
    atomic_init(&p->own, 0);
}

/* A new file is zero, which is an empty bucket. */
enum err pace_share(int *fd)
{
    *fd = memfd_create("consign-pace", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0)
        return log_fail_errno("memory for a rate limit");
    if (ftruncate(*fd, sizeof(uint64_t)) == 0 &&
        fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return ERR_OK;
    enum err e = log_fail_errno("memory for a rate limit");
    close(*fd);
    *fd = -1;
    return e;
}

enum err pace_attach(struct pace *p, uint64_t rate, int fd)
{
    void *word = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (word == MAP_FAILED)
        return log_fail_errno("memory for a rate limit");
    pace_init(p, rate);
    p->word = word;
    return ERR_OK;
}

int64_t pace_take(struct pace *p, uint64_t bytes)
{
    const uint64_t burst = (uint64_t)PACE_BURST_MS * NS_A_MS;
    uint64_t cost = (bytes * ns_a_second + p->rate - 1) / p->rate, now = now_ns(), turn;
    uint64_t empty = atomic_load_explicit(p->word, memory_order_relaxed);
    do
        turn = (empty > now ? empty : now) + cost;
    while (!atomic_compare_exchange_weak_explicit(p->word, &empty, turn, memory_order_relaxed,
                                                  memory_order_relaxed));
    turn = turn > now + burst ? turn - burst : now;
    return (int64_t)((turn + NS_A_MS - 1) / NS_A_MS);
}

uint64_t pace_piece(const struct pace *p)
{
    uint64_t n = p->rate / PIECES_A_SECOND;
    return n < PACE_PIECE_MIN ? PACE_PIECE_MIN : n > PACE_PIECE_MAX ? PACE_PIECE_MAX : n;
}
