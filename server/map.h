/* SPDX-License-Identifier: ISC */
/* The authorisation map: certificate -> user. Reads its files, and the folders that templates name their users by;
 * opens nothing else. consignd.conf(5) has the whole language.
 *
 *   [alice]                                  a rule; the user: 1 to 64 of [A-Za-z0-9._@-], not starting with "." or
 *                                            "-"; or a template of names: [acme.%{CN}] (map_name.h)
 *   group       = staff                      what the rule does not say itself is as in [group staff]
 *
 * whose certificates it is for, all of which must match:
 *   anchor      = acme                       the trust anchor that must have issued it (required)
 *   issuer      = CN=Staff CA,O=Acme Corp    the very CA, below that anchor
 *   subject     = CN=alice,O=Acme Corp       RFC 4514, where CN=* is any CN
 *   uri         = urn:acme:batch             SANs, all of them; byte for byte (dns, email likewise; dns without
 *                                            case); "*": there is just one
 *   fingerprint = SHA256:9f86d0...           of the public key, hex
 *
 * from where and when:
 *   networks    = 192.0.2.0/24 2001:db8::/32 (network.h)
 *   hours       = Mon-Fri 06:00-22:00 UTC    (map_hours.h)
 *
 * and what it grants:
 *   root        = /srv/consign/alice         the folder that is "/"
 *   root /inbox = /srv/consign/in/%{user}    another virtual root; the user's name, or in a template its variable,
 *                                            can be a component
 *   rights      = list read create           for all roots; default: none, so it must be given
 *   rights /inbox = create                   for one
 *   quota       = 10G                        bytes (K M G T: powers of 1024); 0 or absent: none
 *   quota-files = 100000                     files, folders and links; 0 or absent: none
 *   parts       = 16                         unfinished uploads; absent: no limit
 *   retain      = 30d                        what is committed can't be replaced, renamed or removed
 *                                            so long (s m h d w y); absent: not at all
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
 * The first rule in file order whose selectors match counts, and no other, even where its hours or networks then refuse;
 * none: refused. An unknown or repeated key, two rules of one name, two templates that can give one name, two rules with
 * the very same selectors, a rule without selector, root, anchor or rights, an unknown anchor or account, a
 * root that is not an absolute path: ERR_CONFIG with file:line, and the whole map is refused. So is a file that may be
 * half written (conf_read_whole). A map without rules lets nobody in. */
#ifndef CONSIGN_MAP_H
#define CONSIGN_MAP_H

#include "cert.h"
#include "fs.h"
#include <sys/socket.h>
#include <sys/types.h>

struct map_root {
    char *prefix;
    char *dir;
    unsigned rights;
    unsigned line, rights_line; /* of the file, where they stand */
};

struct map_user {
    char name[65];
    unsigned line; /* where the rule begins in the map */
    struct map_root *roots;
    size_t n_roots;
    uint64_t quota;       /* bytes of all files together; 0, as in the next ones: no limit */
    uint64_t quota_files; /* and folders, and links */
    uint64_t parts;       /* unfinished uploads */
    uint64_t retain_s;    /* seconds */
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
 * folder, a right less, a root that lies over what was granted. NULL when it can: limits (quotas, parts, retention, sessions,
 * rate) and rights that were added don't matter to a session that runs. */
const char *map_user_lost(const struct map_user *now, const struct map_user *then);

/* ---- loading ---- */

struct map;

/* Reads the map. as_root: accounts are required. anchors tells which anchor names exist. */
enum err map_load(const char *file, const struct cert_store *anchors, bool as_root,
                  struct map **out) MUST_CHECK;
/* Reads a partner's rules behind those that are there: each is for the anchor alone. A rule that names another
 * anchor refuses the file, as does one whose name is there already. On failure the map is good for map_free only. */
enum err map_add(struct map *m, const char *file, const struct cert_store *anchors, bool as_root,
                 const char *anchor) MUST_CHECK;
void map_free(struct map *m);

/* ---- who may come in ---- */

struct map_asker {
    const struct cert_id *id; /* judged: with its anchor */
    /* Where the peer is; NULL: not known, and not allowed by a rule with networks. */
    const struct sockaddr_storage *address;
    time_t now;
};

struct map_answer {
    size_t rule;   /* that matched */
    char user[65]; /* its user */
    time_t
        until; /* the last second at which the rule's hours allow it; INT64_MAX: they don't end */
    /* When it is refused, all that the peer is told: the reason is for those who may read the map. Static. */
    const char *told;
};

/* A line of text per rule looked at, whether it matched, and all that was missing; at the end the rule that was nearest
 * where none did. */
typedef void map_explain_fn(void *arg, const char *line);

/* The first rule that matches, and whether it lets the peer in now: ERR_AUTH when none matches, ERR_DENIED when it is the
 * hour or the network; the reason (log_reason) is logged. explain may be NULL. */
enum err map_ask(const struct map *m, const struct map_asker *who, struct map_answer *out,
                 map_explain_fn *explain, void *arg) MUST_CHECK;

/* What the rule grants to that user, without a certificate: to be freed with map_user_free. NULL, logged, when the rule
 * has no such user. */
struct map_user *map_grant(const struct map *m, size_t rule, const char *user);

/* ---- who there is ---- */

/* The names of all users, to be freed; those of templates are found by the folders that exist. */
enum err map_users(const struct map *m, char (**names)[65], size_t *n) MUST_CHECK;
/* What the user of that name is granted: as map_grant; NULL, not logged, when there is no such user. */
struct map_user *map_user_named(const struct map *m, const char *name);

/* The rules: how many; each as it stands in the map (of a template with its variables: for checks that are the
 * same for all its users); the file that it stands in. Borrowed. */
size_t map_count(const struct map *m);
const struct map_user *map_user(const struct map *m, size_t i);
const char *map_source(const struct map *m, size_t i);
/* The same for people: "map", or "partner " and its name. */
void map_source_text(const struct map *m, size_t i, char out[static 80]);

#endif
