/* SPDX-License-Identifier: ISC */
#include "bench.h"
#include "generate.h"
#include "inventory.h"
#include "log.h"
#include "options.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    PROBE_MAX = 1024,      /* sessions that are opened to find the limit */
    SAMPLES_MAX = 1 << 20, /* times that are kept a session */
    GRACE_S = 10,          /* for the last signature of a row */
    TEXT_MAX = 130,        /* what TLS 1.3 signs with Ed25519 */
    SIGNATURE_MAX = 1024,
};

/* One session that signs. */
struct lane {
    const struct bench *of;
    struct p11_session s;
    pthread_t thread;
    int64_t until_ns;
    uint32_t *us; /* what each signature took */
    size_t n;
    CK_RV rv;
};

struct bench {
    struct p11 m;
    struct p11_token t;
    struct token_pin *pin;
    const struct key_type *type;
    CK_OBJECT_HANDLE key;
    CK_MECHANISM how;
    size_t n_data;
    struct lane lanes[BENCH_SESSIONS_MAX]; /* the first one's session logs in and stays */
};

static CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 32};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static CK_RV sign_once(struct lane *l)
{
    uint8_t data[TEXT_MAX] = {1}, signature[SIGNATURE_MAX];
    CK_ULONG n = sizeof signature;
    CK_MECHANISM how = l->of->how;
    CK_RV rv = l->s.f->C_SignInit(l->s.handle, &how, l->of->key);
    return rv == CKR_OK ? l->s.f->C_Sign(l->s.handle, data, l->of->n_data, signature, &n) : rv;
}

static void *work(void *arg)
{
    struct lane *l = arg;
    int64_t then = now_ns();
    while (then < l->until_ns && l->n < SAMPLES_MAX && (l->rv = sign_once(l)) == CKR_OK) {
        int64_t now = now_ns();
        l->us[l->n++] = (uint32_t)((now - then) / 1000);
        then = now;
    }
    return NULL;
}

static int by_time(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static enum err print_row(struct bench *b, unsigned n, int64_t took_ns)
{
    size_t all = 0, at = 0;
    for (unsigned i = 0; i < n; i++) {
        if (b->lanes[i].rv != CKR_OK)
            return p11_fail(b->lanes[i].rv, "signing with %u sessions", n);
        all += b->lanes[i].n;
    }
    uint32_t *us = calloc(all ? all : 1, sizeof *us);
    if (!us)
        return log_fail(ERR_INTERNAL, "out of memory");
    for (unsigned i = 0; i < n; i++) {
        memcpy(us + at, b->lanes[i].us, b->lanes[i].n * sizeof *us);
        at += b->lanes[i].n;
    }
    qsort(us, all, sizeof *us, by_time);
    size_t half = all / 2, most = all * 99 / 100;
    printf("%8u %14.0f %10.3f %10.3f\n", n, (double)all * 1e9 / (double)took_ns,
           all ? (double)us[half] / 1e3 : 0.0, all ? (double)us[most] / 1e3 : 0.0);
    fflush(stdout);
    free(us);
    return ERR_OK;
}

/* A thread that hangs in the module can't be ended: the process is. */
static void join(struct lane *l, int seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds + GRACE_S;
    if (pthread_timedjoin_np(l->thread, NULL, &until) == 0)
        return;
    log_error("the token has not answered for %d s", GRACE_S);
    _exit(err_exit(ERR_TOKEN));
}

static enum err run_row(struct bench *b, unsigned n, int seconds)
{
    unsigned started = 0;
    enum err e = ERR_OK;
    int64_t begin = now_ns();
    for (; !e && started < n; started++) {
        struct lane *l = &b->lanes[started];
        l->n = 0;
        l->rv = CKR_OK;
        l->until_ns = begin + (int64_t)seconds * 1000000000;
        if (pthread_create(&l->thread, NULL, work, l)) {
            e = log_fail(ERR_LIMIT, "no thread for session %u", started + 1);
            break;
        }
    }
    for (unsigned i = 0; i < started; i++)
        join(&b->lanes[i], seconds);
    return e ? e : print_row(b, n, now_ns() - begin);
}

static enum err find_key(struct bench *b, const char *label)
{
    CK_OBJECT_CLASS class[] = {CKO_PRIVATE_KEY, CKO_SECRET_KEY};
    const struct p11_session *s = &b->lanes[0].s;
    enum err e = ERR_OK;
    size_t n = 0;
    for (size_t i = 0; !e && n == 0 && i < 2; i++) {
        CK_ATTRIBUTE match[] = {{CKA_CLASS, &class[i], sizeof class[i]},
                                {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}};
        CK_OBJECT_HANDLE *found = NULL;
        e = p11_find(s, match, 2, &found, &n);
        if (!e && n)
            b->key = found[0];
        free(found);
    }
    if (e)
        return e;
    if (n != 1)
        return log_fail(ERR_TOKEN, "token \"%s\": %s labelled \"%s\"", b->t.label,
                        n ? "more than one key is" : "no key is", label);
    b->type = inventory_key_type(s, b->key);
    return b->type ? ERR_OK : log_fail(ERR_CONFIG, "key \"%s\": of no kind that is used", label);
}

static void choose_mechanism(struct bench *b)
{
    b->how = (CK_MECHANISM){b->type->sign, NULL, 0};
    b->n_data = b->type->bits >= 512 ? 64 : b->type->bits / 8;
    if (b->type->family == KEY_EDWARDS)
        b->n_data = TEXT_MAX;
    if (b->type->family != KEY_RSA)
        return;
    b->n_data = 32;
    if (p11_can(&b->m, &b->t, CKM_RSA_PKCS_PSS, CKF_SIGN, NULL))
        b->how = (CK_MECHANISM){CKM_RSA_PKCS_PSS, &pss, sizeof pss};
}

static enum err choose_key(struct bench *b, const struct options *o)
{
    enum err e = ERR_OK;
    if (o->label) {
        e = find_key(b, o->label);
    } else {
        e = key_type_find(o->type, false, &b->type);
        if (!e)
            e = generate_temporary(&b->m, &b->t, &b->lanes[0].s, b->type, &b->key);
    }
    if (e)
        return e;
    choose_mechanism(b);
    CK_RV rv = sign_once(&b->lanes[0]);
    if (rv != CKR_OK)
        return p11_fail(rv, "signing with token \"%s\"", b->t.label);
    printf("%-13s%s%s%s\n", "key", b->type->name, o->label ? ", " : ", temporary",
           o->label ? o->label : "");
    return ERR_OK;
}

/* Opens what there is, and closes it again. */
static void print_limit(const struct bench *b)
{
    static CK_SESSION_HANDLE open[PROBE_MAX];
    unsigned n = 1; /* our own */
    CK_RV rv = CKR_OK;
    while (n < PROBE_MAX && rv == CKR_OK) {
        rv = b->m.f->C_OpenSession(b->t.slot, CKF_SERIAL_SESSION, NULL, NULL, &open[n]);
        n += rv == CKR_OK;
    }
    for (unsigned i = 1; i < n; i++)
        b->m.f->C_CloseSession(open[i]);
    printf("%-13s%s%u sessions\n", "limit", rv == CKR_OK ? "at least " : "", n);
}

static enum err open_lane(struct bench *b, unsigned i)
{
    struct lane *l = &b->lanes[i];
    l->of = b;
    l->us = calloc(SAMPLES_MAX, sizeof *l->us);
    if (!l->us)
        return log_fail(ERR_INTERNAL, "out of memory");
    return p11_session_open(&b->m, &b->t, i == 0, &l->s);
}

static enum err run_table(struct bench *b, unsigned sessions, int seconds)
{
    enum err e = ERR_OK;
    unsigned ready = 1;
    printf("%8s %14s %10s %10s\n", "sessions", "signatures/s", "p50 ms", "p99 ms");
    for (unsigned n = 1; !e && n <= sessions;
         n = n < sessions && n * 2 > sessions ? sessions : n * 2) {
        for (; !e && ready < n; ready++)
            e = open_lane(b, ready);
        if (!e)
            e = run_row(b, n, seconds);
    }
    return e;
}

static enum err run(struct bench *b, const struct options *o, const char *token)
{
    enum err e = token_pin_new(o->pin ? o->pin : "prompt", &b->pin);
    if (!e)
        e = p11_open(options_module(o), &b->m);
    if (!e)
        e = p11_find_token(&b->m, token, &b->t);
    if (!e)
        e = open_lane(b, 0);
    if (!e)
        e = p11_login(&b->lanes[0].s, &b->t, b->pin);
    if (!e)
        e = choose_key(b, o);
    if (!e) {
        print_limit(b);
        e = run_table(b, (unsigned)(o->sessions ? o->sessions : BENCH_SESSIONS),
                      o->seconds ? o->seconds : BENCH_SECONDS);
    }
    return e;
}

enum err bench_token(const struct options *o, const char *token)
{
    static struct bench b;
    if (!o->label == !o->type)
        return log_fail(ERR_USAGE, "token bench: name a key with --label, or the --type of a "
                                   "temporary one");
    if (o->sessions < 0 || o->sessions > BENCH_SESSIONS_MAX || o->seconds < 0 || o->seconds > 600)
        return log_fail(ERR_USAGE, "--sessions: must be 1 to %d; --seconds: 1 to 600",
                        BENCH_SESSIONS_MAX);
    enum err e = run(&b, o, token);
    for (unsigned i = 0; i < BENCH_SESSIONS_MAX; i++) {
        p11_session_close(&b.lanes[i].s);
        free(b.lanes[i].us);
    }
    p11_close(&b.m);
    token_pin_free(b.pin);
    return e;
}
