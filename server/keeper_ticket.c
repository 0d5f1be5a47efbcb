/* SPDX-License-Identifier: ISC */
/* Keys of tickets: the master asks, the first token's signer makes them. They pass through. */
#include "keeper_internal.h"

#include "log.h"
#include <string.h>

static enum err pass_on(int fd, uint8_t type, const struct ipc_in *in)
{
    struct buf b;
    buf_init(&b, IPC_SMALL);
    buf_put(&b, in->body, in->n);
    enum err e = ipc_send(fd, type, &b, NULL, 0, true);
    if (b.data)
        explicit_bzero(b.data, b.len);
    buf_release(&b);
    return e;
}

bool ticket_ask(struct keeper *k, const struct ipc_in *in)
{
    struct token *t = &k->tokens[0];
    struct ipc_ticket_ask ask;
    if (in->type != IPC_TICKET_ASK || !ipc_get_ticket_ask(in->body, in->n, &ask))
        return false;
    if (t->state == TOKEN_UP && pass_on(t->fd, IPC_TICKET_ASK, in) == ERR_OK)
        return true;
    if (IPC_SEND(k->control, ticket_key, TICKET_KEY, .epoch = ask.epoch, .status = ERR_TOKEN,
                 .reason = slice_str("the token is away")) != ERR_OK)
        log_debug("the master does not hear that there is no key for tickets");
    return true;
}

bool ticket_forward(const struct keeper *k, const struct ipc_in *in)
{
    struct ipc_ticket_key m;
    if (in->type != IPC_TICKET_KEY || !ipc_get_ticket_key(in->body, in->n, &m))
        return false;
    if (pass_on(k->control, IPC_TICKET_KEY, in) != ERR_OK)
        log_debug("the master does not take a key for tickets");
    explicit_bzero((uint8_t *)(uintptr_t)in->body, in->n);
    return true;
}
