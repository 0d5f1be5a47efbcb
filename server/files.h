/* SPDX-License-Identifier: ISC */
/* The session's side of the store: each call is one request over the store's socket (ipc.def) and
 * has the contract of the function of the same name in fs.h. Failures are remembered for log_reason
 * with the store's words. */
#ifndef CONSIGND_FILES_H
#define CONSIGND_FILES_H

#include "fs.h"
#include "ipc.h"

struct files {
    int fd;                  /* the store's socket */
    bool gone;               /* it did not answer: the session must end */
    void (*busy)(void *arg); /* called every second while it is waited for; may be NULL */
    void *busy_arg;
    struct buf out; /* requests that are sent together */
    uint8_t buffer[IPC_MAX];
};

/* Waits for the store's first word: whether it is ready. fd is set, the rest 0. */
enum err files_ready(struct files *f) MUST_CHECK;
void files_close(struct files *f);
enum err files_stat(struct files *f, const char *path, struct fs_info *out) MUST_CHECK;
enum err files_list(struct files *f, const char *path, fs_entry_fn *each, void *arg) MUST_CHECK;
/* A page of items, each behind its length (msg.h); borrowed. */
struct files_page {
    bool more; /* in another page */
    struct slice items;
};
typedef enum err files_page_fn(void *arg, const struct files_page *page);
/* Begins a walk, which ends the one that is open, and calls each with its first page;
 * files_walk_next with the next one (ERR_NOENT when no walk is open). */
enum err files_walk(struct files *f, const char *path, unsigned flags, files_page_fn *each,
                    void *arg) MUST_CHECK;
enum err files_walk_next(struct files *f, files_page_fn *each, void *arg) MUST_CHECK;
/* What stands in the folder path under each of names (of each its length as a u8 and its bytes):
 * calls each with as many pages as it takes. */
enum err files_stats(struct files *f, const char *path, unsigned flags, struct slice names,
                     files_page_fn *each, void *arg) MUST_CHECK;
enum err files_mkdir(struct files *f, const char *path, uint32_t mode, bool parents) MUST_CHECK;
enum err files_remove(struct files *f, const char *path, bool folder) MUST_CHECK;
enum err files_symlink(struct files *f, const struct fs_symlink *l) MUST_CHECK;
enum err files_meta_set(struct files *f, const char *path, const struct meta *m) MUST_CHECK;
/* Calls each, once, with what could be read; what m borrows lies in f's buffer. */
typedef enum err files_meta_fn(void *arg, const struct meta *m);
enum err files_meta_get(struct files *f, const char *path, unsigned kinds, files_meta_fn *each,
                        void *arg) MUST_CHECK;
enum err files_rename(struct files *f, const char *from, const char *to, bool overwrite) MUST_CHECK;
enum err files_open_source(struct files *f, const char *path, struct fs_source *out) MUST_CHECK;
enum err files_open_part(struct files *f, const char *path, uint64_t length, unsigned flags,
                         struct fs_part *out) MUST_CHECK;
enum err files_share_part(struct files *f, const char *path) MUST_CHECK;
enum err files_unshare_part(struct files *f, const char *path) MUST_CHECK;
enum err files_join_part(struct files *f, const char *path, const uint8_t token[static PART_TOKEN],
                         struct fs_part *out) MUST_CHECK;
enum err files_commit(struct files *f, const struct fs_commit *how) MUST_CHECK;
/* The store lets go of the part it opened. */
enum err files_release(struct files *f) MUST_CHECK;
enum err files_discard(struct files *f, const char *path) MUST_CHECK;
enum err files_list_pending(struct files *f, const char *path, fs_pending_fn *each,
                            void *arg) MUST_CHECK;

/* Small files: each is on its way soon, files_group asks what became of them all. failed is called
 * for those that are not there, by their number since the last call. Of what was sent when this
 * fails nothing is known. */
typedef void files_failed_fn(void *arg, size_t index, enum err status, const char *reason);
enum err files_small(struct files *f, const struct fs_small *file) MUST_CHECK;
enum err files_group(struct files *f, files_failed_fn *failed, void *arg) MUST_CHECK;

/* Small files the other way: files_ask gathers (false: there is no room for one more), files_fetch has them
 * sent for, files_contents calls each for the next ones of them, in the order they were asked for, until all have
 * come. What a content borrows lies in f's buffer until the next call. */
struct files_content {
    enum err status;
    struct slice reason; /* of a failure */
    bool longer;         /* it is no small file */
    struct fs_info info;
    struct slice bytes;
};
typedef enum err files_content_fn(void *arg, const struct files_content *content);
bool files_ask(struct files *f, const char *path) MUST_CHECK;
enum err files_fetch(struct files *f) MUST_CHECK;
enum err files_contents(struct files *f, files_content_fn *each, void *arg) MUST_CHECK;
enum err files_parents(struct files *f, const char *path) MUST_CHECK;
enum err files_attributes(struct files *f, const char *path,
                          const struct fs_attributes *a) MUST_CHECK;

#endif
