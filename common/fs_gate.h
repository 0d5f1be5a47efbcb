/* SPDX-License-Identifier: ISC */
/* The gate: who gives, moves or removes names in a root whose files are counted or retained does it inside,
 * one after the other, whatever process or node it is. So what is looked at is what is replaced, what is
 * counted is what is there, and of many uploads at once just those pass that fit. Nobody but the files of the
 * module fs includes this.
 *
 *   fs_gate_enter
 *   fs_gate_yield           may what stands at the name go? whose is it?
 *   fs_gate_room            does the new thing fit?
 *   fs_gate_claim           counts it before it is there: a crash leaves too much counted, never too little
 *   ...                     the change
 *   fs_gate_settle, fs_gate_gone, fs_gate_moved
 *   fs_gate_leave
 *
 * Roots where nobody ever had a quota, a limit of parts or retention have no ledger: then all of this does
 * nothing, and costs one look whether there is one. Within the gate nothing is waited for but the disk. */
#ifndef CONSIGN_FS_GATE_H
#define CONSIGN_FS_GATE_H

#include "fs_ledger.h"

enum { FS_GATE_ROOTS = 64 };

struct fs_gate {
    struct fs *fs;
    const struct fs_root *root; /* NULL: not entered */
    int fds[FS_GATE_ROOTS];     /* the ledgers that are locked */
    unsigned n;
    int ledger; /* root's, one of them; -1: nothing is counted or retained here */
    struct fs_account own, nobody; /* in root; at 0: not counted */
    bool own_changed, nobody_changed;
    struct fs_sum elsewhere; /* what counts to the user in his other roots */
    struct fs_sum claimed;   /* of own.in: not there yet */
    struct fs_head head;
};

/* What makes room. */
struct fs_yield {
    char by[65];
    struct fs_sum sum;
};

/* Whether this user may not have as much as he likes. */
bool fs_counted(const struct fs *fs);

/* Whether what is received below top (PATH_SERVICE) gets a mark. */
bool fs_marks(const struct fs *fs, int top);

/* The mark of a content of length bytes that becomes a file now. */
struct fs_mark fs_mark_now(const struct fs *fs, uint64_t length);

/* grow: something may be added that counts to the user; without it only what makes things fewer or moves them
 * may be done. The first time that a user adds to a root, what is there is counted, which takes as long as it takes
 * to look at each file. */
enum err fs_gate_enter(struct fs *fs, const struct fs_root *root, bool grow,
                       struct fs_gate *g) MUST_CHECK;

/* What was claimed and not settled is given back. May be called when not entered. */
void fs_gate_leave(struct fs_gate *g);

/* Whether what stands at name in dir, st (st_nlink 0: nothing), may be replaced, removed or renamed: ERR_DENIED
 * while it is retained. *out: what goes, and whose it is. path is for messages. */
enum err fs_gate_yield(const struct fs_gate *g, int dir, const char *name, const struct stat *st,
                       const char *path, struct fs_yield *out) MUST_CHECK;

/* The same for a folder that is renamed: everything below it. */
enum err fs_gate_yield_folder(const struct fs_gate *g, int dir, const char *name,
                              const char *path) MUST_CHECK;

/* Whether add fits within the limits, once already, which counts to the user and is a part of it, and what yields are
 * gone (either may be NULL). What takes no more than what it replaces always fits. ERR_LIMIT. */
enum err fs_gate_room(const struct fs_gate *g, const char *path, const struct fs_sum *add,
                      const struct fs_sum *already, const struct fs_yield *yields) MUST_CHECK;

/* Counts add to the user, in the ledger at once. */
enum err fs_gate_claim(struct fs_gate *g, const struct fs_sum *add) MUST_CHECK;
/* So much of what was claimed is there now. */
void fs_gate_settle(struct fs_gate *g, const struct fs_sum *sum);

/* Something that is nobody's is there now. */
void fs_gate_came(struct fs_gate *g, const struct fs_sum *sum);
/* What yielded is gone. */
void fs_gate_gone(struct fs_gate *g, const struct fs_yield *y);
/* It has another name now; who counts meanwhile may see it twice or not at all. */
void fs_gate_moved(struct fs_gate *g, const struct fs_yield *y);
/* So has a folder with all that is in it. */
void fs_gate_moved_folder(struct fs_gate *g);

/* Before a file of the user's appears that is retained: no file here is retained longer than that. */
enum err fs_gate_promise(struct fs_gate *g, int64_t until) MUST_CHECK;

/* ---- fs_charge.c: unfinished uploads ---- */

/* What is counted for the part with this data file in parts, by its mark; false when nothing is, as that of one that
 * has its final name already. */
bool fs_part_counts(int parts, const char *data, struct fs_mark *m, struct fs_sum *sum);

/* Has a part that was opened, or is to be committed, counted with length bytes: ERR_LIMIT when they don't fit, ERR_DENIED
 * when what stands at at's path is retained. Not within the gate. */
enum err fs_charge(struct fs *fs, const struct fs_place *at, int data, uint64_t length) MUST_CHECK;

/* ---- fs_retain.c ---- */

/* ERR_DENIED with the date while the file that st and its mark describe is retained. */
enum err fs_retained(const struct fs *fs, const struct fs_mark *m, const struct stat *st,
                     const char *path) MUST_CHECK;

/* Likewise for any file below the folder name in dir. */
enum err fs_retained_below(const struct fs *fs, int dir, const char *name,
                           const char *path) MUST_CHECK;

/* ---- fs_count.c ---- */

/* Counts what is in the root and corrects its ledger, making it (and the accounts of the user) where they are
 * missing. What is in another root of fs that lies within is not counted. Not within the gate. */
enum err fs_count(struct fs *fs, const struct fs_root *root) MUST_CHECK;

#endif
