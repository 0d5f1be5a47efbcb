/* SPDX-License-Identifier: ISC */
/* The master's care for keeper and scribe: started, replaced, started again with a delay that grows. */
#include "master_internal.h"

#include "ipc.h"
#include "keeper.h"
#include "tls.h"
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    BACKOFF_MS = 200,
    BACKOFF_MAX_MS = 10 * 1000,
    HEAR_AT_ONCE = 4096, /* more than the socket holds */
};

void master_helpers_init(struct master *m)
{
    struct helper *all[] = {&m->keeper, &m->coming, &m->retired, &m->scribe};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        *all[i] = (struct helper){.control = -1};
    m->backoff_ms = BACKOFF_MS;
    buf_init(&m->keeper_status, IPC_SMALL);
}

/* As with sessions_close: what watches it is told, since a child may hold a copy of the socket. */
void master_drop_helper(const struct master *m, struct helper *h)
{
    if (h->control >= 0) {
        (void)epoll_ctl(m->epoll, EPOLL_CTL_DEL, h->control, NULL);
        close(h->control);
    }
    *h = (struct helper){.control = -1, .pid = h->pid};
}

static void retry_later(struct master *m, int64_t *due)
{
    *due = tls_now_ms() + m->backoff_ms;
    m->backoff_ms = m->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : m->backoff_ms * 2;
}

enum err master_bring_keeper(struct master *m)
{
    m->keeper_due_ms = 0;
    master_drop_helper(m, &m->coming);
    enum err e = keeper_start(m->options->config_file, &m->coming.control, &m->coming.pid);
    if (e == ERR_OK)
        e = master_watch(m, EPOLL_CTL_ADD, m->coming.control, WATCH_COMING, EPOLLIN);
    return e;
}

/* Gives the scribe a socket to the keeper, for the heads of the audit log. It does without until there is one. */
static void link_scribe(const struct master *m)
{
    int pair[2];
    struct buf b;
    struct ipc_attach a = {0, slice_str("scribe")};
    if (m->keeper.control < 0 || m->scribe.control < 0 || ipc_pair(pair) != ERR_OK)
        return;
    buf_init(&b, IPC_SMALL);
    if (!ipc_put_attach(&b, &a) ||
        ipc_send(m->keeper.control, IPC_ATTACH, &b, &pair[0], 1, true) != ERR_OK)
        log_warn("the keeper does not take the scribe");
    buf_clear(&b);
    if (ipc_send(m->scribe.control, IPC_KEEPER_LINK, &b, &pair[1], 1, true) != ERR_OK)
        log_warn("the scribe does not take the keeper");
    buf_release(&b);
    close(pair[0]);
    close(pair[1]);
}

enum err master_bring_scribe(struct master *m)
{
    m->scribe_due_ms = 0;
    struct scribe_how how;
    scribe_how(m->policy->config, &how);
    scribe_require(!how.best);
    enum err e = scribe_start(&how, &m->scribe.control, &m->scribe.pid);
    if (e == ERR_OK)
        e = master_watch(m, EPOLL_CTL_ADD, m->scribe.control, WATCH_SCRIBE, EPOLLIN);
    if (e == ERR_OK)
        link_scribe(m);
    /* It said that it is ready, as a keeper does. */
    if (e == ERR_OK)
        m->backoff_ms = BACKOFF_MS;
    return e;
}

static void tell_ready(struct master *m)
{
    char line[LISTEN_NAME + 16];
    int n = snprintf(line, sizeof line, "ready %s\n", m->address);
    enum fips_mode fips = m->policy->config->tls.fips;
    char statement[FIPS_TEXT];
    log_info("serving at %s", m->address);
    fips_statement(fips, statement);
    if (fips != FIPS_OFF)
        log_info("%s", statement);
    RECORD(m, "start", "address", m->address, "fips", fips_mode_name(fips), "fips_indicator",
           fips_module() ? "module-in-fips-mode" : FIPS_NO_MODULE, NULL);
    if (m->options->ready_fd < 0)
        return;
    if (write(m->options->ready_fd, line, (size_t)n) != n)
        log_warn("nobody reads that the server is ready");
    close(m->options->ready_fd);
}

/* A keeper that was replaced stays as long as a handshake that was given a socket to it may take; it is still heard. */
static void retire(struct master *m, struct helper old)
{
    master_drop_helper(m, &m->retired);
    if (old.control < 0)
        return;
    m->retired = old;
    if (master_watch(m, EPOLL_CTL_MOD, old.control, WATCH_RETIRED, EPOLLIN) != ERR_OK)
        master_drop_helper(m, &m->retired);
    m->retired_until_ms = tls_now_ms() + (int64_t)m->policy->config->handshake_s * 1000;
}

static void keeper_up(struct master *m, uint64_t algorithms)
{
    struct helper old = m->keeper;
    m->keeper = m->coming;
    m->keeper.algorithms = algorithms;
    m->coming = (struct helper){.control = -1};
    if (m->policy->coming)
        tickets_clear(&m->tickets); /* they go with the server's key */
    policy_take_chain(m->policy);
    buf_clear(&m->keeper_status);
    if (master_watch(m, EPOLL_CTL_MOD, m->keeper.control, WATCH_KEEPER, EPOLLIN) != ERR_OK)
        master_stop(m, ERR_INTERNAL);
    retire(m, old);
    link_scribe(m);
    m->backoff_ms = BACKOFF_MS;
    m->tickets_held = false;
    m->tickets_due_ms = 0;
    if (!m->served) {
        tell_ready(m);
    } else {
        log_info("keeper %d is up", (int)m->keeper.pid);
        RECORD(m, "keeper", "status", err_name(ERR_OK), NULL);
    }
    m->served = true;
}

/* The new keeper could not start: fatal at the beginning, and whenever trying again could lock the
 * token. */
static void keeper_failed(struct master *m, enum err status, struct slice reason)
{
    char text[513];
    bool pair = m->policy->coming && status != ERR_PIN; /* half of a change may be on the disk */
    log_scrub(text, sizeof text, reason.p, reason.n);
    log_error("keeper: %s", text);
    RECORD(m, "keeper", "status", err_name(status), NULL);
    master_pair_failed(m, text);
    master_drop_helper(m, &m->coming);
    if (m->keeper.control >= 0)
        log_warn("the keeper that runs is kept");
    else if (!m->served || (!pair && (status == ERR_PIN || status == ERR_CONFIG)))
        master_stop(m, status);
    if (m->keeper.control < 0 ? !m->stop : pair && err_retry(status))
        retry_later(m, &m->keeper_due_ms);
}

void master_on_coming(struct master *m)
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

/* Of a token: for the audit log; the keeper itself has logged it. */
static void on_event(struct master *m, const struct ipc_keeper_event *e)
{
    char token[65], state[17], reason[513];
    if (slice_copy(e->token, token, sizeof token) && slice_copy(e->state, state, sizeof state) &&
        slice_copy(e->reason, reason, sizeof reason))
        RECORD(m, "token", "token", token, "state", state, "reason", reason[0] ? reason : NULL,
               NULL);
}

/* For the audit log: a session of ours asks for no such thing. */
static void on_refused(struct master *m, const struct ipc_keeper_refused *r)
{
    char session[25], peer[65], reason[257];
    if (slice_copy(r->session, session, sizeof session) && slice_copy(r->peer, peer, sizeof peer) &&
        slice_copy(r->reason, reason, sizeof reason))
        RECORD(m, "forbidden", "of", session, "address", peer, "reason", reason, NULL);
}

/* False: not what a keeper says. */
static bool hear_keeper(struct master *m, struct ipc_in *in)
{
    struct ipc_keeper_up up;
    struct ipc_keeper_event event;
    struct ipc_keeper_refused refused;
    struct ipc_keeper_status status;
    if (in->type == IPC_KEEPER_UP && ipc_get_keeper_up(in->body, in->n, &up)) {
        m->keeper.algorithms = up.algorithms;
    } else if (in->type == IPC_KEEPER_EVENT && ipc_get_keeper_event(in->body, in->n, &event)) {
        on_event(m, &event);
    } else if (in->type == IPC_KEEPER_REFUSED &&
               ipc_get_keeper_refused(in->body, in->n, &refused)) {
        on_refused(m, &refused);
    } else if (in->type == IPC_KEEPER_STATUS && ipc_get_keeper_status(in->body, in->n, &status)) {
        buf_clear(&m->keeper_status);
        buf_put(&m->keeper_status, status.messages.p, status.messages.n);
    } else if (in->type == IPC_VOUCH) {
        sessions_vouch(&m->sessions, in->body, in->n);
    } else {
        return in->type == IPC_TICKET_KEY && master_take_ticket_key(m, in);
    }
    return true;
}

/* One message of the keeper; false when there is none. */
static bool hear_once(struct master *m)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    /* The event may be of the one that was replaced a moment ago. */
    enum err e = m->keeper.control < 0 ? ERR_TIMEOUT
                                       : ipc_recv(m->keeper.control, buffer, sizeof buffer, &in, 0);
    if (e == ERR_TIMEOUT)
        return false;
    if (e == ERR_OK) {
        ipc_drop(&in);
        if (hear_keeper(m, &in))
            return true;
    }
    log_error("keeper %d is gone; starting another", (int)m->keeper.pid);
    RECORD(m, "keeper", "status", err_name(ERR_TOKEN), "reason", "gone", NULL);
    master_drop_helper(m, &m->keeper);
    buf_clear(&m->keeper_status);
    if (m->coming.control < 0)
        retry_later(m, &m->keeper_due_ms);
    return false;
}

void master_on_keeper(struct master *m)
{
    (void)hear_once(m);
}

/* Of one that was replaced only its word on signatures counts. */
static bool hear_retired(struct master *m)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    enum err e = m->retired.control < 0
                     ? ERR_TIMEOUT
                     : ipc_recv(m->retired.control, buffer, sizeof buffer, &in, 0);
    if (e == ERR_TIMEOUT)
        return false;
    if (e != ERR_OK) {
        master_drop_helper(m, &m->retired);
        return false;
    }
    ipc_drop(&in);
    if (in.type == IPC_VOUCH)
        sessions_vouch(&m->sessions, in.body, in.n);
    return true;
}

void master_on_retired(struct master *m)
{
    (void)hear_retired(m);
}

void master_hear_vouches(struct master *m)
{
    for (int i = 0; i < HEAR_AT_ONCE && hear_once(m); i++)
        continue;
    for (int i = 0; i < HEAR_AT_ONCE && hear_retired(m); i++)
        continue;
}

void master_on_scribe(struct master *m)
{
    log_error("scribe %d is gone; starting another in %lld ms", (int)m->scribe.pid,
              (long long)m->backoff_ms);
    master_drop_helper(m, &m->scribe);
    retry_later(m, &m->scribe_due_ms);
}

void master_tend_helpers(struct master *m, int64_t now_ms)
{
    if (m->retired.control >= 0 && now_ms >= m->retired_until_ms)
        master_drop_helper(m, &m->retired);
    if (m->keeper_due_ms && now_ms >= m->keeper_due_ms && master_bring_keeper(m) != ERR_OK)
        retry_later(m, &m->keeper_due_ms);
    if (m->scribe_due_ms && now_ms >= m->scribe_due_ms && master_bring_scribe(m) != ERR_OK)
        retry_later(m, &m->scribe_due_ms);
}
