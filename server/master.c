/* SPDX-License-Identifier: ISC */
#include "master.h"

#include "confine.h"
#include "housekeeping.h"
#include "ipc.h"
#include "keeper.h"
#include "listen.h"
#include "log.h"
#include "scribe.h"
#include "sessions.h"
#include "status.h"
#include "tls.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS = 64,
    TICK_MS = 1000,
    ACCEPT_PAUSE_MS = 1000,
    BACKOFF_MS = 200,
    BACKOFF_MAX_MS = 10 * 1000,
    END_WAIT_MS = 2000,
};

/* A process that must run as long as the server does: its control socket, what is known of it. */
struct helper {
    int control; /* -1: not running */
    pid_t pid;
    uint64_t algorithms; /* what a keeper signs with; bit n: gnutls_sign_algorithm_t n */
};

/* What an epoll event is about; sessions and who asks for the status point to their entry instead. */
enum watch {
    WATCH_LISTEN,
    WATCH_SIGNAL,
    WATCH_KEEPER,
    WATCH_COMING,
    WATCH_SCRIBE,
    WATCH_SCRUB,
    WATCH_STATUS,
    WATCHES
};

struct master {
    const struct master_options *options;
    struct policy *policy;
    struct sessions sessions;
    int epoll, listener, signals;
    char address[LISTEN_NAME];
    struct helper keeper; /* signs now */
    struct helper coming; /* started, not heard of yet: takes over when it is up */
    struct helper scribe;
    struct helper retired; /* replaced, but asked by handshakes that run */
    int64_t retired_until_ms;
    int64_t keeper_due_ms; /* when to start one; 0: none is due */
    int64_t scribe_due_ms;
    int64_t backoff_ms;
    bool accepting;         /* the listener is being watched */
    int64_t accept_due_ms;  /* not before: descriptors ran out */
    bool served;            /* a keeper was up once */
    int64_t drain_until_ms; /* 0: not draining */
    struct housekeeping housekeeping;
    struct status status;
    int64_t started, started_ms; /* seconds since 1970; tls_now_ms */
    enum err ended;              /* why the loop ends */
    bool stop;
};

static char watches[WATCHES]; /* addresses to tell sources apart by */

static enum err watch(struct master *m, int op, int fd, void *what, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = what};
    return epoll_ctl(m->epoll, op, fd, &ev) == 0 ? ERR_OK : log_fail_errno("epoll");
}

static void stop(struct master *m, enum err why)
{
    m->stop = true;
    m->ended = why;
}

/* Leaves a record; a scribe that can't write it is no reason to end the server, but is said. */
#define RECORD(m, ...)                                                                             \
    do {                                                                                           \
        if ((m)->scribe.control >= 0 && scribe_record((m)->scribe.control, __VA_ARGS__) != ERR_OK) \
            log_warn("an event of the server is not in the audit log");                            \
    } while (0)

/* ---- keeper and scribe ---- */

/* As with sessions_close: what watches it is told, since a child may hold a copy of the socket. */
static void drop_helper(const struct master *m, struct helper *h)
{
    if (h->control >= 0) {
        (void)epoll_ctl(m->epoll, EPOLL_CTL_DEL, h->control, NULL);
        close(h->control);
    }
    *h = (struct helper){.control = -1};
}

static void retry_later(struct master *m, int64_t *due)
{
    *due = tls_now_ms() + m->backoff_ms;
    m->backoff_ms = m->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : m->backoff_ms * 2;
}

static enum err bring_keeper(struct master *m)
{
    m->keeper_due_ms = 0;
    drop_helper(m, &m->coming);
    enum err e = keeper_start(m->options->config_file, &m->coming.control, &m->coming.pid);
    if (e == ERR_OK)
        e = watch(m, EPOLL_CTL_ADD, m->coming.control, &watches[WATCH_COMING], EPOLLIN);
    return e;
}

static enum err bring_scribe(struct master *m)
{
    m->scribe_due_ms = 0;
    enum err e = scribe_start(m->policy->config->audit, &m->scribe.control, &m->scribe.pid);
    if (e == ERR_OK)
        e = watch(m, EPOLL_CTL_ADD, m->scribe.control, &watches[WATCH_SCRIBE], EPOLLIN);
    /* It said that it is ready, as a keeper does. */
    if (e == ERR_OK)
        m->backoff_ms = BACKOFF_MS;
    return e;
}

/* Connections are taken only while both are there, and a session and descriptors are free; else they
 * wait in the queue. */
static void update_accepting(struct master *m)
{
    bool want = m->listener >= 0 && m->keeper.control >= 0 && m->scribe.control >= 0 &&
                m->sessions.n < m->policy->config->sessions && tls_now_ms() >= m->accept_due_ms;
    if (m->listener < 0 || want == m->accepting)
        return;
    if (watch(m, EPOLL_CTL_MOD, m->listener, &watches[WATCH_LISTEN], want ? EPOLLIN : 0) == ERR_OK)
        m->accepting = want;
}

static void tell_ready(struct master *m)
{
    char line[LISTEN_NAME + 16];
    int n = snprintf(line, sizeof line, "ready %s\n", m->address);
    log_info("serving at %s", m->address);
    RECORD(m, "start", "address", m->address, NULL);
    if (m->options->ready_fd < 0)
        return;
    if (write(m->options->ready_fd, line, (size_t)n) != n)
        log_warn("nobody reads that the server is ready");
    close(m->options->ready_fd);
}

/* A keeper that was replaced stays as long as a handshake that was given a socket to it may take. */
static void retire(struct master *m, struct helper old)
{
    drop_helper(m, &m->retired);
    if (old.control < 0)
        return;
    (void)epoll_ctl(m->epoll, EPOLL_CTL_DEL, old.control, NULL);
    m->retired = old;
    m->retired_until_ms = tls_now_ms() + (int64_t)m->policy->config->handshake_s * 1000;
}

static void keeper_up(struct master *m, uint64_t algorithms)
{
    struct helper old = m->keeper;
    m->keeper = m->coming;
    m->keeper.algorithms = algorithms;
    m->coming = (struct helper){.control = -1};
    if (watch(m, EPOLL_CTL_MOD, m->keeper.control, &watches[WATCH_KEEPER], EPOLLIN) != ERR_OK)
        stop(m, ERR_INTERNAL);
    retire(m, old);
    m->backoff_ms = BACKOFF_MS;
    if (!m->served)
        tell_ready(m);
    else
        log_info("keeper %d is up", (int)m->keeper.pid);
    m->served = true;
}

/* The new keeper could not start: fatal at the beginning, and whenever trying again could lock the
 * token. */
static void keeper_failed(struct master *m, enum err status, struct slice reason)
{
    log_error("keeper: %.*s", (int)reason.n, (const char *)reason.p);
    RECORD(m, "keeper", "status", err_name(status), NULL);
    drop_helper(m, &m->coming);
    if (m->keeper.control >= 0)
        log_warn("the keeper that runs is kept");
    else if (!m->served || status == ERR_PIN || status == ERR_CONFIG)
        stop(m, status);
    else
        retry_later(m, &m->keeper_due_ms);
}

static void on_coming(struct master *m)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in = {0};
    struct ipc_keeper_up up = {0};
    struct ipc_keeper_failed failed = {0};
    enum err e = ipc_recv(m->coming.control, buffer, sizeof buffer, &in, 0);
    ipc_drop(&in);
    if (e == ERR_OK && in.type == IPC_KEEPER_UP && ipc_get_keeper_up(in.body, in.n, &up))
        keeper_up(m, up.algorithms);
    else if (e == ERR_OK && in.type == IPC_KEEPER_FAILED &&
             ipc_get_keeper_failed(in.body, in.n, &failed))
        keeper_failed(m, err_from_wire(failed.status), failed.reason);
    else
        keeper_failed(m, ERR_TOKEN, slice_str("ended before it could sign"));
}

static void on_keeper(struct master *m)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    /* The event may be of the one that was replaced a moment ago. */
    if (ipc_recv(m->keeper.control, buffer, sizeof buffer, &in, 0) == ERR_TIMEOUT)
        return;
    log_error("keeper %d is gone; starting another", (int)m->keeper.pid);
    RECORD(m, "keeper", "status", err_name(ERR_TOKEN), "reason", "gone", NULL);
    drop_helper(m, &m->keeper);
    if (m->coming.control < 0)
        retry_later(m, &m->keeper_due_ms);
}

static void on_scribe(struct master *m)
{
    log_error("scribe %d is gone; starting another in %lld ms", (int)m->scribe.pid,
              (long long)m->backoff_ms);
    drop_helper(m, &m->scribe);
    retry_later(m, &m->scribe_due_ms);
}

/* ---- connections ---- */

static void refuse_connection(struct master *m, int fd, const struct sockaddr_storage *address,
                              const char *why)
{
    char peer[LISTEN_NAME];
    listen_peer(address, peer);
    m->sessions.dropped++;
    log_warn("%s: dropped: %s", peer, why);
    RECORD(m, "dropped", "address", peer, "reason", why, NULL);
    close(fd);
}

static void accept_one(struct master *m)
{
    struct sockaddr_storage address = {0};
    struct sessions_entry *s;
    socklen_t n = sizeof address;
    const char *why;
    int fd = accept4(m->listener, (struct sockaddr *)&address, &n, SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            return;
        log_error("accepting a connection: %s", strerror(errno));
        m->accept_due_ms = tls_now_ms() + ACCEPT_PAUSE_MS;
        return;
    }
    if (!sessions_admit(&m->sessions, m->policy->config, &address, &why)) {
        refuse_connection(m, fd, &address, why);
        return;
    }
    if (sessions_start(&m->sessions, m->policy, fd, &address, m->keeper.control,
                       m->keeper.algorithms, m->scribe.control, &s) != ERR_OK)
        return;
    if (watch(m, EPOLL_CTL_ADD, s->fd, s, EPOLLIN) == ERR_OK)
        s->epoll = m->epoll;
    else
        sessions_close(s);
}

static void on_session(struct master *m, struct sessions_entry *s)
{
    if (s->fd >= 0 && sessions_grant(&m->sessions, s, m->policy, m->scribe.control) != ERR_OK)
        sessions_close(s);
}

/* ---- who asks for the status ---- */

static void on_status(struct master *m)
{
    status_accept(&m->status);
}

static void on_client(struct master *m, struct status_client *c)
{
    const struct status_view view = {.policy = m->policy,
                                     .sessions = &m->sessions,
                                     .housekeeping = &m->housekeeping,
                                     .address = m->address,
                                     .started = m->started,
                                     .started_ms = m->started_ms,
                                     .draining = m->drain_until_ms != 0};
    struct status_ask ask;
    if (!status_asked(&m->status, c, &ask))
        return;
    if (!ask.scrub) {
        status_answer(&m->status, c, &view);
        return;
    }
    enum err e = m->drain_until_ms
                     ? log_fail(ERR_LIMIT, "the server is stopping")
                     : housekeeping_scrub(&m->housekeeping, m->policy, ask.user, m->scribe.control);
    status_reply(&m->status, c, e, m->housekeeping.scrub.run);
}

/* ---- housekeeping ---- */

static void on_scrub(struct master *m)
{
    housekeeping_event(&m->housekeeping, m->scribe.control);
}

static void tick(struct master *m)
{
    int64_t now = tls_now_ms();
    sessions_expire(&m->sessions, m->policy->config, now);
    status_expire(&m->status, now);
    if (!m->drain_until_ms)
        housekeeping_tick(&m->housekeeping, m->policy, m->scribe.control);
    if (m->retired.control >= 0 && now >= m->retired_until_ms)
        drop_helper(m, &m->retired);
    if (m->keeper_due_ms && now >= m->keeper_due_ms && bring_keeper(m) != ERR_OK)
        retry_later(m, &m->keeper_due_ms);
    if (m->scribe_due_ms && now >= m->scribe_due_ms && bring_scribe(m) != ERR_OK)
        retry_later(m, &m->scribe_due_ms);
    if (m->drain_until_ms && (m->sessions.n == 0 || now >= m->drain_until_ms))
        stop(m, ERR_OK);
}

static void reap(struct master *m)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct sessions_entry *s = sessions_reaped(&m->sessions, pid);
        const char *signal_name = WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : NULL;
        const char *chore =
            housekeeping_reaped(&m->housekeeping, m->policy, pid, status, m->scribe.control);
        const char *who = s ? "session" : chore ? chore : "process";
        if (signal_name && !(chore && m->drain_until_ms)) {
            m->sessions.killed++;
            log_error("%s %s (pid %d) was killed: %s%s", who, s ? s->name : "", (int)pid,
                      signal_name,
                      WTERMSIG(status) == SIGSYS ? " (a call that its confinement forbids)" : "");
            RECORD(m, "killed", "process", who, "of", s ? s->name : NULL, "signal", signal_name,
                   NULL);
        }
        sessions_free(s);
    }
}

/* ---- signals ---- */

static void reload(struct master *m)
{
    struct policy *fresh;
    if (policy_load(m->options->config_file, m->policy->generation + 1, &fresh) != ERR_OK) {
        log_error("reload failed: everything stays as it was");
        RECORD(m, "reload", "status", err_name(ERR_CONFIG), "reason", log_reason(), NULL);
        return;
    }
    policy_free(m->policy);
    m->policy = fresh;
    housekeeping_reload(&m->housekeeping, m->policy);
    log_info("configuration, map, anchors and revocation lists loaded");
    RECORD(m, "reload", "status", err_name(ERR_OK), NULL);
    /* The log may have been moved away; the certificate may have a new key. */
    if (m->scribe.control >= 0 && IPC_SEND(m->scribe.control, reopen, REOPEN, ) != ERR_OK)
        log_warn("the audit log could not be reopened");
    if (bring_keeper(m) != ERR_OK)
        log_error("the keeper that runs is kept");
}

static void drain(struct master *m)
{
    if (m->drain_until_ms) {
        stop(m, ERR_OK);
        return;
    }
    log_info("stopping: %zu sessions to finish", m->sessions.n);
    m->drain_until_ms = tls_now_ms() + (int64_t)m->policy->config->drain_s * 1000;
    close(m->listener);
    m->listener = -1;
    housekeeping_stop(&m->housekeeping);
    for (struct sessions_entry *s = m->sessions.head; s; s = s->next)
        sessions_close(s);
}

static void on_signal(struct master *m)
{
    struct signalfd_siginfo info;
    while (read(m->signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            reap(m);
        else if (info.ssi_signo == SIGHUP)
            reload(m);
        else
            drain(m);
    }
}

/* ---- the loop ---- */

static void dispatch(struct master *m, void *what)
{
    void (*const handlers[WATCHES])(struct master *) = {accept_one, on_signal, on_keeper, on_coming,
                                                        on_scribe,  on_scrub,  on_status};
    for (int i = 0; i < WATCHES; i++) {
        if (what == &watches[i]) {
            handlers[i](m);
            return;
        }
    }
    struct status_client *asks = status_client(&m->status, what);
    if (asks)
        on_client(m, asks);
    else
        on_session(m, what);
}

static void loop(struct master *m)
{
    struct epoll_event events[EVENTS];
    while (!m->stop) {
        int n = epoll_wait(m->epoll, events, EVENTS, TICK_MS);
        if (n < 0 && errno != EINTR) {
            stop(m, log_fail_errno("waiting for events"));
            return;
        }
        /* Signals last: reaping frees entries that other events of this round may point to. */
        bool signalled = false;
        for (int i = 0; i < n && !m->stop; i++) {
            if (events[i].data.ptr == &watches[WATCH_SIGNAL])
                signalled = true;
            else
                dispatch(m, events[i].data.ptr);
        }
        if (signalled)
            on_signal(m);
        tick(m);
        update_accepting(m);
    }
}

/* ---- beginning and end ---- */

static enum err watch_signals(struct master *m)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    m->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return m->signals < 0 ? log_fail_errno("signalfd")
                          : watch(m, EPOLL_CTL_ADD, m->signals, &watches[WATCH_SIGNAL], EPOLLIN);
}

static enum err write_pid(const char *file)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return log_fail_errno("%s", file);
    enum err e = write(fd, text, (size_t)n) == n ? ERR_OK : log_fail_errno("%s", file);
    close(fd);
    return e;
}

static enum err start(struct master *m)
{
    const struct config *c = m->policy->config;
    /* What confined children could not do for themselves, or would do each again. */
    tzset();
    enum err e = confine_prepare();
    if (e == ERR_OK)
        e = listen_open(c->listen, &m->listener, m->address);
    if (e != ERR_OK)
        return e;
    if ((m->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
        return log_fail_errno("epoll");
    if ((e = watch_signals(m)) != ERR_OK ||
        (e = watch(m, EPOLL_CTL_ADD, m->listener, &watches[WATCH_LISTEN], 0)) != ERR_OK ||
        (e = status_open(&m->status, c, m->epoll, &watches[WATCH_STATUS])) != ERR_OK ||
        (e = bring_scribe(m)) != ERR_OK || (e = bring_keeper(m)) != ERR_OK)
        return e;
    m->housekeeping.epoll = m->epoll;
    return c->pid_file ? write_pid(c->pid_file) : ERR_OK;
}

/* Ends what is still there: sessions first, so that the scribe can write their last words. */
static void finish(struct master *m)
{
    siginfo_t left;
    status_close(&m->status);
    for (struct sessions_entry *s = m->sessions.head; s; s = s->next) {
        log_warn("session %s peer=%s: cut", s->name, s->peer);
        kill(s->pid, SIGTERM);
    }
    housekeeping_stop(&m->housekeeping);
    /* What was cut is recorded by reap, so the scribe goes last. */
    for (int64_t until = tls_now_ms() + END_WAIT_MS;
         (m->sessions.n > 0 || m->housekeeping.scrub.pid > 0) && tls_now_ms() < until;) {
        reap(m);
        (void)usleep(10 * 1000);
    }
    RECORD(m, "stop", "status", err_name(m->ended), NULL);
    drop_helper(m, &m->coming);
    drop_helper(m, &m->retired);
    drop_helper(m, &m->keeper);
    drop_helper(m, &m->scribe);
    for (int64_t until = tls_now_ms() + END_WAIT_MS; tls_now_ms() < until;) {
        reap(m);
        if (waitid(P_ALL, 0, &left, WEXITED | WNOHANG | WNOWAIT) < 0)
            break; /* no child is left */
        (void)usleep(10 * 1000);
    }
    if (m->policy->config->pid_file)
        unlink(m->policy->config->pid_file);
    while (m->sessions.head) {
        kill(m->sessions.head->pid, SIGKILL);
        sessions_free(sessions_reaped(&m->sessions, m->sessions.head->pid));
    }
    housekeeping_release(&m->housekeeping);
}

/* Goes on in a child of init; the parent stays until the child is ready or failed, and exits so. */
static enum err detach(struct master_options *options)
{
    int ready[2], null;
    char line[LISTEN_NAME + 16];
    if (pipe2(ready, O_CLOEXEC) < 0)
        return log_fail_errno("pipe");
    pid_t pid = fork();
    if (pid < 0)
        return log_fail_errno("fork");
    if (pid > 0) {
        close(ready[1]);
        ssize_t n = read(ready[0], line, sizeof line);
        if (n > 0 && options->ready_fd >= 0)
            (void)!write(options->ready_fd, line, (size_t)n);
        _exit(n > 0 ? 0 : err_exit(ERR_CONFIG));
    }
    close(ready[0]);
    if (options->ready_fd >= 0)
        close(options->ready_fd);
    options->ready_fd = ready[1];
    if (setsid() < 0 || chdir("/") < 0 || (null = open("/dev/null", O_RDWR | O_CLOEXEC)) < 0)
        return log_fail_errno("detaching");
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(null, STDOUT_FILENO);
    if (isatty(STDERR_FILENO))
        (void)dup2(null, STDERR_FILENO);
    close(null);
    return ERR_OK;
}

int master_run(const struct master_options *options, struct policy *policy)
{
    struct master_options own = *options;
    struct master m = {.options = &own,
                       .policy = policy,
                       .epoll = -1,
                       .listener = -1,
                       .signals = -1,
                       .keeper.control = -1,
                       .coming.control = -1,
                       .retired.control = -1,
                       .scribe.control = -1,
                       .backoff_ms = BACKOFF_MS,
                       .started = (int64_t)time(NULL),
                       .started_ms = tls_now_ms()};
    sessions_init(&m.sessions);
    status_init(&m.status);
    housekeeping_init(&m.housekeeping, policy, -1, &watches[WATCH_SCRUB]);
    m.ended = own.daemon ? detach(&own) : ERR_OK;
    if (m.ended == ERR_OK)
        m.ended = start(&m);
    if (m.ended == ERR_OK)
        loop(&m);
    finish(&m);
    policy_free(m.policy);
    if (m.listener >= 0)
        close(m.listener);
    if (m.signals >= 0)
        close(m.signals);
    if (m.epoll >= 0)
        close(m.epoll);
    log_info("stopped");
    return err_exit(m.ended);
}
