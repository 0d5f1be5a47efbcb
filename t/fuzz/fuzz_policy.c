/* SPDX-License-Identifier: ISC */
/* [request] of consign-pki.conf, which says what of a request is signed: nothing is taken that it has no word for, and a
 * request has no more by it than by the policy of a new CA. */
#include "fuzz.h"

#include "../../pki/request.h"
#include "log.h"

static enum err take(void *arg, const struct conf_at *at, const char *value)
{
    return at->key ? request_policy_set(arg, at, value) : ERR_OK;
}

static void check(const struct request_policy *p)
{
    struct request_policy all;
    request_policy_init(&all);
    FUZZ_MUST((p->names & ~all.names) == 0 && (p->keys & ~all.keys) == 0);
    FUZZ_MUST(p->days >= 1 && p->days <= PKI_DAYS_MAX);
}

/* Names of a kind that is not in the policy are refused, others are not for their kind. */
static void check_names(const struct request_policy *p)
{
    static const char *const names[] = {"dns:a.example", "ip:192.0.2.1", "email:a@b.example",
                                        "uri:urn:a:b"};
    static struct request r; /* with a key that is none */
    if (!r.pub)
        FUZZ_MUST(gnutls_pubkey_init(&r.pub) >= 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct request_policy kinds = *p;
        r.names.n = 0;
        FUZZ_MUST(names_add_text(&r.names, names[i]) == ERR_OK);
        bool there = p->names >> r.names.list[0].type & 1;
        kinds.keys = 0; /* no key is good, so that none is looked for */
        kinds.subject = true;
        FUZZ_MUST(request_check(&kinds, &r, false, false) == ERR_NAME);
        FUZZ_MUST(there == !strstr(log_reason(), "alternative name"));
    }
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct request_policy p, again;
    const char *file = fuzz_file("input", data, n);
    request_policy_init(&p);
    request_policy_init(&again);
    if (conf_read(file, take, &p) != ERR_OK)
        return;
    check(&p);
    check_names(&p);
    FUZZ_MUST(conf_read(file, take, &again) == ERR_OK && memcmp(&p, &again, sizeof p) == 0);
}

void fuzz_seeds(void)
{
    fuzz_seed_text(
        "", "[request]\nnames = dns email\nkeys = p256 rsa3072 ed25519\ndays = 90\nsubject = no\n");
    fuzz_seed_text("", "[request]\nnames = none\nkeys = p384 p521 rsa2048 rsa4096\n");
    fuzz_seed_text("", "[request]\nnames = uri ip\tdns\n");
}
