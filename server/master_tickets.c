/* SPDX-License-Identifier: ISC */
/* The master gets the keys of tickets from the keeper, ahead of their time. */
#include "master_internal.h"

#include <string.h>
#include <time.h>

enum { ASK_AGAIN_MS = 5000 };

void master_tend_tickets(struct master *m, int64_t now_ms)
{
    const struct config *c = m->policy->config;
    struct ipc_ticket_ask ask = {.length = 3 * tickets_lifetime(c)};
    struct buf b;
    if (!c->tickets || m->tickets_held || m->keeper.control < 0 || now_ms < m->tickets_due_ms ||
        !tickets_wanted(&m->tickets, c, time(NULL), &ask.epoch))
        return;
    m->tickets_due_ms = now_ms + ASK_AGAIN_MS;
    buf_init(&b, IPC_MAX);
    if (!ipc_put_ticket_ask(&b, &ask) ||
        ipc_send(m->keeper.control, IPC_TICKET_ASK, &b, NULL, 0, true) != ERR_OK)
        log_debug("the keeper can't be asked for a key of tickets");
    buf_release(&b);
}

bool master_take_ticket_key(struct master *m, struct ipc_in *in)
{
    struct ipc_ticket_key k;
    uint64_t epoch;
    if (!ipc_get_ticket_key(in->body, in->n, &k))
        return false;
    m->tickets_heard = true;
    if (k.status == ERR_OK && k.key.n == TLS_TICKET_KEY) {
        /* One that was asked for before a reload may be of no use now. */
        if (m->policy->config->tickets && !m->tickets_held &&
            tickets_wanted(&m->tickets, m->policy->config, time(NULL), &epoch) && epoch == k.epoch)
            tickets_put(&m->tickets, k.epoch, k.key.p);
        m->tickets_due_ms = 0;
    } else {
        log_warn("there is no key for tickets now: %.*s", (int)k.reason.n,
                 (const char *)k.reason.p);
    }
    explicit_bzero((uint8_t *)(uintptr_t)in->body, in->n);
    return true;
}

bool master_waits_for_tickets(const struct master *m)
{
    return m->policy->config->tickets && !m->tickets_heard && !m->tickets_held;
}

const char *master_tickets_state(const struct master *m, int64_t *until)
{
    const struct config *c = m->policy->config;
    time_t now = time(NULL);
    bool there = c->tickets && tickets_ready(&m->tickets, c, now);
    *until = there ? (int64_t)tickets_epoch_end(c, now) : 0;
    return !c->tickets ? "off" : !there ? "none" : c->ticket_key ? "token" : "own";
}
