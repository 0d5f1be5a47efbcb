/* SPDX-License-Identifier: ISC */
/* From the accepted socket to an authorised channel; what is asked over it is in requests.c. */
#include "session.h"

#include "confine.h"
#include "ipc.h"
#include "keeper.h"
#include "log.h"
#include "probe.h"
#include "requests.h"
#include "scribe.h"
#include "thrift.h"
#include "tickets.h"
#include "tls_proof.h"
#include "tree.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    GRANT_WAIT_MS = 30 * 1000,
    REFUSED_WAIT_MS = 2000,
    CUT_WAIT_MS = 1000,
    RETRY_AFTER_S = 30,
    TICKETS = 2
};

/* What the usher made of the peer's certificate; for people, but for not_after. */
struct peer {
    char subject[513], issuer[513], serial[65], anchor[65];
    int64_t not_after;
};

struct session {
    const struct session_start *start;
    const struct config *config;
    struct tls_identity *identity;
    struct tls *shaking; /* the connection, as long as the handshake runs */
    struct chan chan;
    struct peer peer;
    struct map_user *user; /* what is granted; NULL: not yet */
    char told[513];        /* of a refusal, all that the peer may know; "": its reason */
    struct requests *requests;
    struct pace pace; /* of the user, when there is a limit */
    enum err cut;     /* the master said that it has to end, with this status */
    char cut_reason[513];
    char agreed[TLS_AGREED_TEXT];
    char unapproved[FIPS_NOTE]; /* "" with fips = off */
};

static const struct tree_engine *engine_of(const struct session *s)
{
    return tree_engine(s->config->tls.fips == FIPS_REQUIRE);
}

static enum err sign(void *arg, uint32_t algorithm, const void *data, size_t n, uint8_t *sig,
                     size_t *sig_n)
{
    const struct session *s = arg;
    uint8_t hash[SCHEME_HASH];
    size_t hash_n;
    enum err e = tls_signed_hash(s->shaking, algorithm, slice_of(data, n), hash, &hash_n);
    if (e != ERR_OK)
        return e;
    struct keeper_ask ask = {.fd = s->start->keeper,
                             .timeout_ms = (int)s->config->handshake_s * 1000};
    board_peers_turn(s->start->board, false);
    e = keeper_sign(&ask, algorithm, slice_of(hash, hash_n), sig, sig_n);
    board_peers_turn(s->start->board, true);
    if (e == ERR_AWAY)
        tls_retry_after(s->shaking, ask.retry_s);
    return e;
}

/* All that may still open files or allocate much happens here, before the kernel shuts the door. */
static enum err prepare(struct session *s)
{
    const struct policy *p = s->start->policy;
    gnutls_privkey_t key;
    s->requests = calloc(1, sizeof *s->requests);
    if (!s->requests)
        return log_fail(ERR_INTERNAL, "out of memory for a session");
    (void)engine_of(s);
    enum err e = tls_key_external(p->chain, s->start->algorithms, sign, s, &key);
    if (e == ERR_OK)
        e = tls_identity_new(true, &s->config->tls, p->chain, p->n_chain, key, &s->identity);
    return e;
}

static enum err confine(struct session *s)
{
    const struct session_start *t = s->start;
    int keep[] = {t->connection, t->master, t->keeper, t->scribe}, abi;
    enum err e = confine_start(keep, 4);
    if (e == ERR_OK)
        e = prepare(s);
    if (e == ERR_OK)
        e = confine_files(NULL, 0, false, s->config->confine_require, &abi);
    if (e == ERR_OK && geteuid() == 0)
        e = confine_become(s->config->session_uid, s->config->session_gid, NULL, 0);
    if (e == ERR_OK)
        e = confine_calls(CONFINE_SESSION);
    return e;
}

static enum err accept_tickets(const struct session *s, struct tls *tls)
{
    if (!s->start->ticket_key)
        return ERR_OK;
    enum err e = tls_accept_tickets(tls, s->start->ticket_key, tickets_lifetime(s->config));
    explicit_bzero(s->start->ticket_key, TLS_TICKET_KEY);
    return e;
}

/* To who was let in only, and none that would outlive the certificate it stands for. */
static enum err send_tickets(const struct session *s)
{
    int64_t left = s->peer.not_after - (int64_t)time(NULL);
    if (!s->start->ticket_key || left < (int64_t)tickets_lifetime(s->config))
        return ERR_OK;
    return tls_send_tickets(s->chan.tls, TICKETS,
                            tls_now_ms() + (int64_t)s->config->stall_s * 1000);
}

static enum err shake_hands(struct session *s)
{
    struct chan_limits limits = {(int64_t)s->config->request_s * 1000, s->config->min_rate};
    int64_t deadline = s->start->accepted_ms + (int64_t)s->config->handshake_s * 1000;
    struct tls *tls;
    enum err e = tls_new(s->identity, s->start->connection, NULL, &tls);
    if (e != ERR_OK)
        return e;
    s->shaking = tls;
    e = accept_tickets(s, tls);
    if (e == ERR_OK)
        e = tls_handshake(tls, deadline);
    s->shaking = NULL;
    if (e != ERR_OK) {
        /* The reason must not be lost to a record that can't be written. */
        if (scribe_record(s->start->scribe, "handshake", "status", err_name(e), "reason",
                          log_reason(), NULL) != ERR_OK)
            log_warn("the failed handshake is not in the audit log");
        tls_free(tls);
        return e;
    }
    return chan_init(&s->chan, tls, &limits);
}

/* What is told of the session in log, audit log and status. */
static void describe(struct session *s)
{
    const struct tls_agreed *a = tls_agreed(s->chan.tls);
    tls_agreed_text(a, s->agreed);
    if (s->config->tls.fips == FIPS_OFF)
        return;
    tls_agreed_note(a, engine_of(s)->name, "", s->unapproved);
    if (s->start->ticket_key)
        fips_note(s->unapproved, "derivation of the keys of tickets");
}

/* What came with the grant: the store's socket and, for a user with a rate, the memory to share it by. */
static enum err take_grant(struct session *s, struct ipc_in *in)
{
    enum err e = ERR_OK;
    if (in->n_fds != (s->user->rate ? 2 : 1))
        return log_fail(ERR_INTERNAL, "the master granted no store");
    if (s->user->rate && (e = pace_attach(&s->pace, s->user->rate, in->fds[1])) != ERR_OK)
        return e;
    s->requests->files.fd = in->fds[0];
    in->fds[0] = -1;
    if (s->user->rate)
        chan_pace(&s->chan, &s->pace);
    return files_ready(&s->requests->files);
}

/* Has the client of a resumed session sign that it has the key (PROTOCOL.md, 1). m borrows from the channel. */
static enum err challenge(struct session *s, struct msg_proof *m)
{
    struct msg_challenge ask;
    struct frame f;
    memcpy(ask.nonce, s->start->nonce, sizeof ask.nonce);
    size_t at = chan_begin(&s->chan, MSG_CHALLENGE);
    (void)msg_put_challenge(&s->chan.out, &ask);
    enum err e = chan_end(&s->chan, at);
    board_peers_turn(s->start->board, true);
    if (e == ERR_OK)
        e = chan_recv(&s->chan, &f, (int64_t)s->config->request_s * 1000);
    board_peers_turn(s->start->board, false);
    if (e == ERR_TIMEOUT)
        return log_fail(e, "no PROOF within %llu s", (unsigned long long)s->config->request_s);
    if (e != ERR_OK)
        return e;
    if (f.type != MSG_PROOF)
        return chan_unexpected(&f, "where PROOF was due");
    return CHAN_GET(&f, proof, m) ? ERR_OK : chan_malformed(&f);
}

static enum err put_resumed(struct session *s, struct buf *out)
{
    struct ipc_resumed m;
    struct msg_proof proof;
    struct buf chain;
    unsigned n;
    const gnutls_datum_t *certs = tls_peer_chain(s->chan.tls, &n);
    enum err e = challenge(s, &proof);
    if (e == ERR_OK)
        e = tls_export(s->chan.tls, TLS_RESUMED_LABEL, "", 0, m.exporter);
    if (e != ERR_OK)
        return e;
    buf_init(&chain, GRANT_CHAIN_MAX);
    for (unsigned i = 0; i < n; i++)
        wire_put_str(&chain, slice_of(certs[i].data, certs[i].size), UINT16_MAX);
    m.scheme = proof.scheme;
    m.signature = proof.signature;
    m.chain = slice_of(chain.data, chain.len);
    if (chain.bad || !ipc_put_resumed(out, &m))
        e = log_fail(ERR_AUTH, "the peer's certificates take more than %d bytes", GRANT_CHAIN_MAX);
    buf_release(&chain);
    return e;
}

static enum err send_proof(const struct session *s, struct slice proof)
{
    struct ipc_prove m = {.resumed = tls_resumed(s->chan.tls),
                          .agreed = slice_str(s->agreed),
                          .unapproved = slice_str(s->unapproved),
                          .indicator = slice_str(tls_agreed(s->chan.tls)->indicator),
                          .proof = proof};
    struct buf b;
    probe_lie(s->start->master, &m);
    buf_init(&b, IPC_MAX);
    enum err e = ipc_put_prove(&b, &m)
                     ? ipc_send(s->start->master, IPC_PROVE, &b, NULL, 0, false)
                     : log_fail(ERR_LIMIT, "the handshake's messages are too long");
    buf_release(&b);
    return e == ERR_CONN ? log_fail(ERR_LIMIT, "the server is stopping") : e;
}

/* What proves who the peer is, for the usher. */
static enum err show_proof(struct session *s)
{
    struct buf b;
    enum err e = ERR_OK;
    buf_init(&b, TLS_TRANSCRIPT_MAX);
    if (!tls_resumed(s->chan.tls))
        e = send_proof(s, tls_messages(s->chan.tls));
    else if ((e = put_resumed(s, &b)) == ERR_OK)
        e = send_proof(s, slice_of(b.data, b.len));
    buf_release(&b);
    tls_forget_messages(s->chan.tls);
    return e;
}

static void copy(struct slice from, char *to, size_t cap)
{
    log_scrub(to, cap, from.p, from.n);
}

static void take_peer(struct session *s, const struct ipc_granted *m)
{
    char unapproved[FIPS_NOTE];
    copy(m->subject, s->peer.subject, sizeof s->peer.subject);
    copy(m->issuer, s->peer.issuer, sizeof s->peer.issuer);
    copy(m->serial, s->peer.serial, sizeof s->peer.serial);
    copy(m->anchor, s->peer.anchor, sizeof s->peer.anchor);
    copy(m->told, s->told, sizeof s->told);
    copy(m->unapproved, unapproved, sizeof unapproved);
    s->peer.not_after = (int64_t)m->not_after;
    if (unapproved[0] && s->config->tls.fips != FIPS_OFF)
        fips_note(s->unapproved, "%s", unapproved);
}

static enum err take_user(struct session *s, const struct ipc_granted *m)
{
    char name[65];
    s->user = slice_copy(m->user, name, sizeof name)
                  ? map_grant(s->start->policy->map, m->rule, name)
                  : NULL;
    return s->user ? ERR_OK : log_fail(ERR_INTERNAL, "out of memory for a session");
}

/* Hears what the master makes of it. */
static enum err hear_grant(struct session *s)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_granted m;
    enum err e = ipc_recv(s->start->master, buffer, sizeof buffer, &in, GRANT_WAIT_MS);
    if (e != ERR_OK)
        return log_fail(ERR_LIMIT, "the server is stopping or overloaded");
    if (in.type != IPC_GRANTED || !ipc_get_granted(in.body, in.n, &m)) {
        ipc_drop(&in);
        return log_fail(ERR_LIMIT, "the server is stopping");
    }
    take_peer(s, &m);
    if (m.status != ERR_OK)
        e = log_fail(err_from_wire(m.status), "%.*s", (int)m.reason.n, (const char *)m.reason.p);
    else if ((e = take_user(s, &m)) == ERR_OK)
        e = take_grant(s, &in);
    ipc_drop(&in);
    return e;
}

/* NULL leaves a pair out of a record. */
static const char *if_any(const char *value)
{
    return value[0] ? value : NULL;
}

static enum err record_verdict(const struct session *s, enum err e)
{
    const struct tls_agreed *a = tls_agreed(s->chan.tls);
    bool fips = s->config->tls.fips != FIPS_OFF;
    return scribe_record(s->start->scribe, e == ERR_OK ? "login" : "refused", "status", err_name(e),
                         "user", s->user ? s->user->name : NULL, "subject", if_any(s->peer.subject),
                         "serial", if_any(s->peer.serial), "issuer", if_any(s->peer.issuer),
                         "anchor", if_any(s->peer.anchor), "cipher", a->suite, "group",
                         if_any(a->group), "signature", if_any(a->signature), "client_signature",
                         if_any(a->client_signature), "handshake",
                         tls_resumed(s->chan.tls) ? "resumed" : "full", "fips",
                         fips ? fips_mode_name(s->config->tls.fips) : NULL, "not_approved",
                         if_any(s->unapproved), "fips_indicator", fips ? a->indicator : NULL,
                         "reason", e == ERR_OK ? NULL : log_reason(), NULL);
}

static void refuse(struct session *s, enum err e)
{
    struct slice reason = slice_str(s->told[0] ? s->told : log_reason());
    reason.n = reason.n > 512 ? 512 : reason.n;
    enum err sent = CHAN_SEND(&s->chan, refused, REFUSED, .status = (uint16_t)e,
                              .retry_after = err_retry(e) ? RETRY_AFTER_S : 0,
                              .session = slice_str(s->start->name), .reason = reason);
    if (sent == ERR_OK && chan_flush(&s->chan) == ERR_OK) {
        tls_bye(s->chan.tls);
        /* Closing on unread bytes would reset the connection and could lose the refusal on its way.
         */
        chan_linger(&s->chan, REFUSED_WAIT_MS);
    }
}

static void rights_of(const struct map_user *u, char *out, size_t cap)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < u->n_roots && at < cap; i++) {
        char words[80];
        fs_rights_text(u->roots[i].rights, words, sizeof words);
        int n = snprintf(out + at, cap - at, "%s%s: %s", i ? "; " : "", u->roots[i].prefix, words);
        at += n > 0 ? (size_t)n : 0;
    }
}

static enum err welcome(struct session *s)
{
    char rights[257];
    struct frame f;
    struct msg_hello hello;
    rights_of(s->user, rights, sizeof rights);
    enum err e = CHAN_SEND(
        &s->chan, welcome, WELCOME, .version_min = MSG_VERSION, .version_max = MSG_VERSION,
        .features = 0, .agent = slice_str("consignd/" CONSIGN_VERSION),
        .user = slice_str(s->user->name), .session = slice_str(s->start->name),
        .rights = slice_str(rights), .quota = s->user->quota, .idle = (uint32_t)s->config->idle_s);
    if (e == ERR_OK)
        e = chan_recv(&s->chan, &f, (int64_t)s->config->request_s * 1000);
    if (e == ERR_TIMEOUT)
        return log_fail(e, "no HELLO within %llu s", (unsigned long long)s->config->request_s);
    if (e != ERR_OK)
        return e;
    if (f.type != MSG_HELLO)
        return chan_unexpected(&f, "where HELLO was due");
    if (!CHAN_GET(&f, hello, &hello))
        return chan_malformed(&f);
    if (hello.version != MSG_VERSION)
        return log_fail(ERR_PROTO, "the peer wants version %u; this is version %d", hello.version,
                        MSG_VERSION);
    if (hello.features != 0)
        return log_fail(ERR_PROTO, "the peer wants features that were not offered (%llx)",
                        (unsigned long long)hello.features);
    chan_allow_data(&s->chan);
    s->chan.limits.stall_ms = (int64_t)s->config->stall_s * 1000;
    return ERR_OK;
}

/* What the master has to say (chan.h): that the connection has to end; or nothing more, as the server stops,
 * which a running request outlives. */
static enum err heed(void *arg, bool *ever)
{
    struct session *s = arg;
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_cut m;
    enum err e = ipc_recv(s->start->master, buffer, sizeof buffer, &in, 0);
    if (e != ERR_OK) {
        *ever = e == ERR_TIMEOUT;
        return ERR_OK;
    }
    ipc_drop(&in);
    if (in.type != IPC_CUT || !ipc_get_cut(in.body, in.n, &m) || m.status == ERR_OK)
        return ERR_OK;
    log_scrub(s->cut_reason, sizeof s->cut_reason, m.reason.p, m.reason.n);
    s->cut = err_from_wire(m.status);
    return log_fail(s->cut, "%s", s->cut_reason);
}

/* The master's word between two requests, when its socket is readable. */
static enum err heed_at_rest(struct session *s)
{
    bool ever = true;
    enum err e = heed(s, &ever);
    return e != ERR_OK || ever ? e : log_fail(ERR_LIMIT, "the server is stopping");
}

/* Waits for the next request: ERR_LIMIT when the server is stopping, ERR_TIMEOUT for an idle peer.
 */
static enum err wait_request(struct session *s, int64_t idle_ms)
{
    struct pollfd p[2] = {{.fd = s->start->connection, .events = POLLIN},
                          {.fd = s->start->master, .events = POLLIN}};
    int64_t deadline = tls_now_ms() + idle_ms;
    enum err e = ERR_OK;
    if (!chan_ready(&s->chan) && (e = requests_settle(s->requests)) == ERR_OK)
        e = chan_flush(&s->chan);
    while (e == ERR_OK && !chan_ready(&s->chan)) {
        int64_t left = deadline - tls_now_ms();
        if (left <= 0)
            return log_fail(ERR_TIMEOUT, "idle for %lld s", (long long)idle_ms / 1000);
        if (poll(p, 2, (int)(left > 60000 ? 60000 : left)) < 0)
            continue;
        if (p[1].revents)
            e = heed_at_rest(s);
    }
    return e;
}

static enum err serve(struct session *s)
{
    struct requests *r = s->requests;
    int64_t wait_ms = (int64_t)s->config->request_s * 1000;
    enum err e = ERR_OK;
    r->chan = &s->chan;
    scribe_batch_init(&r->records, s->start->scribe);
    r->user = s->user;
    r->board = s->start->board;
    r->engine = engine_of(s);
    while ((e = wait_request(s, wait_ms)) == ERR_OK && (e = requests_serve(r)) == ERR_OK)
        wait_ms = (int64_t)s->config->idle_s * 1000;
    requests_release(r);
    return e;
}

/* Ends the connection in words and leaves the record of it. */
static void end(struct session *s, enum err e)
{
    char in[24], out[24], reason[513];
    bool orderly = !s->cut && e == ERR_CONN && s->chan.in_to == s->chan.in_from && !log_reason()[0];
    snprintf(reason, sizeof reason, "%s", orderly ? "" : s->cut ? s->cut_reason : log_reason());
    e = s->cut ? s->cut : e;
    snprintf(in, sizeof in, "%llu", (unsigned long long)tls_bytes_in(s->chan.tls));
    snprintf(out, sizeof out, "%llu", (unsigned long long)tls_bytes_out(s->chan.tls));
    if (!orderly && (s->cut || e != ERR_CONN))
        chan_reject(&s->chan, e, reason);
    if (scribe_record(s->start->scribe, "end", "status", err_name(orderly ? ERR_OK : e), "user",
                      s->user->name, "bytes_in", in, "bytes_out", out, "reason",
                      reason[0] ? reason : NULL, NULL) != ERR_OK)
        log_warn("the end of the session is not in the audit log");
    if (!orderly)
        log_info("session ends: %s", reason);
    if (s->cut)
        chan_linger(&s->chan, CUT_WAIT_MS);
}

static enum err authorise(struct session *s)
{
    board_peers_turn(s->start->board, false);
    describe(s);
    enum err e = show_proof(s);
    if (e == ERR_OK)
        e = hear_grant(s);
    enum err recorded = record_verdict(s, e);
    if (e == ERR_OK)
        e = recorded;
    if (e == ERR_OK) {
        log_info("user %s: %s%s%s", s->user->name, s->agreed,
                 s->unapproved[0] ? "; not approved: " : "", s->unapproved);
        return e;
    }
    log_info("refused %s: %s", s->peer.subject[0] ? s->peer.subject : "a peer", log_reason());
    refuse(s, e);
    return e;
}

static enum err run(struct session *s)
{
    enum err e = confine(s);
    if (e != ERR_OK)
        return e;
    probe_run("session-before");
    /* What fails from here on is told to the peer and recorded; the log gets one line at the end.
     */
    log_quiet(true);
    if ((e = shake_hands(s)) != ERR_OK) {
        log_info("%s", log_reason());
        return e;
    }
    if ((e = authorise(s)) != ERR_OK)
        return e;
    probe_run("session-after");
    log_clear_reason();
    chan_heed(&s->chan, s->start->master, heed, s);
    thrift_rest();
    if ((e = send_tickets(s)) == ERR_OK && (e = welcome(s)) == ERR_OK)
        e = serve(s);
    end(s, e);
    return e == ERR_CONN ? ERR_OK : e;
}

int session_main(const struct session_start *start)
{
    struct session s = {.start = start, .config = start->policy->config};
    char context[128];
    snprintf(context, sizeof context, "session=%s peer=%s", start->name, start->peer);
    log_context(context);
    enum err e = fcntl(start->connection, F_SETFL, O_NONBLOCK) < 0
                     ? log_fail_errno("setting up the connection")
                     : run(&s);
    return (int)e;
}
