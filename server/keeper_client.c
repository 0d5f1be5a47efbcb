/* SPDX-License-Identifier: ISC */
/* The session's side, apart from the keeper's so that a session links nothing of it. */
#include "ipc.h"
#include "keeper.h"
#include "log.h"

#include <string.h>

enum { ANSWER_MS = 10 * 1000 };

static enum err receive(int fd, uint8_t *out, size_t *n)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_signed m;
    enum err rc = ipc_recv(fd, buffer, sizeof buffer, &in, ANSWER_MS);
    if (rc == ERR_TIMEOUT)
        return log_fail(ERR_TOKEN, "signing: the keeper did not answer within %d s",
                        ANSWER_MS / 1000);
    if (rc)
        return log_fail(ERR_TOKEN, "signing: the keeper is gone");
    ipc_drop(&in);
    if (in.type != IPC_SIGNED || !ipc_get_signed(in.body, in.n, &m))
        return log_fail(ERR_TOKEN, "signing: malformed answer of the keeper");
    if (m.status != ERR_OK)
        return log_fail(ERR_TOKEN, "signing: the keeper says: %s",
                        err_text(err_from_wire(m.status)));
    if (m.signature.n > *n || m.signature.n == 0)
        return log_fail(ERR_TOKEN, "signing: a signature of %zu bytes", m.signature.n);
    memcpy(out, m.signature.p, m.signature.n);
    *n = m.signature.n;
    return ERR_OK;
}

enum err keeper_sign(int fd, uint32_t algorithm, const void *data, size_t len, uint8_t *out,
                     size_t *n)
{
    enum err rc = IPC_SEND(fd, sign, SIGN, .algorithm = algorithm, .data = slice_of(data, len));
    if (rc == ERR_CONN)
        return log_fail(ERR_TOKEN, "signing: the keeper is gone");
    return rc ? ERR_TOKEN : receive(fd, out, n);
}
