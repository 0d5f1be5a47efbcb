/* SPDX-License-Identifier: ISC */
#include "explain.h"

#include "log.h"
#include "token.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_line(void *arg, const char *line)
{
    (void)arg;
    printf("  %s\n", line);
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

static enum err print_rights(const struct map_user *user, unsigned right, const char *path)
{
    const struct map_root *root = root_of(user, path);
    char words[80];
    printf("user: %s (map line %u)\n", user->name, user->line);
    if (user->has_account)
        printf("account: uid %u, gid %u\n", (unsigned)user->uid, (unsigned)user->gid);
    if (!root) {
        printf("root: none holds this path\nverdict: not allowed\n");
        return ERR_DENIED;
    }
    fs_rights_text(root->rights, words, sizeof words);
    bool allowed = (root->rights & right) == right;
    printf("root: %s is %s\nrights: %s\nverdict: %s\n", root->prefix, root->dir, words,
           allowed ? "allowed" : "not allowed");
    return allowed ? ERR_OK : ERR_DENIED;
}

static enum err judge(const struct policy *p, const gnutls_pcert_st *chain, unsigned n,
                      struct cert_id *id)
{
    gnutls_datum_t *der = calloc(n, sizeof *der);
    if (!der)
        return log_fail(ERR_INTERNAL, "out of memory");
    for (unsigned i = 0; i < n; i++)
        der[i] = chain[i].cert;
    enum err e = cert_judge(p->anchors, der, n, CERT_CLIENT, NULL, time(NULL), id);
    free(der);
    return e;
}

enum err explain(const struct policy *policy, const char *cert, const char *op, const char *path)
{
    char legal[PATH_MAX_BYTES + 1];
    gnutls_pcert_st *chain = NULL;
    struct cert_id id = {0};
    unsigned n = 0, right;
    enum err e;
    if (!fs_rights_parse(op, &right))
        return log_fail(ERR_USAGE,
                        "%s: not an operation; one of list read create overwrite delete "
                        "rename mkdir",
                        op);
    if ((e = path_parse(slice_str(path), legal)) != ERR_OK ||
        (e = token_load_chain(cert, &chain, &n)) != ERR_OK)
        return e;
    if ((e = judge(policy, chain, n, &id)) == ERR_OK) {
        printf("certificate: %s, serial %s\nanchor: %s\nrules:\n", id.subject_text, id.serial,
               id.anchor);
        const struct map_user *user = map_match(policy->map, &id, print_line, NULL);
        if (!user)
            printf("user: none: refused\n");
        e = user ? print_rights(user, right, legal) : ERR_AUTH;
    }
    cert_id_release(&id);
    token_free_chain(chain, n);
    return e;
}
