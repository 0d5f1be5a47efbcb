/* SPDX-License-Identifier: ISC */
/* What the keeper counts, and what it tells the master unasked. The master never waits for it. */
#include "keeper_internal.h"

#include "log.h"
#include "tls.h"
#include <string.h>
#include <unistd.h>

enum { STATUS_EVERY_MS = 500, SUB = 4 };

/* Size classes of microseconds: 0 to 3 each its own, then four to a power of two. */
static unsigned class_of(uint64_t us)
{
    if (us < SUB)
        return (unsigned)us;
    unsigned log2 = 63 - (unsigned)__builtin_clzll(us);
    unsigned c = SUB * (log2 - 1) + (unsigned)(us >> (log2 - 2) & (SUB - 1));
    return c < LATENCIES ? c : LATENCIES - 1;
}

/* The largest of a class. */
static uint64_t class_end(unsigned c)
{
    if (c < SUB)
        return c;
    unsigned log2 = c / SUB + 1;
    return (UINT64_C(1) << log2) + ((uint64_t)(c % SUB) + 1) * (UINT64_C(1) << (log2 - 2)) - 1;
}

void count_latency(struct keeper *k, int64_t asked_ns)
{
    int64_t ns = tls_now_ns() - asked_ns;
    k->counts.latency[class_of(ns > 0 ? (uint64_t)ns / 1000 : 0)]++;
}

uint64_t count_percentile(const struct counts *c, unsigned per_thousand)
{
    uint64_t all = 0, seen = 0;
    for (unsigned i = 0; i < LATENCIES; i++)
        all += c->latency[i];
    for (unsigned i = 0; all && i < LATENCIES; i++) {
        seen += c->latency[i];
        if (seen * 1000 >= all * per_thousand)
            return class_end(i);
    }
    return 0;
}

/* ---- to the master ---- */

/* Sends without ever waiting; false when there was no room. */
static bool send_control(const struct keeper *k, uint8_t type, const struct buf *body)
{
    enum err e = ipc_send(k->control, type, body, NULL, 0, true);
    if (e != ERR_OK && e != ERR_CONN)
        log_debug("the master does not take %s", ipc_name(type));
    return e == ERR_OK;
}

static struct slice cut(const char *text, size_t max)
{
    return slice_of(text ? text : "", text ? strnlen(text, max) : 0);
}

void status_refused(const struct keeper *k, const struct hub_client *from, const char *why)
{
    struct buf b;
    struct ipc_keeper_refused m = {slice_str(from->session), cut(from->peer, 64), cut(why, 256)};
    buf_init(&b, IPC_SMALL);
    if (ipc_put_keeper_refused(&b, &m))
        send_control(k, IPC_KEEPER_REFUSED, &b);
    buf_release(&b);
}

void status_event(const struct keeper *k, const struct token *t, const char *state,
                  const char *reason)
{
    struct buf b;
    struct ipc_keeper_event m = {slice_str(t->config->name), slice_str(state), cut(reason, 512)};
    buf_init(&b, IPC_SMALL);
    if (k->served && ipc_put_keeper_event(&b, &m))
        (void)send_control(k, IPC_KEEPER_EVENT, &b);
    buf_release(&b);
}

/* One message of a status: length, type, body (status.c). */
#define PUT(out, name, NAME, ...)                                                                  \
    do {                                                                                           \
        size_t at_ = ipc_begin(out, IPC_##NAME);                                                   \
        struct ipc_##name m_ = {__VA_ARGS__};                                                      \
        (void)ipc_put_##name(out, &m_);                                                            \
        (void)!ipc_end(out, at_);                                                                  \
    } while (0)

static const char *state_name(const struct keeper *k, const struct token *t)
{
    static const char *const names[] = {[TOKEN_DOWN] = "down",
                                        [TOKEN_STARTING] = "starting",
                                        [TOKEN_UP] = "up",
                                        [TOKEN_REFUSED] = "refused"};
    return t == k->in_use ? "in use" : names[t->state];
}

static void put_token(struct buf *out, const struct keeper *k, const struct token *t)
{
    bool up = t->state == TOKEN_UP;
    PUT(out, status_token, STATUS_TOKEN, .name = slice_str(t->config->name),
        .key = cut(t->config->key, 512), .state = slice_str(state_name(k, t)),
        .reason = slice_str(up ? "" : t->reason), .pid = t->fd >= 0 ? (uint32_t)t->pid : 0,
        .sessions = up ? t->sessions : 0, .sessions_max = (uint32_t)t->config->sessions,
        .signatures = t->signatures, .starts = t->starts, .errors = t->errors, .hangs = t->hangs,
        .deaths = t->deaths, .failures = t->failures, .seeds = t->seeds, .unhealthy = t->unhealthy);
}

static bool send_status(const struct keeper *k)
{
    const struct counts *c = &k->counts;
    struct buf out;
    buf_init(&out, IPC_SMALL - 1);
    PUT(&out, status_keeper, STATUS_KEEPER, .pid = (uint32_t)getpid(),
        .in_use = slice_str(k->in_use ? k->in_use->config->name : ""), .waiting = k->waiting.n,
        .waiting_most = c->waiting_most, .waiting_max = k->config->sign_queue,
        .signatures = c->signatures, .p50 = count_percentile(c, 500),
        .p99 = count_percentile(c, 990), .forbidden = c->forbidden, .shed_full = c->shed_full,
        .shed_late = c->shed_late);
    for (const struct token *t = k->tokens; t < k->tokens + k->n_tokens + (k->sign != NULL); t++)
        put_token(&out, k, t);
    bool sent = send_control(k, IPC_KEEPER_STATUS, &out);
    buf_release(&out);
    return sent;
}

/* At the start nobody is served before the key of statements is up, or away; one that is refused ends the keeper. */
static bool holds_up(const struct token *sign)
{
    return sign && (sign->state == TOKEN_STARTING || sign->state == TOKEN_REFUSED ||
                    (sign->state == TOKEN_DOWN && sign->starts == 0));
}

/* The first token that is up is the one in use. */
static void tell_in_use(struct keeper *k)
{
    const struct token *now = NULL;
    for (const struct token *t = k->tokens; !now && t < k->tokens + k->n_tokens; t++)
        now = t->state == TOKEN_UP ? t : NULL;
    if (now == k->in_use || (!k->served && holds_up(k->sign)))
        return;
    k->in_use = now;
    if (!now)
        return;
    if (k->served && k->n_tokens > 1) {
        log_info("token %s signs from now on", now->config->name);
        status_event(k, now, "in use", NULL);
    }
    if (now->algorithms != k->told || !k->served)
        if (IPC_SEND(k->control, keeper_up, KEEPER_UP, .algorithms = now->algorithms) != ERR_OK)
            log_debug("the master does not hear that signing works");
    k->told = now->algorithms;
    k->served = true;
}

void status_tend(struct keeper *k, int64_t now_ms)
{
    tell_in_use(k);
    if (!k->served || !k->changed || now_ms < k->status_due_ms)
        return;
    k->changed = !send_status(k);
    k->status_due_ms = now_ms + STATUS_EVERY_MS;
}
