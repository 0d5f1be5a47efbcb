/* SPDX-License-Identifier: ISC */
#include "signer.h"

#include "confine.h"
#include "ipc.h"
#include "log.h"
#include "probe.h"
#include "scheme.h"
#include "seed.h"
#include "ticket_key.h"
#include "tls_proof.h"
#include "token.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    START_MS = 10 * 1000, /* what it is to do is sent before it is started */
    GROW_AGAIN_S = 60,
    END_S = 1, /* for an orderly end */
};

enum { DATA_MAX = 256 };

struct job {
    uint64_t number;
    uint32_t algorithm;
    uint8_t data[DATA_MAX]; /* a hash, or the text of a statement */
    size_t n;
};

struct signer;

/* One session with the token. */
struct worker {
    struct signer *signer;
    gnutls_privkey_t key;
    pthread_t thread;
};

struct signer {
    int control;
    char *key, *module;
    char *ticket_key; /* NULL: none */
    bool allow_extractable;
    bool
        statements; /* signs texts that the keeper wrote, and else hashes of handshakes, never both */
    unsigned wanted; /* sessions */
    time_t keep_alive_s;
    gnutls_pcert_st leaf;
    struct scheme_key kind;
    uint8_t server_key[TLS_SERVER_KEY];
    uint64_t proven;
    struct token_pin *pin;
    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t work, end;
    struct job jobs[SIGNER_SESSIONS]; /* the keeper gives no more than there are sessions */
    size_t first, n_jobs;
    bool stop;
    struct worker workers[SIGNER_SESSIONS];
    unsigned n_workers;
};

/* ---- one session ---- */

static struct timespec in_seconds(time_t s)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += s;
    return t;
}

enum next { NEXT_JOB, NEXT_IDLE, NEXT_END };

static enum next next_job(struct signer *s, struct job *out)
{
    struct timespec until = in_seconds(s->keep_alive_s);
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    while (!s->stop && s->n_jobs == 0 && rc == 0)
        rc = pthread_cond_timedwait(&s->work, &s->lock, &until);
    enum next next = s->stop ? NEXT_END : s->n_jobs > 0 ? NEXT_JOB : NEXT_IDLE;
    if (next == NEXT_JOB) {
        *out = s->jobs[s->first];
        s->first = (s->first + 1) % SIGNER_SESSIONS;
        s->n_jobs--;
    }
    pthread_mutex_unlock(&s->lock);
    return next;
}

static struct slice reason(size_t max)
{
    struct slice s = slice_str(log_reason());
    s.n = s.n > max ? max : s.n;
    return s;
}

static enum err say_failed(const struct signer *s, enum err status)
{
    return IPC_SEND(s->control, signer_failed, SIGNER_FAILED, .status = (uint16_t)status,
                    .reason = reason(512));
}

/* 0 or more, or GnuTLS's error. The signature is verified by whom it is for: *good. */
static int sign(const struct signer *s, const struct worker *w, const struct job *j,
                gnutls_datum_t *signature, bool *good)
{
    const struct scheme *scheme = scheme_find(&s->kind, j->algorithm);
    const gnutls_datum_t text = {(uint8_t *)(uintptr_t)j->data, (unsigned)j->n};
    struct slice hash = slice_of(j->data, j->n);
    if (!scheme)
        return GNUTLS_E_INVALID_REQUEST;
    int rc = s->statements
                 ? gnutls_privkey_sign_data2(w->key, scheme->algorithm, 0, &text, signature)
                 : scheme_sign(scheme, w->key, SCHEME_SERVER, hash, signature);
    if (rc >= 0)
        *good = (s->statements ? gnutls_pubkey_verify_data2(s->leaf.pubkey, scheme->algorithm, 0,
                                                            &text, signature)
                               : scheme_verify(scheme, s->leaf.pubkey, SCHEME_SERVER, hash,
                                               slice_of(signature->data, signature->size))) >= 0;
    return rc;
}

static enum err do_job(const struct worker *w, const struct job *j)
{
    const struct signer *s = w->signer;
    gnutls_datum_t signature = {0};
    bool good = false;
    enum err e = ERR_OK;
    int rc = sign(s, w, j, &signature, &good);
    if (rc < 0)
        e = token_fail(rc, "signing with %s", s->key);
    else if (!good)
        e = log_fail(ERR_TOKEN, "signing with %s: the token made a wrong signature", s->key);
    enum err sent =
        IPC_SEND(s->control, signer_signed, SIGNER_SIGNED, .number = j->number,
                 .status = (uint16_t)e, .reason = e ? reason(256) : (struct slice){0},
                 .signature = slice_of(e ? NULL : signature.data, e ? 0 : signature.size));
    gnutls_free(signature.data);
    return sent;
}

static enum err keep_alive(const struct worker *w)
{
    const struct signer *s = w->signer;
    int rc = scheme_touch(w->key, &s->kind, s->proven);
    return rc < 0 ? say_failed(s, token_fail(rc, "session with the token of %s", s->key)) : ERR_OK;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct job j;
    enum err e = ERR_OK;
    for (enum next next; e == ERR_OK && (next = next_job(w->signer, &j)) != NEXT_END;)
        e = next == NEXT_JOB ? do_job(w, &j) : keep_alive(w);
    return NULL;
}

/* ---- the pool ---- */

/* One more session, with key, which moves in; and the keeper is told. */
static enum err add_worker(struct signer *s, gnutls_privkey_t key)
{
    pthread_mutex_lock(&s->lock);
    struct worker *w = &s->workers[s->n_workers];
    *w = (struct worker){.signer = s, .key = key};
    bool good = !s->stop && pthread_create(&w->thread, NULL, work, w) == 0;
    s->n_workers += good;
    unsigned n = s->n_workers;
    pthread_mutex_unlock(&s->lock);
    if (!good) {
        gnutls_privkey_deinit(key);
        return log_fail(ERR_LIMIT, "no thread for one more session with the token of %s", s->key);
    }
    return IPC_SEND(s->control, signer_up, SIGNER_UP, .algorithms = s->proven,
                    .sessions = (uint16_t)n);
}

/* False when the signer is to end instead. */
static bool pause_for(struct signer *s, time_t seconds)
{
    struct timespec until = in_seconds(seconds);
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    while (!s->stop && rc == 0)
        rc = pthread_cond_timedwait(&s->end, &s->lock, &until);
    bool go_on = !s->stop;
    pthread_mutex_unlock(&s->lock);
    return go_on;
}

/* Opens sessions up to what is wanted; those that the token does not give now it may give later. */
static void *grow(void *arg)
{
    struct signer *s = arg;
    unsigned told = 0;
    gnutls_privkey_t key;
    while (s->n_workers < s->wanted && pause_for(s, 0)) {
        if (token_load_another(s->key, &key) == ERR_OK) {
            if (add_worker(s, key) != ERR_OK)
                return NULL;
            continue;
        }
        if (told != s->n_workers)
            log_info("the token of %s allows %u sessions, %u are wanted", s->key, s->n_workers,
                     s->wanted);
        told = s->n_workers;
        if (!pause_for(s, GROW_AGAIN_S))
            return NULL;
    }
    return NULL;
}

/* ---- random bytes ---- */

/* Feeds the kernel's pool, now and every hour, and tells how that went. Nothing waits for it. */
static void *feed(void *arg)
{
    struct signer *s = arg;
    struct seed seed = {0};
    do {
        log_clear_reason();
        enum err e = seed_round(&seed, token_random, s->key, SEED_POOL);
        if (IPC_SEND(s->control, signer_seeded, SIGNER_SEEDED, .status = (uint16_t)e,
                     .reason = e == ERR_OK ? (struct slice){0} : reason(256)) != ERR_OK)
            return NULL;
    } while (pause_for(s, SEED_EVERY_S));
    return NULL;
}

/* ---- beginning ---- */

static enum err take_start(struct signer *s, const struct ipc_signer_start *m, char **module_env)
{
    const gnutls_datum_t leaf = {(uint8_t *)(uintptr_t)m->leaf.p, (unsigned)m->leaf.n};
    s->wanted = m->sessions > SIGNER_SESSIONS ? SIGNER_SESSIONS : m->sessions;
    s->keep_alive_s = m->keep_alive_s;
    s->key = strndup((const char *)m->key.p, m->key.n);
    s->module = m->module.n ? strndup((const char *)m->module.p, m->module.n) : NULL;
    s->ticket_key =
        m->ticket_key.n ? strndup((const char *)m->ticket_key.p, m->ticket_key.n) : NULL;
    s->allow_extractable = m->allow_extractable != 0;
    s->statements = m->statements != 0;
    *module_env = m->module_env.n ? strndup((const char *)m->module_env.p, m->module_env.n) : NULL;
    if (!s->key || (m->module.n && !s->module) || (m->module_env.n && !*module_env) ||
        (m->ticket_key.n && !s->ticket_key))
        return log_fail(ERR_INTERNAL, "out of memory for a signer");
    int rc = gnutls_pcert_import_x509_raw(&s->leaf, &leaf, GNUTLS_X509_FMT_DER, 0);
    enum err e = rc < 0 ? token_fail(rc, "the server's certificate") : ERR_OK;
    if (e == ERR_OK && m->pin.n)
        e = token_pin_given(m->pin.p, m->pin.n, &s->pin);
    return e;
}

static enum err make_ticket_key(const struct signer *s, const struct ipc_ticket_ask *ask,
                                uint8_t *key)
{
    const struct ticket_source from = {s->ticket_key, s->key, s->server_key, s->allow_extractable};
    return ticket_key_make(&from, ask->epoch, ask->length, key);
}

/* A secret that can't be used is found before anybody connects. */
static enum err rehearse_tickets(const struct signer *s)
{
    uint8_t key[TLS_TICKET_KEY];
    enum err e = make_ticket_key(s, &(struct ipc_ticket_ask){0}, key);
    explicit_bzero(key, sizeof key);
    return e;
}

static enum err load(struct signer *s, const struct ipc_signer_start *m, gnutls_privkey_t *key)
{
    char *module_env = NULL;
    enum err e = take_start(s, m, &module_env);
    if (e == ERR_OK && (token_is_url(s->key) || s->ticket_key) &&
        (e = token_environment(module_env)) == ERR_OK)
        e = token_start(s->module, s->pin);
    if (e == ERR_OK)
        e = token_load_key(s->key, m->allow_extractable, key);
    if (e == ERR_OK)
        e = token_match(*key, &s->leaf, s->key);
    if (e == ERR_OK)
        e = scheme_key_of(&s->leaf, s->key, &s->kind);
    if (e == ERR_OK)
        e = tls_server_key(&s->leaf, s->server_key);
    if (e == ERR_OK)
        e = scheme_rehearse(*key, &s->leaf, s->key, &s->proven);
    if (e == ERR_OK && s->ticket_key)
        e = rehearse_tickets(s);
    free(module_env);
    return e;
}

static enum err begin(struct signer *s, gnutls_privkey_t *key)
{
    static uint8_t buffer[IPC_MAX];
    struct ipc_in in;
    struct ipc_signer_start m;
    enum err e = ipc_recv(s->control, buffer, sizeof buffer, &in, START_MS);
    if (e != ERR_OK)
        return log_fail(e, "signer: was not told what to do");
    ipc_drop(&in);
    if (in.type == IPC_SIGNER_START && ipc_get_signer_start(in.body, in.n, &m))
        e = load(s, &m, key);
    else
        e = log_fail(ERR_PROTO, "signer: was told %s first", ipc_name(in.type));
    explicit_bzero(buffer, sizeof buffer); /* the PIN */
    return e;
}

static enum err prepare(struct signer *s, int control)
{
    pthread_condattr_t attr;
    s->control = control;
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->work, &attr);
    pthread_cond_init(&s->end, &attr);
    pthread_condattr_destroy(&attr);
    enum err e = confine_start(&control, 1);
    if (e == ERR_OK)
        e = confine_outside();
    if (e == ERR_OK)
        e = confine_calls(CONFINE_SIGNER);
    probe_run("signer");
    return e;
}

/* ---- middle and end ---- */

/* What a statement begins with, and the text of a handshake does not. */
static bool is_statement(struct slice text)
{
    static const char begin[] = "consign/1 ";
    return text.n > sizeof begin - 1 && memcmp(text.p, begin, sizeof begin - 1) == 0;
}

/* False when it is malformed, or not for this key. */
static bool read_job(const struct signer *s, const struct ipc_in *in, struct job *out)
{
    struct ipc_signer_sign m;
    struct ipc_signer_state t;
    struct slice data;
    if (s->statements && in->type == IPC_SIGNER_STATE &&
        ipc_get_signer_state(in->body, in->n, &t) && is_statement(t.text)) {
        *out = (struct job){.number = t.number, .algorithm = t.algorithm};
        data = t.text;
    } else if (!s->statements && in->type == IPC_SIGNER_SIGN &&
               ipc_get_signer_sign(in->body, in->n, &m) && scheme_hash_ok(m.hash)) {
        *out = (struct job){.number = m.number, .algorithm = m.algorithm};
        data = m.hash;
    } else {
        return false;
    }
    out->n = data.n;
    memcpy(out->data, data.p, data.n);
    return true;
}

static enum err take_job(struct signer *s, const struct ipc_in *in)
{
    struct job job;
    enum err e = ERR_OK;
    if (!read_job(s, in, &job))
        return log_fail(ERR_PROTO, "signer: malformed request of the keeper");
    pthread_mutex_lock(&s->lock);
    if (s->n_jobs == SIGNER_SESSIONS) {
        e = ERR_PROTO;
    } else {
        s->jobs[(s->first + s->n_jobs++) % SIGNER_SESSIONS] = job;
        pthread_cond_signal(&s->work);
    }
    pthread_mutex_unlock(&s->lock);
    return e == ERR_OK ? e : log_fail(e, "signer: the keeper asks for more than there is room for");
}

/* In this thread: who needs a token that hangs finds that out by signatures. */
static enum err answer_ticket(const struct signer *s, const struct ipc_in *in)
{
    uint8_t key[TLS_TICKET_KEY];
    struct ipc_ticket_ask ask;
    struct buf b;
    if (!ipc_get_ticket_ask(in->body, in->n, &ask))
        return log_fail(ERR_PROTO, "signer: malformed request of the keeper");
    enum err made = make_ticket_key(s, &ask, key);
    struct ipc_ticket_key m = {.epoch = ask.epoch,
                               .status = (uint16_t)made,
                               .reason = made ? reason(512) : (struct slice){0},
                               .key = slice_of(key, made ? 0 : sizeof key)};
    buf_init(&b, IPC_SMALL);
    enum err e = ipc_put_ticket_key(&b, &m)
                     ? ipc_send(s->control, IPC_TICKET_KEY, &b, NULL, 0, false)
                     : ERR_INTERNAL;
    if (b.data)
        explicit_bzero(b.data, b.len);
    buf_release(&b);
    explicit_bzero(key, sizeof key);
    return e;
}

/* Until the keeper closes: ERR_CONN. */
static enum err serve(struct signer *s)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    enum err e;
    while ((e = ipc_recv(s->control, buffer, sizeof buffer, &in, -1)) == ERR_OK) {
        ipc_drop(&in);
        e = in.type == IPC_TICKET_ASK ? answer_ticket(s, &in) : take_job(s, &in);
        if (e != ERR_OK)
            break;
    }
    return e;
}

/* Sessions are closed, as some tokens go on counting those that were not; but nobody waits long for a
 * module that hangs: the alarm kills. */
static void finish(struct signer *s, pthread_t grower, const pthread_t *feeder)
{
    signal(SIGALRM, SIG_DFL);
    alarm(END_S);
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->work);
    pthread_cond_broadcast(&s->end);
    pthread_mutex_unlock(&s->lock);
    pthread_join(grower, NULL);
    if (feeder)
        pthread_join(*feeder, NULL);
    for (unsigned i = 0; i < s->n_workers; i++) {
        pthread_join(s->workers[i].thread, NULL);
        gnutls_privkey_deinit(s->workers[i].key);
    }
}

static enum err run(struct signer *s, gnutls_privkey_t key)
{
    pthread_t grower, feeder;
    enum err e = add_worker(s, key);
    if (e != ERR_OK)
        return e;
    if (pthread_create(&grower, NULL, grow, s) != 0)
        return log_fail(ERR_LIMIT, "no thread to open sessions with the token of %s", s->key);
    bool feeds = token_is_url(s->key) && pthread_create(&feeder, NULL, feed, s) == 0;
    e = serve(s);
    finish(s, grower, feeds ? &feeder : NULL);
    return e == ERR_CONN ? ERR_OK : e;
}

int signer_main(int control)
{
    static struct signer s;
    gnutls_privkey_t key = NULL;
    enum err e = prepare(&s, control);
    if (e == ERR_OK && (e = begin(&s, &key)) != ERR_OK) {
        (void)!say_failed(&s, e);
        if (key)
            gnutls_privkey_deinit(key);
    }
    if (e == ERR_OK)
        e = run(&s, key);
    token_stop();
    token_pin_free(s.pin);
    return err_exit(e);
}
