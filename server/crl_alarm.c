/* SPDX-License-Identifier: ISC */
#include "crl_alarm.h"

#include "log.h"
#include "scribe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LOOK_MS = 60 * 1000, DAY_S = 86400 };

/* FNV-1a, 64 bits */
static uint64_t mix(uint64_t h, const void *p, size_t n)
{
    const unsigned char *s = p;
    for (size_t i = 0; i < n; i++)
        h = (h ^ s[i]) * UINT64_C(1099511628211);
    return h;
}

static uint64_t list_of(const struct cert_crl_facts *f)
{
    int64_t next = (int64_t)f->next_update;
    uint64_t h = mix(UINT64_C(14695981039346656037), f->anchor, strlen(f->anchor) + 1);
    return mix(mix(h, f->issuer, strlen(f->issuer) + 1), &next, sizeof next);
}

static void date_text(time_t when, char out[static 32])
{
    struct tm tm;
    if (!gmtime_r(&when, &tm) || !strftime(out, 32, "%Y-%m-%d %H:%M:%S UTC", &tm))
        snprintf(out, 32, "?");
}

static void say(const struct cert_crl_facts *f, time_t now, int scribe)
{
    char next[32], end[32], what[160];
    date_text(f->next_update, next);
    date_text(f->counts_until, end);
    if (now < f->next_update)
        snprintf(what, sizeof what, "runs out on %s", next);
    else if (!f->counts_until)
        snprintf(what, sizeof what, "ran out on %s; it is obeyed all the same (crl-stale)", next);
    else if (now < f->counts_until)
        snprintf(what, sizeof what, "ran out on %s; it counts until %s (crl-stale)", next, end);
    else
        snprintf(what, sizeof what, "ran out on %s: nobody is let in by it", next);
    log_warn("anchor %s: the revocation list of %s %s: put a new one in its place", f->anchor,
             f->issuer, what);
    if (scribe >= 0 && scribe_record(scribe, "crl", "anchor", f->anchor, "issuer", f->issuer,
                                     "number", f->number[0] ? f->number : NULL, "next-update", next,
                                     "reason", what, NULL) != ERR_OK)
        log_warn("the age of a revocation list is not in the audit log");
}

/* Whether there is a newer list of the same CA. */
static bool superseded(const struct policy *p, const struct cert_crl_facts *f)
{
    struct cert_crl_facts other;
    for (size_t i = 0; cert_store_crl(p->anchors, i, &other); i++)
        if (other.next_update > f->next_update && strcmp(other.anchor, f->anchor) == 0 &&
            strcmp(other.issuer, f->issuer) == 0)
            return true;
    return false;
}

static int64_t said_when(const struct crl_alarm *a, uint64_t list)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->said[i].list == list)
            return a->said[i].when;
    return 0;
}

/* What was said of lists that are gone is forgotten. */
void crl_alarm_tick(struct crl_alarm *a, const struct policy *p, int scribe, int64_t now_ms)
{
    struct crl_alarm fresh = {.due_ms = now_ms + LOOK_MS};
    struct cert_crl_facts f;
    time_t now = time(NULL);
    if (now_ms < a->due_ms)
        return;
    for (size_t i = 0; cert_store_crl(p->anchors, i, &f); i++) {
        uint64_t list = list_of(&f);
        int64_t when = said_when(a, list);
        if (f.next_update - now >= (int64_t)p->config->crl_warn_s || superseded(p, &f))
            continue;
        if (now - when >= DAY_S || when > now) {
            say(&f, now, scribe);
            when = (int64_t)now;
        }
        struct crl_alarm_said *grown = realloc(fresh.said, (fresh.n + 1) * sizeof *grown);
        if (!grown)
            break; /* it is said again the next time */
        fresh.said = grown;
        grown[fresh.n++] = (struct crl_alarm_said){list, when};
    }
    crl_alarm_release(a);
    *a = fresh;
}

void crl_alarm_reload(struct crl_alarm *a)
{
    a->due_ms = 0;
}

void crl_alarm_release(struct crl_alarm *a)
{
    free(a->said);
    a->said = NULL;
    a->n = 0;
}
