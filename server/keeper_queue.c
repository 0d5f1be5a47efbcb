/* SPDX-License-Identifier: ISC */
/* The requests of sessions: in the order of their coming, each until its own time has passed. */
#include "keeper_internal.h"

#include "log.h"
#include "tls.h"
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { TRIES = 3, RETRY_MAX_S = 31 };

/* ---- lists ---- */

/* By number, as requests that come back keep their place; most go to the end. */
static void put(struct queue *q, struct request *r)
{
    struct request **at = &q->first;
    while (*at && (*at)->number < r->number)
        at = &(*at)->next;
    r->next = *at;
    *at = r;
    q->n++;
}

static struct request *take_out(struct queue *q, struct request **at)
{
    struct request *r = *at;
    *at = r->next;
    r->next = NULL;
    q->n--;
    return r;
}

void queue_release(struct queue *q)
{
    while (q->first)
        free(take_out(q, &q->first));
}

/* ---- answers ---- */

enum hub_next queue_tell(const struct hub_client *to, enum err status, unsigned retry_s,
                         struct slice signature)
{
    struct buf body;
    struct ipc_signed m = {(uint16_t)status, (uint16_t)retry_s, signature};
    buf_init(&body, IPC_MAX);
    enum hub_next next = ipc_put_signed(&body, &m) ? hub_answer(to, IPC_SIGNED, &body) : HUB_CLOSE;
    buf_release(&body);
    return next;
}

/* A session that says more than its one request is told of, since ours never does. */
static void watch_for_more(const struct hub_client *from)
{
    char byte;
    if (recv(from->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
        log_warn("session %s, peer %s: will not sign: it asked more than once", from->session,
                 from->peer);
}

/* Answers, and ends with the session. */
static void settle(struct request *r, enum err status, unsigned retry_s, struct slice signature)
{
    struct hub_client *client = r->client;
    if (!client)
        return;
    r->client = NULL;
    client->data = NULL;
    (void)!queue_tell(client, status, retry_s, signature);
    watch_for_more(client);
    hub_close(client);
}

unsigned queue_retry_s(const struct keeper *k, int64_t now_ms)
{
    int64_t due_ms = INT64_MAX;
    for (const struct token *t = k->tokens; t < k->tokens + k->n_tokens; t++) {
        if (t->state == TOKEN_UP) { /* too much at once: what waits now has to be done first */
            uint64_t us = count_percentile(&k->counts, 500) * k->waiting.n;
            due_ms = now_ms + (int64_t)(us / 1000);
            break;
        }
        if (t->state != TOKEN_REFUSED && t->due_ms < due_ms)
            due_ms = t->state == TOKEN_DOWN ? t->due_ms : now_ms;
    }
    if (due_ms > now_ms + RETRY_MAX_S * 1000 - 1000)
        return RETRY_MAX_S;
    return due_ms > now_ms ? 1 + (unsigned)((due_ms - now_ms) / 1000) : 1;
}

static void shed(struct keeper *k, struct request *r, int64_t now_ms)
{
    unsigned retry_s = queue_retry_s(k, now_ms);
    k->counts.shed_late++;
    k->changed = true;
    log_warn("session %s, peer %s: no signature in time: told to try again after %u s",
             r->client->session, r->client->peer, retry_s);
    settle(r, ERR_AWAY, retry_s, (struct slice){0});
}

/* ---- coming and going ---- */

bool queue_take(struct keeper *k, struct hub_client *from, const struct scheme *scheme,
                struct slice hash)
{
    const struct config *c = k->config;
    /* A part of the handshake's time is left for telling it. */
    int64_t wait_ms = (int64_t)c->sign_wait_s * 1000, most_ms = (int64_t)c->handshake_s * 750;
    struct request *r = k->waiting.n < c->sign_queue ? calloc(1, sizeof *r) : NULL;
    if (!r || hash.n > sizeof r->hash) {
        free(r);
        return false;
    }
    *r = (struct request){.number = ++k->next_number,
                          .client = from,
                          .scheme = scheme,
                          .n = hash.n,
                          .asked_ns = tls_now_ns(),
                          .due_ms = tls_now_ms() + (wait_ms < most_ms ? wait_ms : most_ms)};
    memcpy(r->hash, hash.p, hash.n);
    from->data = r;
    put(&k->waiting, r);
    return true;
}

uint64_t queue_direct(struct keeper *k, struct token *t, const struct scheme *scheme,
                      struct slice text)
{
    struct request *r = t->given.n < t->sessions ? calloc(1, sizeof *r) : NULL;
    if (!r || text.n > sizeof r->text) {
        free(r);
        return 0;
    }
    *r = (struct request){.number = ++k->next_number, .scheme = scheme, .n_text = text.n};
    memcpy(r->text, text.p, text.n);
    uint64_t number = r->number;
    put(&t->given, r);
    return token_give(k, t, r, tls_now_ms()) ? number : 0;
}

void queue_forget(struct keeper *k, const struct hub_client *client)
{
    struct request *r = client->data;
    if (!r)
        return;
    r->client = NULL;
    /* One that a signer has is freed with its answer. */
    for (struct request **at = &k->waiting.first; *at; at = &(*at)->next) {
        if (*at == r) {
            free(take_out(&k->waiting, at));
            return;
        }
    }
}

void queue_put_back(struct keeper *k, struct token *t)
{
    while (t->given.first) {
        struct request *r = take_out(&t->given, &t->given.first);
        if (r->client && r->tries < TRIES) {
            put(&k->waiting, r);
            continue;
        }
        if (r->client)
            shed(k, r, tls_now_ms());
        free(r);
    }
}

/* Tells the master what is given to the session, ahead of it; false when that can't be done now. */
static bool vouch(const struct keeper *k, const struct request *r, struct slice signature)
{
    struct ipc_vouch m = {r->client->number, slice_of(r->hash, r->n), signature};
    struct buf b;
    buf_init(&b, IPC_SMALL);
    enum err e =
        ipc_put_vouch(&b, &m) ? ipc_send(k->control, IPC_VOUCH, &b, NULL, 0, true) : ERR_INTERNAL;
    buf_release(&b);
    return e == ERR_OK;
}

void queue_answer(struct keeper *k, struct token *t, const struct ipc_signer_signed *m)
{
    struct request **at = &t->given.first;
    while (*at && (*at)->number != m->number)
        at = &(*at)->next;
    if (!*at)
        return;
    struct request *r = take_out(&t->given, at);
    t->signatures++;
    if (r->client) {
        k->counts.signatures++;
        count_latency(k, r->asked_ns);
    }
    k->changed = true;
    if (r->client && !vouch(k, r, m->signature))
        shed(k, r, tls_now_ms());
    else
        settle(r, ERR_OK, 0, m->signature);
    free(r);
}

/* ---- what is due ---- */

static void expire(struct keeper *k, int64_t now_ms)
{
    for (struct request **at = &k->waiting.first; *at && (*at)->due_ms <= now_ms;) {
        struct request *r = take_out(&k->waiting, at);
        shed(k, r, now_ms);
        free(r);
    }
    /* The signer may still answer; what is given up with it is told there. */
    for (struct token *t = k->tokens; t < k->tokens + k->n_tokens; t++)
        for (struct request *r = t->given.first; r; r = r->next)
            if (r->client && r->due_ms <= now_ms)
                shed(k, r, now_ms);
}

static bool has_room(const struct keeper *k)
{
    for (const struct token *t = k->tokens; t < k->tokens + k->n_tokens; t++)
        if (t->state == TOKEN_UP && t->given.n < t->sessions)
            return true;
    return false;
}

static void dispatch(struct keeper *k, int64_t now_ms)
{
    for (struct request **at = &k->waiting.first; *at && has_room(k);) {
        struct token *t = token_for(k, (*at)->scheme);
        if (!t || t->given.n >= t->sessions) {
            at = &(*at)->next;
            continue;
        }
        struct request *r = take_out(&k->waiting, at);
        put(&t->given, r);
        if (!token_give(k, t, r, now_ms))
            at = &k->waiting.first; /* it was put back, with all that the signer had */
    }
}

void queue_tend(struct keeper *k, int64_t now_ms)
{
    dispatch(k, now_ms);
    if (k->waiting.n > k->counts.waiting_most)
        k->counts.waiting_most = k->waiting.n;
    expire(k, now_ms);
}

int64_t queue_next_ms(const struct keeper *k)
{
    int64_t next = k->waiting.first ? k->waiting.first->due_ms : INT64_MAX;
    for (const struct token *t = k->tokens; t < k->tokens + k->n_tokens; t++)
        for (const struct request *r = t->given.first; r; r = r->next)
            if (r->client && r->due_ms < next)
                next = r->due_ms;
    return next;
}
