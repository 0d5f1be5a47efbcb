/* SPDX-License-Identifier: ISC */
/* What a store does for a session, whatever paths it is given and in whatever order: nothing outside the roots changes or
 * is read, nothing that its rights do not cover, and no name of consign's own or that is not legal is told. An input is a
 * list of requests: u8 which, u8 flags, two strings. */
#include "fuzz.h"

#include "fs.h"
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REQUESTS = 24 };

static char top[4200]; /* of the tree of one input */

/* ---- the tree ---- */

/* Lasts until the call after the next. */
static const char *at(const char *name)
{
    static char paths[2][8400];
    static unsigned turn;
    char *path = paths[turn++ % 2];
    snprintf(path, sizeof paths[0], "%s/%s", top, name);
    return path;
}

static void make_file(const char *name)
{
    int fd = open(at(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FUZZ_MUST(fd >= 0 && write(fd, name, strlen(name)) == (ssize_t)strlen(name) && close(fd) == 0);
}

/* all: every right; in: create alone; ro: no change; out: no root. Links lead from all to the others. */
static void make_tree(struct fs *fs)
{
    static const char *const folders[] = {"",   "all",  "all/a", "in",   "in/d",
                                          "ro", "ro/d", "out",   "out/d"};
    static const char *const files[] = {"all/f", "all/a/f", "in/f", "in/d/f",
                                        "ro/f",  "ro/d/f",  "out/f"};
    snprintf(top, sizeof top, "%s/tree", fuzz_folder());
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        FUZZ_MUST(mkdir(at(folders[i]), 0700) == 0);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        make_file(files[i]);
    FUZZ_MUST(symlink("../out", at("all/out")) == 0 && symlink("..", at("all/a/up")) == 0);
    FUZZ_MUST(symlink("../out/f", at("all/of")) == 0 && symlink("../ro/f", at("all/rf")) == 0);
    FUZZ_MUST(link(at("out/f"), at("out/d/hard")) == 0);
    fs_init(fs, "alice", false);
    FUZZ_MUST(fs_add_root(fs, "/", at("all"), FS_ALL) == ERR_OK);
    FUZZ_MUST(fs_add_root(fs, "/in", at("in"), FS_CREATE) == ERR_OK);
    FUZZ_MUST(fs_add_root(fs, "/b/ro", at("ro"), FS_LIST | FS_READ) == ERR_OK);
    fs_keep_links(fs);
}

static int drop(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

/* The file is there and says its name, as it was made. */
static void check_file(const char *name)
{
    char got[64];
    struct stat st;
    int fd = open(at(name), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    FUZZ_MUST(fd >= 0 && fstat(fd, &st) == 0);
    ssize_t n = read(fd, got, sizeof got);
    FUZZ_MUST(n == (ssize_t)strlen(name) && memcmp(got, name, (size_t)n) == 0 &&
              (st.st_mode & 07777) == 0600);
    close(fd);
}

/* The folder has that many entries, and its mode. */
static void check_folder(const char *name, int entries)
{
    struct stat st;
    DIR *d = opendir(at(name));
    FUZZ_MUST(d != NULL && fstat(dirfd(d), &st) == 0 && (st.st_mode & 07777) == 0700);
    for (const struct dirent *e; (e = readdir(d));)
        entries -= e->d_name[0] != '.';
    closedir(d);
    FUZZ_MUST(entries == 0);
}

static void check_tree(void)
{
    static const char *const files[] = {"in/f", "in/d/f", "ro/f", "ro/d/f", "out/f"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        check_file(files[i]);
    check_folder("out", 2);
    check_folder("out/d", 1);
    check_folder("ro", 2);
    check_folder("ro/d", 1);
    check_folder("", 4);
}

/* ---- requests ---- */

static enum err see(void *arg, const char *name, const struct fs_info *info)
{
    (void)arg, (void)info;
    FUZZ_MUST(path_name_ok(name, strlen(name)));
    return ERR_OK;
}

static enum err see_pending(void *arg, const struct fs_pending *p)
{
    (void)arg;
    FUZZ_MUST(path_check(slice_str(p->path)) == ERR_OK);
    return ERR_OK;
}

/* Only what lies below a root that may be read is ever opened. */
static void read_it(struct fs *fs, const char *path)
{
    char link[64], where[8400];
    struct fs_source s;
    if (fs_open_source(fs, path, &s) != ERR_OK)
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", s.fd);
    ssize_t n = readlink(link, where, sizeof where - 1);
    FUZZ_MUST(n > 0);
    where[n] = '\0';
    FUZZ_MUST(strncmp(where, at("all/"), strlen(at("all/"))) == 0 ||
              strncmp(where, at("ro/"), strlen(at("ro/"))) == 0);
    close(s.fd);
    if (s.tree >= 0)
        close(s.tree);
}

static void walk_it(struct fs *fs, const char *path, unsigned flags)
{
    struct fs_walk *w;
    struct fs_item item;
    if (fs_walk_open(fs, path, flags & (FS_FOLDERS | FS_ROOTS | FS_LINKS), &w) != ERR_OK)
        return;
    for (unsigned n = 0; fs_walk_next(w, &item) == ERR_OK; n++) {
        char legal[PATH_MAX_BYTES + 2] = "/";
        FUZZ_MUST(n < 10000);
        if (item.info.type == MSG_FAULT)
            continue;
        strncat(legal, item.path, PATH_MAX_BYTES);
        FUZZ_MUST(path_check(slice_str(legal)) == ERR_OK);
    }
    fs_walk_close(w);
}

static void put_small(struct fs *fs, const char *path, unsigned flags)
{
    struct fs_group *g;
    struct fs_small file = {.path = path,
                            .overwrite = flags & 1,
                            .parents = flags & 2,
                            .mode = 0644,
                            .bytes = (const uint8_t *)"x",
                            .n = 1};
    tree_small(tree_engine(true), file.bytes, file.n, file.root);
    FUZZ_MUST(fs_group_new(fs, &g) == ERR_OK && fs_group_add(g, &file));
    fs_group_commit(g, NULL, NULL);
    fs_group_free(g);
}

static void put_part(struct fs *fs, const char *path, const char *other, unsigned flags)
{
    struct fs_part part;
    struct part p;
    uint8_t hash[TREE_HASH], root[TREE_HASH];
    if (fs_open_part(fs, path, 1, flags & (FS_PART_OVERWRITE | FS_PART_SPARSE), 0, &part) != ERR_OK)
        return;
    const struct fs_commit how = {
        .path = flags & 4 ? other : path, .overwrite = flags & 1, .mode = 0600};
    tree_small(tree_engine(true), (const uint8_t *)"y", 1, hash);
    enum err e = part_begin(&p, dup(part.data), dup(part.journal), 1, TREE_CHUNK_LOG2, false,
                            tree_engine(true), NULL, NULL);
    if (e == ERR_OK && p.have == 0 && (e = part_write(&p, 0, 0, (const uint8_t *)"y", 1)) == ERR_OK)
        e = part_settle(&p, 0, hash);
    else if (e == ERR_OK)
        e = part_keep(&p, 0, 1);
    if (e == ERR_OK)
        e = part_finish(&p, tree_engine(true), root);
    part_release(&p);
    if (e == ERR_OK && !(flags & 8))
        (void)!fs_commit(fs, &part, &how);
    if (part.has_old) {
        close(part.old.fd);
        if (part.old.tree >= 0)
            close(part.old.tree);
    }
    close(part.data);
    close(part.journal);
}

static void request(struct fs *fs, uint8_t which, uint8_t flags, const char *path,
                    const char *other)
{
    struct fs_info info;
    const struct fs_attributes attributes = {.make = flags & 1, .mode = flags};
    const struct fs_symlink link = {
        .path = path, .target = other, .overwrite = flags & 1, .parents = flags & 2};
    enum err e = ERR_OK;
    switch (which % 14) {
    case 0:
        e = fs_stat(fs, path, &info);
        break;
    case 1:
        e = fs_list(fs, path, see, NULL);
        break;
    case 2:
        e = fs_mkdir(fs, path, flags, flags & 1);
        break;
    case 3:
        e = fs_remove(fs, path, flags & 1);
        break;
    case 4:
        e = fs_rename(fs, path, other, flags & 1);
        break;
    case 5:
        e = other[0] ? fs_symlink(fs, &link) : ERR_OK;
        break;
    case 6:
        e = fs_attributes(fs, path, &attributes);
        break;
    case 7:
        put_small(fs, path, flags);
        break;
    case 8:
        e = fs_parents(fs, path);
        break;
    case 9:
        read_it(fs, path);
        break;
    case 10:
        put_part(fs, path, other, flags);
        break;
    case 11:
        e = fs_list_pending(fs, path, see_pending, NULL);
        break;
    case 12:
        e = fs_discard(fs, path);
        break;
    default:
        walk_it(fs, path, flags);
    }
    FUZZ_MUST(e != ERR_INTERNAL);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct wire_rd r = wire_read(data, n);
    struct fs fs;
    make_tree(&fs);
    for (int i = 0; i < REQUESTS && r.p < r.end && !r.bad; i++) {
        char path[PATH_MAX_BYTES + 1], other[PATH_MAX_BYTES + 1];
        uint8_t which = wire_get_u8(&r), flags = wire_get_u8(&r);
        struct slice one = wire_get_str(&r, PATH_MAX_BYTES), two = wire_get_str(&r, PATH_MAX_BYTES);
        /* As the store does; a link's target is any text. */
        bool legal = path_parse(one, path) == ERR_OK;
        legal = legal &&
                (which % 14 == 5 ? slice_copy(two, other, sizeof other) && two.n <= FS_TARGET_MAX
                                 : two.n == 0 || path_parse(two, other) == ERR_OK);
        if (two.n == 0)
            strcpy(other, which % 14 == 5 ? "" : "/x");
        if (!r.bad && legal)
            request(&fs, which, flags, path, other);
    }
    fs_release(&fs);
    check_tree();
    FUZZ_MUST(nftw(top, drop, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

static void put(struct buf *b, uint8_t which, uint8_t flags, const char *path, const char *other)
{
    wire_put_u8(b, which);
    wire_put_u8(b, flags);
    wire_put_str(b, slice_str(path), PATH_MAX_BYTES);
    wire_put_str(b, slice_str(other), PATH_MAX_BYTES);
}

void fuzz_seeds(void)
{
    static const char *const paths[] = {"/f",       "/in/f",   "/b/ro/f", "/out/f",
                                        "/a/up/in", "/in/new", "/x/y/z"};
    struct buf b;
    buf_init(&b, 1 << 16);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        buf_clear(&b);
        for (uint8_t which = 0; which < 14; which++)
            put(&b, which, (uint8_t)(which + i), paths[i], paths[(i + which) % 7]);
        fuzz_seed(b.data, b.len);
    }
    buf_clear(&b);
    put(&b, 5, 1, "/l", "../out/f");
    put(&b, 7, 1, "/l", "");
    put(&b, 10, 1, "/of", "");
    put(&b, 4, 1, "/l", "/in/f");
    put(&b, 4, 0, "/a", "/in/a");
    put(&b, 10, 5, "/q", "/in/f");
    put(&b, 10, 8, "/in/p", "");
    put(&b, 10, 0, "/in/p", "");
    put(&b, 3, 0, "/in/p", "");
    put(&b, 3, 1, "/in", "");
    put(&b, 6, 1, "/b/ro", "");
    fuzz_seed(b.data, b.len);
    buf_release(&b);
}
