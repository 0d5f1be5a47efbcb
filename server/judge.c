/* SPDX-License-Identifier: ISC */
/* The master's side: who is due, and what follows from what the judge says. */
#include "judge.h"

#include "ipc.h"
#include "log.h"
#include "scribe.h"
#include "tls.h"
#include <signal.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum {
    AT_ONCE = 64, /* messages taken before others have their turn */
    AGAIN_MS = 1000,
};

static const int64_t never = INT64_MAX;

void judge_init(struct judge *j, void *what)
{
    *j = (struct judge){.fd = -1, .epoll = -1, .due = never, .what = what};
}

void judge_granted(struct judge *j, const struct sessions_entry *s)
{
    if (s->user[0] && !s->cut_ms && s->due < j->due)
        j->due = s->due;
}

void judge_reload(struct judge *j, struct sessions *t)
{
    for (struct sessions_entry *s = t->head; s; s = s->next)
        s->due = 0;
    j->due = 0;
    j->over = j->pid > 0;
}

/* ---- cutting ---- */

/* With its store, whatever it is doing. */
static void kill_session(struct judge *j, const struct sessions_entry *s)
{
    j->killed++;
    log_warn("session %s user=%s: killed: it did not end when it was told to", s->name, s->user);
    if (s->store > 0)
        kill(s->store, SIGKILL);
    if (s->pid > 0)
        kill(s->pid, SIGKILL);
}

static void cut(struct judge *j, struct sessions_entry *s, enum err status, const char *reason,
                int scribe)
{
    struct ipc_cut m = {(uint16_t)status, slice_str(reason)};
    struct buf b;
    s->cut_ms = tls_now_ms();
    s->asked = 0;
    j->cut++;
    j->cutting = true;
    log_warn("session %s user=%s is ended: %s", s->name, s->user, reason);
    if (scribe >= 0 && scribe_record(scribe, "cut", "of", s->name, "user", s->user, "status",
                                     err_name(status), "reason", reason, NULL) != ERR_OK)
        log_warn("that a session is ended is not in the audit log");
    buf_init(&b, IPC_MAX);
    enum err e =
        s->fd >= 0 && ipc_put_cut(&b, &m) ? ipc_send(s->fd, IPC_CUT, &b, NULL, 0, true) : ERR_CONN;
    buf_release(&b);
    if (e != ERR_OK)
        kill_session(j, s);
}

/* Those that were told and are still there. */
static void end_stubborn(struct judge *j, const struct sessions *t, int64_t now_ms)
{
    if (!j->cutting)
        return;
    j->cutting = false;
    for (struct sessions_entry *s = t->head; s; s = s->next) {
        j->cutting |= s->cut_ms != 0;
        if (s->cut_ms && now_ms - s->cut_ms >= JUDGE_CUT_MS) {
            kill_session(j, s);
            s->cut_ms = now_ms; /* should it outlive even that */
        }
    }
}

/* ---- the judge ---- */

static void close_socket(struct judge *j)
{
    if (j->fd < 0)
        return;
    (void)epoll_ctl(j->epoll, EPOLL_CTL_DEL, j->fd, NULL);
    close(j->fd);
    j->fd = -1;
}

/* When the next one is due, among those that are not being judged. */
static void set_due(struct judge *j, const struct sessions *t)
{
    j->due = never;
    for (const struct sessions_entry *s = t->head; s; s = s->next)
        judge_granted(j, s);
}

static bool ask(struct judge *j, struct sessions *t, int64_t now)
{
    bool any = false;
    j->number++;
    for (struct sessions_entry *s = t->head; s; s = s->next) {
        bool due = s->user[0] && !s->cut_ms && s->due <= now;
        s->asked = due ? j->number : 0;
        any |= due;
    }
    return any;
}

static void start(struct judge *j, struct sessions *t, const struct policy *p, int64_t now_ms)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = j->what};
    int pair[2];
    if (!ask(j, t, (int64_t)time(NULL))) {
        set_due(j, t);
        return;
    }
    j->wait_ms = now_ms + AGAIN_MS;
    if (ipc_pair(pair) != ERR_OK)
        return;
    j->pid = fork();
    if (j->pid == 0)
        _exit(judge_main(p, t, j->number, pair[1]));
    close(pair[1]);
    j->fd = pair[0];
    j->heard_ms = now_ms;
    j->begun = j->over = false;
    j->at = 0;
    if (j->pid > 0 && epoll_ctl(j->epoll, EPOLL_CTL_ADD, j->fd, &ev) == 0) {
        j->wait_ms = 0;
        return;
    }
    log_error("sessions can't be judged again for want of a process; trying again");
    if (j->pid > 0)
        kill(j->pid, SIGKILL);
    else
        j->pid = 0;
    close_socket(j);
}

void judge_tick(struct judge *j, struct sessions *t, const struct policy *p, int64_t now_ms)
{
    end_stubborn(j, t, now_ms);
    if (j->pid > 0) {
        if (now_ms - j->heard_ms >= JUDGE_SILENT_MS)
            kill(j->pid, SIGKILL);
    } else if (j->due <= (int64_t)time(NULL) && now_ms >= j->wait_ms) {
        start(j, t, p, now_ms);
    }
}

static void take_verdict(struct judge *j, struct sessions *t, const struct ipc_verdict *m,
                         int scribe)
{
    char reason[513];
    struct sessions_entry *s = t->head;
    while (s && s->number != m->session)
        s = s->next;
    j->at = 0;
    if (!s || s->asked != j->number)
        return; /* it ended meanwhile */
    s->asked = 0;
    j->judged++;
    if (m->status == ERR_OK) {
        int64_t soonest = (int64_t)time(NULL) + 1;
        s->due = m->until < (uint64_t)never ? (int64_t)m->until + 1 : never;
        s->due = s->due < soonest ? soonest : s->due;
        return;
    }
    log_scrub(reason, sizeof reason, m->reason.p, m->reason.n);
    cut(j, s, err_from_wire(m->status), reason, scribe);
}

/* One message of the judge; false when there is none. */
static bool take(struct judge *j, struct sessions *t, int scribe)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_judging at;
    struct ipc_verdict m;
    enum err e = j->fd < 0 ? ERR_TIMEOUT : ipc_recv(j->fd, buffer, sizeof buffer, &in, 0);
    if (e == ERR_TIMEOUT)
        return false;
    if (e == ERR_OK)
        ipc_drop(&in);
    j->heard_ms = tls_now_ms();
    if (e == ERR_OK && !j->over && in.type == IPC_JUDGING && ipc_get_judging(in.body, in.n, &at)) {
        j->at = at.session;
        return j->begun = true;
    }
    if (e == ERR_OK && !j->over && in.type == IPC_VERDICT && ipc_get_verdict(in.body, in.n, &m)) {
        take_verdict(j, t, &m, scribe);
        return true;
    }
    if (e == ERR_OK && !j->over)
        log_error("the judge sent %s", ipc_name(in.type));
    close_socket(j); /* which ends it */
    return false;
}

void judge_event(struct judge *j, struct sessions *t, int scribe)
{
    for (int i = 0; i < AT_ONCE && take(j, t, scribe); i++)
        continue;
}

/* It ended, perhaps before its time: then whoever it was at is cut, and the others wait for the next one. */
static void conclude(struct judge *j, struct sessions *t, int scribe)
{
    bool left = false;
    for (struct sessions_entry *s = t->head; s; s = s->next) {
        left |= s->asked == j->number;
        if (s->asked == j->number && s->number == j->at)
            cut(j, s, ERR_INTERNAL, "its certificates could not be judged again", scribe);
    }
    if (!j->begun && left)
        log_error("the judge of the sessions that run could not begin; trying again");
    j->wait_ms = left && !j->at ? tls_now_ms() + AGAIN_MS : 0;
}

bool judge_reaped(struct judge *j, struct sessions *t, pid_t pid, int scribe)
{
    if (pid <= 0 || pid != j->pid)
        return false;
    while (take(j, t, scribe))
        continue;
    close_socket(j);
    j->pid = 0;
    if (!j->over)
        conclude(j, t, scribe);
    set_due(j, t);
    return true;
}
