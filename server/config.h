/* SPDX-License-Identifier: ISC */
/* consignd.conf, read and checked. consignd.conf(5) explains each key. */
#ifndef CONSIGND_CONFIG_H
#define CONSIGND_CONFIG_H

#include "cert.h"
#include "err.h"
#include "network.h"
#include "tls_policy.h"
#include <stdint.h>
#include <sys/types.h>

struct config_anchor {
    char *name;
    char *ca;
    char *crl;
    enum cert_crl_policy crl_policy;
    struct cert_staleness crl_stale;
};

/* A partner below the folder of partners: an anchor of its own, for its own rules. */
struct config_partner {
    char *name;
    char *ca, *crl, *rules, *conf; /* partner.h */
    uint64_t until;                /* seconds since 1970: what its bundle says holds up to then */
};

/* A key that signs for the server's certificate, and how its token is reached. */
struct config_token {
    char *name;
    char *key;        /* pkcs11: URL or PEM file */
    char *module;     /* PKCS#11 module, path */
    char *module_env; /* NAME=VALUE for the module; NULL: nothing */
    char *pin;        /* token.h: where the PIN comes from */
    uint64_t sessions;
    uint64_t keep_alive_s;
};

enum { CONFIG_TOKENS = 8 };

struct config {
    char *file; /* where it was read from */
    /* [server] */
    char *listen;      /* "ADDRESS:PORT", "[V6]:PORT", "*:PORT"; port 0: any */
    char *certificate; /* PEM chain, leaf first */
    bool allow_extractable;
    char *map;
    char *partners;                            /* folder; NULL: none */
    char *audit;                               /* file; NULL: standard output */
    bool audit_best;                           /* audit-policy = best: go on without records */
    bool audit_sync;                           /* records are on the disk before they count */
    uint64_t audit_head_records, audit_head_s; /* a head after so many, or so long; 0: not */
    char *audit_journald, *audit_syslog;       /* sockets of other sinks; NULL: not one */
    char *sign_certificate;   /* of the key of statements, sign; NULL: there is none */
    struct config_token sign; /* its name is "sign" */
    char *pid_file;           /* NULL: none */
    char *status;             /* socket; NULL: beside the audit log (status.h) */
    char *session_user;       /* account of the sessions when started as root; default "nobody" */
    uid_t session_uid;
    gid_t session_gid;
    char *token_user; /* account of keeper and signers when started as root; NULL: root's own */
    uid_t token_uid;
    gid_t token_gid, *token_groups;
    size_t n_token_groups;
    bool confine_require; /* confine = require | best */
    bool tickets;         /* sessions may be resumed; not with fips = require */
    char *ticket_key;     /* pkcs11: URL of an HMAC key; NULL: tickets are for this server alone */
    uint64_t ticket_epoch_s; /* how long the keys of tickets are used */
    struct tls_policy tls;   /* fips, groups */
    uint64_t crl_warn_s;     /* warn so long before a revocation list runs out */
    /* [limits] */
    uint64_t sessions; /* in all */
    uint64_t sessions_per_address;
    uint64_t handshakes; /* sessions that are not authorised yet */
    uint64_t penalty_s;  /* the longest that a peer is shut out; 0: none is */
    struct networks penalty_exempt;
    uint64_t handshake_s;    /* from accept to the end of the handshake */
    uint64_t sign_wait_s;    /* for a signature, in the queue and by all tokens */
    uint64_t sign_timeout_s; /* for one by a token, before it is given up */
    uint64_t sign_queue;     /* handshakes that wait for one */
    uint64_t request_s;      /* from WELCOME to the first request */
    uint64_t idle_s;         /* between requests */
    uint64_t stall_s;        /* without min_rate * stall_s bytes moved inside a transfer */
    uint64_t min_rate;       /* bytes a second */
    uint64_t drain_s;        /* after SIGTERM */
    uint64_t part_expiry_s;
    uint64_t scrub_interval_s; /* 0: no periodic scrub */
    uint64_t scrub_rate;       /* bytes a second; 0: no limit */
    /* in the order in which they are preferred: [server] key, then each [token NAME]; what a section
     * does not say is as in [server] */
    struct config_token tokens[CONFIG_TOKENS];
    size_t n_tokens;
    /* [anchor NAME] */
    struct config_anchor *anchors;
    size_t n_anchors;
    struct config_partner *partners_list; /* config_partners.c */
    size_t n_partners;
};

/* Reads and checks everything that can be known without opening keys and certificates. */
enum err config_load(const char *file, struct config **out) MUST_CHECK;
void config_free(struct config *c);

/* config_accounts.c: the accounts that processes become. */
enum err config_accounts_find(struct config *c) MUST_CHECK;

/* config_partners.c: the partners in c->partners, as they are there now. */
enum err config_partners_load(struct config *c) MUST_CHECK;
void config_partners_free(struct config *c);

#endif
