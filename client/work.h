/* SPDX-License-Identifier: ISC */
/* The work of put, get and sync: files that are to be moved, one job each, and what is common to all of
 * them. Small files are pipelined and made durable in groups, longer ones go one by one. */
#ifndef CONSIGN_WORK_H
#define CONSIGN_WORK_H

#include "pipeline.h"

/* A file to be moved. */
struct job {
    struct job *next;
    char *local; /* as the user knows it; a download's lies below work->base */
    char *path;  /* at the server */
    bool up;
    int fd;         /* an upload's source, or -1 */
    struct stat st; /* of it */
    uint64_t size;  /* of a download, as far as is known; UINT64_MAX: not known */
    int64_t started_ms;
    struct xfer_result result;
    struct worker *worker;
    char *target;      /* of a symbolic link, which is what is moved; else NULL */
    bool whole;        /* nothing is taken from what it replaces */
    unsigned tries;    /* connections that were lost with it */
    bool came;         /* a small download: its content was staged */
    struct kept *kept; /* an upload's attributes, or NULL */
    bool doubt;        /* an upload that may not replace what stands there, which may be itself */
};

/* What a command asks for, and how it goes. */
struct work {
    const char *op; /* "put", "get", "sync" */
    const struct remote *at;
    bool tree; /* many files: only what fails is shown, unless verbose; folders above are made */
    int no_overwrite, recheck, whole;
    int connections; /* at most; 0: as many as help (growth.h) */
    int xattrs, acls, owners;
    unsigned meta;         /* the same as META_* */
    char *rate, *compress; /* in place of the profile's */
    struct fs fs;          /* downloads: one root, the folder that things are written into */
    const char *base;      /* its name, for messages */
    struct batch batch;
    struct crew *crew; /* NULL: one connection */
};

/* The options of all who move files. */
#define WORK_OPTIONS(w)                                                                              \
    {"connections",                                                                                  \
     'j',                                                                                            \
     POPT_ARG_INT,                                                                                   \
     &(w)->connections,                                                                              \
     0,                                                                                              \
     "Move files over so many connections at once (default: more while that is faster)",             \
     "N"},                                                                                           \
        {"rate",     '\0', POPT_ARG_STRING,                                                          \
         &(w)->rate, 0,    "At most so many bytes a second, over all connections (500K, 10M ...)",   \
         "BYTES"},                                                                                   \
        {"whole",     '\0', POPT_ARG_NONE,                                                           \
         &(w)->whole, 0,    "Take nothing from files that are replaced: move all of each",           \
         NULL},                                                                                      \
        {"xattrs", '\0', POPT_ARG_NONE, &(w)->xattrs, 0, "Keep extended attributes (user.*)", NULL}, \
        {"acls", '\0', POPT_ARG_NONE, &(w)->acls, 0, "Keep POSIX ACLs", NULL},                       \
        {"owners", '\0', POPT_ARG_NONE, &(w)->owners, 0, "Keep numeric owners and groups", NULL},    \
    {                                                                                                \
        "compress", '\0', POPT_ARG_STRING, &(w)->compress, 0,                                        \
            "Compress what is sent: auto (where it is faster), on or off", "HOW"                     \
    }
/* Connections that a command may come to have, and those it begins with. */
unsigned work_most(const struct work *w);
unsigned work_first(const struct work *w);

/* Checks them, and sets in the profile of w->at what overrides it. */
enum err work_check(struct work *w) MUST_CHECK;

/* One connection and what is under way on it. */
struct worker {
    struct work *work;
    struct link *link;
    struct pipeline pipeline;
    uint8_t *bytes; /* room for a small content */
    /* downloads: */
    struct fs_group *group;
    struct job *staged[FS_GROUP_MAX]; /* in the group, in its order */
    uint64_t staged_bytes;
    /* Until the pipeline is empty wait downloads that were thought small and are fetched the other way, and uploads
     * in doubt: */
    struct job *later;
    unsigned n_later;
    /* Files and folders that stand and whose attributes are still to be moved: */
    struct kept *due;
    unsigned n_due;
    size_t due_bytes;
};

enum err worker_init(struct worker *w, struct work *work, struct link *link) MUST_CHECK;
void worker_release(struct worker *w);

/* The name below the root of work->fs that a download gets: what follows the base. */
const char *job_below(const struct job *j);

/* A path below work->fs as the user knows it. */
void work_local(const struct work *w, const char *path, char *out, size_t cap);

/* A job for local and path (copied). fd moves in, also when this fails. */
enum err job_new(const char *local, const char *path, int fd, const struct stat *st,
                 struct job **out) MUST_CHECK;
/* A job for a symbolic link. */
enum err job_link(const char *local, const char *path, bool up, const char *target,
                  struct job **out) MUST_CHECK;
void job_free(struct job *j);

/* Moves one file, sooner or later; the job moves in, and its outcome is shown and counted. Errors are the
 * connection's: nothing more can be done over it. */
enum err worker_do(struct worker *w, struct job *j) MUST_CHECK;

/* Begins to work over link, and as many connections more as are asked for. */
enum err work_open(struct worker *w, struct work *work, struct link *link) MUST_CHECK;
/* Waits until all is done, ends the other connections. e: how it went so far. */
enum err work_close(struct worker *w, enum err e) MUST_CHECK;

/* Waits until all files are done. */
enum err worker_settle(struct worker *w) MUST_CHECK;

/* The same for all connections of the command: by its crew, or by w alone. */
enum err work_do(struct worker *w, struct job *j) MUST_CHECK;
enum err work_settle(struct worker *w) MUST_CHECK;

/* ---- upload.c, download.c ---- */

enum err upload(struct worker *w, struct job *j) MUST_CHECK;
enum err download(struct worker *w, struct job *j) MUST_CHECK;

/* For upload and download: counts and shows how it went, and frees j. reason: NULL for log_reason(),
 * which has been logged then. wire: bytes that crossed it. An error is one that ends all. */
enum err job_done(struct job *j, enum err e, const char *reason, uint64_t wire) MUST_CHECK;
/* The same where nothing more can end. */
void job_end(struct job *j, enum err e, uint64_t wire);
/* It is done again when the worker settles. */
void job_defer(struct job *j);
/* The connection was lost with it: another one takes it over, or it has failed. */
void job_lose(struct job *j, enum err e);

/* Commits what a worker's downloads have staged. */
void download_commit(struct worker *w);

#endif
