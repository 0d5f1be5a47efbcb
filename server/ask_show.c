/* SPDX-License-Identifier: ISC */
#include "ask_show.h"

#include "ipc.h"
#include "log.h"
#include "scrub.h"
#include "text.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { OUT_MAX = 512 << 20, TIME_TEXT = 32, DAY_S = 86400 };

/* ---- reading ---- */

struct item {
    uint8_t type;
    const uint8_t *body;
    size_t n;
};

/* The next message of the status; false at its end. *bad is set when it does not end where it should. */
static bool next(struct slice *left, struct item *out, bool *bad)
{
    if (left->n == 0)
        return false;
    size_t n = left->n >= 5 ? wire_load_u32(left->p) : SIZE_MAX;
    if (n > left->n - 5 || left->n < 5) {
        *bad = true;
        return false;
    }
    *out = (struct item){left->p[4], left->p + 5, n};
    left->p += 5 + n;
    left->n -= 5 + n;
    return true;
}

static enum err malformed(void)
{
    return log_fail(ERR_PROTO, "the server's status can't be read: another version?");
}

enum err ask_find_scrub(const struct buf *status, struct ask_scrub *out)
{
    struct slice left = slice_of(status->data, status->len);
    struct ipc_status_scrub m;
    struct ipc_scrubbed c;
    struct item item;
    bool bad = false, meta = false, counts = false;
    *out = (struct ask_scrub){0};
    while (next(&left, &item, &bad)) {
        if (item.type == IPC_STATUS_SCRUB && ipc_get_status_scrub(item.body, item.n, &m)) {
            meta = slice_copy(m.user, out->user, sizeof out->user);
            out->run = m.run;
            out->ended = m.ended;
            out->status = err_from_wire(m.status);
        } else if (item.type == IPC_SCRUBBED && ipc_get_scrubbed(item.body, item.n, &c)) {
            counts = true;
            out->files = c.files;
            out->bytes = c.bytes;
            out->chunks = c.chunks;
        }
    }
    return meta && counts && !bad ? ERR_OK : malformed();
}

/* ---- for people ---- */

static void time_text(uint64_t seconds, char out[static TIME_TEXT])
{
    struct tm tm;
    time_t t = (time_t)seconds;
    if (!seconds || !localtime_r(&t, &tm) || !strftime(out, TIME_TEXT, "%Y-%m-%d %H:%M:%S", &tm))
        snprintf(out, TIME_TEXT, "never");
}

/* The text of one value, escaped. */
struct shown {
    char text[4 * 4096 + 1];
};

static const char *show(struct shown *s, struct slice value)
{
    log_scrub(s->text, sizeof s->text, value.p, value.n);
    return s->text;
}

static bool text_server(const struct item *item)
{
    struct ipc_status_server m;
    struct shown a, b;
    char since[TIME_TEXT];
    if (!ipc_get_status_server(item->body, item->n, &m))
        return false;
    time_text(m.started, since);
    printf("consignd %s at %s, pid %" PRIu32 ", since %s (%" PRIu64 " s), configuration %" PRIu64
           "%s\n",
           show(&a, m.version), show(&b, m.address), m.pid, since, m.uptime, m.generation,
           m.draining ? ", stopping" : "");
    printf("fips = %s, %s\n", show(&a, m.fips), show(&b, m.indicator));
    printf("sessions %" PRIu64 " of %" PRIu64 "; served %" PRIu64 ", authorised %" PRIu64
           " (%" PRIu64 " resumed), refused %" PRIu64 ", dropped %" PRIu64 ", killed %" PRIu64 "\n",
           m.sessions, m.sessions_max, m.served, m.granted, m.resumed, m.refused, m.dropped,
           m.killed);
    return true;
}

static bool text_session(const struct item *item)
{
    struct ipc_status_session m;
    struct shown a, b, c;
    char since[TIME_TEXT], done[TEXT_SIZE], total[TEXT_SIZE], rate[TEXT_SIZE];
    if (!ipc_get_status_session(item->body, item->n, &m))
        return false;
    time_text(m.since, since);
    printf("session %s pid %" PRIu32 " from %s, %s%s, since %s\n", show(&a, m.session), m.pid,
           show(&b, m.peer), m.user.n ? "user " : "not authorised yet", show(&c, m.user), since);
    if (m.agreed.n)
        printf("  %s\n", show(&a, m.agreed));
    if (m.unapproved.n)
        printf("  not approved: %s\n", show(&a, m.unapproved));
    if (m.op.n == 0)
        return true;
    text_size(m.done, done);
    text_size(m.total, total);
    text_size(m.ms ? m.moved * 1000 / m.ms : 0, rate);
    printf("  %s %s: %s, %s of %s, %s/s\n", show(&a, m.op), show(&b, m.path), show(&c, m.phase),
           done, total, rate);
    return true;
}

static void time_of_signing(uint64_t us, char out[static TIME_TEXT])
{
    if (us < 10000)
        snprintf(out, TIME_TEXT, "%" PRIu64 " us", us);
    else
        snprintf(out, TIME_TEXT, "%" PRIu64 " ms", us / 1000);
}

static bool text_keeper(const struct item *item)
{
    struct ipc_status_keeper m;
    struct shown a;
    char p50[TIME_TEXT], p99[TIME_TEXT];
    if (!ipc_get_status_keeper(item->body, item->n, &m))
        return false;
    time_of_signing(m.p50, p50);
    time_of_signing(m.p99, p99);
    printf("keeper pid %" PRIu32 ", token %s; %" PRIu64 " signatures, half within %s, 99 %% within "
           "%s\n",
           m.pid, m.in_use.n ? show(&a, m.in_use) : "none", m.signatures, p50, p99);
    printf("  waiting %" PRIu64 " of %" PRIu64 ", most %" PRIu64 "; told to retry: %" PRIu64
           " for want of room, %" PRIu64 " of time; forbidden %" PRIu64 "\n",
           m.waiting, m.waiting_max, m.waiting_most, m.shed_full, m.shed_late, m.forbidden);
    return true;
}

static bool text_token(const struct item *item)
{
    struct ipc_status_token m;
    struct shown a, b, c;
    char signer[32] = "no signer";
    if (!ipc_get_status_token(item->body, item->n, &m))
        return false;
    if (m.pid)
        snprintf(signer, sizeof signer, "signer %" PRIu32, m.pid);
    printf(
        "token %s %s, %s, %" PRIu32 " of %" PRIu32 " sessions, %" PRIu64 " signatures; started "
        "%" PRIu64 " times, errors %" PRIu64 ", hung %" PRIu64 ", died %" PRIu64
        ", failed to start %" PRIu64 "; random bytes used %" PRIu64 ", refused %" PRIu64 "\n  %s\n",
        show(&a, m.name), show(&b, m.state), signer, m.sessions, m.sessions_max, m.signatures,
        m.starts, m.errors, m.hangs, m.deaths, m.failures, m.seeds, m.unhealthy, show(&c, m.key));
    if (m.reason.n)
        printf("  %s\n", show(&c, m.reason));
    return true;
}

static bool text_sweep(const struct item *item)
{
    struct ipc_status_sweep m;
    char ended[TIME_TEXT];
    if (!ipc_get_status_sweep(item->body, item->n, &m))
        return false;
    time_text(m.ended, ended);
    printf("sweep %s: %" PRIu64 " removed, %" PRIu64 " users failed\n", ended, m.removed, m.failed);
    return true;
}

static bool text_crls(const struct item *item)
{
    struct ipc_status_crls m;
    return ipc_get_status_crls(item->body, item->n, &m);
}

/* Whole days until then, rounded down; below 0: since. */
static int64_t days_left(const struct ipc_status_crl *m)
{
    int64_t left = (int64_t)m->next_update - (int64_t)m->now;
    return left >= 0 ? left / DAY_S : -((-left + DAY_S - 1) / DAY_S);
}

static const char *crl_state(const struct ipc_status_crl *m)
{
    return m->now < m->next_update                        ? "current"
           : !m->counts_until || m->now < m->counts_until ? "stale, obeyed"
                                                          : "stale";
}

static bool text_crl(const struct item *item)
{
    struct ipc_status_crl m;
    struct shown a, b, c;
    char from[TIME_TEXT], until[TIME_TEXT];
    if (!ipc_get_status_crl(item->body, item->n, &m))
        return false;
    time_text(m.this_update, from);
    time_text(m.next_update, until);
    printf("crl %s %s: number %s, of %s, until %s (%" PRId64 " days left, %s), %" PRIu64
           " revoked\n",
           show(&a, m.anchor), show(&b, m.issuer), m.number.n ? show(&c, m.number) : "-", from,
           until, days_left(&m), crl_state(&m), m.revoked);
    return true;
}

static bool text_reload(const struct item *item)
{
    struct ipc_status_reload m;
    struct shown a;
    char loaded[TIME_TEXT], failed[TIME_TEXT];
    if (!ipc_get_status_reload(item->body, item->n, &m))
        return false;
    time_text(m.loaded, loaded);
    time_text(m.failed, failed);
    printf("loaded %s; sessions judged again %" PRIu64 ", ended %" PRIu64 ", killed %" PRIu64 "\n",
           loaded, m.judged, m.cut, m.killed);
    if (m.failed)
        printf("  failed since, %s: %s\n", failed, show(&a, m.reason));
    return true;
}

static bool text_scrub(const struct item *item)
{
    struct ipc_status_scrub m;
    struct shown a, b;
    char began[TIME_TEXT], ended[TIME_TEXT], due[TIME_TEXT];
    if (!ipc_get_status_scrub(item->body, item->n, &m))
        return false;
    time_text(m.began, began);
    time_text(m.ended, ended);
    time_text(m.next, due);
    if (m.run == 0)
        printf("scrub never");
    else if (m.ended)
        printf("scrub %" PRIu64 " %s to %s: %s", m.run, began, ended,
               err_text(err_from_wire(m.status)));
    else
        printf("scrub %" PRIu64 " since %s: at user %s", m.run, began, show(&a, m.user));
    printf("%s%s%s%s\n", m.only.n ? ", of user " : "", show(&b, m.only), m.next ? "; next " : "",
           m.next ? due : "");
    return true;
}

static bool text_counts(const struct item *item)
{
    struct ipc_scrubbed m;
    char bytes[TEXT_SIZE];
    if (!ipc_get_scrubbed(item->body, item->n, &m))
        return false;
    text_size(m.bytes, bytes);
    printf("  %" PRIu64 " files, %s read; %" PRIu64 " proven, %" PRIu64 " rotten (%" PRIu64
           " chunks), %" PRIu64 " damaged trees\n",
           m.files, bytes, m.proven, m.rotten, m.chunks, m.damaged);
    printf("  %" PRIu64 " without a tree, %" PRIu64 " changed outside, %" PRIu64
           " in motion, %" PRIu64 " orphaned trees, %" PRIu64 " errors\n",
           m.plain, m.changed, m.moving, m.orphans, m.errors);
    return true;
}

static bool text_finding(const struct item *item)
{
    struct ipc_rot m;
    struct shown a, b;
    if (!ipc_get_rot(item->body, item->n, &m))
        return false;
    printf("rot %s %s: ", show(&a, m.user), show(&b, m.path));
    if (m.kind != FS_ROT_TREE)
        printf("chunk %" PRIu64 " (%" PRIu64 " bytes from %" PRIu64 ") ", m.chunk, m.size,
               m.offset);
    printf("%s\n", scrub_kind_text(m.kind));
    return true;
}

/* ---- JSON ---- */

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

static bool json_server(struct buf *b, const struct item *item)
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

static bool json_session(struct buf *b, const struct item *item)
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

static bool json_keeper(struct buf *b, const struct item *item)
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

static bool json_token(struct buf *b, const struct item *item)
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

static bool json_sweep(struct buf *b, const struct item *item)
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

static bool json_crls(struct buf *b, const struct item *item)
{
    struct ipc_status_crls m;
    if (!ipc_get_status_crls(item->body, item->n, &m))
        return false;
    begin(b, "crls", "[");
    return true;
}

static bool json_crl(struct buf *b, const struct item *item)
{
    struct ipc_status_crl m;
    char days[24];
    if (!ipc_get_status_crl(item->body, item->n, &m))
        return false;
    snprintf(days, sizeof days, "%" PRId64, days_left(&m));
    begin(b, NULL, "{");
    string(b, "anchor", m.anchor);
    string(b, "issuer", m.issuer);
    string(b, "number", m.number);
    number(b, "this_update", m.this_update);
    number(b, "next_update", m.next_update);
    number(b, "counts_until", m.counts_until);
    begin(b, "days_left", days);
    string(b, "state", slice_str(crl_state(&m)));
    number(b, "revoked", m.revoked);
    text_put(b, "}");
    return true;
}

static bool json_reload(struct buf *b, const struct item *item)
{
    struct ipc_status_reload m;
    if (!ipc_get_status_reload(item->body, item->n, &m))
        return false;
    text_put(b, "]");
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

static bool json_scrub(struct buf *b, const struct item *item)
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

static bool json_counts(struct buf *b, const struct item *item)
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

static bool json_finding(struct buf *b, const struct item *item)
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

/* ---- the whole ---- */

static const struct row {
    uint8_t type;
    bool scrub; /* shown when it is the scrub alone, too */
    bool (*text)(const struct item *item);
    bool (*json)(struct buf *b, const struct item *item);
} rows[] = {
    {IPC_STATUS_SERVER, false, text_server, json_server},
    {IPC_STATUS_SESSION, false, text_session, json_session},
    {IPC_STATUS_KEEPER, false, text_keeper, json_keeper},
    {IPC_STATUS_TOKEN, false, text_token, json_token},
    {IPC_STATUS_SWEEP, false, text_sweep, json_sweep},
    {IPC_STATUS_CRLS, false, text_crls, json_crls},
    {IPC_STATUS_CRL, false, text_crl, json_crl},
    {IPC_STATUS_RELOAD, false, text_reload, json_reload},
    {IPC_STATUS_SCRUB, true, text_scrub, json_scrub},
    {IPC_SCRUBBED, true, text_counts, json_counts},
    {IPC_ROT, true, text_finding, json_finding},
};

/* One message to standard output, or to b. */
static bool show_item(const struct item *item, bool scrub_only, struct buf *b)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].type == item->type)
            return (scrub_only && !rows[i].scrub) ||
                   (b ? rows[i].json(b, item) : rows[i].text(item));
    return false;
}

static enum err show_all(const struct buf *status, bool json, bool scrub_only)
{
    struct slice left = slice_of(status->data, status->len);
    struct item item;
    struct buf b;
    bool bad = false;
    buf_init(&b, OUT_MAX);
    text_put(&b, "{");
    while (!bad && next(&left, &item, &bad))
        bad = !show_item(&item, scrub_only, json ? &b : NULL);
    text_put(&b, "]}}\n"); /* findings, scrub, all */
    if (json && !bad && !b.bad)
        fwrite(b.data, 1, b.len, stdout);
    buf_release(&b);
    if (bad)
        return malformed();
    return fflush(stdout) == 0 ? ERR_OK : log_fail_errno("standard output");
}

enum err ask_show(const struct buf *status, bool json)
{
    return show_all(status, json, false);
}

enum err ask_show_scrub(const struct buf *status, bool json)
{
    return show_all(status, json, true);
}
