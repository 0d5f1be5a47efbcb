/* SPDX-License-Identifier: ISC */
/* The scribe's life: who speaks to it, and what is due. */
#include "scribe_internal.h"

#include "confine.h"
#include "log.h"
#include "probe.h"
#include "tls.h"

#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    READY_MS = 10 * 1000,
    DRAIN_MS = 2 * 1000,
    SINK_MS = 20,
    SINKS_END_MS = 1000,
    WAIT_MAX_MS = 60 * 1000
};

/* ---- answers ---- */

static enum hub_next answer(const struct hub_client *to, enum err status)
{
    struct buf body;
    struct ipc_recorded m = {.status = (uint16_t)status};
    buf_init(&body, IPC_SMALL);
    enum hub_next next =
        ipc_put_recorded(&body, &m) ? hub_answer(to, IPC_RECORDED, &body) : HUB_CLOSE;
    buf_release(&body);
    return next;
}

static void tell_sessions(struct scribe *s)
{
    struct buf body;
    struct ipc_audit_state m = {.status = (uint16_t)s->broken};
    s->tell = false;
    buf_init(&body, IPC_SMALL);
    if (s->hub && ipc_put_audit_state(&body, &m))
        hub_tell(s->hub, IPC_AUDIT_STATE, &body);
    buf_release(&body);
}

/* What is gathered is written, then all that asked are told. close: those that do not take it are closed; where they
 * may not be, their sockets tell. */
static void answer_all(struct scribe *s, bool close)
{
    scribe_settle(s);
    if (close && s->tell) /* before one of them can tell another */
        tell_sessions(s);
    for (size_t i = 0; i < s->n_waiting; i++) {
        struct hub_client *c = s->waiting[i].client;
        s->waiting[i].client = NULL;
        if (c && answer(c, s->waiting[i].status) != HUB_KEEP && close && !c->control)
            hub_close(c);
    }
    s->n_waiting = s->settled = 0;
}

static void gone(void *arg, struct hub_client *client)
{
    struct scribe *s = arg;
    for (size_t i = 0; i < s->n_waiting; i++)
        if (s->waiting[i].client == client)
            s->waiting[i].client = NULL;
}

static enum hub_next answer_status(const struct scribe *s, const struct hub_client *to)
{
    char sinks[64];
    struct buf body;
    const struct heads *h = &s->heads;
    sinks_text(s, sinks, sizeof sinks);
    struct ipc_status_audit m = {.log = slice_str(s->done.log),
                                 .seq = s->done.seq,
                                 .head_seq = h->last.seq,
                                 .head_time = h->last.time,
                                 .head_signed = h->last_signed,
                                 .late_since = (uint64_t)h->late_since,
                                 .late_reason = slice_str(h->late_since ? h->late : NULL),
                                 .status = (uint16_t)s->broken,
                                 .require = !s->how.best,
                                 .lost = s->lost_all,
                                 .sinks = slice_str(sinks),
                                 .sinks_lost = sinks_lost(s)};
    buf_init(&body, IPC_SMALL);
    enum hub_next next =
        ipc_put_status_audit(&body, &m) ? hub_answer(to, IPC_STATUS_AUDIT, &body) : HUB_CLOSE;
    buf_release(&body);
    return next;
}

/* ---- what comes ---- */

/* The last line of the old file and the first of the new one say so. */
static void rotate(struct scribe *s)
{
    bool other;
    int old = -1;
    scribe_settle(s);
    if (scribe_reopen(s, &other, &old) != ERR_OK) {
        log_warn("audit log: the old file stays in use");
        return;
    }
    if (!other)
        return;
    if (old >= 0) {
        int fresh = s->fd;
        s->fd = old;
        scribe_own(s, "rotate", "log", s->done.log, NULL);
        scribe_settle(s);
        scribe_flush(s);
        s->fd = fresh;
        close(old);
    }
    if (!scribe_mend(s))
        return;
    scribe_own(s, "continue", "log", s->done.log, NULL);
    scribe_settle(s);
    s->heads.now = true;
}

/* What the master alone says; false when it is nothing of that. */
static bool heed_master(struct scribe *s, const struct hub_client *from, const struct ipc_in *in,
                        enum hub_next *next)
{
    *next = HUB_KEEP;
    if (in->type == IPC_REOPEN) {
        rotate(s);
    } else if (in->type == IPC_KEEPER_LINK && in->n_fds == 1) {
        heads_link(s, in->fds[0]);
    } else if (in->type == IPC_AUDIT_ASK) {
        answer_all(s, false); /* in the order of what was asked */
        *next = answer_status(s, from);
    } else {
        return false;
    }
    return true;
}

static enum hub_next handle(void *arg, struct hub_client *from, const struct ipc_in *in)
{
    struct scribe *s = arg;
    struct ipc_record m;
    struct ipc_in one;
    struct slice rest = {0};
    enum hub_next next;
    s->hub = from->hub;
    if (from->control && heed_master(s, from, in, &next))
        return next;
    if (s->n_waiting == sizeof s->waiting / sizeof s->waiting[0])
        answer_all(s, false);
    struct waiting *w = &s->waiting[s->n_waiting++];
    *w = (struct waiting){.client = from};
    bool whole = in->n_fds == 0;
    while (whole && ipc_next(in, &rest, &one)) {
        whole = one.type == IPC_RECORD && ipc_get_record(one.body, one.n, &m);
        enum err added = whole ? scribe_line(s, from, &m) : ERR_OK;
        w->status = w->status != ERR_OK ? w->status : added;
    }
    if (whole && rest.n == 0)
        return HUB_KEEP;
    log_warn("session %s, peer %s: malformed audit record; closed", from->session, from->peer);
    return HUB_CLOSE;
}

static enum hub_next tend(void *arg, int *wait_ms)
{
    struct scribe *s = arg;
    int64_t now = tls_now_ms();
    answer_all(s, true);
    if (s->broken != ERR_OK && now >= s->again_ms)
        (void)scribe_mend(s);
    heads_tend(s, now);
    if (s->tell)
        tell_sessions(s);
    int64_t next = heads_next_ms(s);
    if (s->broken != ERR_OK)
        next = s->again_ms;
    if (sinks_tend(s) && next > now + SINK_MS)
        next = now + SINK_MS;
    *wait_ms = next - now > WAIT_MAX_MS ? WAIT_MAX_MS : next > now ? (int)(next - now) : 1;
    return HUB_KEEP;
}

/* ---- beginning and end ---- */

/* The scribe outlives a stop of the server until the last session has said its last: it is the end
 * of its sockets that ends it, no signal. The master's own handlers mean nothing here. */
static void ignore_signals(void)
{
    static const int all[] = {SIGINT,  SIGHUP,  SIGTERM, SIGQUIT, SIGPIPE,
                              SIGXFSZ, SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD};
    sigset_t none;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        signal(all[i], SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* What opening the log anew takes in a folder of another account. */
static uint64_t needed_of(const struct scribe *s)
{
    struct stat st;
    bool own = s->folder < 0 || (fstat(s->folder, &st) == 0 && st.st_uid == geteuid());
    return own ? 0 : 1u << CAP_DAC_OVERRIDE;
}

static enum err confine(struct scribe *s)
{
    int keep[] = {s->control, s->fd, s->folder, s->epoll, s->sinks[0].fd, s->sinks[1].fd}, abi;
    tzset(); /* reads its file now: there will be no reading later */
    enum err rc = confine_start(keep, sizeof keep / sizeof keep[0]);
    if (!rc)
        rc = confine_files(&s->folder, s->folder >= 0 ? 1 : 0, false, false, &abi);
    if (!rc)
        rc = confine_capabilities(needed_of(s));
    return rc ? rc : confine_calls(CONFINE_SCRIBE);
}

static _Noreturn void live(struct scribe *s)
{
    struct hub_work work = {.handle = handle, .gone = gone, .tend = tend, .arg = s};
    ignore_signals();
    buf_init(&s->lines, 4 * AUDIT_LINE_MAX);
    heads_init(s);
    sinks_open(s);
    work.fd = s->epoll = epoll_create1(EPOLL_CLOEXEC);
    enum err rc = s->epoll < 0 ? log_fail_errno("epoll") : confine(s);
    probe_run("scribe");
    if (!rc && s->fd >= 0)
        scribe_resume(s);
    if (!rc)
        rc = IPC_SEND(s->control, recorded, RECORDED, .status = ERR_OK);
    if (!rc)
        rc = hub_serve(s->control, SIZE_MAX, DRAIN_MS, &work);
    s->hub = NULL;
    answer_all(s, false);
    heads_end(s);
    for (int64_t until = tls_now_ms() + SINKS_END_MS; sinks_tend(s) && tls_now_ms() < until;)
        (void)poll(NULL, 0, SINK_MS / 4);
    sinks_close(s);
    buf_release(&s->lines);
    _exit(err_exit(rc));
}

/* The sign that it is ready. */
static enum err await_ready(int fd)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_recorded m;
    enum err rc = ipc_recv(fd, buffer, sizeof buffer, &in, READY_MS);
    if (rc != ERR_OK)
        return log_fail(rc, "the scribe does not start");
    ipc_drop(&in);
    if (in.type != IPC_RECORDED || !ipc_get_recorded(in.body, in.n, &m))
        return log_fail(ERR_INTERNAL, "the scribe said %s first", ipc_name(in.type));
    rc = err_from_wire(m.status);
    return rc ? log_fail(rc, "the scribe says: %s", err_text(rc)) : ERR_OK;
}

enum err scribe_start(const struct scribe_how *how, int *control, pid_t *pid)
{
    struct scribe s = {.how = *how, .folder = -1, .fd = -1, .epoll = -1};
    int pair[2] = {-1, -1};
    *control = -1;
    enum err rc = scribe_open(&s);
    if (!rc)
        rc = ipc_pair(pair);
    if (rc)
        goto out;
    s.control = pair[1];
    *pid = fork();
    if (*pid == 0)
        live(&s);
    close(pair[1]);
    rc = *pid < 0 ? log_fail_errno("starting the scribe") : await_ready(pair[0]);
    if (rc)
        close(pair[0]);
    else
        *control = pair[0];
out:
    if (s.fd >= 0)
        close(s.fd);
    if (s.folder >= 0)
        close(s.folder);
    return rc;
}

void scribe_how(const struct config *c, struct scribe_how *out)
{
    *out = (struct scribe_how){.file = c->audit,
                               .best = c->audit_best,
                               .sync = c->audit_sync,
                               .sign = c->sign.key != NULL,
                               .head_records = c->audit_head_records,
                               .head_s = c->audit_head_s,
                               .journald = c->audit_journald,
                               .syslog = c->audit_syslog};
}
