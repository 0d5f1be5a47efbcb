/* SPDX-License-Identifier: ISC */
#include "sessions.h"

#include "admission.h"
#include "confine.h"
#include "ipc.h"
#include "log.h"
#include "scribe.h"
#include "session.h"
#include "store.h"
#include "tls.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    GRANT_GRACE_S = 60,         /* beyond the handshake's limit, for the grant */
    LOST_AFTER_MS = 120 * 1000, /* unacknowledged data: the peer is gone */
};

void sessions_init(struct sessions *t)
{
    *t = (struct sessions){.next = (uint64_t)time(NULL) << 32};
}

void sessions_child_begin(void)
{
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        _exit(err_exit(log_fail_errno("/dev/null")));
    close(null);
    sigemptyset(&none);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A peer that vanished without a word must not hold its part for hours. */
static void watch_peer(int connection)
{
    int one = 1, idle = 60, every = 15, times = 4;
    unsigned lost = LOST_AFTER_MS;
    (void)setsockopt(connection, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    (void)setsockopt(connection, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(connection, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
    (void)setsockopt(connection, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
    (void)setsockopt(connection, IPPROTO_TCP, TCP_USER_TIMEOUT, &lost, sizeof lost);
}

/* Hands one end of a new pair to keeper or scribe and returns the other; -1 on failure. */
static int attach(int control, const struct sessions_entry *s)
{
    int pair[2];
    struct buf b;
    struct ipc_attach m = {s->number, slice_str(s->peer)};
    if (ipc_pair(pair) != ERR_OK)
        return -1;
    buf_init(&b, IPC_MAX);
    enum err e = ipc_put_attach(&b, &m) ? ipc_send(control, IPC_ATTACH, &b, &pair[1], 1, true)
                                        : ERR_INTERNAL;
    buf_release(&b);
    close(pair[1]);
    if (e == ERR_OK)
        return pair[0];
    close(pair[0]);
    return -1;
}

static enum err start(struct sessions_entry *s, struct session_start *t)
{
    int pair[2];
    enum err e = ipc_pair(pair);
    if (e != ERR_OK)
        return e;
    t->number = s->number;
    memcpy(t->nonce, s->nonce, sizeof t->nonce);
    snprintf(t->name, sizeof t->name, "%s", s->name);
    snprintf(t->peer, sizeof t->peer, "%s", s->peer);
    t->master = pair[1];
    t->board = s->board;
    t->accepted_ms = s->started_ms;
    s->fd = pair[0];
    s->pid = fork();
    if (s->pid == 0) {
        sessions_child_begin();
        _exit(session_main(t));
    }
    close(pair[1]);
    board_seal(s->board);
    if (s->pid > 0)
        return ERR_OK;
    e = log_fail_errno("starting a session");
    close(s->fd);
    return e;
}

enum err sessions_start(struct sessions *t, const struct policy *policy, int connection,
                        const struct sockaddr_storage *address, int keeper, uint64_t algorithms,
                        int scribe, uint8_t *ticket_key, struct sessions_entry **out)
{
    struct session_start how = {.policy = policy,
                                .connection = connection,
                                .algorithms = algorithms,
                                .ticket_key = ticket_key,
                                .keeper = -1,
                                .scribe = -1};
    struct sessions_entry *s = calloc(1, sizeof *s);
    enum err e = ERR_TOKEN;
    if (!s) {
        close(connection);
        return log_fail(ERR_INTERNAL, "out of memory for a session");
    }
    s->epoll = -1;
    buf_init(&s->vouch, IPC_SMALL);
    s->number = ++t->next;
    s->generation = policy->generation;
    s->address = *address;
    network_of_peer(address, &s->network);
    s->started_ms = tls_now_ms();
    ipc_session_text(s->number, s->name);
    listen_peer(address, s->peer);
    s->board = board_new();
    watch_peer(connection);
    if (getrandom(s->nonce, sizeof s->nonce, 0) != sizeof s->nonce)
        e = log_fail_errno("random bytes for a session");
    else if ((how.keeper = attach(keeper, s)) >= 0 && (how.scribe = attach(scribe, s)) >= 0)
        e = start(s, &how);
    else
        log_warn("%s: dropped: the keeper or the scribe does not take new sessions", s->peer);
    close(connection);
    if (how.keeper >= 0)
        close(how.keeper);
    if (how.scribe >= 0)
        close(how.scribe);
    if (e != ERR_OK) {
        sessions_free(s);
        return e;
    }
    s->next = t->head;
    t->head = s;
    t->n++;
    t->served++;
    *out = s;
    return ERR_OK;
}

/* ---- what proves who the peer is ---- */

static void keep(struct slice said, char *out, size_t cap)
{
    log_scrub(out, cap, said.p, said.n);
}

static enum err keep_bytes(struct sessions_entry *s, struct slice bytes)
{
    free(s->proof);
    s->proof_n = bytes.n;
    s->proof = malloc(bytes.n ? bytes.n : 1);
    if (!s->proof)
        return log_fail(ERR_LIMIT, "out of memory for a session");
    memcpy(s->proof, bytes.p, bytes.n);
    return ERR_OK;
}

enum err sessions_show(struct sessions_entry *s)
{
    static uint8_t buffer[IPC_MAX];
    struct ipc_in in;
    struct ipc_prove m;
    enum err e = ipc_recv(s->fd, buffer, sizeof buffer, &in, 0);
    if (e != ERR_OK)
        return e;
    ipc_drop(&in);
    if (in.type != IPC_PROVE || s->shown || !ipc_get_prove(in.body, in.n, &m))
        return log_fail(ERR_PROTO, "session %s peer=%s: sent %s to the master%s", s->name, s->peer,
                        ipc_name(in.type), s->shown ? " again" : "");
    s->shown = true;
    s->resumed = m.resumed != 0;
    keep(m.agreed, s->agreed, sizeof s->agreed);
    keep(m.unapproved, s->unapproved, sizeof s->unapproved);
    keep(m.indicator, s->indicator, sizeof s->indicator);
    return keep_bytes(s, m.proof);
}

void sessions_vouch(struct sessions *t, const uint8_t *body, size_t n)
{
    struct ipc_vouch m;
    struct sessions_entry *s = t->head;
    if (!ipc_get_vouch(body, n, &m)) {
        log_error("the keeper vouches for what is no signature");
        return;
    }
    while (s && s->number != m.session)
        s = s->next;
    if (s && s->vouch.len == 0 && !s->shown)
        buf_put(&s->vouch, body, n);
}

/* ---- grant ---- */

static enum err may_start(const struct sessions *t, const struct sessions_entry *s,
                          const struct policy *p, const struct ipc_verdict *m,
                          struct map_user **user, uint64_t *nth)
{
    char reason[513], name[65];
    uint64_t same = 0;
    if (s->generation != p->generation)
        return log_fail(ERR_LIMIT, "the server has just loaded a new configuration: try again");
    if (m->status != ERR_OK) {
        keep(m->reason, reason, sizeof reason);
        log_take_reason(reason);
        return err_from_wire(m->status);
    }
    *user = slice_copy(m->user, name, sizeof name) ? map_grant(p->map, m->rule, name) : NULL;
    if (!*user)
        return log_fail(ERR_INTERNAL, "the usher names a rule that is not there");
    for (const struct sessions_entry *o = t->head; o; o = o->next)
        same += strcmp(o->user, (*user)->name) == 0;
    if (same >= (*user)->sessions)
        return log_fail(ERR_LIMIT, "user %s has %u sessions already", (*user)->name,
                        (*user)->sessions);
    if (!admission_share(same, t->authorised, p->config->sessions))
        return log_fail(ERR_LIMIT,
                        "user %s has %llu sessions; the server keeps the rest for others",
                        (*user)->name, (unsigned long long)same);
    *nth = same + 1;
    return ERR_OK;
}

void sessions_hold_until(struct sessions_entry *s, uint64_t until)
{
    int64_t soonest = (int64_t)time(NULL) + 1;
    s->due = until < INT64_MAX ? (int64_t)until + 1 : INT64_MAX;
    s->due = s->due < soonest ? soonest : s->due;
}

/* Keeps what the verdict rests on; user moves in. */
static enum err keep_verdict(struct sessions_entry *s, const struct ipc_verdict *m,
                             struct map_user *user)
{
    s->granted = user;
    sessions_hold_until(s, m->until);
    return keep_bytes(s, m->chain);
}

/* How much of the processor a session gets beside others (admission.h), and its store: below what this
 * process has. */
static void weigh(pid_t session, int nice)
{
    if (nice > 0 &&
        setpriority(PRIO_PROCESS, (id_t)session, getpriority(PRIO_PROCESS, 0) + nice) != 0)
        log_debug("a session's priority stays as it is: %s", strerror(errno));
}

/* Forks the store; *fd is the session's end of its socket. */
static enum err start_store(const struct policy *p, const struct map_user *user, int nice, int *fd,
                            pid_t *store)
{
    int pair[2];
    enum err e = ipc_pair(pair);
    if (e != ERR_OK)
        return e;
    pid_t pid = fork();
    if (pid == 0) {
        sessions_child_begin();
        weigh(0, nice);
        _exit(store_main(p->config, user, pair[1]));
    }
    close(pair[1]);
    if (pid < 0) {
        e = log_fail_errno("starting a store");
        close(pair[0]);
        return e;
    }
    *fd = pair[0];
    *store = pid;
    return ERR_OK;
}

/* Never waits: a session that does not take its answers must not hold up all others. pace goes along
 * where there is one. */
static enum err answer_grant(const struct sessions_entry *s, enum err status,
                             const struct ipc_verdict *v, const int fds[static 2])
{
    unsigned n = fds[0] < 0 ? 0 : fds[1] < 0 ? 1 : 2;
    struct ipc_granted m = {.status = (uint16_t)status,
                            .reason = slice_str(status == ERR_OK ? NULL : log_reason()),
                            .told = v->told,
                            .rule = v->rule,
                            .user = v->user,
                            .not_after = v->not_after,
                            .subject = v->subject,
                            .issuer = v->issuer,
                            .serial = v->serial,
                            .anchor = v->anchor,
                            .unapproved = v->unapproved};
    struct buf b;
    m.reason.n = m.reason.n > 512 ? 512 : m.reason.n;
    buf_init(&b, IPC_MAX);
    enum err e =
        ipc_put_granted(&b, &m) ? ipc_send(s->fd, IPC_GRANTED, &b, fds, n, true) : ERR_INTERNAL;
    buf_release(&b);
    return status != ERR_OK ? status : e;
}

/* What is granted stands in the audit log by the master's own word before there is a store. */
static enum err record_grant(const struct sessions_entry *s, const struct ipc_verdict *m,
                             const struct map_user *user, int scribe)
{
    char subject[513], anchor[65];
    keep(m->subject, subject, sizeof subject);
    keep(m->anchor, anchor, sizeof anchor);
    return scribe_record(scribe, "grant", "of", s->name, "user", user->name, "subject", subject,
                         "anchor", anchor, NULL);
}

/* A session that showed another's proof, or none. */
static void record_lie(const struct sessions_entry *s, int scribe)
{
    if (scribe_record(scribe, "lie", "of", s->name, "address", s->peer, "reason", log_reason(),
                      NULL) != ERR_OK)
        log_warn("that a session lied is not in the audit log");
}

/* The user is let in. */
static void note_grant(struct sessions *t, struct sessions_entry *s, const struct ipc_verdict *m,
                       const struct map_user *user)
{
    char unapproved[FIPS_NOTE];
    snprintf(s->user, sizeof s->user, "%s", user->name);
    keep(m->unapproved, unapproved, sizeof unapproved);
    if (unapproved[0])
        fips_note(s->unapproved, "%s", unapproved);
    t->authorised++;
    t->granted++;
    t->resumed += s->resumed;
}

enum err sessions_grant(struct sessions *t, struct sessions_entry *s, struct policy *policy,
                        const struct ipc_verdict *m, int scribe)
{
    struct map_user *user = NULL;
    int fds[2] = {-1, -1};
    uint64_t nth = 0;
    enum err e = may_start(t, s, policy, m, &user, &nth);
    if (e != ERR_OK && m->lied)
        record_lie(s, scribe);
    if (e == ERR_OK && (e = record_grant(s, m, user, scribe)) == ERR_OK)
        e = policy_pace(policy, user, &fds[1]);
    if (e == ERR_OK)
        e = keep_verdict(s, m, user);
    else
        map_user_free(user);
    if (e == ERR_OK)
        e = start_store(policy, user, admission_nice(nth), &fds[0], &s->store);
    if (e == ERR_OK) {
        weigh(s->pid, admission_nice(nth));
        note_grant(t, s, m, user);
    } else {
        free(s->proof); /* no more questions */
        s->proof = NULL;
    }
    buf_release(&s->vouch);
    e = answer_grant(s, e, m, fds);
    if (fds[0] >= 0)
        close(fds[0]);
    return e;
}

/* ---- the end ---- */

/* A child that was just forked may hold a copy of fd: closing alone would not end its events. */
void sessions_close(struct sessions_entry *s)
{
    if (s->fd >= 0 && s->epoll >= 0)
        (void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->fd, NULL);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

struct sessions_entry *sessions_reaped(struct sessions *t, pid_t pid)
{
    for (struct sessions_entry **at = &t->head; *at; at = &(*at)->next) {
        struct sessions_entry *s = *at;
        if (s->store == pid)
            s->store = 0;
        if (s->pid != pid)
            continue;
        *at = s->next;
        t->n--;
        t->refused += !s->user[0];
        t->authorised -= s->user[0] != '\0';
        sessions_close(s);
        return s;
    }
    return NULL;
}

void sessions_free(struct sessions_entry *s)
{
    if (s) {
        board_free(s->board);
        map_user_free(s->granted);
        free(s->proof);
        buf_release(&s->vouch);
    }
    free(s);
}

void sessions_expire(struct sessions *t, const struct config *c, int64_t now_ms)
{
    int64_t limit = (int64_t)(c->handshake_s + GRANT_GRACE_S) * 1000;
    for (struct sessions_entry *s = t->head; s; s = s->next) {
        if (s->user[0] || now_ms - s->started_ms < limit)
            continue;
        if (!s->expired)
            log_warn("session %s peer=%s: killed: not authorised in time", s->name, s->peer);
        s->expired = true;
        kill(s->pid, SIGKILL);
    }
}
