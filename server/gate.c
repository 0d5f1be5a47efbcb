/* SPDX-License-Identifier: ISC */
#include "gate.h"

#include "admission.h"
#include "log.h"
#include "scribe.h"
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/wait.h>

static const char *const reasons[GATE_REASONS] = {
    [GATE_PEER] = "too many sessions from this address",
    [GATE_FAILED] = "no session could be started",
};

#define TELL(scribe, ...)                                                                          \
    do {                                                                                           \
        if ((scribe) >= 0 && scribe_record(scribe, __VA_ARGS__) != ERR_OK)                         \
            log_warn("an event of the server is not in the audit log");                            \
    } while (0)

enum err gate_init(struct gate *g)
{
    uint64_t secret = 0;
    *g = (struct gate){0};
    if (getrandom(&secret, sizeof secret, 0) != sizeof secret)
        return log_fail_errno("random bytes");
    g->penalties = penalties_new(secret);
    return g->penalties ? ERR_OK : log_fail(ERR_INTERNAL, "out of memory for penalties");
}

void gate_release(struct gate *g)
{
    penalties_free(g->penalties);
    g->penalties = NULL;
}

enum err gate_fit(struct gate *g, const struct config *c)
{
    struct rlimit now;
    if (getrlimit(RLIMIT_NOFILE, &now) != 0)
        return log_fail_errno("limit on descriptors");
    now.rlim_cur = now.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &now) != 0)
        return log_fail_errno("limit on descriptors");
    uint64_t most = admission_places(now.rlim_max);
    g->places = most < c->sessions ? most : c->sessions;
    if (most == 0)
        return log_fail(ERR_CONFIG, "%llu descriptors (RLIMIT_NOFILE) are too few for a server",
                        (unsigned long long)now.rlim_max);
    if (most < c->sessions)
        log_warn("%llu descriptors (RLIMIT_NOFILE) allow %" PRIu64 " sessions, not the %" PRIu64
                 " of the configuration",
                 (unsigned long long)now.rlim_max, most, c->sessions);
    return ERR_OK;
}

/* ---- who comes ---- */

bool gate_full(const struct gate *g, const struct sessions *t, const struct config *c)
{
    return t->n >= g->places || t->n - t->authorised >= c->handshakes;
}

static bool peer_has_its_share(const struct sessions *t, const struct config *c,
                               const struct network *peer)
{
    uint64_t same = 0;
    for (const struct sessions_entry *s = t->head; s; s = s->next)
        same += network_eq(&s->network, peer);
    return same >= c->sessions_per_address;
}

bool gate_admit(struct gate *g, struct sessions *t, const struct config *c,
                const struct sockaddr_storage *address, int64_t now_ms, int scribe)
{
    struct network peer;
    network_of_peer(address, &peer);
    /* Exempted by a reload counts at once. */
    bool exempt = c->penalty_s == 0 || networks_have(&c->penalty_exempt, address);
    if (!exempt && penalties_apply(g->penalties, &peer, now_ms)) {
        g->shut_out++;
        t->dropped++;
        return false;
    }
    if (!peer_has_its_share(t, c, &peer))
        return true;
    gate_turned(g, t, GATE_PEER, address, now_ms, scribe);
    return false;
}

/* ---- who is turned away ---- */

static void tell_turned(struct gate *g, enum gate_reason why, int64_t now_ms, int scribe)
{
    char n[24];
    snprintf(n, sizeof n, "%" PRIu64, g->turned[why].n);
    log_warn("%s: dropped: %s (%s in the last %d s)", g->turned[why].last, reasons[why], n,
             GATE_TELL_MS / 1000);
    TELL(scribe, "dropped", "address", g->turned[why].last, "reason", reasons[why], "connections",
         n, NULL);
    g->turned[why].n = 0;
    g->turned[why].due_ms = now_ms + GATE_TELL_MS;
}

void gate_turned(struct gate *g, struct sessions *t, enum gate_reason why,
                 const struct sockaddr_storage *address, int64_t now_ms, int scribe)
{
    t->dropped++;
    g->turned[why].n++;
    listen_peer(address, g->turned[why].last);
    if (now_ms >= g->turned[why].due_ms)
        tell_turned(g, why, now_ms, scribe);
}

void gate_tick(struct gate *g, int64_t now_ms, int scribe)
{
    struct penalty_peer p;
    char name[NETWORK_TEXT], n[24];
    for (int why = 0; why < GATE_REASONS; why++)
        if (g->turned[why].n > 0 && now_ms >= g->turned[why].due_ms)
            tell_turned(g, (enum gate_reason)why, now_ms, scribe);
    while (penalties_ended(g->penalties, now_ms, &p)) {
        network_text(&p.who, name);
        snprintf(n, sizeof n, "%" PRIu64, p.turned);
        log_info("%s may come again; %s connections were turned away", name, n);
        TELL(scribe, "penalty", "address", name, "state", "ended", "connections", n, NULL);
    }
}

/* ---- who is slow ---- */

void gate_press(struct gate *g, struct sessions *t, const struct config *c, int listener,
                int64_t now_ms)
{
    struct pollfd waiting = {.fd = listener, .events = POLLIN};
    int64_t patience_ms = admission_patience_ms(c->handshake_s);
    if (!gate_full(g, t, c) || poll(&waiting, 1, 0) != 1)
        return;
    for (struct sessions_entry *s = t->head; s; s = s->next) {
        int64_t since_ms = board_peers_turn_since(s->board);
        since_ms = since_ms < s->started_ms ? s->started_ms : since_ms;
        if (s->user[0] || s->gave_way || now_ms - since_ms < patience_ms)
            continue;
        s->gave_way = true;
        g->gave_way++;
        kill(s->pid, SIGKILL);
    }
}

/* ---- who failed ---- */

/* What the peer did; false: nothing that counts. The status is the session's own word, which can
 * help or harm nobody but its own peer. */
static bool offence_of(const struct sessions_entry *s, int status, enum penalty_offence *out)
{
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    *out = PENALTY_SILENCE;
    if (s->gave_way || s->expired)
        return true;
    if (number) {
        *out = PENALTY_CRASH;
        return number == SIGSEGV || number == SIGBUS || number == SIGABRT || number == SIGILL ||
               number == SIGFPE || number == SIGSYS;
    }
    switch ((enum err)WEXITSTATUS(status)) {
    case ERR_TIMEOUT:
        return true;
    case ERR_CONN:
        *out = PENALTY_LEFT;
        return true;
    case ERR_TLS:
    case ERR_PROTO:
        *out = PENALTY_NOISE;
        return true;
    case ERR_AUTH:
    case ERR_DENIED:
        *out = PENALTY_REFUSED;
        return true;
    default:
        return false;
    }
}

void gate_ended(struct gate *g, const struct config *c, const struct sessions_entry *s, int status,
                int64_t now_ms, int scribe)
{
    enum penalty_offence offence;
    struct penalty_peer p;
    char name[NETWORK_TEXT], seconds[24];
    if (s->gave_way)
        TELL(scribe, "handshake", "of", s->name, "address", s->peer, "status",
             err_name(ERR_TIMEOUT), "reason", "too slow while others waited", NULL);
    if (s->user[0] || networks_have(&c->penalty_exempt, &s->address))
        return;
    if (!offence_of(s, status, &offence) ||
        !penalties_add(g->penalties, &s->network, offence, (int64_t)c->penalty_s * 1000, now_ms,
                       &p))
        return;
    network_text(&p.who, name);
    snprintf(seconds, sizeof seconds, "%lld", (long long)(p.until_ms - now_ms) / 1000);
    log_warn("%s is shut out for %s s: %s", name, seconds, penalty_text(p.last));
    TELL(scribe, "penalty", "address", name, "state", "begun", "seconds", seconds, "reason",
         penalty_text(p.last), NULL);
}
