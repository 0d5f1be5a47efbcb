/* SPDX-License-Identifier: ISC */
#include "keeper.h"
#include "confine.h"
#include "hub.h"
#include "log.h"
#include "token.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct keeper {
    struct token_pin *pin;
    gnutls_privkey_t key;
    gnutls_pcert_st *chain;
    unsigned n_chain;
    gnutls_pk_algorithm_t pk;
    gnutls_ecc_curve_t curve;
    uint64_t proven; /* bit n: gnutls_sign_algorithm_t n worked at start */
    enum err end;    /* why it ends */
};

_Static_assert(GNUTLS_SIGN_MAX < 64, "a set of algorithms is a word");

/* The signatures that TLS 1.3 knows (RFC 8446, 4.2.3), each with the one kind of key and the one
 * length that go with it. */
static const struct scheme {
    gnutls_sign_algorithm_t algorithm;
    gnutls_pk_algorithm_t pk;
    gnutls_ecc_curve_t curve;
    size_t digest; /* 0: the text itself is signed */
} schemes[] = {
    {GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, GNUTLS_PK_ECDSA, GNUTLS_ECC_CURVE_SECP256R1, 32},
    {GNUTLS_SIGN_ECDSA_SECP384R1_SHA384, GNUTLS_PK_ECDSA, GNUTLS_ECC_CURVE_SECP384R1, 48},
    {GNUTLS_SIGN_ECDSA_SECP521R1_SHA512, GNUTLS_PK_ECDSA, GNUTLS_ECC_CURVE_SECP521R1, 64},
    {GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, GNUTLS_PK_RSA, GNUTLS_ECC_CURVE_INVALID, 32},
    {GNUTLS_SIGN_RSA_PSS_RSAE_SHA384, GNUTLS_PK_RSA, GNUTLS_ECC_CURVE_INVALID, 48},
    {GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, GNUTLS_PK_RSA, GNUTLS_ECC_CURVE_INVALID, 64},
    {GNUTLS_SIGN_RSA_PSS_SHA256, GNUTLS_PK_RSA_PSS, GNUTLS_ECC_CURVE_INVALID, 32},
    {GNUTLS_SIGN_RSA_PSS_SHA384, GNUTLS_PK_RSA_PSS, GNUTLS_ECC_CURVE_INVALID, 48},
    {GNUTLS_SIGN_RSA_PSS_SHA512, GNUTLS_PK_RSA_PSS, GNUTLS_ECC_CURVE_INVALID, 64},
    {GNUTLS_SIGN_EDDSA_ED25519, GNUTLS_PK_EDDSA_ED25519, GNUTLS_ECC_CURVE_ED25519, 0},
};

/* RFC 8446, 4.4.3: 64 blanks, the context of a server, a zero, the hash of the handshake. */
static const char text_head[] = "                                "
                                "                                "
                                "TLS 1.3, server CertificateVerify";

static bool fits_key(const struct keeper *k, const struct scheme *s)
{
    return s->pk == k->pk && (s->curve == GNUTLS_ECC_CURVE_INVALID || s->curve == k->curve);
}

static const struct scheme *find_scheme(const struct keeper *k, uint32_t algorithm)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (schemes[i].algorithm == algorithm && fits_key(k, &schemes[i]))
            return &schemes[i];
    return NULL;
}

static uint64_t bit_of(const struct scheme *s)
{
    return UINT64_C(1) << s->algorithm;
}

static bool is_server_text(struct slice data)
{
    return (data.n == sizeof text_head + 32 || data.n == sizeof text_head + 48) &&
           memcmp(data.p, text_head, sizeof text_head) == 0;
}

static int make_signature(const struct keeper *k, const struct scheme *s, struct slice data,
                          gnutls_datum_t *signature)
{
    /* GnuTLS only reads what it signs; its type lacks the const. */
    const gnutls_datum_t d = {(uint8_t *)(uintptr_t)data.p, (unsigned)data.n};
    return s->digest ? gnutls_privkey_sign_hash2(k->key, s->algorithm, 0, &d, signature)
                     : gnutls_privkey_sign_data2(k->key, s->algorithm, 0, &d, signature);
}

static enum hub_next answer(const struct hub_client *to, enum err status, struct slice signature)
{
    struct buf body;
    struct ipc_signed m = {.status = (uint16_t)status, .signature = signature};
    buf_init(&body, IPC_MAX);
    enum hub_next next = ipc_put_signed(&body, &m) ? hub_answer(to, IPC_SIGNED, &body) : HUB_CLOSE;
    buf_release(&body);
    return next;
}

static enum hub_next refuse(const struct hub_client *from, const char *why)
{
    log_warn("session %s, peer %s: will not sign: %s", from->session, from->peer, why);
    (void)!answer(from, ERR_DENIED, (struct slice){0});
    return HUB_CLOSE;
}

/* What the session may not ask for; NULL when it may. *scheme is then set. */
static const char *objection(const struct keeper *k, const struct ipc_in *in, struct ipc_sign *m,
                             const struct scheme **scheme)
{
    if (in->type != IPC_SIGN || in->n_fds || !ipc_get_sign(in->body, in->n, m))
        return "malformed request";
    *scheme = find_scheme(k, m->algorithm);
    if (!*scheme)
        return "not an algorithm of TLS 1.3 for this key";
    if (!(k->proven & bit_of(*scheme)))
        return "this token can't make that signature";
    if ((*scheme)->digest ? m->data.n != (*scheme)->digest : !is_server_text(m->data))
        return "not what a server signs in a handshake";
    return NULL;
}

/* A session that says more than its one request is told of, since ours never does. */
static void watch_for_more(const struct hub_client *from)
{
    char byte;
    if (recv(from->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
        log_warn("session %s, peer %s: will not sign: it asked more than once", from->session,
                 from->peer);
}

static enum hub_next handle(void *arg, const struct hub_client *from, const struct ipc_in *in)
{
    struct keeper *k = arg;
    struct ipc_sign m = {0};
    const struct scheme *scheme = NULL;
    if (from->control)
        return HUB_CLOSE;
    const char *why = objection(k, in, &m, &scheme);
    if (why)
        return refuse(from, why);
    gnutls_datum_t signature = {0};
    int rc = make_signature(k, scheme, m.data, &signature);
    if (rc < 0) {
        k->end = token_fail(rc, "signing for session %s, peer %s", from->session, from->peer);
        if (k->end != ERR_PIN)
            k->end = ERR_TOKEN;
    }
    (void)!answer(from, rc < 0 ? ERR_TOKEN : ERR_OK, slice_of(signature.data, signature.size));
    gnutls_free(signature.data);
    watch_for_more(from);
    /* GnuTLS does not find a lost token again in the same process: the master starts a fresh one.
     */
    return rc < 0 ? HUB_STOP : HUB_CLOSE;
}

/* What kind of key it is, as the certificate says. */
static enum err classify(struct keeper *k, const char *name)
{
    gnutls_pubkey_t pub = k->chain[0].pubkey;
    int pk = gnutls_pubkey_get_pk_algorithm(pub, NULL);
    if (pk < 0)
        return token_fail(pk, "public key of %s", name);
    k->pk = (gnutls_pk_algorithm_t)pk;
    k->curve = GNUTLS_ECC_CURVE_INVALID;
    if (k->pk == GNUTLS_PK_ECDSA || k->pk == GNUTLS_PK_EDDSA_ED25519) {
        int rc = gnutls_pubkey_export_ecc_raw2(pub, &k->curve, NULL, NULL, 0);
        if (rc < 0)
            return token_fail(rc, "curve of %s", name);
    }
    return ERR_OK;
}

/* Signs as for a session and verifies with the certificate: 0 or more, or GnuTLS's error. */
static int try_scheme(const struct keeper *k, const struct scheme *s)
{
    uint8_t text[sizeof text_head + 32] = {0};
    gnutls_datum_t signature = {0}, data = {text, sizeof text};
    gnutls_pubkey_t pub = k->chain[0].pubkey;
    memcpy(text, text_head, sizeof text_head);
    if (s->digest)
        data.size = (unsigned)s->digest;
    int rc = make_signature(k, s, slice_of(data.data, data.size), &signature);
    if (rc >= 0)
        rc = s->digest ? gnutls_pubkey_verify_hash2(pub, s->algorithm, 0, &data, &signature)
                       : gnutls_pubkey_verify_data2(pub, s->algorithm, 0, &data, &signature);
    gnutls_free(signature.data);
    return rc;
}

static bool is_about_pin(int rc)
{
    return rc == GNUTLS_E_PKCS11_PIN_ERROR || rc == GNUTLS_E_PKCS11_PIN_LOCKED ||
           rc == GNUTLS_E_PKCS11_PIN_EXPIRED;
}

/* Every scheme that fits the key: a key that can't be used is found before anybody connects, and
 * a scheme that the token lacks is never taken for a token that was lost. A PIN is not tried
 * again. */
static enum err rehearse(struct keeper *k, const char *name)
{
    int why = 0; /* the last failure */
    for (const struct scheme *s = schemes; s < schemes + sizeof schemes / sizeof schemes[0]; s++) {
        if (!fits_key(k, s))
            continue;
        int rc = try_scheme(k, s);
        if (rc >= 0) {
            k->proven |= bit_of(s);
            continue;
        }
        why = rc;
        if (is_about_pin(rc))
            return token_fail(rc, "test signature with %s", name);
        log_warn("%s: %s does not work (%s) and is not offered", name,
                 gnutls_sign_get_name(s->algorithm), gnutls_strerror(rc));
    }
    if (k->proven)
        return ERR_OK;
    if (why < 0)
        return token_fail(why, "test signature with %s", name);
    return log_fail(ERR_CONFIG,
                    "%s: a key of this kind can't be used with TLS 1.3; use P-256, P-384, "
                    "P-521, Ed25519 or RSA",
                    name);
}

static enum err load(struct keeper *k, const struct config *c)
{
    enum err rc = ERR_OK;
    if (token_is_url(c->key)) {
        if (c->pin)
            rc = token_pin_new(c->pin, &k->pin);
        if (!rc)
            rc = token_environment(c->module_env);
        if (!rc)
            rc = token_start(c->module, k->pin);
    }
    if (!rc)
        rc = token_load_key(c->key, c->allow_extractable, &k->key);
    if (!rc)
        rc = token_load_chain(c->certificate, &k->chain, &k->n_chain);
    if (!rc)
        rc = token_match(k->key, &k->chain[0], c->key);
    if (!rc)
        rc = classify(k, c->certificate);
    return rc ? rc : rehearse(k, c->key);
}

static void unload(struct keeper *k)
{
    if (k->key)
        gnutls_privkey_deinit(k->key);
    token_free_chain(k->chain, k->n_chain);
    token_stop();
    token_pin_free(k->pin);
}

/* The descriptor that the PIN is read from, -1 when it is another kind of source. */
static int pin_descriptor(const struct config *c)
{
    return c->pin && strncmp(c->pin, "fd:", 3) == 0 ? atoi(c->pin + 3) : -1;
}

/* The terminal's signals are the master's; the keeper ends with it, by the control socket or,
 * should that fail, by the kernel. */
static enum err prepare(const struct config *c, int control)
{
    sigset_t none;
    int pin = pin_descriptor(c), keep[] = {control, pin};
    bool terminal = c->pin && strcmp(c->pin, "prompt") == 0;
    if (pin == control)
        return log_fail(ERR_CONFIG, "pin = fd:%d: that descriptor is taken; use another", pin);
    sigemptyset(&none);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (!terminal && pin != STDIN_FILENO) {
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null < 0 || dup2(null, STDIN_FILENO) < 0)
            return log_fail_errno("/dev/null");
        if (null != STDIN_FILENO)
            close(null);
    }
    return confine_start(keep, 2);
}

int keeper_main(const struct config *config, int control)
{
    struct keeper k = {.end = ERR_OK};
    enum err rc = prepare(config, control);
    if (!rc)
        rc = load(&k, config);
    if (rc)
        (void)!IPC_SEND(control, keeper_failed, KEEPER_FAILED, .status = (uint16_t)rc,
                        .reason = slice_str(log_reason()));
    else
        rc = IPC_SEND(control, keeper_up, KEEPER_UP, .algorithms = k.proven);
    if (!rc)
        rc = hub_run(control, config->sessions * 2 + 64, 0, handle, &k);
    unload(&k);
    return err_exit(rc ? rc : k.end);
}

static _Noreturn void become_keeper(const char *config_file, int control, pid_t master)
{
    char *argv[] = {(char[]){"consignd"}, (char[]){"--keeper"}, (char *)(uintptr_t)config_file,
                    NULL};
    /* A descriptor that was dup'ed to itself would keep its close-on-exec flag. */
    if (control == KEEPER_CONTROL ? fcntl(control, F_SETFD, 0) < 0
                                  : dup2(control, KEEPER_CONTROL) < 0)
        log_error("keeper: control socket");
    else if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == master) {
        execv("/proc/self/exe", argv);
        log_error("keeper: /proc/self/exe can't be started (is /proc mounted?)");
    }
    _exit(err_exit(ERR_INTERNAL));
}

enum err keeper_start(const char *config_file, int *control, pid_t *pid)
{
    int pair[2];
    pid_t master = getpid();
    enum err rc = ipc_pair(pair);
    if (rc)
        return rc;
    *pid = fork();
    if (*pid == 0)
        become_keeper(config_file, pair[1], master);
    close(pair[1]);
    if (*pid < 0) {
        rc = log_fail_errno("starting the keeper");
        close(pair[0]);
        return rc;
    }
    *control = pair[0];
    return ERR_OK;
}
