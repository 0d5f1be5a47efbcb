/* SPDX-License-Identifier: ISC */
/* The master's side: who is to be asked about, and what follows from what the usher says. */
#include "usher.h"

#include "ipc.h"
#include "log.h"
#include "scribe.h"
#include "tls.h"
#include "usher_proof.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum {
    AT_ONCE = 64,  /* messages taken before others have their turn */
    AHEAD = 8,     /* questions asked before the first is answered, */
    AHEAD_NEW = 6, /* of which those who want to be let in leave some to those that run */
    AGAIN_MS = 1000,
};

static const int64_t never = INT64_MAX;

void usher_init(struct usher *u, void *what)
{
    *u = (struct usher){.fd = -1, .epoll = -1, .due = never, .what = what};
}

void usher_wants(struct usher *u)
{
    u->due = 0;
}

static void close_socket(struct usher *u)
{
    if (u->fd < 0)
        return;
    (void)epoll_ctl(u->epoll, EPOLL_CTL_DEL, u->fd, NULL);
    close(u->fd);
    u->fd = -1;
}

void usher_reload(struct usher *u, struct sessions *t)
{
    for (struct sessions_entry *s = t->head; s; s = s->next)
        s->due = 0;
    u->due = 0;
    u->over = u->pid > 0;
    u->heard_ms = tls_now_ms();
    close_socket(u); /* which ends it */
}

void usher_stop(struct usher *u)
{
    u->over = true;
    close_socket(u);
}

/* ---- cutting ---- */

/* With its store, whatever it is doing. */
static void kill_session(struct usher *u, const struct sessions_entry *s)
{
    u->killed++;
    log_warn("session %s user=%s: killed: it did not end when it was told to", s->name, s->user);
    if (s->store > 0)
        kill(s->store, SIGKILL);
    if (s->pid > 0)
        kill(s->pid, SIGKILL);
}

static void cut(struct usher *u, struct sessions_entry *s, enum err status, const char *reason,
                int scribe)
{
    struct ipc_cut m = {(uint16_t)status, slice_str(reason)};
    struct buf b;
    s->cut_ms = tls_now_ms();
    s->asked = 0;
    u->cut++;
    u->cutting = true;
    log_warn("session %s user=%s is ended: %s", s->name, s->user, reason);
    if (scribe >= 0 && scribe_record(scribe, "cut", "of", s->name, "user", s->user, "status",
                                     err_name(status), "reason", reason, NULL) != ERR_OK)
        log_warn("that a session is ended is not in the audit log");
    buf_init(&b, IPC_MAX);
    enum err e =
        s->fd >= 0 && ipc_put_cut(&b, &m) ? ipc_send(s->fd, IPC_CUT, &b, NULL, 0, true) : ERR_CONN;
    buf_release(&b);
    if (e != ERR_OK)
        kill_session(u, s);
}

/* Those that were told and are still there. */
static void end_stubborn(struct usher *u, const struct sessions *t, int64_t now_ms)
{
    if (!u->cutting)
        return;
    u->cutting = false;
    for (struct sessions_entry *s = t->head; s; s = s->next) {
        u->cutting |= s->cut_ms != 0;
        if (s->cut_ms && now_ms - s->cut_ms >= USHER_CUT_MS) {
            kill_session(u, s);
            s->cut_ms = now_ms; /* should it outlive even that */
        }
    }
}

/* ---- questions ---- */

/* One that runs is asked about by its certificates alone, one that does not by its proof. */
static bool runs(const struct sessions_entry *s)
{
    return s->user[0] != '\0';
}

static bool is_asked(const struct usher *u, const struct sessions_entry *s)
{
    return s->asked && s->asked == u->number;
}

static bool has_question(const struct usher *u, const struct sessions_entry *s)
{
    return s->proof && !s->cut_ms && !is_asked(u, s) && (runs(s) || s->fd >= 0);
}

/* False when the usher takes no more for now. */
static bool ask(struct usher *u, struct sessions_entry *s)
{
    struct ipc_usher_ask m = {.session = s->number,
                              .kind = runs(s)      ? USHER_AGAIN
                                      : s->resumed ? USHER_RESUMED
                                                   : USHER_FULL,
                              .address = slice_of(&s->address, sizeof s->address),
                              .vouch = slice_of(s->vouch.data, s->vouch.len),
                              .proof = slice_of(s->proof, s->proof_n)};
    struct buf b;
    memcpy(m.nonce, s->nonce, sizeof m.nonce);
    buf_init(&b, IPC_MAX);
    enum err e = ipc_put_usher_ask(&b, &m) ? ipc_send(u->fd, IPC_USHER_ASK, &b, NULL, 0, true)
                                           : ERR_INTERNAL;
    buf_release(&b);
    if (e != ERR_OK)
        return false;
    s->asked = u->number;
    if (u->asked++ == 0)
        u->heard_ms = tls_now_ms();
    return true;
}

/* Those that run, or those that do not, as far as they are due; false when there is more than the usher takes. */
static bool ask_those(struct usher *u, struct sessions *t, bool running, int64_t now)
{
    unsigned most = running ? AHEAD : AHEAD_NEW;
    for (struct sessions_entry *s = t->head; s; s = s->next) {
        if (runs(s) != running || !has_question(u, s))
            continue;
        if (s->due > now)
            u->due = s->due < u->due ? s->due : u->due;
        else if (u->asked >= most || !ask(u, s))
            return false;
    }
    return true;
}

/* Who waits to be let in goes first, but however many they are, a revocation does not wait for them. */
static void ask_all(struct usher *u, struct sessions *t)
{
    int64_t now = (int64_t)time(NULL);
    if (u->fd < 0 || u->due > now)
        return;
    u->due = never;
    bool all = ask_those(u, t, false, now);
    if (!ask_those(u, t, true, now) || !all)
        u->due = 0;
}

/* ---- beginning ---- */

static void start(struct usher *u, const struct policy *p, int64_t now_ms)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = u->what};
    int pair[2];
    u->wait_ms = now_ms + AGAIN_MS;
    if (ipc_pair(pair) != ERR_OK)
        return;
    u->pid = fork();
    if (u->pid == 0)
        _exit(usher_main(p, pair[1]));
    close(pair[1]);
    u->fd = pair[0];
    u->number++;
    u->heard_ms = now_ms;
    u->over = false;
    u->asked = 0;
    u->at = 0;
    u->due = 0;
    if (u->pid > 0 && epoll_ctl(u->epoll, EPOLL_CTL_ADD, u->fd, &ev) == 0)
        return;
    log_error("nobody can be let in for want of a process; trying again");
    if (u->pid > 0)
        kill(u->pid, SIGKILL);
    else
        u->pid = 0;
    close_socket(u);
}

void usher_tick(struct usher *u, struct sessions *t, const struct policy *p, int64_t now_ms)
{
    end_stubborn(u, t, now_ms);
    if (u->pid > 0 && (u->asked > 0 || u->over) && now_ms - u->heard_ms >= USHER_SILENT_MS)
        kill(u->pid, SIGKILL);
    if (u->pid == 0 && now_ms >= u->wait_ms)
        start(u, p, now_ms);
    ask_all(u, t);
}

/* ---- answers ---- */

/* What the session was granted and would not be now; NULL: nothing. */
static const char *what_is_lost(const struct sessions_entry *s, const struct policy *p,
                                const struct ipc_verdict *m)
{
    char name[65];
    struct map_user *user =
        slice_copy(m->user, name, sizeof name) ? map_grant(p->map, m->rule, name) : NULL;
    const char *lost = user ? map_user_lost(user, s->granted) : "the user is not known any more";
    map_user_free(user);
    return lost;
}

/* The verdict on a session that runs, by the policy of now. */
static void go_on(struct usher *u, struct sessions_entry *s, const struct policy *p,
                  const struct ipc_verdict *m, int scribe)
{
    char reason[513];
    const char *lost = NULL;
    u->judged++;
    log_scrub(reason, sizeof reason, m->reason.p, m->reason.n);
    if (m->status != ERR_OK) {
        cut(u, s, err_from_wire(m->status), reason, scribe);
    } else if ((lost = what_is_lost(s, p, m))) {
        snprintf(reason, sizeof reason, "%s: connect again", lost);
        cut(u, s, ERR_CONN, reason, scribe);
    } else {
        sessions_hold_until(s, m->until);
        u->due = s->due < u->due ? s->due : u->due;
    }
}

static void take_verdict(struct usher *u, struct sessions *t, struct policy *p,
                         const struct ipc_verdict *m, int scribe)
{
    struct sessions_entry *s = t->head;
    while (s && s->number != m->session)
        s = s->next;
    u->at = 0;
    u->asked -= u->asked > 0;
    if (!s || !is_asked(u, s) || (!runs(s) && s->fd < 0))
        return; /* it ended meanwhile */
    s->asked = 0;
    if (runs(s)) {
        go_on(u, s, p, m, scribe);
        return;
    }
    /* By another policy than it was forked with: the server may have another certificate by now. */
    struct ipc_verdict v = *m;
    if (s->generation != p->generation) {
        v.lied = 0;
        v.told = (struct slice){0};
    }
    if (v.lied)
        log_warn("session %s peer=%s: its proof is none: it is not ours any more, and killed",
                 s->name, s->peer);
    if (sessions_grant(t, s, p, &v, scribe) != ERR_OK || v.lied)
        sessions_close(s);
    if (v.lied)
        kill(s->pid, SIGKILL);
    u->due = s->due < u->due ? s->due : u->due;
}

/* One message of the usher; false when there is none. */
static bool take(struct usher *u, struct sessions *t, struct policy *p, int scribe)
{
    static uint8_t buffer[IPC_MAX];
    struct ipc_in in;
    struct ipc_judging at;
    struct ipc_verdict m;
    enum err e = u->fd < 0 ? ERR_TIMEOUT : ipc_recv(u->fd, buffer, sizeof buffer, &in, 0);
    /* Of one that died with questions unread the kernel tells that first, and what it said only then. */
    if (e == ERR_CONN)
        e = ipc_recv(u->fd, buffer, sizeof buffer, &in, 0);
    if (e == ERR_TIMEOUT)
        return false;
    if (e == ERR_OK)
        ipc_drop(&in);
    u->heard_ms = tls_now_ms();
    if (e == ERR_OK && in.type == IPC_JUDGING && ipc_get_judging(in.body, in.n, &at)) {
        u->at = at.session;
        return true;
    }
    if (e == ERR_OK && in.type == IPC_VERDICT && ipc_get_verdict(in.body, in.n, &m)) {
        take_verdict(u, t, p, &m, scribe);
        return true;
    }
    if (e == ERR_OK)
        log_error("the usher sent %s", ipc_name(in.type));
    close_socket(u); /* which ends it */
    return false;
}

void usher_event(struct usher *u, struct sessions *t, struct policy *p, int scribe)
{
    for (int i = 0; i < AT_ONCE && take(u, t, p, scribe); i++)
        continue;
}

/* ---- end ---- */

/* Whoever it was at can't be judged. */
static void give_up(struct usher *u, struct sessions *t, struct sessions_entry *s, struct policy *p,
                    int scribe)
{
    static const char why[] = "its certificates could not be judged";
    const struct ipc_verdict m = {
        .session = s->number, .status = ERR_INTERNAL, .reason = slice_str(why)};
    s->asked = 0;
    if (runs(s))
        cut(u, s, ERR_INTERNAL, why, scribe);
    else if (s->fd >= 0 && sessions_grant(t, s, p, &m, scribe) != ERR_OK)
        sessions_close(s);
}

bool usher_reaped(struct usher *u, struct sessions *t, struct policy *p, pid_t pid, int scribe)
{
    if (pid <= 0 || pid != u->pid)
        return false;
    while (take(u, t, p, scribe))
        continue;
    close_socket(u);
    u->pid = 0;
    for (struct sessions_entry *s = t->head; s; s = s->next) {
        if (is_asked(u, s) && s->number == u->at && !u->over)
            give_up(u, t, s, p, scribe);
        s->asked = 0;
    }
    if (!u->at && !u->over)
        log_error("the usher ended before it was asked anything, or between two questions; "
                  "starting another");
    u->wait_ms = u->at || u->over ? 0 : tls_now_ms() + AGAIN_MS;
    u->asked = 0;
    u->at = 0;
    u->due = 0;
    return true;
}
