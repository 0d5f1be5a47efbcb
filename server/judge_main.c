/* SPDX-License-Identifier: ISC */
/* The judge itself: the one that reads the certificates. */
#include "judge.h"

#include "confine.h"
#include "ipc.h"
#include "log.h"
#include "probe.h"
#include <time.h>
#include <unistd.h>

enum { CHAIN_MAX = 16 }; /* more are refused by cert_judge */

/* The certificates as the session sent them; false when that is not what they are. */
static bool split(const struct sessions_entry *s, gnutls_datum_t certs[static CHAIN_MAX],
                  unsigned *n)
{
    struct wire_rd rd = wire_read(s->chain, s->chain_n);
    for (*n = 0; rd.p < rd.end && *n < CHAIN_MAX; ++*n) {
        struct slice one = wire_get_str(&rd, UINT16_MAX);
        certs[*n] = (gnutls_datum_t){(unsigned char *)(uintptr_t)one.p, (unsigned)one.n};
    }
    return wire_done(&rd);
}

/* Whether what was granted is still as the rule has it. */
static enum err compare(const struct map *map, const struct map_answer *answer,
                        const struct map_user *granted)
{
    struct map_user *user = map_grant(map, answer->rule, answer->user);
    if (!user)
        return log_fail(ERR_INTERNAL, "out of memory for a verdict");
    const char *lost = map_user_lost(user, granted);
    map_user_free(user);
    return lost ? log_fail(ERR_CONN, "%s: connect again", lost) : ERR_OK;
}

enum err judge_session(const struct policy *p, const struct sessions_entry *s, time_t now,
                       time_t *until)
{
    gnutls_datum_t certs[CHAIN_MAX];
    struct cert_id id;
    unsigned n;
    if (!split(s, certs, &n))
        return log_fail(ERR_AUTH, "its certificates are none");
    enum err e = cert_judge(p->anchors, certs, n, CERT_CLIENT, NULL, now, &id);
    if (e != ERR_OK)
        return e;
    struct map_asker who = {&id, &s->address, now};
    struct map_answer answer;
    if ((e = map_ask(p->map, &who, &answer, NULL, NULL)) == ERR_OK)
        e = compare(p->map, &answer, s->granted);
    else
        e = log_fail(e, "%s any more", answer.told);
    *until = answer.until < id.until ? answer.until : id.until;
    cert_id_release(&id);
    return e;
}

static enum err confine(const struct policy *p, int fd)
{
    int abi;
    enum err e = confine_start(&fd, 1);
    if (e == ERR_OK)
        e = confine_files(NULL, 0, false, p->config->confine_require, &abi);
    if (e == ERR_OK && geteuid() == 0)
        e = confine_become(p->config->session_uid, p->config->session_gid, NULL, 0);
    return e == ERR_OK ? confine_calls(CONFINE_JUDGE) : e;
}

int judge_main(const struct policy *p, const struct sessions *t, uint64_t number, int fd)
{
    sessions_child_begin();
    log_context("judge");
    enum err e = confine(p, fd);
    probe_run("judge");
    log_quiet(true);
    time_t now = time(NULL);
    for (const struct sessions_entry *s = t->head; s && e == ERR_OK; s = s->next) {
        time_t until = 0;
        if (s->asked != number)
            continue;
        if ((e = IPC_SEND(fd, judging, JUDGING, .session = s->number)) != ERR_OK)
            break;
        enum err verdict = judge_session(p, s, now, &until);
        e = IPC_SEND(fd, verdict, VERDICT, .session = s->number, .status = (uint16_t)verdict,
                     .until = (uint64_t)until,
                     .reason = slice_str(verdict == ERR_OK ? NULL : log_reason()));
    }
    return err_exit(e);
}
