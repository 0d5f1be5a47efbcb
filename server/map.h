/* SPDX-License-Identifier: ISC */
/* The authorisation map: certificate -> user. Pure: reads one file, answers questions, opens
 * nothing else.
 *
 *   [alice]                                  the user: 1 to 64 of [A-Za-z0-9._@-], not starting
 *                                            with "." or "-"
 *   anchor      = acme                       the trust anchor that must have issued it (required)
 *   subject     = CN=alice,O=Acme Corp       RFC 4514; or one of:
 *   uri         = urn:acme:batch             a SAN, byte for byte (dns, email likewise; dns
 *                                            without case)
 *   fingerprint = SHA256:9f86d0...           of the public key, hex
 *   root        = /srv/consign/alice         the folder that is "/"
 *   root /inbox = /srv/consign/shared        another virtual root
 *   rights      = list read create           for all roots; default: none, so it must be given
 *   rights /inbox = create                   for one
 *   quota       = 10G                        bytes (K M G T: powers of 1024); 0 or absent: none
 *   sessions    = 8                          at once; default 16
 *   rate        = 10M                        bytes a second of all sessions together, both ways;
 *                                            at least 8K; absent: no limit
 *   links       = yes                        symbolic links may be made, and what they lead to is told;
 *                                            they are followed in no case; default: no
 *   attributes  = xattrs acls                of these kinds are set and told; owners are told only;
 *                                            default: none
 *   account     = alice                      the local account to run as: required when consignd
 *                                            runs as root (never uid 0), otherwise refused unless
 *                                            it is its own
 *
 * All selectors of a rule that are given must match. The first rule in file order that matches
 * counts; none: refused. An unknown or repeated key, two rules of one name, two rules with the very
 * same selectors, a rule without selector, root, anchor or rights, an unknown anchor or account, a
 * root that is not an absolute path: ERR_CONFIG with file:line, and the whole map is refused. A map
 * without rules lets nobody in. */
#ifndef CONSIGN_MAP_H
#define CONSIGN_MAP_H

#include "cert.h"
#include "fs.h"
#include <sys/types.h>

struct map_root {
    char *prefix;
    char *dir;
    unsigned rights;
};

struct map_user {
    char name[65];
    unsigned line; /* where the rule begins in the map */
    struct map_root *roots;
    size_t n_roots;
    uint64_t quota;
    unsigned sessions;
    uint64_t rate; /* 0: no limit */
    bool links;    /* symbolic links are kept */
    unsigned meta; /* attributes that are: META_* */
    bool has_account;
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    size_t n_groups;
};

/* ---- map_user.c ---- */

/* A copy that outlives the map; the caller frees it (map_user_free). NULL, logged, without memory. */
struct map_user *map_user_copy(const struct map_user *u);
void map_user_free(struct map_user *u);
/* Frees what u points to, not u. */
void map_user_release(struct map_user *u);

/* Why what was granted by the rule then can't go on under the rule now (static text): another user, account or
 * folder, a right less, a root that lies over what was granted. NULL when it can: limits (quota, sessions,
 * rate) and rights that were added don't matter to a session that runs. */
const char *map_user_lost(const struct map_user *now, const struct map_user *then);

struct map;

/* Reads the map. as_root: accounts are required. anchors tells which anchor names exist. */
enum err map_load(const char *file, const struct cert_store *anchors, bool as_root,
                  struct map **out) MUST_CHECK;
/* Reads a partner's rules behind those that are there: each is for the anchor alone. A rule that names another
 * anchor refuses the file, as does one whose name is there already. On failure the map is good for map_free only. */
enum err map_add(struct map *m, const char *file, const struct cert_store *anchors, bool as_root,
                 const char *anchor) MUST_CHECK;
void map_free(struct map *m);

/* The rule for id (whose anchor is set by cert_judge), or NULL. Where explain is not NULL it gets a
 * line of text per rule looked at: the rule, whether it matched, and why not. */
typedef void map_explain_fn(void *arg, const char *line);
const struct map_user *map_match(const struct map *m, const struct cert_id *id,
                                 map_explain_fn *explain, void *arg);

size_t map_count(const struct map *m);
const struct map_user *map_user(const struct map *m, size_t i);
/* The file that rule i stands in; borrowed. */
const char *map_source(const struct map *m, size_t i);

#endif
