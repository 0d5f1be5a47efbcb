/* SPDX-License-Identifier: ISC */
#include "explain.h"

#include "log.h"
#include "network.h"
#include "token.h"
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What is asked, read. */
struct question {
    const struct policy *policy;
    unsigned right;
    char path[PATH_MAX_BYTES + 1];
    bool has_address;
    struct sockaddr_storage address;
    time_t at;
};

static void print_line(void *arg, const char *line)
{
    char shown[4096];
    (void)arg;
    log_scrub(shown, sizeof shown, line, strlen(line));
    printf("  %s\n", shown);
}

/* The root of user that path belongs to: the one with the longest matching prefix. */
static const struct map_root *root_of(const struct map_user *user, const char *path)
{
    const struct map_root *best = NULL;
    for (size_t i = 0; i < user->n_roots; i++) {
        const struct map_root *r = &user->roots[i];
        size_t n = strcmp(r->prefix, "/") == 0 ? 0 : strlen(r->prefix);
        if (strncmp(path, r->prefix, n) == 0 && (path[n] == '/' || path[n] == '\0') &&
            (!best || strlen(r->prefix) > strlen(best->prefix)))
            best = r;
    }
    return best;
}

static void print_user(const struct map_user *u, const char *source)
{
    printf("user: %s (%s line %u)\n", u->name, source, u->line);
    if (u->has_account)
        printf("account: uid %u, gid %u\n", (unsigned)u->uid, (unsigned)u->gid);
    printf(
        "limits: sessions %u, quota %llu bytes, %llu files, parts %llu, retain %llu s, rate %llu "
        "bytes a second (0: none)\n",
        u->sessions, (unsigned long long)u->quota, (unsigned long long)u->quota_files,
        (unsigned long long)u->parts, (unsigned long long)u->retain_s, (unsigned long long)u->rate);
}

/* What path is for the user, and whether the right is there. */
static enum err print_rights(const struct question *q, const struct map_user *u, const char *source)
{
    const struct map_root *root = root_of(u, q->path);
    char words[80], wanted[80];
    if (!root) {
        printf("root: none holds this path\nverdict: not allowed: no root of %s line %u and below "
               "holds this path\n",
               source, u->line);
        return ERR_DENIED;
    }
    fs_rights_text(root->rights, words, sizeof words);
    fs_rights_text(q->right, wanted, sizeof wanted);
    const char *below = q->path + (strcmp(root->prefix, "/") == 0 ? 0 : strlen(root->prefix));
    printf("root: %s is %s (%s line %u)\nfolder or file: %s%s\nrights: %s (%s line %u)\n",
           root->prefix, root->dir, source, root->line, root->dir,
           strcmp(below, "/") == 0 ? "" : below, words, source, root->rights_line);
    bool allowed = (root->rights & q->right) == q->right;
    printf("verdict: %s by %s line %u, which %s %s\n", allowed ? "allowed" : "not allowed", source,
           root->rights_line, allowed ? "has" : "has no", wanted);
    return allowed ? ERR_OK : ERR_DENIED;
}

static enum err print_answer(const struct question *q, const struct cert_id *id)
{
    struct map_asker who = {id, q->has_address ? &q->address : NULL, q->at};
    struct map_answer answer;
    char source[80], at[32] = "";
    struct tm tm;
    printf("certificate: %s, serial %s\nissuer: %s\nanchor: %s\nrules:\n", id->subject_text,
           id->serial, id->issuer_text, id->anchor);
    enum err e = map_ask(q->policy->map, &who, &answer, print_line, NULL);
    if (e != ERR_OK) {
        printf("user: %s: refused\ntold: %s\n", e == ERR_AUTH ? "none" : answer.user, answer.told);
        return e;
    }
    struct map_user *user = map_grant(q->policy->map, answer.rule, answer.user);
    if (!user)
        return ERR_INTERNAL;
    map_source_text(q->policy->map, answer.rule, source);
    print_user(user, source);
    if (answer.until < INT64_MAX && gmtime_r(&answer.until, &tm) &&
        strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", &tm))
        printf("hours: until %s\n", at);
    e = print_rights(q, user, source);
    map_user_free(user);
    return e;
}

static enum err judge(const struct question *q, const gnutls_pcert_st *chain, unsigned n,
                      struct cert_id *id)
{
    gnutls_datum_t *der = calloc(n, sizeof *der);
    if (!der)
        return log_fail(ERR_INTERNAL, "out of memory");
    for (unsigned i = 0; i < n; i++)
        der[i] = chain[i].cert;
    enum err e = cert_judge(q->policy->anchors, der, n, CERT_CLIENT, NULL, q->at, id);
    free(der);
    return e;
}

static enum err read_time(const char *text, time_t *out)
{
    struct tm tm = {0};
    const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm) : NULL;
    *out = text ? timegm(&tm) : time(NULL);
    return !text || (end && !*end)
               ? ERR_OK
               : log_fail(ERR_USAGE, "%s: a time is written 2026-11-25T14:00:00Z", text);
}

/* One address is a network of one, whichever way it is written. */
static enum err read_address(struct question *q, const char *text)
{
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&q->address;
    struct network one;
    q->has_address = text != NULL;
    if (!text)
        return ERR_OK;
    if (strchr(text, '/') || !network_parse(text, &one))
        return log_fail(ERR_USAGE, "%s: not an address", text);
    v6->sin6_family = AF_INET6;
    memcpy(&v6->sin6_addr, one.bytes, sizeof one.bytes);
    return ERR_OK;
}

static enum err read_question(struct question *q, const struct explain *what)
{
    if (!fs_rights_parse(what->op, &q->right))
        return log_fail(ERR_USAGE,
                        "%s: not an operation; one of list read create overwrite delete "
                        "rename mkdir",
                        what->op);
    enum err e = path_parse(slice_str(what->path), q->path);
    if (e == ERR_OK && (e = read_time(what->at, &q->at)) == ERR_OK)
        e = read_address(q, what->from);
    return e;
}

enum err explain(const struct policy *policy, const struct explain *what)
{
    struct question q = {.policy = policy};
    gnutls_pcert_st *chain = NULL;
    struct cert_id id = {0};
    unsigned n = 0;
    enum err e = read_question(&q, what);
    if (e != ERR_OK || (e = token_load_chain(what->cert, &chain, &n)) != ERR_OK)
        return e;
    if ((e = judge(&q, chain, n, &id)) == ERR_OK)
        e = print_answer(&q, &id);
    cert_id_release(&id);
    token_free_chain(chain, n);
    return e;
}
