/* SPDX-License-Identifier: ISC */
#include "master_internal.h"

#include "confine.h"
#include "ipc.h"
#include "probe.h"
#include "tls.h"
#include "tree.h"
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
    END_WAIT_MS = 2000,
};

char master_watches[WATCHES];

enum err master_watch(struct master *m, int op, int fd, enum watch what, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = &master_watches[what]};
    return epoll_ctl(m->epoll, op, fd, &ev) == 0 ? ERR_OK : log_fail_errno("epoll");
}

void master_stop(struct master *m, enum err why)
{
    m->stop = true;
    m->ended = why;
}

/* Connections are taken only while both are there, and a session and descriptors are free; else they
 * wait in the queue. */
static void update_accepting(struct master *m)
{
    bool want = m->listener >= 0 && m->keeper.control >= 0 && m->scribe.control >= 0 &&
                !gate_full(&m->gate, &m->sessions, m->policy->config) &&
                tls_now_ms() >= m->accept_due_ms && !master_waits_for_tickets(m);
    if (m->listener < 0 || want == m->accepting)
        return;
    if (master_watch(m, EPOLL_CTL_MOD, m->listener, WATCH_LISTEN, want ? EPOLLIN : 0) == ERR_OK)
        m->accepting = want;
}

/* ---- connections ---- */

static void accept_one(struct master *m)
{
    struct sockaddr_storage address = {0};
    struct sessions_entry *s;
    socklen_t n = sizeof address;
    int64_t now_ms = tls_now_ms();
    int fd = accept4(m->listener, (struct sockaddr *)&address, &n, SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            return;
        log_error("accepting a connection: %s", strerror(errno));
        m->accept_due_ms = now_ms + ACCEPT_PAUSE_MS;
        return;
    }
    if (!gate_admit(&m->gate, &m->sessions, m->policy->config, &address, now_ms,
                    m->scribe.control)) {
        close(fd);
        return;
    }
    uint8_t *key = m->policy->config->tickets
                       ? tickets_lend(&m->tickets, m->policy->config, time(NULL))
                       : NULL;
    enum err e = sessions_start(&m->sessions, m->policy, fd, &address, m->keeper.control,
                                m->keeper.algorithms, m->scribe.control, key, &s);
    tickets_take_back(&m->tickets);
    if (e != ERR_OK) {
        /* The next one would fare no better. */
        m->accept_due_ms = now_ms + ACCEPT_PAUSE_MS;
        gate_turned(&m->gate, &m->sessions, GATE_FAILED, &address, now_ms, m->scribe.control);
        return;
    }
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = s};
    if (epoll_ctl(m->epoll, EPOLL_CTL_ADD, s->fd, &ev) == 0) {
        s->epoll = m->epoll;
        return;
    }
    log_error("watching session %s: %s", s->name, strerror(errno));
    sessions_close(s);
}

static void on_session(struct master *m, struct sessions_entry *s)
{
    if (s->fd < 0)
        return;
    master_hear_vouches(m); /* what the keeper said of it was said before */
    enum err e = sessions_show(s);
    if (e == ERR_OK) {
        usher_wants(&m->usher);
        return;
    }
    sessions_close(s);
    if (e == ERR_PROTO) /* none of ours says that */
        kill(s->pid, SIGKILL);
}

/* ---- who asks for the status ---- */

static void on_status(struct master *m)
{
    status_accept(&m->status);
}

static void on_client(struct master *m, struct status_client *c)
{
    int64_t tickets_until;
    const char *tickets = master_tickets_state(m, &tickets_until);
    struct buf audit;
    const struct status_view view = {.policy = m->policy,
                                     .sessions = &m->sessions,
                                     .housekeeping = &m->housekeeping,
                                     .reload = &m->reload,
                                     .usher = &m->usher,
                                     .gate = &m->gate,
                                     .keeper = &m->keeper_status,
                                     .audit = &audit,
                                     .address = m->address,
                                     .started = m->started,
                                     .started_ms = m->started_ms,
                                     .draining = m->drain_until_ms != 0,
                                     .tickets = tickets,
                                     .tickets_until = tickets_until};
    struct status_ask ask;
    if (!status_asked(&m->status, c, &ask))
        return;
    if (!ask.scrub) {
        buf_init(&audit, IPC_SMALL);
        if (!scribe_status(m->scribe.control, &audit))
            log_warn("the scribe does not say how it is");
        status_answer(&m->status, c, &view);
        buf_release(&audit);
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

static void on_usher(struct master *m)
{
    usher_event(&m->usher, &m->sessions, m->policy, m->scribe.control);
}

static void tick(struct master *m)
{
    int64_t now = tls_now_ms();
    if (!m->drain_until_ms)
        master_watch_files(m, now);
    usher_tick(&m->usher, &m->sessions, m->policy, now);
    crl_alarm_tick(&m->crl_alarm, m->policy, m->scribe.control, now);
    sessions_expire(&m->sessions, m->policy->config, now);
    if (!m->drain_until_ms)
        gate_press(&m->gate, &m->sessions, m->policy->config, m->listener, now);
    gate_tick(&m->gate, now, m->scribe.control);
    status_expire(&m->status, now);
    if (!m->drain_until_ms)
        housekeeping_tick(&m->housekeeping, m->policy, m->scribe.control);
    master_tend_helpers(m, now);
    master_tend_tickets(m, now);
    if (m->drain_until_ms && (m->sessions.n == 0 || now >= m->drain_until_ms))
        master_stop(m, ERR_OK);
}

/* ---- signals ---- */

static void drain(struct master *m)
{
    if (m->drain_until_ms) {
        master_stop(m, ERR_OK);
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
            master_reap(m);
        else if (info.ssi_signo == SIGHUP)
            master_reload(m);
        else
            drain(m);
    }
}

/* ---- the loop ---- */

static void dispatch(struct master *m, void *what)
{
    void (*const handlers[WATCHES])(struct master *) = {
        accept_one, on_signal, master_on_keeper, master_on_coming, master_on_scribe,
        on_scrub,   on_status, on_usher,         master_on_retired};
    for (int i = 0; i < WATCHES; i++) {
        if (what == &master_watches[i]) {
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
            master_stop(m, log_fail_errno("waiting for events"));
            return;
        }
        /* Signals last: reaping frees entries that other events of this round may point to. */
        bool signalled = false;
        for (int i = 0; i < n && !m->stop; i++) {
            if (events[i].data.ptr == &master_watches[WATCH_SIGNAL])
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
                          : master_watch(m, EPOLL_CTL_ADD, m->signals, WATCH_SIGNAL, EPOLLIN);
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
    (void)tree_engine(c->tls.fips == FIPS_REQUIRE);
    enum err e = confine_prepare();
    if (e == ERR_OK)
        e = crash_init(&m->crash);
    if (e == ERR_OK)
        e = gate_init(&m->gate);
    if (e == ERR_OK)
        e = gate_fit(&m->gate, c);
    if (e == ERR_OK)
        e = tickets_init(&m->tickets);
    if (e == ERR_OK)
        e = listen_open(c->listen, &m->listener, m->address);
    if (e != ERR_OK)
        return e;
    if ((m->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
        return log_fail_errno("epoll");
    if ((e = watch_signals(m)) != ERR_OK ||
        (e = master_watch(m, EPOLL_CTL_ADD, m->listener, WATCH_LISTEN, 0)) != ERR_OK ||
        (e = status_open(&m->status, c, m->epoll, &master_watches[WATCH_STATUS])) != ERR_OK ||
        (c->pid_file && (e = write_pid(c->pid_file)) != ERR_OK) ||
        (e = master_confine(m)) != ERR_OK)
        return e;
    probe_run("master");
    if ((e = master_bring_scribe(m)) != ERR_OK || (e = master_bring_keeper(m)) != ERR_OK)
        return e;
    m->housekeeping.epoll = m->usher.epoll = m->epoll;
    return ERR_OK;
}

/* The scribe has the last head of the audit log signed, so the keeper outlives it. */
static void end_scribe(struct master *m)
{
    pid_t pid = m->scribe.control >= 0 ? m->scribe.pid : 0;
    siginfo_t left;
    master_drop_helper(m, &m->scribe);
    for (int64_t until = tls_now_ms() + 2 * END_WAIT_MS; pid > 0 && tls_now_ms() < until;) {
        left.si_pid = 0;
        if (waitid(P_PID, (id_t)pid, &left, WEXITED | WNOHANG | WNOWAIT) < 0 || left.si_pid == pid)
            return;
        (void)usleep(5 * 1000);
    }
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
    /* What was cut is recorded by master_reap, so the scribe goes last. */
    for (int64_t until = tls_now_ms() + END_WAIT_MS;
         (m->sessions.n > 0 || m->housekeeping.scrub.pid > 0) && tls_now_ms() < until;) {
        master_reap(m);
        (void)usleep(10 * 1000);
    }
    RECORD(m, "stop", "status", err_name(m->ended), NULL);
    usher_stop(&m->usher);
    master_drop_helper(m, &m->coming);
    master_drop_helper(m, &m->retired);
    end_scribe(m);
    master_drop_helper(m, &m->keeper);
    for (int64_t until = tls_now_ms() + END_WAIT_MS; tls_now_ms() < until;) {
        master_reap(m);
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
    crl_alarm_release(&m->crl_alarm);
    gate_release(&m->gate);
    buf_release(&m->keeper_status);
    crash_release(&m->crash);
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
                       .crash = {.fd = -1, .theirs = -1},
                       .started = (int64_t)time(NULL),
                       .started_ms = tls_now_ms()};
    master_helpers_init(&m);
    sessions_init(&m.sessions);
    status_init(&m.status);
    housekeeping_init(&m.housekeeping, policy, -1, &master_watches[WATCH_SCRUB]);
    usher_init(&m.usher, &master_watches[WATCH_USHER]);
    notice_read(&m.notice, &policy->files, tls_now_ms());
    m.reload.loaded = m.started;
    m.ended = own.daemon ? detach(&own) : ERR_OK;
    if (m.ended == ERR_OK)
        m.ended = start(&m);
    if (m.ended == ERR_OK)
        loop(&m);
    finish(&m);
    policy_free(m.policy);
    tickets_release(&m.tickets);
    if (m.listener >= 0)
        close(m.listener);
    if (m.signals >= 0)
        close(m.signals);
    if (m.epoll >= 0)
        close(m.epoll);
    log_info("stopped");
    return err_exit(m.ended);
}
