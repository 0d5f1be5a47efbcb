/* SPDX-License-Identifier: ISC */
#include "transport.h"

#include "fuzz.h"
#include <poll.h>
#include <time.h>

enum { RECORD = 16384, SENT_MAX = 64 << 20 };

struct tls {
    struct slice left;
    uint8_t cut;
    bool paused; /* the next piece has not come yet */
    struct buf sent;
};

struct tls *transport_new(struct slice input, uint8_t cut)
{
    struct tls *t = calloc(1, sizeof *t);
    FUZZ_MUST(t != NULL);
    t->left = input;
    t->cut = cut;
    buf_init(&t->sent, SENT_MAX);
    return t;
}

struct slice transport_sent(const struct tls *t)
{
    return slice_of(t->sent.data, t->sent.len);
}

void tls_free(struct tls *t)
{
    if (t)
        buf_release(&t->sent);
    free(t);
}

/* Between two pieces there is nothing for a moment. */
enum err tls_read(struct tls *t, void *p, size_t n, size_t *got)
{
    *got = 0;
    t->paused = t->cut && t->left.n > 0 && !t->paused;
    if (t->paused)
        return ERR_BUSY;
    *got = t->cut && t->cut < n ? t->cut : n;
    if (*got > RECORD)
        *got = RECORD;
    if (*got > t->left.n)
        *got = t->left.n;
    if (*got)
        memcpy(p, t->left.p, *got);
    t->left = slice_of(t->left.p + *got, t->left.n - *got);
    return ERR_OK;
}

enum err tls_write(struct tls *t, const void *p, size_t n, size_t *done)
{
    *done = n < RECORD ? n : RECORD;
    buf_put(&t->sent, p, *done);
    return t->sent.bad ? ERR_CONN : ERR_OK;
}

enum err tls_flush(struct tls *t)
{
    (void)t;
    return ERR_OK;
}

enum err tls_wait(struct tls *t, short events, int64_t deadline_ms, short *ready)
{
    (void)t, (void)deadline_ms;
    *ready = events;
    return ERR_OK;
}

enum err tls_wait_also(struct tls *t, short events, int also, int64_t deadline_ms, short *ready)
{
    (void)also;
    return tls_wait(t, events, deadline_ms, ready);
}

void tls_bye(struct tls *t)
{
    (void)t;
}

uint64_t tls_bytes_acked(const struct tls *t)
{
    return t->sent.len;
}

void tls_receive_room(struct tls *t, int bytes)
{
    (void)t, (void)bytes;
}

enum err tls_export(struct tls *t, const char *label, const void *context, size_t n,
                    uint8_t out[static TLS_EXPORT])
{
    (void)t, (void)label, (void)context, (void)n;
    memset(out, 0x5a, TLS_EXPORT);
    return ERR_OK;
}

int64_t tls_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t tls_now_ms(void)
{
    return tls_now_ns() / 1000000;
}
