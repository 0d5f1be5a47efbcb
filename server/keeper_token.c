/* SPDX-License-Identifier: ISC */
/* The tokens' signers: started, heard, given up and started again. */
#include "keeper_internal.h"

#include "log.h"
#include "signer.h"
#include "spawn.h"
#include "tls.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    START_MS = 15 * 1000, /* to load the module, log in and make the test signatures */
    BACKOFF_MS = 100,
    BACKOFF_MAX_MS = 2000,
    REAP_MS = 200,
    END_MS = 1200,
    END_STEP_US = 10 * 1000,
    AT_ONCE = 2 * SIGNER_SESSIONS, /* messages of one signer taken before others have their turn */
};

/* That of statements, too. */
#define EACH_TOKEN(k, t)                                                                           \
    for (struct token *t = (k)->tokens; t < (k)->tokens + (k)->n_tokens + ((k)->sign != NULL); t++)

/* ---- PINs ---- */

/* Keys of tickets are made by the first token. */
static const char *ticket_key(const struct keeper *k, const struct token *t)
{
    return k->config->tickets && t == k->tokens ? k->config->ticket_key : NULL;
}

static bool same_source(const struct token *a, const struct token *b)
{
    return a->pin && b->config->pin && strcmp(a->config->pin, b->config->pin) == 0;
}

static enum err read_pin(struct keeper *k, struct token *t)
{
    EACH_TOKEN(k, o)
    {
        if (o == t)
            break;
        if (!same_source(o, t))
            continue;
        if (o->state == TOKEN_REFUSED)
            return log_fail(o->status, "%s", o->reason);
        if (o->pin) {
            t->pin = o->pin;
            return ERR_OK;
        }
    }
    enum err e = token_pin_new(t->config->pin, &t->pin);
    return e == ERR_OK && !token_pin_get(t->pin) ? ERR_PIN : e;
}

enum err token_init_all(struct keeper *k)
{
    k->n_tokens = k->config->n_tokens;
    k->sign = k->config->sign.key ? &k->tokens[k->n_tokens] : NULL;
    EACH_TOKEN(k, t)
    {
        const struct config_token *c =
            t == k->sign ? &k->config->sign : &k->config->tokens[t - k->tokens];
        *t = (struct token){.config = c, .fd = -1, .backoff_ms = BACKOFF_MS};
        enum err e = t->config->pin && (token_is_url(t->config->key) || ticket_key(k, t))
                         ? read_pin(k, t)
                         : ERR_OK;
        if (e == ERR_OK)
            continue;
        t->state = TOKEN_REFUSED;
        t->status = e;
        snprintf(t->reason, sizeof t->reason, "%s", log_reason());
    }
    k->epoll = epoll_create1(EPOLL_CLOEXEC);
    return k->epoll >= 0 ? ERR_OK : log_fail_errno("epoll");
}

/* ---- beginning ---- */

/* The PIN is in no memory but locked pages, this buffer and the socket's. */
static enum err send_start(const struct keeper *k, const struct token *t)
{
    const struct config_token *c = t->config;
    const gnutls_datum_t *leaf = &(t == k->sign ? k->sign_chain : k->chain)[0].cert;
    struct ipc_signer_start m = {.allow_extractable = k->config->allow_extractable,
                                 .statements = t == k->sign,
                                 .sessions = (uint16_t)c->sessions,
                                 .keep_alive_s = (uint32_t)c->keep_alive_s,
                                 .key = slice_str(c->key),
                                 .module = slice_str(c->module),
                                 .module_env = slice_str(c->module_env),
                                 .pin = slice_str(t->pin ? token_pin_get(t->pin) : NULL),
                                 .ticket_key = slice_str(ticket_key(k, t)),
                                 .leaf = slice_of(leaf->data, leaf->size)};
    struct buf b;
    buf_init(&b, IPC_MAX);
    enum err e = buf_room(&b, IPC_MAX) && ipc_put_signer_start(&b, &m)
                     ? ipc_send(t->fd, IPC_SIGNER_START, &b, NULL, 0, true)
                     : log_fail(ERR_LIMIT, "token %s: its settings are too long", c->name);
    if (b.data)
        explicit_bzero(b.data, b.cap);
    buf_release(&b);
    return e;
}

static void start(struct keeper *k, struct token *t, int64_t now_ms)
{
    char *const argv[] = {(char[]){"consignd"}, (char[]){"--signer"}, NULL};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = t};
    enum err e = spawn_self(argv, &t->fd, &t->pid);
    t->starts++;
    k->changed = true;
    t->state = TOKEN_STARTING;
    t->due_ms = now_ms + START_MS;
    if (e == ERR_OK && epoll_ctl(k->epoll, EPOLL_CTL_ADD, t->fd, &ev) != 0)
        e = log_fail_errno("epoll");
    if (e == ERR_OK)
        e = send_start(k, t);
    if (e != ERR_OK) {
        t->failures++;
        token_lose(k, t, ERR_TOKEN, "its signer can't be started");
    }
}

/* ---- end ---- */

static void kill_signer(struct keeper *k, struct token *t)
{
    if (t->fd < 0)
        return;
    close(t->fd); /* and epoll forgets it */
    t->fd = -1;
    kill(t->pid, SIGKILL);
    k->dying++;
}

static bool is_signer(struct keeper *k, pid_t pid)
{
    EACH_TOKEN(k, t)
    if (t->fd >= 0 && t->pid == pid)
        return true;
    return false;
}

/* Of a signal that was not ours: most likely the module's fault. */
static void tell_death(const struct keeper *k, const siginfo_t *dead)
{
    char what[128];
    const struct token *t = k->tokens;
    if (dead->si_code == CLD_EXITED || dead->si_status == SIGKILL)
        return;
    while (t < k->tokens + k->n_tokens - 1 && t->pid != dead->si_pid)
        t++;
    snprintf(what, sizeof what, "signer %d was killed: %s", (int)dead->si_pid,
             strsignal(dead->si_status));
    log_error("token %s: %s", t->config->name, what);
    status_event(k, t, "died", what);
}

/* One that died by itself is left until its socket has told so: its number is still to be killed. */
static void reap(struct keeper *k)
{
    siginfo_t dead = {.si_pid = 0};
    while (k->dying > 0 && waitid(P_ALL, 0, &dead, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           dead.si_pid > 0 && !is_signer(k, dead.si_pid) &&
           waitpid(dead.si_pid, NULL, WNOHANG) > 0) {
        tell_death(k, &dead);
        k->dying--;
        dead.si_pid = 0;
    }
}

/* A PIN is never tried twice. What is wrong by configuration stays so; but not where it was right
 * before: a token that goes or comes can say anything. */
static bool is_final(const struct token *t, enum err status)
{
    return status == ERR_PIN || (status == ERR_CONFIG && !t->algorithms);
}

void token_lose(struct keeper *k, struct token *t, enum err status, const char *reason)
{
    snprintf(t->reason, sizeof t->reason, "%s", reason);
    kill_signer(k, t);
    t->status = status;
    t->state = is_final(t, status) ? TOKEN_REFUSED : TOKEN_DOWN;
    t->due_ms = tls_now_ms() + t->backoff_ms;
    t->backoff_ms = t->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : t->backoff_ms * 2;
    if (t->state == TOKEN_REFUSED)
        log_warn("token %s: not tried again before a reload: %s", t->config->name, t->reason);
    else if (!t->lost && k->served)
        log_warn("token %s is lost: %s", t->config->name, t->reason);
    if (!t->lost || t->state == TOKEN_REFUSED)
        status_event(k, t, t->state == TOKEN_REFUSED ? "refused" : "lost", t->reason);
    t->lost = true;
    k->changed = true;
    k->status_due_ms = 0;
    queue_put_back(k, t);
    if (t == k->sign)
        statement_lost(k);
}

/* Those that do nothing end by themselves and in order; what hangs is killed by its own alarm, or by
 * the kernel once this process has ended. */
void token_release_all(struct keeper *k)
{
    int left = 0;
    EACH_TOKEN(k, t)
    {
        left += t->fd >= 0;
        if (t->fd >= 0)
            close(t->fd);
        t->fd = -1;
        queue_release(&t->given);
    }
    reap(k);
    for (int waited = 0; left > 0 && waited < END_MS * 1000; waited += END_STEP_US) {
        if (waitpid(-1, NULL, WNOHANG) > 0)
            left--;
        else
            (void)usleep(END_STEP_US);
    }
    EACH_TOKEN(k, t)
    {
        for (struct token *o = t + 1; o <= k->tokens + k->n_tokens; o++)
            if (o->pin == t->pin)
                o->pin = NULL;
        token_pin_free(t->pin);
        t->pin = NULL;
    }
    if (k->epoll >= 0)
        close(k->epoll);
}

/* ---- what signers say ---- */

static void on_up(struct keeper *k, struct token *t, const struct ipc_signer_up *m)
{
    bool back = t->state != TOKEN_UP;
    t->state = TOKEN_UP;
    t->algorithms = m->algorithms;
    t->sessions = m->sessions;
    t->status = ERR_OK;
    k->changed = true;
    if (!back)
        return;
    k->status_due_ms = 0;
    if (k->served)
        log_info("token %s is up, signer %d", t->config->name, (int)t->pid);
    if (t->lost)
        status_event(k, t, "up", NULL);
    t->lost = false;
}

static void lose_said(struct keeper *k, struct token *t, enum err status, struct slice reason)
{
    char text[512];
    log_scrub(text, sizeof text, reason.p, reason.n);
    token_lose(k, t, status, text);
}

static void on_signed(struct keeper *k, struct token *t, const struct ipc_signer_signed *m)
{
    if (m->status != ERR_OK) {
        t->errors++;
        lose_said(k, t, ERR_TOKEN, m->reason);
        return;
    }
    t->backoff_ms = BACKOFF_MS;
    queue_answer(k, t, m);
    if (t == k->sign)
        statement_signed(k, m);
}

static void on_failed(struct keeper *k, struct token *t, const struct ipc_signer_failed *m)
{
    *(t->state == TOKEN_UP ? &t->errors : &t->failures) += 1;
    lose_said(k, t, err_from_wire(m->status), m->reason);
}

/* A generator that is broken goes into the audit log; signing goes on. */
static void on_seeded(struct keeper *k, struct token *t, const struct ipc_signer_seeded *m)
{
    char text[512];
    t->seeds += m->status == ERR_OK;
    t->unhealthy += m->status == ERR_CORRUPT;
    k->changed = true;
    log_scrub(text, sizeof text, m->reason.p, m->reason.n);
    if (m->status == ERR_CORRUPT)
        status_event(k, t, "unhealthy", text);
}

/* One message; false when there is none, or no signer any more. */
static bool hear_one(struct keeper *k, struct token *t)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_signer_up up;
    struct ipc_signer_failed failed;
    struct ipc_signer_seeded seeded;
    struct ipc_signer_signed is_signed;
    enum err e = ipc_recv(t->fd, buffer, sizeof buffer, &in, 0);
    if (e == ERR_TIMEOUT)
        return false;
    if (e != ERR_OK) {
        *(t->state == TOKEN_UP ? &t->deaths : &t->failures) += 1;
        token_lose(k, t, ERR_TOKEN, "its signer has died");
        return false;
    }
    ipc_drop(&in);
    if (in.type == IPC_SIGNER_UP && ipc_get_signer_up(in.body, in.n, &up))
        on_up(k, t, &up);
    else if (in.type == IPC_SIGNER_SIGNED && ipc_get_signer_signed(in.body, in.n, &is_signed))
        on_signed(k, t, &is_signed);
    else if (in.type == IPC_SIGNER_FAILED && ipc_get_signer_failed(in.body, in.n, &failed))
        on_failed(k, t, &failed);
    else if (in.type == IPC_SIGNER_SEEDED && ipc_get_signer_seeded(in.body, in.n, &seeded))
        on_seeded(k, t, &seeded);
    else if (!ticket_forward(k, &in))
        token_lose(k, t, ERR_TOKEN, "its signer does not say what it should");
    return t->fd >= 0;
}

static void hear(struct keeper *k)
{
    struct epoll_event ready[CONFIG_TOKENS + 1];
    int n = epoll_wait(k->epoll, ready, CONFIG_TOKENS + 1, 0);
    for (int i = 0; i < n; i++)
        for (int m = 0; m < AT_ONCE && hear_one(k, ready[i].data.ptr); m++)
            continue;
}

/* ---- time ---- */

/* When the signer will have taken too long; INT64_MAX: it has nothing to do. */
static int64_t patience_ms(const struct keeper *k, const struct token *t)
{
    int64_t first = INT64_MAX;
    for (const struct request *r = t->given.first; r; r = r->next)
        if (r->given_ms < first)
            first = r->given_ms;
    return first == INT64_MAX ? first : first + (int64_t)k->config->sign_timeout_s * 1000;
}

static void give_up(struct keeper *k, struct token *t)
{
    char reason[64];
    t->hangs++;
    snprintf(reason, sizeof reason, "it did not %s",
             t->state == TOKEN_UP ? "sign in time" : "come up in time");
    token_lose(k, t, ERR_TOKEN, reason);
}

/* Some tokens can't be found for a moment while another process logs in to them: that of statements, which often is
 * the same one, comes after the others. */
static bool waits_for_others(const struct keeper *k, struct token *t, int64_t now_ms)
{
    bool waits = false;
    for (const struct token *o = k->tokens; t == k->sign && o < k->tokens + k->n_tokens; o++)
        waits |= o->state == TOKEN_STARTING;
    if (waits)
        t->due_ms = now_ms + BACKOFF_MS / 2;
    return waits;
}

void token_tend_all(struct keeper *k, int64_t now_ms)
{
    hear(k);
    reap(k);
    EACH_TOKEN(k, t)
    {
        if ((t->state == TOKEN_STARTING && now_ms >= t->due_ms) ||
            (t->state == TOKEN_UP && now_ms >= patience_ms(k, t)))
            give_up(k, t);
        if (t->state == TOKEN_DOWN && now_ms >= t->due_ms && !waits_for_others(k, t, now_ms))
            start(k, t, now_ms);
    }
}

int64_t token_next_ms(const struct keeper *k)
{
    int64_t next = k->dying ? tls_now_ms() + REAP_MS : INT64_MAX;
    for (const struct token *t = k->tokens; t < k->tokens + k->n_tokens + (k->sign != NULL); t++) {
        int64_t due = t->state == TOKEN_UP        ? patience_ms(k, t)
                      : t->state == TOKEN_REFUSED ? INT64_MAX
                                                  : t->due_ms;
        next = due < next ? due : next;
    }
    return next;
}

/* ---- work ---- */

struct token *token_for(struct keeper *k, const struct scheme *s)
{
    for (struct token *t = k->tokens; t < k->tokens + k->n_tokens; t++)
        if (t->state == TOKEN_UP && (t->algorithms & scheme_bit(s)))
            return t;
    return NULL;
}

bool token_knows(const struct keeper *k, const struct scheme *s)
{
    for (const struct token *t = k->tokens; t < k->tokens + k->n_tokens; t++)
        if (t->algorithms & scheme_bit(s))
            return true;
    return false;
}

bool token_give(struct keeper *k, struct token *t, struct request *r, int64_t now_ms)
{
    struct buf b;
    uint32_t algorithm = (uint32_t)r->scheme->algorithm;
    struct ipc_signer_sign m = {r->number, algorithm, slice_of(r->hash, r->n)};
    struct ipc_signer_state text = {r->number, algorithm, slice_of(r->text, r->n_text)};
    uint8_t type = r->n_text ? IPC_SIGNER_STATE : IPC_SIGNER_SIGN;
    r->given_ms = now_ms;
    r->tries++;
    buf_init(&b, IPC_SMALL);
    bool put = r->n_text ? ipc_put_signer_state(&b, &text) : ipc_put_signer_sign(&b, &m);
    enum err e = put ? ipc_send(t->fd, type, &b, NULL, 0, true) : ERR_INTERNAL;
    buf_release(&b);
    if (e == ERR_OK)
        return true;
    t->deaths++;
    token_lose(k, t, ERR_TOKEN, "its signer takes nothing more");
    return false;
}
