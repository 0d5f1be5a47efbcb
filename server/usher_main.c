/* SPDX-License-Identifier: ISC */
/* The usher itself: the one that reads the certificates. */
#include "usher.h"

#include "confine.h"
#include "ipc.h"
#include "log.h"
#include "probe.h"
#include "usher_proof.h"
#include <string.h>
#include <time.h>
#include <unistd.h>

struct found {
    struct cert_id id;        /* of the peer; its anchor is only set when it is believed */
    struct map_answer answer; /* of the map; told is NULL unless that refused */
};

/* The peer's address as the master has it. */
static enum err read_address(struct slice said, struct sockaddr_storage *out)
{
    if (said.n != sizeof *out)
        return log_fail(ERR_INTERNAL, "an address of %zu bytes", said.n);
    memcpy(out, said.p, sizeof *out);
    return ERR_OK;
}

/* Chain, lists, policy, map. What a certificate claims is in out->id also when it is not believed. */
static enum err judge(const struct policy *p, const struct ipc_usher_ask *ask,
                      const struct usher_peer *peer, struct found *out)
{
    struct cert_id proven;
    struct sockaddr_storage address;
    enum err e = read_address(ask->address, &address);
    if (e == ERR_OK)
        e = cert_id_read(&peer->certs[0], &out->id);
    if (e == ERR_OK)
        e = cert_judge(p->anchors, peer->certs, peer->n, CERT_CLIENT, NULL, time(NULL), &proven);
    if (e != ERR_OK)
        return e;
    cert_id_release(&out->id);
    out->id = proven;
    const struct map_asker who = {&out->id, &address, time(NULL)};
    if ((e = map_ask(p->map, &who, &out->answer, NULL, NULL)) == ERR_OK)
        return e;
    return ask->kind == USHER_AGAIN ? log_fail(e, "%s any more", out->answer.told) : e;
}

static enum err put_chain(const struct usher_peer *peer, struct buf *chain)
{
    for (unsigned i = 0; i < peer->n; i++)
        wire_put_str(chain, slice_of(peer->certs[i].data, peer->certs[i].size), UINT16_MAX);
    return chain->bad ? log_fail(ERR_AUTH, "the peer's certificates take more than %d bytes",
                                 GRANT_CHAIN_MAX)
                      : ERR_OK;
}

static enum err tell(int fd, const struct ipc_usher_ask *ask, const struct usher_peer *peer,
                     const struct found *f, struct slice chain, enum err verdict)
{
    bool good = verdict == ERR_OK;
    const struct cert_id *id = &f->id;
    time_t until = f->answer.until < id->until ? f->answer.until : id->until;
    struct slice reason = slice_str(good ? NULL : log_reason());
    reason.n = reason.n > 512 ? 512 : reason.n;
    return IPC_SEND(fd, verdict, VERDICT, .session = ask->session, .status = (uint16_t)verdict,
                    .reason = reason, .told = slice_str(good ? NULL : f->answer.told),
                    .lied = peer->lied, .rule = (uint32_t)f->answer.rule,
                    .user = slice_str(good ? f->answer.user : NULL), .until = (uint64_t)until,
                    .not_after = (uint64_t)id->not_after, .subject = slice_str(id->subject_text),
                    .issuer = slice_str(id->issuer_text), .serial = slice_str(id->serial),
                    .anchor = slice_str(id->anchor), .unapproved = slice_str(id->unapproved),
                    .chain = good ? chain : (struct slice){0});
}

static enum err answer(const struct policy *p, const struct ipc_usher_ask *ask, int fd)
{
    struct usher_peer peer;
    struct found f = {0};
    struct buf chain;
    log_clear_reason();
    buf_init(&chain, GRANT_CHAIN_MAX);
    enum err verdict = usher_prove(p, ask, &peer);
    if (verdict == ERR_OK)
        verdict = judge(p, ask, &peer, &f);
    if (verdict == ERR_OK)
        verdict = put_chain(&peer, &chain);
    if (verdict == ERR_OK && f.id.stale && ask->kind != USHER_AGAIN)
        log_warn("anchor %s: a revocation list has run out; it is obeyed all the same (crl-stale)",
                 f.id.anchor);
    enum err e = tell(fd, ask, &peer, &f, slice_of(chain.data, chain.len), verdict);
    buf_release(&chain);
    cert_id_release(&f.id);
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
    return e == ERR_OK ? confine_calls(CONFINE_USHER) : e;
}

int usher_main(const struct policy *p, int fd)
{
    static uint8_t buffer[IPC_MAX];
    struct ipc_in in;
    struct ipc_usher_ask ask;
    sessions_child_begin();
    log_context("usher");
    enum err e = confine(p, fd);
    probe_run("usher");
    log_quiet(true);
    while (e == ERR_OK && (e = ipc_recv(fd, buffer, sizeof buffer, &in, -1)) == ERR_OK) {
        ipc_drop(&in);
        if (in.type != IPC_USHER_ASK || !ipc_get_usher_ask(in.body, in.n, &ask))
            e = ERR_PROTO;
        else if ((e = IPC_SEND(fd, judging, JUDGING, .session = ask.session)) == ERR_OK)
            e = answer(p, &ask, fd);
    }
    return err_exit(e == ERR_CONN ? ERR_OK : e);
}
