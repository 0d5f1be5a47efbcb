/* SPDX-License-Identifier: ISC */
#include "housekeeping.h"

#include "chore.h"
#include "ipc.h"
#include "log.h"
#include "tls.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SWEEP_EVERY_MS = 60 * 60 * 1000 };

static void set_due(struct housekeeping *h, const struct policy *policy)
{
    uint64_t s = policy->config->scrub_interval_s;
    h->scrub_due_ms = s ? tls_now_ms() + (int64_t)s * 1000 : 0;
}

void housekeeping_init(struct housekeeping *h, const struct policy *policy, int epoll, void *what)
{
    *h = (struct housekeeping){.sweep.fd = -1, .epoll = epoll, .what = what};
    scrub_init(&h->scrub);
    set_due(h, policy);
}

/* ---- sweeping ---- */

static void close_sweep(struct sweep *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    s->pid = 0;
}

static void drop_users(struct sweep *s)
{
    free(s->users);
    s->users = NULL;
    s->n_users = s->next = 0;
}

static void end_round(struct sweep *s, int64_t now)
{
    drop_users(s);
    s->ended = (int64_t)time(NULL);
    s->due_ms = now + SWEEP_EVERY_MS;
}

/* One user after the other, one a tick. */
static void sweep(struct sweep *s, const struct policy *policy, int64_t now)
{
    int pair[2];
    if (s->pid > 0 || now < s->due_ms)
        return;
    if (!s->users && map_users(policy->map, &s->users, &s->n_users) == ERR_OK) {
        s->began = (int64_t)time(NULL);
        s->removed = s->failed = 0;
    }
    if (s->next >= s->n_users) {
        end_round(s, now);
        return;
    }
    struct map_user *user = map_user_named(policy->map, s->users[s->next++]);
    if (!user || ipc_pair(pair) != ERR_OK) {
        map_user_free(user);
        return;
    }
    s->pid = fork();
    if (s->pid == 0)
        _exit(chore_sweep(policy, user, s->began, pair[1]));
    map_user_free(user);
    close(pair[1]);
    s->fd = pair[0];
    if (s->pid < 0) {
        s->failed++;
        log_warn("sweeping: fork: %s", strerror(errno));
        close_sweep(s);
    }
}

static void swept(struct sweep *s, int wait_status)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_swept m;
    if (ipc_recv(s->fd, buffer, sizeof buffer, &in, 0) == ERR_OK) {
        ipc_drop(&in);
        if (in.type == IPC_SWEPT && ipc_get_swept(in.body, in.n, &m))
            s->removed += m.removed;
    }
    s->failed += !WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0;
    close_sweep(s);
}

/* ---- scrubbing ---- */

/* Starts the process for the next user, or ends the run. */
static void advance(struct housekeeping *h, const struct policy *policy, int scribe)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = h->what};
    if (!scrub_next(&h->scrub, policy, scribe))
        set_due(h, policy);
    else if (epoll_ctl(h->epoll, EPOLL_CTL_ADD, h->scrub.fd, &ev) != 0)
        log_warn("a scrub is not watched: its findings come when it has ended");
}

enum err housekeeping_scrub(struct housekeeping *h, const struct policy *policy, const char *only,
                            int scribe)
{
    enum err e = scrub_begin(&h->scrub, policy->map, only, scribe);
    if (e == ERR_OK)
        advance(h, policy, scribe);
    return e;
}

/* As with sessions_close: a child that was just forked may hold a copy of the socket. */
static void unwatch(const struct housekeeping *h)
{
    if (h->scrub.fd >= 0)
        (void)epoll_ctl(h->epoll, EPOLL_CTL_DEL, h->scrub.fd, NULL);
}

void housekeeping_event(struct housekeeping *h, int scribe)
{
    enum err e = scrub_take(&h->scrub, scribe, 0);
    if (e == ERR_OK || e == ERR_TIMEOUT)
        return;
    unwatch(h);
    if (e != ERR_CONN && h->scrub.pid > 0)
        kill(h->scrub.pid, SIGKILL);
}

/* ---- both ---- */

void housekeeping_tick(struct housekeeping *h, const struct policy *policy, int scribe)
{
    int64_t now = tls_now_ms();
    sweep(&h->sweep, policy, now);
    bool runs = h->scrub.run && !h->scrub.ended;
    if (!h->scrub_due_ms || now < h->scrub_due_ms || runs)
        return;
    set_due(h, policy);
    if (housekeeping_scrub(h, policy, "", scribe) != ERR_OK)
        log_warn("the scrub that is due can't begin");
}

const char *housekeeping_reaped(struct housekeeping *h, const struct policy *policy, pid_t pid,
                                int wait_status, int scribe)
{
    if (pid == h->sweep.pid) {
        swept(&h->sweep, wait_status);
        return "sweeper";
    }
    if (pid != h->scrub.pid)
        return NULL;
    unwatch(h);
    scrub_ended(&h->scrub, wait_status, scribe);
    advance(h, policy, scribe);
    return "scrub";
}

void housekeeping_reload(struct housekeeping *h, const struct policy *policy)
{
    drop_users(&h->sweep);
    set_due(h, policy);
}

void housekeeping_stop(struct housekeeping *h)
{
    if (h->sweep.pid > 0)
        kill(h->sweep.pid, SIGTERM);
    if (h->scrub.run && !h->scrub.ended)
        scrub_stop(&h->scrub);
    h->sweep.due_ms = INT64_MAX;
    h->scrub_due_ms = 0;
}

void housekeeping_release(struct housekeeping *h)
{
    close_sweep(&h->sweep);
    drop_users(&h->sweep);
    scrub_release(&h->scrub);
}
