/* SPDX-License-Identifier: ISC */
/* consign-pki list: the ledger, for people and for programs. Needs no PIN. */
#include "buf.h"
#include "ca.h"
#include "say.h"
#include "text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ROW_MAX = 16384 };

static const char *status(const struct ledger_entry *e, int64_t now)
{
    return e->revoked           ? "revoked"
           : !e->issued         ? "unfinished"
           : e->not_after < now ? "expired"
                                : "valid";
}

static void put_field(struct buf *b, const char *key, const char *value)
{
    if (b->len > 1)
        text_put(b, ",");
    text_json(b, slice_str(key));
    text_put(b, ":");
    text_json(b, slice_str(value));
}

static void print_json(const struct ledger_entry *e, int64_t now)
{
    struct buf b;
    char when[SAY_TIME];
    buf_init(&b, ROW_MAX);
    text_put(&b, "{");
    put_field(&b, "serial", e->serial);
    put_field(&b, "status", status(e, now));
    put_field(&b, "role", e->server ? "server" : "client");
    say_stamp((time_t)e->not_after, when);
    put_field(&b, "not_after", when);
    put_field(&b, "subject", e->subject);
    if (e->revoked) {
        say_stamp((time_t)e->revoked, when);
        put_field(&b, "revoked", when);
        put_field(&b, "reason", e->reason);
    }
    text_put(&b, "}\n");
    if (!b.bad)
        fwrite(b.data, 1, b.len, stdout);
    buf_release(&b);
}

static void print_row(const struct ledger_entry *e, int64_t now)
{
    char when[SAY_TIME], subject[SAY_TEXT];
    say_stamp((time_t)e->not_after, when);
    say_clean(e->subject, subject);
    printf("%-10s %s %s %s %s\n", status(e, now), e->serial, when, e->server ? "server" : "client",
           subject);
}

enum err list_run(const struct options *o, const char *const *args, int n)
{
    struct ca ca;
    int64_t now = time(NULL);
    (void)args;
    (void)n;
    enum err e = ca_open(&ca, o->dir, false);
    for (size_t i = 0; !e && i < ca.ledger.n; i++) {
        if (o->json)
            print_json(&ca.ledger.entries[i], now);
        else
            print_row(&ca.ledger.entries[i], now);
    }
    ca_close(&ca);
    return e;
}
