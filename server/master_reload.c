/* SPDX-License-Identifier: ISC */
/* What a policy is made of, read anew: when the master is told to, and by itself when the files have changed. */
#include "master_internal.h"

#include "ipc.h"
#include "tls.h"
#include <stdio.h>
#include <time.h>

static void note_failure(struct master *m, const char *what)
{
    m->reload.failed = (int64_t)time(NULL);
    snprintf(m->reload.reason, sizeof m->reload.reason, "%s", what);
}

static void failed(struct master *m)
{
    note_failure(m, log_reason());
    log_error("reload failed: everything stays as it was");
    RECORD(m, "reload", "status", err_name(ERR_CONFIG), "reason", m->reload.reason, NULL);
}

/* The new certificate is shown once a keeper has its key. A keeper that is on its way for another one, or read the
 * files before, is not waited for. */
static void pair_up(struct master *m, struct policy *fresh, bool anew)
{
    bool wanted = policy_pair(fresh, m->policy) || anew || m->tickets_held;
    if (!wanted && m->keeper.control >= 0) {
        master_drop_helper(m, &m->coming);
        m->keeper_due_ms = 0;
    } else if (master_bring_keeper(m) != ERR_OK) {
        log_error("the keeper that runs is kept");
    }
}

static void replace(struct master *m, struct policy *fresh, bool anew)
{
    /* The keeper that comes makes them as the new configuration says. */
    if (!tickets_same(m->policy->config, fresh->config)) {
        tickets_clear(&m->tickets);
        m->tickets_held = true;
    }
    pair_up(m, fresh, anew);
    policy_free(m->policy);
    m->policy = fresh;
    m->reload.loaded = (int64_t)time(NULL);
    m->reload.failed = 0;
    m->reload.reason[0] = '\0';
    housekeeping_reload(&m->housekeeping, m->policy);
    usher_reload(&m->usher, &m->sessions);
    crl_alarm_reload(&m->crl_alarm);
    if (gate_fit(&m->gate, m->policy->config) != ERR_OK)
        log_warn("no more sessions than before");
    log_info("configuration, map, anchors and revocation lists loaded");
    RECORD(m, "reload", "status", err_name(ERR_OK), NULL);
}

/* anew: with another keeper in any case, as whoever asks for it may know of a reason. */
static void reload(struct master *m, bool anew)
{
    struct policy *fresh;
    notice_reading(&m->notice, m->policy->config);
    enum err e = policy_load(m->options->config_file, m->policy->generation + 1, &fresh);
    notice_read(&m->notice, e == ERR_OK ? &fresh->files : NULL, tls_now_ms());
    if (e == ERR_OK)
        replace(m, fresh, anew);
    else
        failed(m);
}

void master_reload(struct master *m)
{
    reload(m, true);
    /* The log may have been moved away. */
    if (m->scribe.control >= 0 && IPC_SEND(m->scribe.control, reopen, REOPEN, ) != ERR_OK)
        log_warn("the audit log could not be reopened");
}

/* What could not be loaded is tried again now and then, without a word unless that changes something. */
static void try_again(struct master *m)
{
    struct policy *fresh;
    log_quiet(true);
    notice_reading(&m->notice, m->policy->config);
    enum err e = policy_load(m->options->config_file, m->policy->generation + 1, &fresh);
    log_quiet(false);
    notice_read(&m->notice, e == ERR_OK ? &fresh->files : NULL, tls_now_ms());
    if (e == ERR_OK)
        replace(m, fresh, false);
}

void master_watch_files(struct master *m, int64_t now_ms)
{
    bool changed = false;
    if (!notice_tick(&m->notice, m->policy->config, now_ms, &changed))
        return;
    if (!changed) {
        try_again(m);
        return;
    }
    log_info("files of the configuration have changed");
    reload(m, false);
}

void master_pair_failed(struct master *m, const char *reason)
{
    if (!m->policy->coming)
        return;
    char what[sizeof m->reload.reason];
    snprintf(what, sizeof what, "certificate and key: %.400s; the last good pair goes on", reason);
    log_error("%s", what);
    note_failure(m, what);
    RECORD(m, "reload", "status", err_name(ERR_CONFIG), "reason", what, NULL);
}
