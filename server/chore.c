/* SPDX-License-Identifier: ISC */
#include "chore.h"

#include "confine.h"
#include "fs_scrub.h"
#include "ipc.h"
#include "log.h"
#include "probe.h"
#include "sessions.h"
#include "store.h"
#include "tls.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TELL_MS = 1000 };

/* linux/ioprio.h */
enum { IO_WHO_PROCESS = 1, IO_CLASS_IDLE = 3, IO_CLASS_SHIFT = 13 };

/* Opens the roots and gives up all else. */
static enum err begin(enum confine_process as, const struct policy *policy,
                      const struct map_user *user, int fd, struct fs *fs)
{
    char context[80];
    sessions_child_begin();
    snprintf(context, sizeof context, "%s user=%s", as == CONFINE_SCRUB ? "scrub" : "sweep",
             user->name);
    log_context(context);
    enum err e = confine_start(&fd, 1);
    if (e == ERR_OK)
        e = store_prepare(fs, policy->config, user, as);
    probe_run(as == CONFINE_SCRUB ? "scrub" : "sweep");
    return e;
}

int chore_sweep(const struct policy *policy, const struct map_user *user, int64_t began, int fd)
{
    struct fs fs;
    unsigned removed = 0;
    enum err e = begin(CONFINE_STORE, policy, user, fd, &fs);
    if (e == ERR_OK)
        e = fs_sweep(&fs, (int64_t)policy->config->part_expiry_s, &removed);
    for (size_t i = 0; e == ERR_OK && i < fs.n; i++)
        e = fs_recount(&fs, i, began);
    if (removed > 0)
        log_info("removed %u expired parts and orphaned trees", removed);
    enum err told = IPC_SEND(fd, swept, SWEPT, .removed = removed);
    return err_exit(e == ERR_OK ? told : e);
}

/* ---- scrub ---- */

struct telling {
    int fd;
    int64_t told_ms;
};

static enum err tell(const struct telling *t, const struct fs_scrub_counts *c)
{
    return IPC_SEND(t->fd, scrubbed, SCRUBBED, .files = c->files, .bytes = c->bytes,
                    .proven = c->proven, .rotten = c->rotten, .chunks = c->chunks,
                    .damaged = c->damaged, .plain = c->plain, .changed = c->changed,
                    .moving = c->moving, .orphans = c->orphans, .errors = c->errors);
}

static enum err progress(void *arg, const struct fs_scrub_counts *so_far)
{
    struct telling *t = arg;
    int64_t now = tls_now_ms();
    if (now - t->told_ms < TELL_MS)
        return ERR_OK;
    t->told_ms = now;
    return tell(t, so_far);
}

static enum err found(void *arg, const struct fs_rot *rot)
{
    const struct telling *t = arg;
    return IPC_SEND(t->fd, rot, ROT, .kind = (uint8_t)rot->kind, .chunk = rot->chunk,
                    .offset = rot->offset, .size = rot->size, .path = slice_str(rot->path));
}

/* Whether other has the same folder, seen by the same account. */
static bool shares(const struct map_user *other, const struct map_user *user, const char *dir)
{
    for (size_t r = 0; r < other->n_roots && other->uid == user->uid; r++)
        if (strcmp(other->roots[r].dir, dir) == 0)
            return true;
    return false;
}

/* Marks the roots that one of n users has as well. */
static void mark_shared(const struct map *map, char (*before)[65], size_t n,
                        const struct map_user *user, bool *shared)
{
    for (size_t i = 0; i < n; i++) {
        struct map_user *other = map_user_named(map, before[i]);
        for (size_t r = 0; other && r < user->n_roots; r++)
            shared[r] |= shares(other, user, user->roots[r].dir);
        map_user_free(other);
    }
}

/* What can't be had changes only how fast it is. */
static void be_modest(void)
{
    (void)setpriority(PRIO_PROCESS, 0, 19);
    (void)syscall(SYS_ioprio_set, IO_WHO_PROCESS, 0, IO_CLASS_IDLE << IO_CLASS_SHIFT);
}

int chore_scrub(const struct policy *policy, const struct map_user *user, char (*before)[65],
                size_t n, int fd)
{
    struct fs fs;
    bool *shared = calloc(user->n_roots, sizeof *shared);
    struct fs_scrub_counts counts = {0};
    struct telling telling = {.fd = fd, .told_ms = tls_now_ms()};
    struct fs_scrub how = {.engine = tree_engine(policy->config->tls.fips == FIPS_REQUIRE),
                           .rate = policy->config->scrub_rate,
                           .found = found,
                           .progress = progress,
                           .arg = &telling};
    if (!shared)
        return err_exit(log_fail(ERR_INTERNAL, "out of memory for a scrub"));
    be_modest();
    mark_shared(policy->map, before, n, user, shared);
    enum err worst = begin(CONFINE_SCRUB, policy, user, fd, &fs);
    for (size_t i = 0; worst == ERR_OK && i < fs.n; i++) {
        if (shared[i])
            continue;
        enum err e = fs_scrub(&fs, i, &how, &counts);
        if (e != ERR_OK)
            worst = e;
    }
    enum err told = tell(&telling, &counts);
    free(shared);
    return err_exit(worst == ERR_OK ? told : worst);
}
