/* SPDX-License-Identifier: ISC */
/* What the files of the module fs share. Nobody else includes this but its tests. */
#ifndef CONSIGN_FS_INTERNAL_H
#define CONSIGN_FS_INTERNAL_H

#include "fs.h"
#include <dirent.h>
#include <fcntl.h>

/* How every last name is opened: never through a link, never waiting for the other end of a FIFO.
 */
#define FS_LEAF   (O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define FS_FOLDER (O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* ---- fs.c: where a path belongs ---- */

struct fs_place {
    struct fs_root *root; /* NULL: a folder that only exists because roots lie below it */
    const char *path;     /* virtual; borrowed */
    const char *rel;      /* below the root, "" for the root itself; borrowed from path */
};

/* The root with the longest matching prefix, or NULL. */
struct fs_root *fs_root_of(struct fs *fs, const char *path);

/* What of path, which belongs to root, lies below it. Borrowed from path. */
const char *fs_rel(const struct fs_root *root, const char *path);

/* Whether path is top or lies below it. */
bool fs_within(const char *path, const char *top);

/* The name right below path on the way to a root, n bytes; 0 when the root is not below path. */
size_t fs_towards(const struct fs_root *root, const char *path, const char **name);

/* Whether name (length bytes) in the folder path leads to one of the first n roots. */
bool fs_leads(const struct fs *fs, size_t n, const char *path, const char *name, size_t length);

/* Whether there are roots below path. */
bool fs_above_roots(const struct fs *fs, const char *path);

/* What st says; without has_root. */
void fs_describe(const struct stat *st, struct fs_info *out);

/* A folder that only leads to roots, or the root that stands there. */
void fs_describe_root(const struct fs *fs, const char *path, struct fs_info *out);

/* ---- fs_rights.c: what each verb takes ---- */

enum fs_verb {
    FS_DO_STAT,
    FS_DO_LIST,
    FS_DO_READ,
    FS_DO_RECEIVE, /* a file, whole or in chunks */
    FS_DO_DISCARD, /* an unfinished upload, of one's own */
    FS_DO_LINK,
    FS_DO_REMOVE,
    FS_DO_RENAME,
    FS_DO_MKDIR,
    FS_DO_PARENTS,     /* folders that may be missing above a name */
    FS_DO_ATTRIBUTES,  /* of a folder */
    FS_DO_META,        /* attributes of a file */
    FS_DO_META_FOLDER, /* of a folder */
    FS_VERBS
};

/* Finds path's root and checks that a right is given there with which the verb may be of use. A path
 * without a root is only allowed for verbs that list or read, and only where roots lie below it. */
enum err fs_allow(struct fs *fs, const char *path, enum fs_verb verb,
                  struct fs_place *out) MUST_CHECK;

/* The same check alone. */
bool fs_has(const struct fs_root *root, enum fs_verb verb);

/* Whether the verb may bring something to a free name, or (taken) change or replace what stands there. */
bool fs_may(const struct fs_root *root, enum fs_verb verb, bool taken);
/* The same, logged: ERR_DENIED. */
enum err fs_must(const struct fs_place *at, enum fs_verb verb, bool taken) MUST_CHECK;

/* ---- fs_mark.c: whose a file is ---- */

struct fs_mark {
    char by[65];     /* who sent it; "": there is no mark */
    bool counted;    /* as an unfinished upload, */
    uint64_t length; /* with so many bytes */
    int64_t since;   /* when it was committed; 0: it is not */
    int64_t until;   /* it is retained */
};

/* False, with an empty one, where there is none. */
bool fs_mark_read(int fd, struct fs_mark *m);
enum err fs_mark_write(int fd, const struct fs_mark *m, const char *path) MUST_CHECK;
/* Of the file or folder name in dir, which st describes; nothing else has one. */
bool fs_mark_at(int dir, const char *name, const struct stat *st, struct fs_mark *m);

/* ---- fs_resolve.c: from paths to descriptors ---- */

/* For tests: walk as on a kernel without openat2. */
void fs_resolve_by_walk(bool walk);

/* Opens the folder rel below the root, with O_RDONLY (to list or sync it) or O_PATH; -1 with
 * errno, which is ELOOP for a symbolic link anywhere on the way. */
int fs_open_beneath(const struct fs_root *root, const char *rel, int access);

/* Logs why opening the folder called shown (n bytes) for path failed, from errno. */
enum err fs_fail_open(const char *path, const char *shown, size_t n) MUST_CHECK;

/* Opens the folder that holds place's last name, in the same way; the name is borrowed to name. The
 * root itself has none: ERR_DENIED. */
enum err fs_open_parent(const struct fs_place *at, int access, int *dir,
                        const char **name) MUST_CHECK;

/* Opens a regular file. -1 with errno; for anything else than a regular file that is ELOOP (a
 * symbolic link) or ENOTSUP, and nothing is opened. */
int fs_open_regular(int dir, const char *name, int flags, struct stat *st);

/* Logs that path is not a regular file: what it is instead. */
enum err fs_fail_type(const char *path, mode_t mode) MUST_CHECK;

/* Makes names made or removed in dir durable. */
enum err fs_sync_folder(int dir, const char *path) MUST_CHECK;

/* Whether two descriptors' files are one. */
bool fs_same(const struct stat *a, const struct stat *b);

/* Closes *fd unless it is -1; keeps errno. */
void fs_close(int *fd);

/* ---- fs_service.c: consign's own folder ---- */

struct fs_service {
    int top;   /* PATH_SERVICE */
    int parts; /* the folder below it */
};

/* Opens PATH_SERVICE/parts, making both when make is set. ERR_NOENT (silent) when they are not
 * there. */
enum err fs_service_open(const struct fs_root *root, bool make, struct fs_service *out) MUST_CHECK;
void fs_service_close(struct fs_service *s);

/* Removes the service folders of the root that are empty. */
void fs_service_tidy(const struct fs_root *root);

/* The stored trees' folder; -1 when there is none or it can't be used. */
int fs_trees_open(const struct fs_root *root, bool make);

/* Opens the folder name in at for readdir(), not through a link; NULL with errno. */
DIR *fs_opendir(int at, const char *name);

/* The names of a part. */
struct fs_names {
    const char *path; /* virtual; borrowed */
    char id[33];
    char data[44];
    char journal[44];
};
void fs_names_of(const char *path, struct fs_names *out);
bool fs_has_suffix(const char *name, const char *suffix);

/* A journal that this process holds the lock of. */
struct fs_locked {
    int fd;
    bool fresh; /* made just now */
    struct stat st;
};

/* Opens and locks a part's journal, and sees to it that it is still the one with the name. Silent:
 * ERR_NOENT when there is none and make is not set, or parts itself was removed; ERR_BUSY after
 * wait_ms. ERR_TYPE for what is no regular file with one name. */
enum err fs_lock(int parts, const struct fs_names *names, bool make, int wait_ms,
                 struct fs_locked *out) MUST_CHECK;

/* The lock covers the whole journal. Who has begun a part lets others join by giving up its second
 * byte, of which each of them takes a shared lock; with others joined nobody else can lock it. */
enum err fs_lock_share(int journal, const char *path) MUST_CHECK;
/* Takes the second byte: shared (ERR_BUSY, silent: it is not given up), or back (ERR_BUSY, silent, when
 * others still write after wait_ms). */
enum err fs_lock_join(int journal, const char *path) MUST_CHECK;
enum err fs_lock_regain(int journal, const char *path, int wait_ms) MUST_CHECK;

/* Whether somebody else holds the lock. */
bool fs_locked_now(int journal);

/* Whether the part whose journal is locked is another user's, who is then in h->owner. Without a header that can be
 * read (its maker was killed before it wrote one) it is nobody's. */
bool fs_part_is_anothers(const struct fs *fs, int journal, struct part_header *h);

/* Removes the names of a part whose lock is held, and gives back what was counted for it: the data first, so that
 * what is left is never data without its lock. */
enum err fs_drop_part(struct fs *fs, const struct fs_root *root, int parts,
                      const struct fs_names *names) MUST_CHECK;
/* The data alone. */
enum err fs_drop_data(struct fs *fs, const struct fs_root *root, int parts,
                      const struct fs_names *names) MUST_CHECK;

/* ---- fs_tree.c: files to read, and stored trees ---- */

/* The file that stands at place's last name in dir, as fs_open_source gives it but without what is stored of its
 * hashes. */
enum err fs_open_in(const struct fs_place *at, int dir, struct fs_source *out) MUST_CHECK;

/* The same as fs_open_source gives it; false (silent) when there is
 * none that may be read, or it lies on another filesystem than dev. */
bool fs_open_old(const struct fs_place *at, dev_t dev, struct fs_source *out);

/* What is stored of a file's hashes. */
enum fs_tree {
    FS_TREE_NONE,    /* nothing: it was not received by consign */
    FS_TREE_VALID,   /* hashes, and the file is in the state that they were stamped with */
    FS_TREE_STALE,   /* it was changed beside consign since */
    FS_TREE_DAMAGED, /* something that can't be read */
};

/* The stored tree of the file that st describes, opened with flags, its header to h; -1 when there
 * is none that is valid. */
int fs_tree_open(int trees, const struct stat *st, int flags, struct part_header *h);

/* Whether a content of so many bytes has one chunk: then it has no stored tree but a slot. */
bool fs_one_chunk(uint64_t length);

/* The root that is stored of the file st, in a slot or a tree. */
bool fs_tree_root(int trees, const struct stat *st, uint8_t root[static TREE_HASH]);

/* The same for who wants to know why not, and more than the root. FS_TREE_VALID: h is filled, *fd is
 * the stored tree, open for reading, or -1 for a content of one chunk, whose only hash is the root. */
struct fs_slots;
enum fs_tree fs_tree_find(struct fs_slots *slots, const struct stat *st, struct part_header *h,
                          int *fd) MUST_CHECK;

/* Calls each with the inode of every stored tree, in no order; contents of one chunk have none. Its
 * result other than ERR_OK ends it. */
enum err fs_tree_each(int trees, enum err (*each)(void *arg, uint64_t inode), void *arg) MUST_CHECK;

/* Writes the state that a file has now, and its path, into its tree's header. */
enum err fs_tree_stamp(int tree, struct part_header *h, const struct stat *st,
                       const char *path) MUST_CHECK;

/* Removes the stored tree of an inode that is gone. */
void fs_tree_drop(const struct fs_root *root, const struct stat *gone);

/* The inode in hex. */
enum { FS_TREE_NAME = 24 };
void fs_tree_name(uint64_t inode, char out[static FS_TREE_NAME]);

/* ---- fs_slot.c: roots of contents of one chunk ---- */

struct fs_slots {
    int trees; /* folder of the stored trees; -1: nothing is read or written */
    int fd;    /* the file of slots used last */
    uint64_t group;
    dev_t dev;
};

/* trees moves in. */
void fs_slots_init(struct fs_slots *s, int trees);
void fs_slots_release(struct fs_slots *s);

/* The root of the file that st describes; false when there is none for this state of it. */
bool fs_slot_read(struct fs_slots *s, const struct stat *st, uint8_t root[static TREE_HASH]);

/* The same for who wants to know why not. */
enum fs_tree fs_slot_find(struct fs_slots *s, const struct stat *st,
                          uint8_t root[static TREE_HASH]) MUST_CHECK;

/* Adds the root that is stored of the file st, in a slot or a tree, to *info. */
void fs_slot_describe(struct fs_slots *s, const struct stat *st, struct fs_info *info);

/* Stores it; false, silently, when that can't be done. */
bool fs_slot_write(struct fs_slots *s, const struct stat *st, const uint8_t root[static TREE_HASH]);

/* ---- fs_link.c ---- */

/* The target of the link name in dir; false, with target "", when it can't be had. */
bool fs_read_link(int dir, const char *name, char target[static FS_TARGET_MAX + 1]);

/* ---- fs_change.c ---- */

/* What stands at place's last name in dir (st_nlink 0: nothing), and whether a file may appear
 * there: on a free name as the verb may, else with overwrite set in the place of a file, or of a link where links
 * are kept, where the verb may do that. */
enum err fs_check_target(const struct fs_place *at, int dir, bool overwrite, enum fs_verb verb,
                         struct stat *old) MUST_CHECK;

/* Moves the file from, one name in from_dir, to at's name in dir. With replace by rename(), else by
 * link() and unlink(), so that exactly one of two at the same time succeeds. The new name is
 * durable before the old one goes; then the old one's folder is not synced. */
struct fs_move {
    int from_dir;
    const char *from;
    int to_dir;
    const char *to;
    const char *path; /* for messages */
    bool replace;
};
enum err fs_move(const struct fs_move *m) MUST_CHECK;

/* Only the first step: the new name, not yet durable; without replace the old one is there as
 * well. And the rest. */
enum err fs_move_name(const struct fs_move *m) MUST_CHECK;
enum err fs_move_end(const struct fs_move *m) MUST_CHECK;

#endif
