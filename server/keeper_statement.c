/* SPDX-License-Identifier: ISC */
/* Statements: what the server's second key signs. Who asks sends typed fields, never a text: the keeper writes that
 * itself, each kind with a beginning of its own, so that nobody can have signed what another kind would say. The
 * socket decides which kind may be asked for: the scribe's, heads of the audit log. */
#include "keeper_internal.h"

#include "audit.h"
#include "log.h"
#include <string.h>

/* ---- answers ---- */

static enum hub_next tell(const struct hub_client *to, const struct ipc_statement *m)
{
    struct buf body;
    buf_init(&body, IPC_SMALL);
    enum hub_next next =
        ipc_put_statement(&body, m) ? hub_answer(to, IPC_STATEMENT, &body) : HUB_CLOSE;
    buf_release(&body);
    return next;
}

static enum hub_next refuse(const struct hub_client *to, enum err status, const char *why)
{
    return tell(to, &(struct ipc_statement){.status = (uint16_t)status, .reason = slice_str(why)});
}

static void settle(struct keeper *k, const struct ipc_statement *m)
{
    struct hub_client *client = k->statement.client;
    k->statement = (struct statement){.number = 0};
    if (client && tell(client, m) != HUB_KEEP)
        hub_close(client);
}

/* ---- what is asked ---- */

/* The algorithm that the key is used with: the first of its kind that the token proved. */
static const struct scheme *choose(const struct keeper *k)
{
    for (uint32_t a = 0; a < 64; a++)
        if (k->sign->algorithms >> a & 1)
            return scheme_find(&k->sign_kind, a);
    return NULL;
}

static enum hub_next sign(struct keeper *k, struct hub_client *from, struct slice text)
{
    const struct scheme *s = k->sign->state == TOKEN_UP ? choose(k) : NULL;
    if (!s)
        return refuse(from, ERR_AWAY, k->sign->reason[0] ? k->sign->reason : "not up yet");
    if (k->statement.client)
        return refuse(from, ERR_BUSY, "one at a time");
    uint64_t number = queue_direct(k, k->sign, s, text);
    if (!number)
        return refuse(from, ERR_AWAY, "the signer takes nothing more");
    k->statement = (struct statement){from, number, s};
    return HUB_KEEP;
}

static bool is_digits(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!memchr("0123456789abcdef", s.p[i], 16))
            return false;
    return s.n == AUDIT_LOG;
}

enum hub_next statement_take(struct keeper *k, struct hub_client *from, const struct ipc_in *in)
{
    struct ipc_head_ask m;
    struct audit_head head = {.seq = 0};
    char text[AUDIT_HEAD_TEXT];
    if (in->type != IPC_HEAD_ASK || in->n_fds || !ipc_get_head_ask(in->body, in->n, &m) ||
        !is_digits(m.log) || !slice_copy(m.log, head.log, sizeof head.log)) {
        log_warn("the scribe asked for what is no head");
        return HUB_CLOSE;
    }
    if (!k->sign)
        return refuse(from, ERR_CONFIG, "there is no sign-key");
    head.seq = m.seq;
    head.time = m.time;
    memcpy(head.hash, m.hash, WIRE_HASH);
    return sign(k, from, slice_of(text, audit_head_text(&head, text)));
}

/* ---- what the signer says ---- */

void statement_signed(struct keeper *k, const struct ipc_signer_signed *m)
{
    struct ipc_statement answer = {.signature = m->signature};
    size_t n = WIRE_HASH;
    if (!k->statement.number || m->number != k->statement.number)
        return;
    answer.algorithm = slice_str(gnutls_sign_get_name(k->statement.scheme->algorithm));
    if (gnutls_pubkey_get_key_id(k->sign_chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, answer.key, &n) <
        0)
        answer = (struct ipc_statement){.status = ERR_INTERNAL};
    settle(k, &answer);
}

void statement_lost(struct keeper *k)
{
    struct ipc_statement m = {.status = ERR_AWAY, .reason = slice_str(k->sign->reason)};
    if (k->statement.number)
        settle(k, &m);
}

void statement_forget(struct keeper *k, const struct hub_client *client)
{
    if (k->statement.client == client)
        k->statement = (struct statement){.number = 0};
}
