/* SPDX-License-Identifier: ISC */
/* The master's children that have ended: which one it was, and why. */
#include "master_internal.h"

#include "confine.h"
#include "tls.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* Who a process is, looked up before its end is acted upon. */
struct dead {
    pid_t pid;
    int status;
    const char *role;
    char of[33], user[65]; /* its session and user; "" without */
};

static bool is_helper(const struct master *m, pid_t pid)
{
    return pid == m->keeper.pid || pid == m->coming.pid || pid == m->retired.pid;
}

/* Either may be the first to be seen dead, whichever died of the other. */
static void remember_store(struct master *m, const struct sessions_entry *s)
{
    struct orphan *o = &m->orphans[m->next_orphan++ % ORPHANS];
    o->store = s->store;
    snprintf(o->of, sizeof o->of, "%s", s->name);
    snprintf(o->user, sizeof o->user, "%s", s->user);
}

static bool find_orphan(struct master *m, struct dead *d)
{
    for (struct orphan *o = m->orphans; o < m->orphans + ORPHANS; o++) {
        if (o->store != d->pid)
            continue;
        d->role = "store";
        snprintf(d->of, sizeof d->of, "%s", o->of);
        snprintf(d->user, sizeof d->user, "%s", o->user);
        o->store = 0;
        return true;
    }
    return false;
}

static void identify(struct master *m, struct dead *d)
{
    const struct sessions_entry *s = m->sessions.head;
    if (find_orphan(m, d))
        return;
    while (s && s->pid != d->pid && s->store != d->pid)
        s = s->next;
    d->role = s                                     ? s->pid == d->pid ? "session" : "store"
              : is_helper(m, d->pid)                ? "keeper"
              : d->pid == m->scribe.pid             ? "scribe"
              : d->pid == m->usher.pid              ? "usher"
              : d->pid == m->housekeeping.sweep.pid ? "sweep"
              : d->pid == m->housekeeping.scrub.pid ? "scrub"
                                                    : "process";
    snprintf(d->of, sizeof d->of, "%s", s ? s->name : "");
    snprintf(d->user, sizeof d->user, "%s", s ? s->user : "");
}

/* "(a call that its confinement forbids: ptrace)"; "" when it was another signal. call: its name, "" if it is not known. */
static void explain(struct master *m, const struct dead *d, char *why, size_t why_cap,
                    char call[static CONFINE_CALL_NAME])
{
    int number = WTERMSIG(d->status) == SIGSYS ? crash_call(&m->crash, d->pid) : -1;
    why[0] = call[0] = '\0';
    if (number >= 0)
        confine_call_name(number, call);
    /* abort() sends itself a signal, which no process may. */
    const char *abort = strcmp(call, "tgkill") == 0 ? ", as abort() makes" : "";
    if (WTERMSIG(d->status) == SIGSYS)
        snprintf(why, why_cap, " (a call that its confinement forbids%s%s%s)", call[0] ? ": " : "",
                 call, abort);
}

static void tell(struct master *m, const struct dead *d)
{
    const char *signal_name = strsignal(WTERMSIG(d->status));
    char why[96], call[CONFINE_CALL_NAME];
    explain(m, d, why, sizeof why, call);
    m->sessions.killed++;
    log_error("%s%s%s%s%s (pid %d) was killed: %s%s", d->role, d->of[0] ? " " : "", d->of,
              d->user[0] ? " of user " : "", d->user, (int)d->pid, signal_name, why);
    RECORD(m, "killed", "process", d->role, "of", d->of[0] ? d->of : NULL, "user",
           d->user[0] ? d->user : NULL, "signal", signal_name, "call", call[0] ? call : NULL, NULL);
}

void master_reap(struct master *m)
{
    struct dead d;
    while ((d.pid = waitpid(-1, &d.status, WNOHANG)) > 0) {
        identify(m, &d);
        struct sessions_entry *s = sessions_reaped(&m->sessions, d.pid);
        bool chore = housekeeping_reaped(&m->housekeeping, m->policy, d.pid, d.status,
                                         m->scribe.control) != NULL;
        chore |= usher_reaped(&m->usher, &m->sessions, m->policy, d.pid, m->scribe.control);
        bool ours = s && (s->gave_way || s->expired);
        if (WIFSIGNALED(d.status) && !ours && !(chore && m->drain_until_ms))
            tell(m, &d);
        if (s && s->store > 0)
            remember_store(m, s);
        if (s)
            gate_ended(&m->gate, m->policy->config, s, d.status, tls_now_ms(), m->scribe.control);
        sessions_free(s);
    }
}
