/* SPDX-License-Identifier: ISC */
#include "config.h"

#include "log.h"
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GROUPS_MAX = 256, BUFFER = 16384 };

static enum err find(const struct config *c, const char *key, const char *name, uid_t *uid,
                     gid_t *gid)
{
    char buffer[BUFFER];
    struct passwd pw, *found = NULL;
    int rc = getpwnam_r(name, &pw, buffer, sizeof buffer, &found);
    if (rc != 0 || !found)
        return log_fail(ERR_CONFIG, "%s: %s: there is no account %s%s%s", c->file, key, name,
                        rc ? ": " : "", rc ? strerror(rc) : "");
    if (pw.pw_uid == 0)
        return log_fail(ERR_CONFIG, "%s: %s must not be root", c->file, key);
    *uid = pw.pw_uid;
    *gid = pw.pw_gid;
    return ERR_OK;
}

/* The groups are what lets an account have a token. */
static enum err find_groups(struct config *c)
{
    int n = GROUPS_MAX;
    free(c->token_groups);
    c->token_groups = calloc(GROUPS_MAX, sizeof *c->token_groups);
    if (!c->token_groups)
        return log_fail(ERR_INTERNAL, "out of memory for the configuration");
    if (getgrouplist(c->token_user, c->token_gid, c->token_groups, &n) < 0)
        return log_fail(ERR_CONFIG, "%s: token-user: account %s is in more than %d groups", c->file,
                        c->token_user, GROUPS_MAX);
    c->n_token_groups = (size_t)n;
    return ERR_OK;
}

/* Only root can change to another account, so only then do they have to exist. */
enum err config_accounts_find(struct config *c)
{
    if (geteuid() != 0)
        return ERR_OK;
    enum err e = find(c, "session-user", c->session_user, &c->session_uid, &c->session_gid);
    if (e != ERR_OK || !c->token_user)
        return e;
    e = find(c, "token-user", c->token_user, &c->token_uid, &c->token_gid);
    return e == ERR_OK ? find_groups(c) : e;
}
