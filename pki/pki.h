/* SPDX-License-Identifier: ISC */
/* consign-pki: what its commands share. */
#ifndef CONSIGN_PKI_H
#define CONSIGN_PKI_H

#include "err.h"
#include <stddef.h>

/* The module that is taken when none is named. */
#define PKI_MODULE "/usr/lib/softhsm/libsofthsm2.so"

enum {
    PKI_CA_DAYS = 3650,
    PKI_LEAF_DAYS = 365,
    PKI_CRL_DAYS = 30,
    PKI_CRL_WITHIN = 7, /* crl --check: days before the CRL runs out */
    PKI_EXPIRY_WITHIN = 30,
    PKI_DAYS_MAX = 36500,
    PKI_PATH_MAX = 6,       /* a chain of 8 certificates is what servers and clients look at */
    PKI_PEM_MAX = 16 << 20, /* bytes of a file that is read */
};

/* What a check found is a reason for an alarm: exit status 1. */
#define PKI_ALARM ERR_DIFFER

/* Every option of every command; NULL or 0 when not given. */
struct options {
    char *dir, *module, *token, *pin, *so_pin, *key_pin, *key, *type, *label;
    char *subject, *name, *out, *reason, *not_before, *not_after;
    char *parent, *parent_pin, *anchor, *crl, *host, *at, *password;
    char *fingerprint, *partners, *root, *rights, *account;
    char **cert, **head;
    char **san, **permit, **exclude, **user, **endpoint, **crl_from;
    int days, within, path_length, sessions, seconds;
    int file_key, new_key, server, client, ca, all, check, p12, json, fips, raw, allow_extractable,
        live;
};

struct command {
    const char *name;
    const char *arguments;
    const char *help;
    const char *options; /* the long names it takes, with blanks between */
    int min, max;        /* how many arguments; max -1: any number */
    enum err (*run)(const struct options *o, const char *const *args, int n);
};

enum err init_run(const struct options *o, const char *const *args, int n) MUST_CHECK;
enum err issue_run(const struct options *o, const char *const *args, int n) MUST_CHECK;
enum err csr_run(const struct options *o, const char *const *args, int n) MUST_CHECK;
enum err sign_run(const struct options *o, const char *const *args, int n) MUST_CHECK;
enum err renew_run(const struct options *o, const char *const *args, int n) MUST_CHECK;
enum err revoke_run(const struct options *o, const char *const *args, int n) MUST_CHECK;
enum err crl_run(const struct options *o, const char *const *args, int n) MUST_CHECK;
enum err list_run(const struct options *o, const char *const *args, int n) MUST_CHECK;
enum err expiry_run(const struct options *o, const char *const *args, int n) MUST_CHECK;
enum err verify_run(const struct options *o, const char *const *args, int n) MUST_CHECK;
enum err export_run(const struct options *o, const char *const *args, int n) MUST_CHECK;
enum err show_run(const struct options *o, const char *const *args, int n) MUST_CHECK;
enum err partner_run(const struct options *o, const char *const *args, int n) MUST_CHECK;
enum err keys_run(const struct options *o, const char *const *args, int n) MUST_CHECK;
enum err random_run(const struct options *o, const char *const *args, int n) MUST_CHECK;
enum err check_run(const struct options *o, const char *const *args, int n) MUST_CHECK;
enum err audit_run(const struct options *o, const char *const *args, int n) MUST_CHECK;
enum err tokens_run(const struct options *o, const char *const *args, int n) MUST_CHECK;

#endif
