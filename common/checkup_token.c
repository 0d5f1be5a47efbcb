/* SPDX-License-Identifier: ISC */
/* A key and its token. */
#include "checkup.h"

#include "log.h"
#include "token_probe.h"
#include <stdio.h>

enum {
    MEASURE_MS = 200,
    MEASURE_MOST = 20000,
    GENTLE_MOST = 10,
    SESSIONS_MOST = 256,
    SESSIONS_FEW = 8, /* fewer let little happen at once */
};

static bool in_token(const struct checkup_key *k)
{
    return token_is_url(k->key);
}

static const char *pin_text(const struct checkup_key *k)
{
    return k->pin ? k->pin : "none";
}

void checkup_chain(struct checkup *c, struct checkup_key *k)
{
    if (token_is_url(k->certificate) && !k->running)
        checkup_module(c, k);
    if (token_load_chain(k->certificate, &k->chain, &k->n_chain) == ERR_OK)
        checkup_say(c, CHECKUP_OK, "certificate", NULL, "%s: read, %u in the chain", k->certificate,
                    k->n_chain);
    else
        checkup_failed(c, "certificate", "give the PEM file of the chain, leaf first");
}

void checkup_module(struct checkup *c, struct checkup_key *k)
{
    if (k->running || (!in_token(k) && !token_is_url(k->certificate)))
        return;
    if (k->pin && token_pin_new(k->pin, &k->pin_source) != ERR_OK) {
        checkup_failed(c, "module", "pin = file:PATH, fd:N, credential:NAME or prompt");
        return;
    }
    if (token_environment(k->module_env) == ERR_OK &&
        token_start(k->module, k->pin_source) == ERR_OK) {
        k->running = true;
        checkup_say(c, CHECKUP_OK, "module", NULL, "%s",
                    k->module ? k->module : "those that p11-kit is configured with");
    } else {
        checkup_failed(c, "module", "give the path of the token's PKCS#11 module as module");
    }
}

/* Whether the PIN may be tried: not when that could lock the token. */
static bool may_login(struct checkup *c, struct checkup_key *k)
{
    struct token_facts f;
    if (token_facts(k->key, &f) != ERR_OK) {
        checkup_failed(c, "token",
                       "plug it in, or give the URL that consign-pki token list prints as key");
        return false;
    }
    checkup_say(c, CHECKUP_OK, "token", NULL, "\"%s\" by %s, model %s, serial %s%s", f.label,
                f.manufacturer, f.model, f.serial,
                f.software ? "; no hardware by its own word" : "");
    if (f.pin_locked || f.pin_last) {
        k->refused = true;
        checkup_say(c, CHECKUP_FAIL, "pin",
                    f.pin_locked ? "its security officer must unlock it"
                                 : "give it the right PIN by its own tool first",
                    "token \"%s\" %s: no PIN was tried", f.label,
                    f.pin_locked ? "is locked" : "has one try left before it locks");
        return false;
    }
    if (f.pin_low)
        checkup_say(c, CHECKUP_WARN, "pin", "see who gives it a wrong one",
                    "token \"%s\" was given a wrong PIN since the last right one", f.label);
    return true;
}

static void try_key(struct checkup *c, struct checkup_key *k)
{
    enum err e = token_load_key(k->key, k->allow_extractable, &k->priv);
    if (e != ERR_OK) {
        k->priv = NULL;
        k->refused = e == ERR_PIN;
        checkup_failed(c, e == ERR_PIN ? "pin" : "key",
                       e == ERR_PIN ? "put the right PIN where pin says, and nowhere else try it: "
                                      "each wrong one counts towards the token's lock"
                       : in_token(k)
                           ? "give the URL that consign-pki token list prints as key"
                           : "give the key's PEM file, which only its owner may read (chmod 600)");
        return;
    }
    if (k->chain && token_match(k->priv, &k->chain[0], k->key) != ERR_OK) {
        checkup_failed(c, "key", "give the certificate that was issued for this key, or its key");
        gnutls_privkey_deinit(k->priv);
        k->priv = NULL;
    }
}

void checkup_pin(struct checkup *c, struct checkup_key *k)
{
    if (in_token(k) && (!k->running || !may_login(c, k)))
        return;
    try_key(c, k);
    if (k->priv && in_token(k))
        checkup_say(c, CHECKUP_OK, "pin", NULL,
                    "the token takes it (%s); the key signs, and fits "
                    "the certificate",
                    pin_text(k));
    else if (k->priv)
        checkup_say(c, CHECKUP_WARN, "key", "make one in a token (consign-pki issue --token)",
                    "%s: a key in a file, which can be copied", k->key);
}

void checkup_mechanisms(struct checkup *c, struct checkup_key *k)
{
    unsigned bits = 0;
    if (!k->priv || !k->chain || !in_token(k))
        return;
    int pk = gnutls_pubkey_get_pk_algorithm(k->chain[0].pubkey, &bits);
    const char *wanted = token_signing_mechanism((gnutls_pk_algorithm_t)pk);
    if (!wanted)
        checkup_say(c, CHECKUP_FAIL, "mechanisms", "use P-256, P-384, P-521, Ed25519 or RSA",
                    "no key of this kind can be used with TLS 1.3");
    else if (token_has(k->key, wanted, bits))
        checkup_say(c, CHECKUP_OK, "mechanisms", NULL, "%s for %u bits, as TLS 1.3 needs it",
                    wanted, bits);
    else
        checkup_say(c, CHECKUP_FAIL, "mechanisms",
                    "use another kind of key, or newer firmware or module of the token",
                    "the token has no %s for %u bits, which TLS 1.3 needs for this key", wanted,
                    bits);
}

void checkup_rate(struct checkup *c, struct checkup_key *k)
{
    double rate;
    if (!k->priv || !k->chain)
        return;
    if (token_measure(k->priv, &k->chain[0], MEASURE_MS, k->gentle ? GENTLE_MOST : MEASURE_MOST,
                      &rate) != ERR_OK)
        checkup_failed(c, "signatures", "see the token's own log");
    else
        checkup_say(c, CHECKUP_OK, "signatures", NULL, "%.0f a second in one session%s", rate,
                    k->gentle ? " (of ten only, as a server works with the token)" : "");
}

void checkup_sessions(struct checkup *c, struct checkup_key *k)
{
    char limit[48] = "";
    unsigned opened;
    unsigned long said;
    if (!k->priv || !in_token(k))
        return;
    if (k->gentle) {
        checkup_say(c, CHECKUP_OK, "sessions", NULL,
                    "not counted: that could take them from the server that runs");
        return;
    }
    if (token_count_sessions(k->key, SESSIONS_MOST, &opened, &said) != ERR_OK) {
        checkup_failed(c, "sessions", "end other programs that use the token");
        return;
    }
    if (said)
        snprintf(limit, sizeof limit, "; it says %lu", said);
    checkup_say(c, opened < SESSIONS_FEW ? CHECKUP_WARN : CHECKUP_OK, "sessions",
                opened < SESSIONS_FEW ? "end other programs that use the token, or raise its limit"
                                      : NULL,
                "%u%s besides ours can be open at once%s", opened,
                opened == SESSIONS_MOST ? " and more" : "", limit);
}

static void drop_key(struct checkup_key *k)
{
    if (k->priv)
        gnutls_privkey_deinit(k->priv);
    k->priv = NULL;
}

void checkup_reconnect(struct checkup *c, struct checkup_key *k)
{
    if (!k->priv || !in_token(k))
        return;
    drop_key(k);
    token_stop();
    k->running = token_start(k->module, k->pin_source) == ERR_OK;
    if (k->running && token_load_key(k->key, k->allow_extractable, &k->priv) == ERR_OK &&
        (!k->chain || token_match(k->priv, &k->chain[0], k->key) == ERR_OK))
        checkup_say(c, CHECKUP_OK, "reconnect", NULL,
                    "the module starts again, logs in again and signs");
    else
        checkup_failed(c, "reconnect",
                       "a token that can't be had again after a loss needs a restart by hand");
}

void checkup_key_release(struct checkup_key *k)
{
    drop_key(k);
    token_free_chain(k->chain, k->n_chain);
    k->chain = NULL;
    if (k->running)
        token_stop();
    k->running = false;
    token_pin_forget(k->pin_source);
    token_pin_free(k->pin_source);
    k->pin_source = NULL;
}
