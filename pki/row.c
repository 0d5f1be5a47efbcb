/* SPDX-License-Identifier: ISC */
#include "row.h"
#include "buf.h"
#include "say.h"
#include "text.h"

#include <stdio.h>

enum { ROW_MAX = 16384 };

const char *row_status(const struct ledger *l, const struct ledger_entry *e, int64_t now)
{
    return e->revoked                     ? "revoked"
           : !e->issued                   ? "unfinished"
           : e->not_after < now           ? "expired"
           : ledger_renewal(l, e->serial) ? "renewed"
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

static void print_json(const struct ledger *l, const struct ledger_entry *e, int64_t now)
{
    const struct ledger_entry *next = ledger_renewal(l, e->serial);
    struct buf b;
    char when[SAY_TIME];
    buf_init(&b, ROW_MAX);
    text_put(&b, "{");
    put_field(&b, "serial", e->serial);
    put_field(&b, "status", row_status(l, e, now));
    put_field(&b, "role", ledger_role_name(e->role));
    say_stamp((time_t)e->not_after, when);
    put_field(&b, "not_after", when);
    put_field(&b, "subject", e->subject);
    if (e->renews[0])
        put_field(&b, "renews", e->renews);
    if (next)
        put_field(&b, "renewed_by", next->serial);
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

void row_print(const struct ledger *l, const struct ledger_entry *e, int64_t now, bool json)
{
    char when[SAY_TIME], subject[SAY_TEXT];
    if (json) {
        print_json(l, e, now);
        return;
    }
    say_stamp((time_t)e->not_after, when);
    say_clean(e->subject[0] ? e->subject : "-", subject);
    printf("%-10s %s %s %s %s\n", row_status(l, e, now), e->serial, when, ledger_role_name(e->role),
           subject);
}
