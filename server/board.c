/* SPDX-License-Identifier: ISC */
#include "board.h"

#include "log.h"
#include "tls.h"
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

enum { TRIES = 3 };

/* turn is odd while the rest is being written: a reader that finds it odd, or changed when it is
 * done, has read a mixture and tries again. */
struct board {
    atomic_uint turn;
    _Atomic int64_t peers_turn_ms; /* since when it is the peer's turn */
    struct board_doing doing;
};

struct board *board_new(void)
{
    void *p =
        mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED)
        return p;
    log_warn("no memory for what a session is doing: the status will not show it");
    return NULL;
}

void board_seal(struct board *b)
{
    if (b && madvise(b, sizeof *b, MADV_DONTFORK) != 0)
        log_warn("what a session is doing can't be kept from other processes");
}

void board_free(struct board *b)
{
    if (b)
        (void)munmap(b, sizeof *b);
}

/* ---- the session ---- */

void board_peers_turn(struct board *b, bool peers)
{
    if (b)
        atomic_store_explicit(&b->peers_turn_ms, peers ? tls_now_ms() : INT64_MAX,
                              memory_order_relaxed);
}

static void open_turn(struct board *b)
{
    atomic_fetch_add_explicit(&b->turn, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static void close_turn(struct board *b)
{
    atomic_fetch_add_explicit(&b->turn, 1, memory_order_release);
}

void board_begin(struct board *b, enum board_op op, const char *path)
{
    if (!b)
        return;
    size_t n = strnlen(path, BOARD_PATH - 1);
    open_turn(b);
    b->doing = (struct board_doing){.op = op, .phase = BOARD_MOVING, .since_ms = tls_now_ms()};
    memcpy(b->doing.path, path, n);
    close_turn(b);
}

void board_progress(struct board *b, enum board_phase phase, uint64_t done, uint64_t total,
                    uint64_t moved)
{
    if (!b)
        return;
    open_turn(b);
    b->doing.phase = phase;
    b->doing.done = done;
    b->doing.total = total;
    b->doing.moved = moved;
    close_turn(b);
}

void board_end(struct board *b)
{
    if (!b)
        return;
    open_turn(b);
    b->doing.op = BOARD_NOTHING;
    close_turn(b);
}

/* ---- the master ---- */

static bool copy(const struct board *b, struct board_doing *out)
{
    unsigned before = atomic_load_explicit(&b->turn, memory_order_acquire);
    memcpy(out, &b->doing, sizeof *out);
    atomic_thread_fence(memory_order_acquire);
    return before % 2 == 0 && atomic_load_explicit(&b->turn, memory_order_relaxed) == before;
}

void board_read(const struct board *b, struct board_doing *out)
{
    bool whole = false;
    *out = (struct board_doing){0};
    for (int i = 0; b && i < TRIES && !whole; i++)
        whole = copy(b, out);
    /* A writer that never comes to rest is shown as it was caught: bounded like all else. */
    int64_t now = tls_now_ms();
    if ((unsigned)out->op >= BOARD_OPS || out->op == BOARD_NOTHING) {
        *out = (struct board_doing){0};
        return;
    }
    if ((unsigned)out->phase >= BOARD_PHASES)
        out->phase = BOARD_MOVING;
    if (out->done > out->total)
        out->done = out->total;
    if (out->since_ms > now || out->since_ms < 0)
        out->since_ms = now;
    out->path[BOARD_PATH - 1] = '\0';
}

int64_t board_peers_turn_since(const struct board *b)
{
    return b ? atomic_load_explicit(&b->peers_turn_ms, memory_order_relaxed) : 0;
}

const char *board_op_name(enum board_op op)
{
    return op == BOARD_PUT ? "put" : op == BOARD_GET ? "get" : "";
}

const char *board_phase_name(enum board_phase phase)
{
    return phase == BOARD_HASHING ? "hashing" : phase == BOARD_MOVING ? "moving" : "committing";
}
