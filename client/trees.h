/* SPDX-License-Identifier: ISC */
/* Whole trees: which entries are taken, which of them must be moved, what is deleted. Memory does not
 * grow with the tree: walks keep one folder for each level, and files are looked up in batches. */
#ifndef CONSIGN_TREES_H
#define CONSIGN_TREES_H

#include "filter.h"
#include "walk.h"
#include "work.h"

enum tree_compare {
    TREE_ALL,       /* put -r, get -r: every file is moved */
    TREE_SIZE_TIME, /* those that are missing or of another size or time */
    TREE_ROOTS,     /* those that are missing or of another root */
};

struct tree_options {
    struct filter filter;
    char *
        links; /* what becomes of symbolic links: "refuse" (a failure each), "skip", "follow" or "keep" */
    enum tree_compare compare;
    int dry_run;
    int delete;     /* what stands at the destination only */
    int max_delete; /* more of it: nothing is deleted */
};

/* The options of all who move trees, for a command's table; TREE_FILTERS is tree_filters with data. */
extern struct poptOption tree_filter_table[];
#define TREE_OPTIONS(o)                                                                            \
    {NULL, '\0', POPT_ARG_INCLUDE_TABLE, tree_filter_table, 0, "What is taken of folders:", NULL}, \
    {                                                                                              \
        "links", '\0', POPT_ARG_STRING, &(o)->links, 0,                                            \
            "Symbolic links: refuse (default: they count as failed), skip, follow or keep", "HOW"  \
    }

/* Where --include, --exclude and --exclude-from go: set before the options are parsed. */
void tree_options_init(struct tree_options *o);
enum err tree_options_check(const struct tree_options *o) MUST_CHECK;
void tree_options_release(struct tree_options *o);

/* Sends what is in the folder fd (moves in), called file, to path; then sets the folders' modes and
 * times. Errors are the connection's, as in work.h. */
enum err tree_up(struct worker *w, const struct tree_options *o, int fd, const char *file,
                 const char *path) MUST_CHECK;

/* Fetches what is in the folder path into local, a folder below work->fs; then likewise. */
enum err tree_down(struct worker *w, const struct tree_options *o, const char *path,
                   const char *local) MUST_CHECK;

/* ---- for the files of this module ---- */

/* Deletes what stands at the destination only and is not excluded: at the server below path what is not
 * in the folder top; in the folder local below work->fs what the server does not have below path. Not
 * when anything failed before, as what could not be read is not gone; and nothing, counted as one
 * failure, when it is more than max_delete. */
enum err tree_prune_remote(struct worker *w, const struct tree_options *o, int top,
                           const char *path) MUST_CHECK;
enum err tree_prune_local(struct worker *w, const struct tree_options *o, const char *path,
                          const char *local) MUST_CHECK;

/* "top/rel" to out, top alone for an empty rel. False, logged and counted, when that is too long. */
bool tree_join(struct worker *w, const char *top, const char *rel, char *out, size_t cap);

/* Counts an entry that can't be taken: what, why. */
void tree_fault(struct worker *w, const char *what, enum err e, const char *why);

/* Counts the local entry top/rel that errno (ESTALE: it was replaced) says can't be taken. */
void tree_fault_errno(struct worker *w, const char *top, const char *rel);

/* Counts what a walk of the local folder top found and is no file or folder, unless o passes over it. */
void tree_pass_over(struct worker *w, const struct tree_options *o, const char *top,
                    const struct walk_entry *entry);

/* Begins to walk through the local folder fd (stays the caller's), called file, as o says; folders: only
 * they are reported. */
enum err tree_walk(const struct tree_options *o, bool folders, int fd, const char *file,
                   struct walk **out) MUST_CHECK;

/* Whether symbolic links are moved as what they are. */
bool tree_keeps_links(const struct tree_options *o);

/* What the server is to tell of the entries of a tree: MSG_ITEMS_*. */
uint32_t tree_items(const struct tree_options *o);

/* The target of the link rel in the folder top; false, with errno. */
bool tree_target(int top, const char *rel, char target[static FS_TARGET_MAX + 1]);

/* A walk's passes(): the filter of a struct tree_options. */
bool tree_passes(void *tree_options, const char *path, bool folder);

/* Shows what is done, or would be with --dry-run: "send", "fetch", "delete". */
void tree_says(const struct tree_options *o, const char *deed, const char *what);

#endif
