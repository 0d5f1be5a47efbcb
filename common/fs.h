/* SPDX-License-Identifier: ISC */
/* The file tree: the only module that opens, lists, renames or removes by name.
 *
 * A struct fs is a set of virtual roots, each a folder held by a descriptor with rights of its own.
 * A path (path.h) belongs to the root with the longest matching prefix. Every access below a root
 * goes through openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS) relative to
 * that descriptor (a component-by-component walk with O_NOFOLLOW where the kernel has no openat2),
 * then only by descriptor and one final name; only regular files and folders are opened. What a
 * right does not allow is ERR_DENIED, whatever the file system would say.
 *
 * Hard links: a part is never a file with a second name, so nothing is written through one. A name
 * in the tree may be replaced, renamed or removed though the file has others: only the name goes. A
 * file with several names is sent only when it belongs to the owner of the root folder, as
 * snapshots made of links do: a link to somebody else's file, laid there by a third party, is not.
 *
 * Below each root lies PATH_SERVICE/ (mode 0700): parts/ with <id>.data and <id>.journal for
 * unfinished transfers (id: the first 32 hex digits of the SHA-256 of the virtual path), and trees/
 * with stored trees, <inode in hex>, and the roots of contents of one chunk (fs_slot.c). It is invisible to every request. A folder left empty is
 * removed when tidy is set. The folders and the parts belong to the account that the process runs
 * as and only it may write there: else ERR_TYPE. So two accounts can't receive into one root.
 *
 * On the server this runs in the store process (server/store.c), on the client directly. */
#ifndef CONSIGN_FS_H
#define CONSIGN_FS_H

#include "meta.h"
#include "msg.h"
#include "part.h"
#include "path.h"

enum fs_right {
    FS_LIST = 1,
    FS_READ = 2,
    FS_CREATE = 4,
    FS_OVERWRITE = 8,
    FS_DELETE = 16,
    FS_RENAME = 32,
    FS_MKDIR = 64,
    FS_ALL = 127,
};

/* "list read create" (blanks or commas between) to a mask, or "all"; false for an unknown word. */
bool fs_rights_parse(const char *text, unsigned *rights) MUST_CHECK;
/* The mask as words in fs_right's order. out gets at most cap bytes. */
void fs_rights_text(unsigned rights, char *out, size_t cap);

struct fs_root {
    char *prefix;                 /* "/" or "/inbox": a legal path */
    unsigned rights;              /* enum fs_right */
    int fd;                       /* O_PATH descriptor of the folder */
    bool links;                   /* symbolic links are kept: fs_keep_links */
    unsigned meta_told, meta_set; /* kinds of attributes: fs_keep_meta */
};

/* What a user may take in all his roots together, and for how long it stays. 0: no limit, and not at all. */
struct fs_limits {
    uint64_t bytes; /* by the files' lengths */
    uint64_t files; /* and folders, and links */
    uint64_t parts; /* unfinished uploads */
    uint64_t
        retain_s; /* seconds after its commit in which a file can't be replaced, renamed or removed */
};

struct fs {
    struct fs_root *roots;
    size_t n;
    char owner[65]; /* goes into the parts' headers and the files' marks */
    bool tidy;      /* remove service folders that became empty (the client's way) */
    bool gated;     /* fs_limit was called (the server's way) */
    struct fs_limits limits;
};

/* An empty set; fs_add_root opens dir (following links: it is the administrator's word) and copies
 * prefix. */
void fs_init(struct fs *fs, const char *owner, bool tidy);
enum err fs_add_root(struct fs *fs, const char *prefix, const char *dir,
                     unsigned rights) MUST_CHECK;
void fs_release(struct fs *fs);

/* Sets the limits, and has those of others observed: from here on what is sent by whom is counted and retained in roots
 * where somebody has limits. There a file carries a mark (an extended attribute that no request can set or see): who
 * sent it, when, and until when it is retained; and a ledger in PATH_SERVICE/ says how much there is of whose.
 *   - A file counts to who sent it, for its length; a file without a mark, which was put there before or beside
 *     consign, to everybody with limits in that folder. An unfinished upload counts for the length it will have. While
 *     a new version is on its way both count, but room is made by the old one. Small files count when they get their
 *     names. What goes over a limit is ERR_LIMIT.
 *   - A retained file can't be replaced, renamed or removed by anybody, nor its folder be renamed: ERR_DENIED with the
 *     date. That is the one of its mark; where the own limits retain for longer, theirs from its commit (without a
 *     mark: from its change time) on. */
void fs_limit(struct fs *fs, const struct fs_limits *l);

/* Counts what is in root i again, where there is a ledger and nobody has done it since (seconds since 1970), and corrects
 * that. A difference is logged. */
enum err fs_recount(struct fs *fs, size_t i, int64_t since) MUST_CHECK;

/* Lets symbolic links be kept in the roots there are: made, replaced, and told of with their targets. Without it they
 * are only seen and removed. They are not followed in either case. */
void fs_keep_links(struct fs *fs);

enum { FS_TARGET_MAX = 4095 }; /* bytes of a link's target */

struct fs_info {
    uint8_t type; /* enum msg_file_type */
    uint32_t mode;
    uint64_t size;
    int64_t mtime_s;
    uint32_t mtime_ns;
    bool has_root;
    uint8_t root[TREE_HASH]; /* of a valid stored tree */
    const char *
        target; /* of a MSG_LINK: where FS_LINKS asks for it and the root keeps links; else NULL. Lasts until
                         * the next call of what told it */
};

/* What stands at path; a symbolic link is reported as a link, never followed. Needs FS_LIST or
 * FS_READ. A missing thing is ERR_NOENT (logged like all others). */
enum err fs_stat(struct fs *fs, const char *path, struct fs_info *out) MUST_CHECK;

/* Calls each with every entry of the folder (no order; "." ".." and PATH_SERVICE left out; names
 * outside the legal set are passed over and counted in a warning). Virtual roots below path show as
 * folders. Needs FS_LIST. The result of each other than ERR_OK ends it. */
typedef enum err fs_entry_fn(void *arg, const char *name, const struct fs_info *info);
enum err fs_list(struct fs *fs, const char *path, fs_entry_fn *each, void *arg) MUST_CHECK;

/* With these flags walks and open folders do more: */
enum {
    FS_FOLDERS = 1, /* (walks) pass over all but folders; no file is even looked at */
    FS_ROOTS = 2, /* (both) tell the roots that are stored: a file may have to be opened for each */
    FS_LINKS = 4, /* (both) tell the targets of links that are kept */
};

/* A walk through the folder path and all below it (walk.h says how), virtual roots included: what
 * stands in the place of a root below path, or of a folder on the way to one, is shadowed as fs_list
 * does. Needs FS_LIST at path; a root below without it is a fault. The fs must outlive the walk;
 * several walks may be open. */
struct fs_walk;
enum err fs_walk_open(struct fs *fs, const char *path, unsigned flags,
                      struct fs_walk **out) MUST_CHECK;

struct fs_item {
    const char *path;    /* relative to the walk's: "a/b"; legal but for faults, whose text may be
                          * anything ("" for the walk's own folder); lasts until the next call */
    struct fs_info info; /* type MSG_FOLDER: what is in it follows, then its MSG_LEAVE; MSG_FAULT:
                          * it can't be taken, and mode is the enum err that says why */
};
/* The next item; ERR_NOENT (silent) at the end; nothing else ends it, and nothing is logged. */
enum err fs_walk_next(struct fs_walk *w, struct fs_item *out) MUST_CHECK;
/* NULL is allowed. */
void fs_walk_close(struct fs_walk *w);

/* A folder held open to ask for many names in it. Needs FS_LIST or FS_READ; without the folder
 * ERR_NOENT. */
struct fs_folder;
enum err fs_folder_open(struct fs *fs, const char *path, unsigned flags,
                        struct fs_folder **out) MUST_CHECK;
/* What stands there under name: type MSG_MISSING for nothing, MSG_FAULT as above. ERR_NAME for a
 * name or path that is not legal. */
enum err fs_folder_stat(struct fs_folder *f, const char *name, struct fs_info *out) MUST_CHECK;
/* NULL is allowed. */
void fs_folder_close(struct fs_folder *f);

/* Makes a folder (mode & 0777, under the umask 022), durable. parents: also what is missing above,
 * and an existing folder is success. Needs FS_MKDIR. */
enum err fs_mkdir(struct fs *fs, const char *path, uint32_t mode, bool parents) MUST_CHECK;

/* Makes the folders above path's last name that are missing. That needs FS_MKDIR; where none is missing
 * any right will do. */
enum err fs_parents(struct fs *fs, const char *path) MUST_CHECK;

/* Sets a folder's mode (& 0755; its owner may always use it) and time, first making it (with all that
 * is missing above) when make is set. A root itself is left as it is. Needs FS_MKDIR. Not durable of
 * itself: what is lost in a crash is what sets it again. */
struct fs_attributes {
    bool make;
    uint32_t mode;
    int64_t mtime_s;
    uint32_t mtime_ns;
};
enum err fs_attributes(struct fs *fs, const char *path, const struct fs_attributes *a) MUST_CHECK;

/* Removes a file, a symbolic link or (folder set) an empty folder; durable. Needs FS_DELETE. */
enum err fs_remove(struct fs *fs, const char *path, bool folder) MUST_CHECK;

/* Makes a symbolic link, durable, where links are kept (else ERR_DENIED). target is any text of 1 to FS_TARGET_MAX
 * bytes: what it leads to is not looked at. A link with that target that stands there is success; else rights are as for a
 * file: FS_CREATE on a free name, FS_OVERWRITE and overwrite for what may be replaced, a file or another link. */
struct fs_symlink {
    const char *path, *target;
    bool overwrite;
    bool parents; /* make the folders above that are missing */
};
enum err fs_symlink(struct fs *fs, const struct fs_symlink *l) MUST_CHECK;

/* Lets attributes of these kinds (meta.h) be told, and be set, in the roots there are. Without it none are. */
void fs_keep_meta(struct fs *fs, unsigned told, unsigned set);

/* The attributes of a file or folder. out->kinds are those it tells of, out->set is set's; also after an error that concerns
 * some of them only: kinds that are not told (ERR_DENIED), what can't be read. A root itself has none. Needs FS_READ. */
enum err fs_meta_get(struct fs *fs, const char *path, unsigned kinds, struct buf *set,
                     struct meta *out) MUST_CHECK;

/* Sets attributes; others stay. What can be set is, whatever else fails; kinds that are not kept are ERR_DENIED. A
 * root itself is left as it is, a link and a file with several names are ERR_TYPE. What is stored of the hashes stays valid.
 * Needs FS_OVERWRITE for a file, FS_MKDIR for a folder. Not durable of itself, as fs_attributes. */
enum err fs_meta_set(struct fs *fs, const char *path, const struct meta *m) MUST_CHECK;

/* Renames within one root; durable in both folders. Without overwrite the target must not exist
 * (link() and unlink() for files; a folder is only renamed onto a free name). The stored tree stays
 * valid. Needs FS_RENAME, and FS_OVERWRITE to replace. Across roots: ERR_DENIED with the reason. */
enum err fs_rename(struct fs *fs, const char *from, const char *to, bool overwrite) MUST_CHECK;

/* A file opened to be read. */
struct fs_source {
    int fd;   /* O_RDONLY */
    int tree; /* its stored tree (part.h), identity checked, or -1 */
    struct stat st;
    bool has_root; /* of a content of one chunk: what is stored instead of a tree */
    uint8_t root[TREE_HASH];
};
/* Needs FS_READ. Not a regular file: ERR_TYPE. The caller closes both descriptors. */
enum err fs_open_source(struct fs *fs, const char *path, struct fs_source *out) MUST_CHECK;

/* Small files, one after the other: what neighbours have in common stays open until fs_reader_rest, to be
 * called when there is a pause. fs must outlive the reader. */
struct fs_reader;
enum err fs_reader_new(struct fs *fs, struct fs_reader **out) MUST_CHECK;
void fs_reader_rest(struct fs_reader *r);
void fs_reader_free(struct fs_reader *r); /* NULL is allowed */

/* The whole content of a small file, to bytes (FS_SMALL_MAX + 1). info->root is the stored one if there
 * is one. ERR_LIMIT, silent, for a longer file; ERR_CHANGED when it changed meanwhile. Needs
 * FS_READ. */
enum err fs_read_small(struct fs_reader *r, const char *path, uint8_t *bytes,
                       struct fs_info *info) MUST_CHECK;

/* A part opened to be received into: locked for this owner (an open file description lock on the
 * journal: it goes with the last copy of that descriptor). */
struct fs_part {
    int data;
    int journal;
    bool existed; /* there was one to go on with */
    bool
        has_old; /* and there is an old version: the file that stands at the path and will be replaced */
    struct fs_source old;
};
enum { FS_PART_OVERWRITE = 1, FS_PART_SPARSE = 2 };

/* Finds or makes the part for path. Needs FS_CREATE when nothing stands at path, else FS_OVERWRITE
 * and FS_PART_OVERWRITE set (ERR_EXISTS without). The parent must exist. A locked part is waited for up to
 * wait_ms, then ERR_BUSY. length is reserved where the file system can (ERR_NOSPACE early), but not with FS_PART_SPARSE.
 * Hard-linked, foreign-owned or special files in the part's place are ERR_TYPE.
 *
 * The old version comes along, for the caller to close, where FS_READ is given too (whoever learns
 * which chunks of it are equal to his learns what it holds), it is a regular file that fs_open_source
 * would open, and neither it nor length is of one chunk only. */
enum err fs_open_part(struct fs *fs, const char *path, uint64_t length, unsigned flags, int wait_ms,
                      struct fs_part *out) MUST_CHECK;

/* Lets other connections of the same transfer write to the part: part_share has given it a token. */
enum err fs_share_part(const char *path, const struct fs_part *part) MUST_CHECK;

/* Nobody can join any more; waits for those who did, a second: ERR_BUSY, silent, when one is still there, to be
 * called again. */
enum err fs_unshare_part(const char *path, const struct fs_part *part) MUST_CHECK;

/* Opens the part that somebody has begun for path and shares, to write other chunks of it (part_join).
 * Rights as for fs_open_part; ERR_BUSY when there is none that may be joined with this token. */
enum err fs_join_part(struct fs *fs, const char *path, const uint8_t token[static PART_TOKEN],
                      struct fs_part *out) MUST_CHECK;

/* The end of a part whose journal says complete: mode and mtime are set, data synced, then the name
 * appears (rename; without overwrite link() and unlink()) and its folder is synced; the journal
 * becomes the stored tree. Checks rights and that what stands at path may be replaced once more.
 * data and journal are the descriptors of fs_open_part (not closed here); they must still be the
 * very files in the part's place. Those who joined must have ended: ERR_BUSY else. A part whose data could not be synced is removed: what is in
 * memory can't be told from what is on the disk any more. */
struct fs_commit {
    const char *path;
    bool overwrite;
    uint32_t mode; /* & 0755; its owner may always read and write it */
    int64_t mtime_s;
    uint32_t mtime_ns;
};
enum err fs_commit(struct fs *fs, const struct fs_part *part,
                   const struct fs_commit *how) MUST_CHECK;

/* ---- small files, received in groups ---- */

enum {
    FS_SMALL_MAX = MSG_SMALL_MAX, /* bytes of content */
    FS_GROUP_MAX = 1024,          /* files in a group */
};

struct fs_small {
    const char *path;
    bool overwrite, parents; /* parents: make the folders that are missing above (needs FS_MKDIR) */
    uint32_t mode;           /* as in struct fs_commit */
    int64_t mtime_s;
    uint32_t mtime_ns;
    const uint8_t *bytes;
    size_t n;
    uint8_t root[TREE_HASH]; /* of bytes: the caller has checked it */
};

/* Files that become durable together. Each is under the rules of fs_open_part and fs_commit. fs must
 * outlive the group. */
struct fs_group;
enum err fs_group_new(struct fs *fs, struct fs_group **out) MUST_CHECK;

/* Writes a file aside; what fails is told by fs_group_commit. False when the group is full. */
bool fs_group_add(struct fs_group *g, const struct fs_small *file) MUST_CHECK;
size_t fs_group_count(const struct fs_group *g);

/* Gives each file its name and calls each (may be NULL) for all in the order they were added, when
 * those with status ERR_OK are durable. Of the others nothing is left, but for names in folders that
 * could not be made durable: then all have failed. The group is empty then. An unfinished transfer of
 * the owner's to the name of one that succeeded is dropped. */
typedef void fs_group_fn(void *arg, size_t index, enum err status, const char *reason);
void fs_group_commit(struct fs_group *g, fs_group_fn *each, void *arg);

/* Drops what is not committed. NULL is allowed. */
void fs_group_free(struct fs_group *g);

/* Removes the unfinished part for path: ERR_NOENT when there is none, ERR_BUSY when it is in use or
 * another owner's. Needs FS_CREATE or FS_OVERWRITE. */
enum err fs_discard(struct fs *fs, const char *path) MUST_CHECK;

/* Calls each for every unfinished part below the roots whose path is path or below it ("/" for
 * all). Another owner's parts only where FS_LIST is given. */
struct fs_pending {
    const char *path;
    uint64_t length;
    uint64_t have;   /* bytes of chunks that are in the journal */
    int64_t mtime_s; /* last change of the journal */
    bool active;     /* locked by a transfer now */
};
typedef enum err fs_pending_fn(void *arg, const struct fs_pending *p);
enum err fs_list_pending(struct fs *fs, const char *path, fs_pending_fn *each,
                         void *arg) MUST_CHECK;

/* Removes parts nobody touched for max_age_s seconds and holds no lock on, and stored trees whose
 * file is gone. Returns how many were removed in *removed (may be NULL). */
enum err fs_sweep(struct fs *fs, int64_t max_age_s, unsigned *removed) MUST_CHECK;

#endif
