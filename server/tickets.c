/* SPDX-License-Identifier: ISC */
#include "tickets.h"

#include "log.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

static void *map_page(void)
{
    void *page =
        mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    if (mlock(page, PAGE) < 0)
        log_warn("keys of tickets: their memory can't be locked and may get to a swap device: %s",
                 strerror(errno));
    (void)madvise(page, PAGE, MADV_DONTDUMP);
    return page;
}

enum err tickets_init(struct tickets *t)
{
    t->keys = map_page();
    t->lent = map_page();
    if (!t->keys || !t->lent)
        return log_fail_errno("memory for keys of tickets");
    return madvise(t->keys, PAGE, MADV_WIPEONFORK) == 0
               ? ERR_OK
               : log_fail_errno("memory for keys of tickets that no child has");
}

void tickets_release(struct tickets *t)
{
    if (t->keys) {
        explicit_bzero(t->keys, PAGE);
        munmap(t->keys, PAGE);
    }
    if (t->lent) {
        explicit_bzero(t->lent, PAGE);
        munmap(t->lent, PAGE);
    }
    *t = (struct tickets){0};
}

unsigned tickets_lifetime(const struct config *c)
{
    return (unsigned)(c->ticket_epoch_s / 3);
}

static uint64_t length(const struct config *c)
{
    return (uint64_t)3 * tickets_lifetime(c);
}

uint64_t tickets_epoch(const struct config *c, time_t now)
{
    return (uint64_t)now / length(c);
}

time_t tickets_epoch_end(const struct config *c, time_t now)
{
    return (time_t)((tickets_epoch(c, now) + 1) * length(c));
}

static struct tickets_key *find(const struct tickets *t, uint64_t epoch)
{
    for (size_t i = 0; i < TICKETS_KEYS; i++)
        if (t->keys[i].epoch == epoch)
            return &t->keys[i];
    return NULL;
}

bool tickets_wanted(struct tickets *t, const struct config *c, time_t now, uint64_t *epoch)
{
    uint64_t first = tickets_epoch(c, now);
    for (size_t i = 0; i < TICKETS_KEYS; i++)
        if (t->keys[i].epoch < first || t->keys[i].epoch >= first + TICKETS_KEYS)
            explicit_bzero(&t->keys[i], sizeof t->keys[i]);
    for (*epoch = first; *epoch < first + TICKETS_KEYS; ++*epoch)
        if (!find(t, *epoch))
            return true;
    return false;
}

void tickets_put(struct tickets *t, uint64_t epoch, const uint8_t key[static TLS_TICKET_KEY])
{
    struct tickets_key *at = find(t, epoch);
    if (!at)
        at = find(t, 0);
    if (!at)
        return; /* of an epoch that nobody waits for any more */
    at->epoch = epoch;
    memcpy(at->key, key, TLS_TICKET_KEY);
}

bool tickets_ready(const struct tickets *t, const struct config *c, time_t now)
{
    return find(t, tickets_epoch(c, now)) != NULL;
}

uint8_t *tickets_lend(struct tickets *t, const struct config *c, time_t now)
{
    const struct tickets_key *k = find(t, tickets_epoch(c, now));
    if (!k)
        return NULL;
    memcpy(t->lent, k->key, TLS_TICKET_KEY);
    return t->lent;
}

void tickets_take_back(struct tickets *t)
{
    explicit_bzero(t->lent, TLS_TICKET_KEY);
}

void tickets_clear(struct tickets *t)
{
    explicit_bzero(t->keys, TICKETS_KEYS * sizeof t->keys[0]);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool tickets_same(const struct config *a, const struct config *b)
{
    return a->tickets == b->tickets && a->ticket_epoch_s == b->ticket_epoch_s &&
           same_text(a->ticket_key, b->ticket_key) &&
           same_text(a->tokens[0].module, b->tokens[0].module) &&
           same_text(a->tokens[0].module_env, b->tokens[0].module_env);
}
