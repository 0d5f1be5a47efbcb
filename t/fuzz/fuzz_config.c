/* SPDX-License-Identifier: ISC */
/* consignd.conf: what is taken is whole and within its limits, and taken the same way twice. */
#include "fuzz.h"

#include "../../server/config.h"

static void check_tokens(const struct config *c)
{
    FUZZ_MUST(c->n_tokens >= 1 && c->n_tokens <= CONFIG_TOKENS);
    for (size_t i = 0; i < c->n_tokens; i++) {
        const struct config_token *t = &c->tokens[i];
        FUZZ_MUST(t->name && t->name[0] && t->key && t->key[0]);
        FUZZ_MUST(t->sessions >= 1 && t->sessions <= 64 && t->keep_alive_s >= 1);
        for (size_t k = 0; k < i; k++)
            FUZZ_MUST(strcmp(t->name, c->tokens[k].name) != 0);
    }
}

static void check_anchors(const struct config *c)
{
    FUZZ_MUST(c->n_anchors > 0 || c->partners);
    for (size_t i = 0; i < c->n_anchors; i++) {
        const struct config_anchor *a = &c->anchors[i];
        FUZZ_MUST(a->name && a->name[0] && strlen(a->name) <= 64 && a->ca && a->ca[0]);
        FUZZ_MUST(a->crl || a->crl_policy == CERT_CRL_IF_PRESENT);
        FUZZ_MUST((a->crl_stale.what == CERT_STALE_GRACE) == (a->crl_stale.grace_s > 0));
        for (size_t k = 0; k < i; k++)
            FUZZ_MUST(strcmp(a->name, c->anchors[k].name) != 0);
    }
}

static void check(const struct config *c)
{
    char priority[TLS_PRIORITY];
    FUZZ_MUST(c->listen && c->certificate && c->map && c->session_user);
    FUZZ_MUST(c->sessions >= 1 && c->sessions_per_address >= 1 && c->handshake_s >= 1);
    FUZZ_MUST(c->min_rate >= 1 && c->min_rate <= UINT32_MAX && c->stall_s >= 1 && c->idle_s >= 1);
    FUZZ_MUST(c->ticket_epoch_s >= 3 && c->ticket_epoch_s <= 7 * 86400);
    FUZZ_MUST(!c->tickets || c->tls.fips != FIPS_REQUIRE);
    tls_policy_priority(&c->tls, priority);
    FUZZ_MUST(strlen(priority) < sizeof priority - 1);
    check_tokens(c);
    check_anchors(c);
}

/* What of two that were read from the same text could differ. */
static void check_same(const struct config *a, const struct config *b)
{
    FUZZ_MUST(strcmp(a->listen, b->listen) == 0 && strcmp(a->map, b->map) == 0);
    FUZZ_MUST(a->n_tokens == b->n_tokens && a->n_anchors == b->n_anchors);
    FUZZ_MUST(a->sessions == b->sessions && a->scrub_rate == b->scrub_rate);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct config *c, *again;
    const char *file = fuzz_file("input", data, n);
    enum err e = config_load(file, &c);
    FUZZ_MUST((e == ERR_OK) == (c != NULL));
    if (!c)
        return;
    check(c);
    FUZZ_MUST(config_load(file, &again) == ERR_OK);
    check_same(c, again);
    config_free(c);
    config_free(again);
}

#define SERVER "[server]\ncertificate = server.pem\nkey = pkcs11:object=server\nmap = map\n"
#define ANCHOR "[anchor acme]\nca = acme.pem\ncrl = acme.crl\n"

void fuzz_seeds(void)
{
    fuzz_seed_text("", SERVER ANCHOR);
    fuzz_seed_text(
        "", SERVER
        "listen = [::1]:7411\nmodule = /m.so\nmodule-env = A=b\npin = file:pin\nmax-sessions = 9\n"
        "keep-alive = 1m\nallow-extractable = yes\naudit = audit.log\npid-file = pid\n"
        "status = status\nsession-user = nobody\nconfine = best\ntickets = yes\n"
        "ticket-key = pkcs11:object=ticket\nticket-epoch = 1h\nfips = report\n"
        "groups = P-256 X25519\ncrl-warn = 2d\n" ANCHOR
        "crl-policy = require\ncrl-stale = grace 2d\n");
    fuzz_seed_text(
        "", SERVER
        "fips = require\n" ANCHOR "[anchor b]\nca = /b\ncrl-policy = if-present\ncrl-stale = warn\n"
        "[token two]\nkey = file.pem\nmodule = m\npin = prompt\nmax-sessions = 64\n"
        "[limits]\nsessions = 10\nsessions-per-address = 2\nhandshake = 3s\nsign-wait = 2\n"
        "sign-timeout = 1\nsign-queue = 5\nfirst-request = 1m\nidle = 1h\nstall = 60\n"
        "min-rate = 1K\ndrain = 1\npart-expiry = 1d\nscrub-interval = 7d\nscrub-rate = 0\n");
}
