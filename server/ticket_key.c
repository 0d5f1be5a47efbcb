/* SPDX-License-Identifier: ISC */
#include "ticket_key.h"

#include "log.h"
#include "token.h"
#include "wire.h"
#include <string.h>
#include <sys/random.h>

_Static_assert((int)TOKEN_HMAC == (int)TLS_TICKET_KEY, "HMAC-SHA512 gives a key as it is");

static enum err derive(const struct ticket_source *from, uint64_t epoch, uint32_t length,
                       uint8_t *out)
{
    static const char label[] = "consign ticket key 2";
    struct buf b;
    buf_init(&b, 128);
    buf_put(&b, label, sizeof label);
    buf_put(&b, from->server_key, TLS_SERVER_KEY);
    wire_put_u64(&b, epoch);
    wire_put_u32(&b, length);
    enum err e = b.bad ? log_fail(ERR_INTERNAL, "out of memory for a key of tickets")
                       : token_hmac(from->secret, from->allow_extractable, b.data, b.len, out);
    buf_release(&b);
    return e;
}

static enum err draw(const struct ticket_source *from, uint8_t *out)
{
    uint8_t token[TLS_TICKET_KEY] = {0};
    if (getrandom(out, TLS_TICKET_KEY, 0) != TLS_TICKET_KEY)
        return log_fail_errno("random bytes for a key of tickets");
    if (token_is_url(from->key) && token_random(from->key, token, sizeof token) != ERR_OK)
        log_warn("a key of tickets is of the kernel's random generator alone");
    for (size_t i = 0; i < TLS_TICKET_KEY; i++)
        out[i] ^= token[i];
    explicit_bzero(token, sizeof token);
    return ERR_OK;
}

enum err ticket_key_make(const struct ticket_source *from, uint64_t epoch, uint32_t length,
                         uint8_t out[static TLS_TICKET_KEY])
{
    return from->secret ? derive(from, epoch, length, out) : draw(from, out);
}
