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

static uint64_t bundle_of(const struct config_partner *x)
{
    uint64_t h = mix(UINT64_C(14695981039346656037), x->name, strlen(x->name) + 1);
    return mix(h, &x->until, sizeof x->until);
}

static void say_bundle(const struct config_partner *x, time_t now, int scribe)
{
    char end[32];
    date_text((time_t)x->until, end);
    const char *what = (uint64_t)now <= x->until ? "runs out" : "ran out: nobody is let in by it";
    log_warn("partner %s: its bundle %s (%s): import a new one", x->name, what, end);
    if (scribe >= 0 && scribe_record(scribe, "partner", "anchor", x->name, "until", end, "reason",
                                     what, NULL) != ERR_OK)
        log_warn("the age of a partner's bundle is not in the audit log");
}

/* Whether it is time to say something again of what was said at *when, and that it is said. */
static bool due(int64_t *when, time_t now)
{
    if (now - *when < DAY_S && *when <= now)
        return false;
    *when = (int64_t)now;
    return true;
}

/* Without memory it is said again the next time. */
static void keep(struct crl_alarm *fresh, uint64_t list, int64_t when)
{
    struct crl_alarm_said *grown = realloc(fresh->said, (fresh->n + 1) * sizeof *grown);
    if (!grown)
        return;
    fresh->said = grown;
    grown[fresh->n++] = (struct crl_alarm_said){list, when};
}

static void look_at_partners(const struct crl_alarm *a, struct crl_alarm *fresh,
                             const struct config *c, time_t now, int scribe)
{
    for (size_t i = 0; i < c->n_partners; i++) {
        const struct config_partner *x = &c->partners_list[i];
        uint64_t bundle = bundle_of(x);
        int64_t when = said_when(a, bundle);
        if ((uint64_t)now + c->crl_warn_s <= x->until)
            continue;
        if (due(&when, now))
            say_bundle(x, now, scribe);
        keep(fresh, bundle, when);
    }
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
        if (due(&when, now))
            say(&f, now, scribe);
        keep(&fresh, list, when);
    }
    look_at_partners(a, &fresh, p->config, now, scribe);
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
