/* SPDX-License-Identifier: ISC */
/* The session's side, apart from the keeper's so that a session links nothing of it. */
#include "ipc.h"
#include "keeper.h"
#include "log.h"

#include <string.h>

enum { RETRY_MAX_S = 31 };

static enum err away(struct keeper_ask *ask, const struct ipc_signed *m)
{
    ask->retry_s = m->retry < 1 ? 1 : m->retry > RETRY_MAX_S ? RETRY_MAX_S : m->retry;
    return log_fail(ERR_AWAY, "signing: no token can do it now; the peer may try again after %u s",
                    ask->retry_s);
}

static enum err receive(struct keeper_ask *ask, uint8_t *out, size_t *n)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_signed m;
    enum err rc = ipc_recv(ask->fd, buffer, sizeof buffer, &in, ask->timeout_ms);
    if (rc == ERR_TIMEOUT)
        return log_fail(ERR_TOKEN, "signing: the keeper did not answer within %d s",
                        ask->timeout_ms / 1000);
    if (rc)
        return log_fail(ERR_TOKEN, "signing: the keeper is gone");
    ipc_drop(&in);
    if (in.type != IPC_SIGNED || !ipc_get_signed(in.body, in.n, &m))
        return log_fail(ERR_TOKEN, "signing: malformed answer of the keeper");
    if (m.status == ERR_AWAY)
        return away(ask, &m);
    if (m.status != ERR_OK)
        return log_fail(ERR_TOKEN, "signing: the keeper says: %s",
                        err_text(err_from_wire(m.status)));
    if (m.signature.n > *n || m.signature.n == 0)
        return log_fail(ERR_TOKEN, "signing: a signature of %zu bytes", m.signature.n);
    memcpy(out, m.signature.p, m.signature.n);
    *n = m.signature.n;
    return ERR_OK;
}

enum err keeper_sign(struct keeper_ask *ask, uint32_t algorithm, struct slice hash, uint8_t *out,
                     size_t *n)
{
    ask->retry_s = 0;
    enum err rc = IPC_SEND(ask->fd, sign, SIGN, .algorithm = algorithm, .hash = hash);
    if (rc == ERR_CONN)
        return log_fail(ERR_TOKEN, "signing: the keeper is gone");
    return rc ? ERR_TOKEN : receive(ask, out, n);
}
