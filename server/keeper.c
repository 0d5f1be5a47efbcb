/* SPDX-License-Identifier: ISC */
/* The keeper's life, and what it agrees to have signed. */
#include "keeper.h"

#include "confine.h"
#include "keeper_internal.h"
#include "log.h"
#include "probe.h"
#include "spawn.h"
#include "tls.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of root's, where keeper and signers have no account of their own: for the files of a module. */
#define MODULE_CAPABILITIES                                                                        \
    (1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER |     \
     1u << CAP_IPC_LOCK)

/* ---- sessions ---- */

static enum hub_next refuse(struct keeper *k, const struct hub_client *from, const char *why)
{
    log_warn("session %s, peer %s: will not sign: %s", from->session, from->peer, why);
    k->counts.forbidden++;
    k->changed = true;
    status_refused(k, from, why);
    (void)!queue_tell(from, ERR_DENIED, 0, (struct slice){0});
    return HUB_CLOSE;
}

/* What the session may not ask for; NULL when it may. *scheme is then set. */
static const char *objection(const struct keeper *k, const struct ipc_in *in, struct ipc_sign *m,
                             const struct scheme **scheme)
{
    if (in->type != IPC_SIGN || in->n_fds || !ipc_get_sign(in->body, in->n, m))
        return "malformed request";
    *scheme = scheme_find(&k->kind, m->algorithm);
    if (!*scheme)
        return "not an algorithm of TLS 1.3 for this key";
    if (!token_knows(k, *scheme))
        return "this token can't make that signature";
    if (!scheme_hash_ok(m->hash))
        return "not the hash of a handshake";
    return NULL;
}

static bool is_hopeless(const struct keeper *k)
{
    for (size_t i = 0; i < k->n_tokens; i++)
        if (k->tokens[i].state != TOKEN_REFUSED)
            return false;
    return true;
}

/* Told before anything of the handshake is lost on it: there is no place to wait in. */
static enum hub_next shed(struct keeper *k, const struct hub_client *from)
{
    unsigned retry_s = queue_retry_s(k, tls_now_ms());
    k->counts.shed_full++;
    k->changed = true;
    log_warn("session %s, peer %s: no room among those that wait for a signature: told to try "
             "again after %u s",
             from->session, from->peer, retry_s);
    (void)!queue_tell(from, ERR_AWAY, retry_s, (struct slice){0});
    return HUB_CLOSE;
}

static enum hub_next handle(void *arg, struct hub_client *from, const struct ipc_in *in)
{
    struct keeper *k = arg;
    struct ipc_sign m = {0};
    const struct scheme *scheme = NULL;
    if (from->control)
        return ticket_ask(k, in) ? HUB_KEEP : HUB_CLOSE;
    if (from->service)
        return statement_take(k, from, in);
    if (from->data)
        return refuse(k, from, "it asked more than once");
    const char *why = objection(k, in, &m, &scheme);
    if (why)
        return refuse(k, from, why);
    k->changed = true;
    return !is_hopeless(k) && queue_take(k, from, scheme, m.hash) ? HUB_KEEP : shed(k, from);
}

static void gone(void *arg, struct hub_client *client)
{
    queue_forget(arg, client);
    statement_forget(arg, client);
}

/* ---- time ---- */

/* Before anybody was served: whether there is none left that could. A PIN that was refused counts more
 * than all else: after what may pass the master, or whoever starts the server, tries again, and each time
 * the token would count a wrong PIN. What may pass counts more than the rest. */
static enum err first_failure(const struct keeper *k)
{
    enum err e = ERR_OK;
    if (k->sign && k->sign->state == TOKEN_REFUSED) {
        log_take_reason(k->sign->reason);
        return k->sign->status;
    }
    for (const struct token *t = k->tokens; t < k->tokens + k->n_tokens; t++) {
        if (t->state == TOKEN_UP || t->state == TOKEN_STARTING ||
            (t->state == TOKEN_DOWN && t->starts == 0))
            return ERR_OK;
        if (e == ERR_OK || t->status == ERR_PIN || (e == ERR_CONFIG && t->status != ERR_CONFIG)) {
            e = t->status;
            log_take_reason(t->reason);
        }
    }
    return e;
}

static enum hub_next tend(void *arg, int *wait_ms)
{
    struct keeper *k = arg;
    int64_t now_ms = tls_now_ms(), next_ms = INT64_MAX;
    token_tend_all(k, now_ms);
    queue_tend(k, now_ms);
    status_tend(k, now_ms);
    if (!k->served && (k->end = first_failure(k)) != ERR_OK)
        return HUB_STOP;
    const int64_t due[] = {token_next_ms(k), queue_next_ms(k),
                           k->changed && k->served ? k->status_due_ms : INT64_MAX};
    for (size_t i = 0; i < sizeof due / sizeof due[0]; i++)
        next_ms = due[i] < next_ms ? due[i] : next_ms;
    now_ms = tls_now_ms();
    *wait_ms = next_ms == INT64_MAX           ? -1
               : next_ms <= now_ms            ? 0
               : next_ms - now_ms > 60 * 1000 ? 60 * 1000
                                              : (int)(next_ms - now_ms);
    return HUB_KEEP;
}

/* ---- beginning and end ---- */

/* The descriptor that a PIN is read from, -1 when it is another kind of source. */
static int pin_descriptor(const struct config_token *t)
{
    return t->pin && strncmp(t->pin, "fd:", 3) == 0 ? atoi(t->pin + 3) : -1;
}

/* What the PINs need stays open: descriptors, a terminal. */
static enum err sift_descriptors(const struct config *c, int control, bool *needs_stdin)
{
    int keep[CONFIG_TOKENS + 2] = {control};
    *needs_stdin = false;
    for (size_t i = 0; i <= c->n_tokens; i++) {
        const struct config_token *t = i < c->n_tokens ? &c->tokens[i] : &c->sign;
        int pin = keep[i + 1] = pin_descriptor(t);
        if (pin == control)
            return log_fail(ERR_CONFIG, "pin = fd:%d: that descriptor is taken; use another", pin);
        *needs_stdin |= pin == STDIN_FILENO || (t->pin && strcmp(t->pin, "prompt") == 0);
    }
    return confine_start(keep, (unsigned)c->n_tokens + 2);
}

/* The terminal's signals are the master's; the keeper ends with it, by the control socket or,
 * should that fail, by the kernel. */
static enum err prepare(const struct config *c, int control)
{
    sigset_t none;
    bool needs_stdin;
    sigemptyset(&none);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_SETMASK, &none, NULL);
    enum err e = sift_descriptors(c, control, &needs_stdin);
    if (e != ERR_OK || needs_stdin)
        return e;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0)
        return log_fail_errno("/dev/null");
    if (null != STDIN_FILENO)
        close(null);
    return ERR_OK;
}

static enum err load(struct keeper *k)
{
    const char *name = k->config->certificate;
    const char *other = k->config->sign_certificate;
    enum err e = token_load_chain(name, &k->chain, &k->n_chain);
    if (e == ERR_OK)
        e = scheme_key_of(&k->chain[0], name, &k->kind);
    if (e == ERR_OK && other &&
        (e = token_load_chain(other, &k->sign_chain, &k->n_sign_chain)) == ERR_OK)
        e = scheme_key_of(&k->sign_chain[0], other, &k->sign_kind);
    return e == ERR_OK ? token_init_all(k) : e;
}

/* Once it has read what only its first account may. Its signers are what it is by then. */
static enum err confine(const struct config *c)
{
    enum err e =
        c->token_user && geteuid() == 0
            ? confine_become(c->token_uid, c->token_gid, c->token_groups, c->n_token_groups)
            : confine_capabilities(MODULE_CAPABILITIES);
    return e == ERR_OK ? confine_calls(CONFINE_KEEPER) : e;
}

int keeper_main(const struct config *config, int control)
{
    struct keeper k = {.config = config, .control = control, .epoll = -1, .end = ERR_OK};
    struct hub_work work = {.handle = handle, .gone = gone, .tend = tend, .arg = &k};
    enum err e = prepare(config, control);
    if (e == ERR_OK)
        e = load(&k);
    if (e == ERR_OK)
        e = confine(config);
    probe_run("keeper");
    work.fd = k.epoll;
    if (e == ERR_OK)
        e = hub_serve(control, config->sessions * 2 + 64, 0, &work);
    if (e == ERR_OK)
        e = k.end;
    if (e != ERR_OK)
        (void)!IPC_SEND(control, keeper_failed, KEEPER_FAILED, .status = (uint16_t)e,
                        .reason = slice_str(log_reason()));
    token_release_all(&k);
    queue_release(&k.waiting);
    token_free_chain(k.chain, k.n_chain);
    token_free_chain(k.sign_chain, k.n_sign_chain);
    return err_exit(e);
}

enum err keeper_start(const char *config_file, int *control, pid_t *pid)
{
    char *const argv[] = {(char[]){"consignd"}, (char[]){"--keeper"},
                          (char *)(uintptr_t)config_file, NULL};
    return spawn_self(argv, control, pid);
}
