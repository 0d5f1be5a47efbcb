/* SPDX-License-Identifier: ISC */
/* For people. */
#include "ask_rows.h"

#include "log.h"
#include "scrub.h"
#include "text.h"
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { TIME_TEXT = 32 };

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

static bool text_server(const struct ask_item *item)
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
    printf("confinement: %s\n", show(&a, m.confinement));
    printf("sessions %" PRIu64 " of %" PRIu64 "; served %" PRIu64 ", authorised %" PRIu64
           " (%" PRIu64 " resumed), refused %" PRIu64 ", dropped %" PRIu64 ", killed %" PRIu64 "\n",
           m.sessions, m.sessions_max, m.served, m.granted, m.resumed, m.refused, m.dropped,
           m.killed);
    return true;
}

static bool text_session(const struct ask_item *item)
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

static bool text_keeper(const struct ask_item *item)
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

static bool text_token(const struct ask_item *item)
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

static bool text_sweep(const struct ask_item *item)
{
    struct ipc_status_sweep m;
    char ended[TIME_TEXT];
    if (!ipc_get_status_sweep(item->body, item->n, &m))
        return false;
    time_text(m.ended, ended);
    printf("sweep %s: %" PRIu64 " removed, %" PRIu64 " users failed\n", ended, m.removed, m.failed);
    return true;
}

static bool text_audit(const struct ask_item *item)
{
    struct ipc_status_audit m;
    struct shown a, b;
    char head[TIME_TEXT], late[TIME_TEXT];
    if (!ipc_get_status_audit(item->body, item->n, &m))
        return false;
    time_text(m.head_time, head);
    printf("audit log %s, %s; line %" PRIu64 ", %s head at line %" PRIu64 " %s; policy %s\n",
           show(&a, m.log), show(&b, m.sinks), m.seq, m.head_signed ? "signed" : "unsigned",
           m.head_seq, head, m.require ? "require" : "best");
    if (m.late_since) {
        time_text(m.late_since, late);
        printf("  no head since %s: %s\n", late, show(&a, m.late_reason));
    }
    if (m.status != ERR_OK)
        printf("  records can't be written: %s\n", err_text(err_from_wire(m.status)));
    if (m.lost || m.sinks_lost)
        printf("  lost %" PRIu64 " records, and %" PRIu64 " lines of the other sinks\n", m.lost,
               m.sinks_lost);
    return true;
}

static bool text_crls(const struct ask_item *item)
{
    struct ipc_status_crls m;
    return ipc_get_status_crls(item->body, item->n, &m);
}

/* Whole days until then, rounded down; below 0: since. */
static bool text_crl(const struct ask_item *item)
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
           until, ask_days_left(&m), ask_crl_state(&m), m.revoked);
    return true;
}

static bool text_gate(const struct ask_item *item)
{
    struct ipc_status_gate m;
    if (!ipc_get_status_gate(item->body, item->n, &m))
        return false;
    printf("handshakes %" PRIu64 " of %" PRIu64 ", gave way %" PRIu64 "; shut out now %" PRIu64
           " peers, %" PRIu64 " connections so far\n",
           m.handshakes, m.handshakes_max, m.gave_way, m.peers, m.shut_out);
    return true;
}

static bool text_penalty(const struct ask_item *item)
{
    struct ipc_status_penalty m;
    struct shown a, b;
    if (!ipc_get_status_penalty(item->body, item->n, &m))
        return false;
    printf("  %s: %" PRIu64 " s to go, time %" PRIu32 " in a row (%s), %" PRIu64 " turned away\n",
           show(&a, m.address), m.seconds, m.times, show(&b, m.reason), m.turned);
    return true;
}

static bool text_reload(const struct ask_item *item)
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

static bool text_scrub(const struct ask_item *item)
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

static bool text_counts(const struct ask_item *item)
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

static bool text_finding(const struct ask_item *item)
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

static const struct row {
    uint8_t type;
    bool (*show)(const struct ask_item *item);
} rows[] = {
    {IPC_STATUS_SERVER, text_server}, {IPC_STATUS_SESSION, text_session},
    {IPC_STATUS_KEEPER, text_keeper}, {IPC_STATUS_TOKEN, text_token},
    {IPC_STATUS_SWEEP, text_sweep},   {IPC_STATUS_AUDIT, text_audit},
    {IPC_STATUS_CRLS, text_crls},     {IPC_STATUS_CRL, text_crl},
    {IPC_STATUS_GATE, text_gate},     {IPC_STATUS_PENALTY, text_penalty},
    {IPC_STATUS_RELOAD, text_reload}, {IPC_STATUS_SCRUB, text_scrub},
    {IPC_SCRUBBED, text_counts},      {IPC_ROT, text_finding},
};

bool ask_text(const struct ask_item *item)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].type == item->type)
            return rows[i].show(item);
    return false;
}
