/* SPDX-License-Identifier: ISC */
#include "ask_rows.h"

#include "scrub.h"
#include "text.h"
#include <inttypes.h>
#include <stdio.h>

/* A comma where something stands before. */
static void comma(struct buf *b)
{
    if (b->len && b->data[b->len - 1] != '{' && b->data[b->len - 1] != '[')
        text_put(b, ",");
}

static void begin(struct buf *b, const char *key, const char *bracket)
{
    comma(b);
    if (key) {
        text_json(b, slice_str(key));
        text_put(b, ":");
    }
    text_put(b, bracket);
}

static void string(struct buf *b, const char *key, struct slice value)
{
    begin(b, key, "");
    text_json(b, value);
}

static void number(struct buf *b, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    begin(b, key, text);
}

static bool json_server(struct buf *b, const struct ask_item *item)
{
    struct ipc_status_server m;
    if (!ipc_get_status_server(item->body, item->n, &m))
        return false;
    string(b, "version", m.version);
    string(b, "address", m.address);
    number(b, "pid", m.pid);
    number(b, "started", m.started);
    number(b, "uptime", m.uptime);
    number(b, "generation", m.generation);
    begin(b, "draining", m.draining ? "true" : "false");
    string(b, "fips", m.fips);
    string(b, "fips_indicator", m.indicator);
    string(b, "tickets", m.tickets);
    number(b, "tickets_until", m.tickets_until);
    string(b, "confinement", m.confinement);
    number(b, "sessions_max", m.sessions_max);
    number(b, "served", m.served);
    number(b, "authorised", m.granted);
    number(b, "resumed", m.resumed);
    number(b, "refused", m.refused);
    number(b, "dropped", m.dropped);
    number(b, "killed", m.killed);
    begin(b, "sessions", "[");
    return true;
}

static bool json_session(struct buf *b, const struct ask_item *item)
{
    struct ipc_status_session m;
    if (!ipc_get_status_session(item->body, item->n, &m))
        return false;
    begin(b, NULL, "{");
    string(b, "session", m.session);
    number(b, "pid", m.pid);
    string(b, "peer", m.peer);
    string(b, "user", m.user);
    number(b, "since", m.since);
    string(b, "tls", m.agreed);
    string(b, "not_approved", m.unapproved);
    string(b, "fips_indicator", m.indicator);
    if (m.op.n) {
        begin(b, "transfer", "{");
        string(b, "op", m.op);
        string(b, "path", m.path);
        string(b, "phase", m.phase);
        number(b, "done", m.done);
        number(b, "total", m.total);
        number(b, "moved", m.moved);
        number(b, "ms", m.ms);
        number(b, "rate", m.ms ? m.moved * 1000 / m.ms : 0);
        text_put(b, "}");
    }
    text_put(b, "}");
    return true;
}

static bool json_keeper(struct buf *b, const struct ask_item *item)
{
    struct ipc_status_keeper m;
    if (!ipc_get_status_keeper(item->body, item->n, &m))
        return false;
    text_put(b, "]"); /* sessions */
    begin(b, "keeper", "{");
    number(b, "pid", m.pid);
    string(b, "in_use", m.in_use);
    number(b, "waiting", m.waiting);
    number(b, "waiting_most", m.waiting_most);
    number(b, "waiting_max", m.waiting_max);
    number(b, "signatures", m.signatures);
    number(b, "p50_us", m.p50);
    number(b, "p99_us", m.p99);
    number(b, "forbidden", m.forbidden);
    number(b, "shed_full", m.shed_full);
    number(b, "shed_late", m.shed_late);
    begin(b, "tokens", "[");
    return true;
}

static bool json_token(struct buf *b, const struct ask_item *item)
{
    struct ipc_status_token m;
    if (!ipc_get_status_token(item->body, item->n, &m))
        return false;
    begin(b, NULL, "{");
    string(b, "name", m.name);
    string(b, "key", m.key);
    string(b, "state", m.state);
    string(b, "reason", m.reason);
    number(b, "pid", m.pid);
    number(b, "sessions", m.sessions);
    number(b, "sessions_max", m.sessions_max);
    number(b, "signatures", m.signatures);
    number(b, "starts", m.starts);
    number(b, "errors", m.errors);
    number(b, "hangs", m.hangs);
    number(b, "deaths", m.deaths);
    number(b, "failures", m.failures);
    number(b, "seeds", m.seeds);
    number(b, "unhealthy", m.unhealthy);
    text_put(b, "}");
    return true;
}

static bool json_sweep(struct buf *b, const struct ask_item *item)
{
    struct ipc_status_sweep m;
    if (!ipc_get_status_sweep(item->body, item->n, &m))
        return false;
    text_put(b, "]}"); /* tokens, keeper */
    begin(b, "sweep", "{");
    number(b, "began", m.began);
    number(b, "ended", m.ended);
    number(b, "removed", m.removed);
    number(b, "failed", m.failed);
    text_put(b, "}");
    return true;
}

static bool json_audit(struct buf *b, const struct ask_item *item)
{
    struct ipc_status_audit m;
    if (!ipc_get_status_audit(item->body, item->n, &m))
        return false;
    begin(b, "audit", "{");
    string(b, "log", m.log);
    string(b, "sinks", m.sinks);
    string(b, "policy", slice_str(m.require ? "require" : "best"));
    string(b, "status", slice_str(err_name(err_from_wire(m.status))));
    number(b, "seq", m.seq);
    number(b, "head_seq", m.head_seq);
    number(b, "head_time", m.head_time);
    begin(b, "head_signed", m.head_signed ? "true" : "false");
    number(b, "late_since", m.late_since);
    string(b, "late_reason", m.late_reason);
    number(b, "lost", m.lost);
    number(b, "sinks_lost", m.sinks_lost);
    text_put(b, "}");
    return true;
}

static bool json_crls(struct buf *b, const struct ask_item *item)
{
    struct ipc_status_crls m;
    if (!ipc_get_status_crls(item->body, item->n, &m))
        return false;
    begin(b, "crls", "[");
    return true;
}

static bool json_crl(struct buf *b, const struct ask_item *item)
{
    struct ipc_status_crl m;
    char days[24];
    if (!ipc_get_status_crl(item->body, item->n, &m))
        return false;
    snprintf(days, sizeof days, "%" PRId64, ask_days_left(&m));
    begin(b, NULL, "{");
    string(b, "anchor", m.anchor);
    string(b, "issuer", m.issuer);
    string(b, "number", m.number);
    number(b, "this_update", m.this_update);
    number(b, "next_update", m.next_update);
    number(b, "counts_until", m.counts_until);
    begin(b, "days_left", days);
    string(b, "state", slice_str(ask_crl_state(&m)));
    number(b, "revoked", m.revoked);
    text_put(b, "}");
    return true;
}

static bool json_gate(struct buf *b, const struct ask_item *item)
{
    struct ipc_status_gate m;
    if (!ipc_get_status_gate(item->body, item->n, &m))
        return false;
    text_put(b, "]"); /* crls */
    begin(b, "gate", "{");
    number(b, "handshakes", m.handshakes);
    number(b, "handshakes_max", m.handshakes_max);
    number(b, "places", m.places);
    number(b, "gave_way", m.gave_way);
    number(b, "peers_shut_out", m.peers);
    number(b, "connections_shut_out", m.shut_out);
    begin(b, "penalties", "[");
    return true;
}

static bool json_penalty(struct buf *b, const struct ask_item *item)
{
    struct ipc_status_penalty m;
    if (!ipc_get_status_penalty(item->body, item->n, &m))
        return false;
    begin(b, NULL, "{");
    string(b, "address", m.address);
    number(b, "seconds", m.seconds);
    number(b, "times", m.times);
    number(b, "turned_away", m.turned);
    string(b, "reason", m.reason);
    text_put(b, "}");
    return true;
}

static bool json_reload(struct buf *b, const struct ask_item *item)
{
    struct ipc_status_reload m;
    if (!ipc_get_status_reload(item->body, item->n, &m))
        return false;
    text_put(b, "]}"); /* penalties, gate */
    begin(b, "reload", "{");
    number(b, "loaded", m.loaded);
    number(b, "failed", m.failed);
    string(b, "reason", m.reason);
    number(b, "judged", m.judged);
    number(b, "cut", m.cut);
    number(b, "killed", m.killed);
    text_put(b, "}");
    return true;
}

static bool json_scrub(struct buf *b, const struct ask_item *item)
{
    struct ipc_status_scrub m;
    if (!ipc_get_status_scrub(item->body, item->n, &m))
        return false;
    begin(b, "scrub", "{");
    number(b, "run", m.run);
    number(b, "began", m.began);
    number(b, "ended", m.ended);
    number(b, "next", m.next);
    string(b, "status", slice_str(err_name(err_from_wire(m.status))));
    string(b, "only", m.only);
    string(b, "user", m.user);
    return true;
}

static bool json_counts(struct buf *b, const struct ask_item *item)
{
    struct ipc_scrubbed m;
    if (!ipc_get_scrubbed(item->body, item->n, &m))
        return false;
    number(b, "files", m.files);
    number(b, "bytes", m.bytes);
    number(b, "proven", m.proven);
    number(b, "rotten", m.rotten);
    number(b, "chunks", m.chunks);
    number(b, "damaged", m.damaged);
    number(b, "plain", m.plain);
    number(b, "changed", m.changed);
    number(b, "moving", m.moving);
    number(b, "orphans", m.orphans);
    number(b, "errors", m.errors);
    begin(b, "findings", "[");
    return true;
}

static bool json_finding(struct buf *b, const struct ask_item *item)
{
    struct ipc_rot m;
    if (!ipc_get_rot(item->body, item->n, &m))
        return false;
    begin(b, NULL, "{");
    string(b, "user", m.user);
    string(b, "path", m.path);
    if (m.kind != FS_ROT_TREE) {
        number(b, "chunk", m.chunk);
        number(b, "offset", m.offset);
        number(b, "size", m.size);
    }
    string(b, "reason", slice_str(scrub_kind_text(m.kind)));
    text_put(b, "}");
    return true;
}

static const struct row {
    uint8_t type;
    bool (*show)(struct buf *b, const struct ask_item *item);
} rows[] = {
    {IPC_STATUS_SERVER, json_server}, {IPC_STATUS_SESSION, json_session},
    {IPC_STATUS_KEEPER, json_keeper}, {IPC_STATUS_TOKEN, json_token},
    {IPC_STATUS_SWEEP, json_sweep},   {IPC_STATUS_AUDIT, json_audit},
    {IPC_STATUS_CRLS, json_crls},     {IPC_STATUS_CRL, json_crl},
    {IPC_STATUS_GATE, json_gate},     {IPC_STATUS_PENALTY, json_penalty},
    {IPC_STATUS_RELOAD, json_reload}, {IPC_STATUS_SCRUB, json_scrub},
    {IPC_SCRUBBED, json_counts},      {IPC_ROT, json_finding},
};

bool ask_json(struct buf *b, const struct ask_item *item)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].type == item->type)
            return rows[i].show(b, item);
    return false;
}
