/* SPDX-License-Identifier: ISC */
/* Counting: one bad file does not end the rest, and the sum at the end adds up. */
#include "client.h"

#include "log.h"
#include "text.h"
#include <pthread.h>
#include <stdio.h>

enum { FILE_WEIGHT = 16 << 10 };

/* Connections count from threads of their own. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

enum err batch_reason(const struct link *l, const char *what, enum err e,
                      const struct xfer_result *r)
{
    if (e == ERR_OK)
        return e;
    if (r->peer_said)
        return log_fail(e, "%s: %s", what, r->reason[0] ? r->reason : err_text(e));
    if (l->chan.failed && !log_reason()[0])
        return log_fail(e, "%s: %s", what, err_text(e));
    return e;
}

static void count_failure(struct batch *b, enum err e)
{
    b->failed++;
    if (b->first == ERR_OK)
        b->first = e;
}

enum err batch_fail(struct batch *b, enum err e)
{
    pthread_mutex_lock(&lock);
    count_failure(b, e);
    pthread_mutex_unlock(&lock);
    return ERR_OK;
}

enum err batch_count(struct batch *b, enum err e, const struct xfer_result *r)
{
    pthread_mutex_lock(&lock);
    b->moved += r->moved;
    if (e == ERR_OK) {
        b->good++;
        b->bytes += r->length;
    } else {
        count_failure(b, e);
    }
    pthread_mutex_unlock(&lock);
    /* Nothing else can go over a connection that broke. */
    return e == ERR_CONN || e == ERR_TIMEOUT || e == ERR_PROTO || e == ERR_TLS ? e : ERR_OK;
}

void batch_unkept(struct batch *b, const char *what, const char *reason)
{
    pthread_mutex_lock(&lock);
    bool first = b->unkept++ == 0;
    pthread_mutex_unlock(&lock);
    if (first || options.verbose)
        log_warn("attributes of %s are not kept: %s%s", what, reason,
                 options.verbose ? "" : " (of others only their number is told)");
}

uint64_t batch_amount(const struct batch *b)
{
    pthread_mutex_lock(&lock);
    uint64_t amount = b->moved + (b->good + b->failed) * FILE_WEIGHT;
    pthread_mutex_unlock(&lock);
    return amount;
}

enum err batch_end(const struct batch *b, const char *op, bool tree, enum err e)
{
    char bytes[TEXT_SIZE], good[32], bad[32], n[32], same[32], deleted[32], unkept[64];
    bool several = tree || b->good + b->failed + b->same + b->deleted > 1 || b->unkept > 0;
    text_size(b->bytes, bytes);
    if (several && options.json) {
        snprintf(good, sizeof good, "%llu", (unsigned long long)b->good);
        snprintf(bad, sizeof bad, "%llu", (unsigned long long)b->failed);
        snprintf(n, sizeof n, "%llu", (unsigned long long)b->bytes);
        snprintf(same, sizeof same, "%llu", (unsigned long long)b->same);
        snprintf(deleted, sizeof deleted, "%llu", (unsigned long long)b->deleted);
        snprintf(unkept, sizeof unkept, "%llu", (unsigned long long)b->unkept);
        show_json("summary", "op", op, "#good", good, "#failed", bad, "#bytes", n, "#same", same,
                  "#deleted", deleted, "#unkept", unkept, NULL);
    } else if (several) {
        snprintf(same, sizeof same, "; %llu the same", (unsigned long long)b->same);
        snprintf(deleted, sizeof deleted, "; %llu deleted", (unsigned long long)b->deleted);
        snprintf(unkept, sizeof unkept, "; attributes of %llu not kept",
                 (unsigned long long)b->unkept);
        show_line("%s: %llu files, %s; %llu failed%s%s%s", op, (unsigned long long)b->good, bytes,
                  (unsigned long long)b->failed, b->same ? same : "", b->deleted ? deleted : "",
                  b->unkept ? unkept : "");
    }
    return e != ERR_OK ? e : b->first;
}
