/* SPDX-License-Identifier: ISC */
/* What the tests of fs share: a folder to play in, and a transfer in few words. */
#ifndef TEST_FS_H
#define TEST_FS_H

#include "fs_internal.h"
#include "log.h"
#include "msg.h"

#include <errno.h>
#include <ftw.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What fs asks of the kernel that a test wants to see, refuse or have done at once: "F" and "D" for
 * a file's and a folder's sync, "S" for that of all, "R" rename, "L" link, "U" unlink. */
static char calls[256];
static int fail_sync_at; /* the how manieth sync from now fails with EIO; 0: none */
static int fail_reserve; /* errno of fallocate */
static unsigned reserved;
static int64_t memory_room = -1; /* bytes free on the tmpfs that all files are on; < 0: none is */

/* Done once, right before the next rename or link, or the next lock: what somebody else does at the
 * worst moment. */
static void (*before_move)(void);
static void (*before_lock)(void);

static inline void strike(void (**what)(void))
{
    void (*now)(void) = *what;
    *what = NULL;
    if (now)
        now();
}

static inline void note(char call)
{
    size_t n = strlen(calls);
    if (n + 1 < sizeof calls)
        calls[n] = call;
}

static inline int sync_noted(char call)
{
    note(call);
    if (fail_sync_at && --fail_sync_at == 0) {
        errno = EIO;
        return -1;
    }
    return 0;
}

int fsync(int fd)
{
    struct stat st;
    return sync_noted(fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? 'D' : 'F');
}

int syncfs(int fd)
{
    (void)fd;
    return sync_noted('S');
}

int fdatasync(int fd)
{
    return fsync(fd);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    note('R');
    strike(&before_move);
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    note('L');
    strike(&before_move);
    return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

int unlinkat(int dir, const char *name, int flags)
{
    note('U');
    return (int)syscall(SYS_unlinkat, dir, name, flags);
}

int fcntl(int fd, int cmd, ...)
{
    va_list args;
    va_start(args, cmd);
    void *arg = va_arg(args, void *);
    va_end(args);
    if (cmd == F_OFD_SETLK)
        strike(&before_lock);
    return (int)syscall(SYS_fcntl, fd, cmd, arg);
}

int fstatfs(int fd, struct statfs *out)
{
    (void)fd;
    *out = (struct statfs){.f_type = EXT4_SUPER_MAGIC};
    if (memory_room >= 0)
        *out = (struct statfs){.f_type = TMPFS_MAGIC,
                               .f_blocks = 1 << 20,
                               .f_bavail = (fsblkcnt_t)memory_room / 4096,
                               .f_bsize = 4096};
    return 0;
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    reserved++;
    errno = fail_reserve;
    return fail_reserve ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

/* Each test runs with openat2 and with the walk. */
#define BOTH(f)                                                                                    \
    {#f, f, site_begin, site_end, NULL},                                                           \
    {                                                                                              \
#f " by walk", f, site_begin, site_end, (void *)1                                          \
    }

/* top/in is the root "/", top/in2 the root "/two", top/out belongs to somebody else. */
static char site_top[64];
static struct fs site_fs;

static inline char *at(const char *rel)
{
    static char paths[8][256];
    static unsigned next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s/%s", site_top, rel);
    return p;
}

static inline void file_put(const char *rel, const char *text)
{
    FILE *f = fopen(at(rel), "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static inline void file_is(const char *rel, const char *text)
{
    char got[256] = "";
    FILE *f = fopen(at(rel), "r");
    assert_non_null(f);
    got[fread(got, 1, sizeof got - 1, f)] = '\0';
    fclose(f);
    assert_string_equal(got, text);
}

static inline bool there(const char *rel)
{
    struct stat st;
    return lstat(at(rel), &st) == 0;
}

static inline void folder(const char *rel)
{
    assert_int_equal(mkdir(at(rel), 0755), 0);
}

static inline void sym(const char *to, const char *rel)
{
    assert_int_equal(symlink(to, at(rel)), 0);
}

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void remove_all(const char *path)
{
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static inline int site_begin(void **state)
{
    const char *tmp = getenv("TMPDIR");
    log_quiet(true);
    fail_sync_at = fail_reserve = 0;
    memory_room = -1;
    before_move = before_lock = NULL;
    fs_resolve_by_walk(*state != NULL);
    snprintf(site_top, sizeof site_top, "%s/consign-fs-XXXXXX",
             tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    if (!mkdtemp(site_top))
        return -1;
    folder("in");
    folder("in2");
    folder("out");
    file_put("out/secret", "secret");
    fs_init(&site_fs, "alice", false);
    return fs_add_root(&site_fs, "/", at("in"), FS_ALL) == ERR_OK &&
                   fs_add_root(&site_fs, "/two", at("in2"), FS_ALL) == ERR_OK
               ? 0
               : -1;
}

static inline int site_end(void **state)
{
    (void)state;
    fs_release(&site_fs);
    fs_resolve_by_walk(false);
    remove_all(site_top);
    return 0;
}

static inline void set_rights(unsigned rights)
{
    for (size_t i = 0; i < site_fs.n; i++)
        site_fs.roots[i].rights = rights;
}

/* ---- a transfer ---- */

struct upload {
    struct fs_part files;
    struct part part;
};

/* A content of two chunks; lives until the fourth call after this. */
static inline const char *two_chunks(char c)
{
    static char texts[4][(1 << 20) + 2];
    static unsigned next;
    char *text = texts[next++ % 4];
    memset(text, c, sizeof texts[0] - 1);
    return text;
}

/* Opens the part for path and receives text into it, up to a complete journal. */
static inline enum err upload_begin(struct fs *fs, const char *path, const char *text,
                                    bool overwrite, struct upload *u)
{
    const struct tree_engine *engine = tree_engine(true);
    size_t n = strlen(text);
    unsigned log2 = tree_chunk_log2(n);
    uint8_t root[TREE_HASH];
    uint64_t chunks = tree_chunks(n, log2);
    struct tree_chunk c;
    *u = (struct upload){.part = {.data = -1, .journal = -1}};
    enum err e = fs_open_part(fs, path, n, overwrite, 0, &u->files);
    if (e != ERR_OK)
        return e;
    assert_int_equal(
        part_begin(&u->part, u->files.data, u->files.journal, n, log2, false, engine, NULL, NULL),
        ERR_OK);
    assert_int_equal(tree_chunk_init(&c, engine, log2), ERR_OK);
    for (uint64_t i = 0; i < chunks; i++) {
        const uint8_t *from = (const uint8_t *)text + (i << log2);
        size_t size = (size_t)tree_chunk_size(n, log2, i);
        tree_chunk_begin(&c, n);
        tree_chunk_add(&c, from, size);
        tree_chunk_end(&c, root);
        assert_int_equal(part_write(&u->part, i, 0, from, size), ERR_OK);
        assert_int_equal(part_settle(&u->part, i, root), ERR_OK);
    }
    tree_chunk_release(&c);
    assert_int_equal(part_finish(&u->part, engine, root), ERR_OK);
    return ERR_OK;
}

static inline void upload_release(struct upload *u)
{
    part_release(&u->part);
}

static inline enum err upload_commit(struct fs *fs, struct upload *u, const char *path,
                                     bool overwrite)
{
    struct fs_commit how = {path, overwrite, 0640, 1000000000, 5};
    return fs_commit(fs, &u->files, &how);
}

/* All of it. */
static inline enum err put(struct fs *fs, const char *path, const char *text, bool overwrite)
{
    struct upload u;
    enum err e = upload_begin(fs, path, text, overwrite, &u);
    if (e == ERR_OK)
        e = upload_commit(fs, &u, path, overwrite);
    upload_release(&u);
    return e;
}

/* Whether path has a valid stored tree. */
static inline bool has_tree(const char *path)
{
    struct fs_info info;
    assert_int_equal(fs_stat(&site_fs, path, &info), ERR_OK);
    return info.has_root;
}

static inline enum err source(const char *path)
{
    struct fs_source s;
    enum err e = fs_open_source(&site_fs, path, &s);
    fs_close(&s.fd);
    fs_close(&s.tree);
    return e;
}

#endif
