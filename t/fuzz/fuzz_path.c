/* SPDX-License-Identifier: ISC */
/* Paths: what is legal, told a second time byte by byte; and where they lead: never out of their root, legal or not,
 * and to the same place by both ways of walking. */
#include "fuzz.h"

#include "fs_internal.h"
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool legal_byte(uint8_t c)
{
    return c >= 32 && c != 127;
}

/* The legal set of path.h. */
static bool legal(struct slice s)
{
    char name[PATH_NAME_MAX + 2];
    size_t n = 0;
    if (s.n == 1 && s.p[0] == '/')
        return true;
    if (s.n == 0 || s.n > 4096 || s.p[0] != '/')
        return false;
    for (size_t i = 1; i <= s.n; i++) {
        if (i < s.n && s.p[i] != '/') {
            if (!legal_byte(s.p[i]) || n > PATH_NAME_MAX)
                return false;
            name[n++] = (char)s.p[i];
            continue;
        }
        name[n < sizeof name ? n : sizeof name - 1] = '\0';
        if (n == 0 || n > 255 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
            strcmp(name, ".consign") == 0)
            return false;
        n = 0;
    }
    return true;
}

/* ---- where it leads ---- */

static struct fs_root root;
static char top[4096];

/* A root with folders, links that lead out of it and in it, and a folder beside it. */
static void make_tree(void)
{
    static const char *const folders[] = {"out", "out/x", "in", "in/a", "in/a/b", "in/a/b/c"};
    static const struct {
        const char *at, *to;
    } links[] = {{"in/up", ".."}, {"in/out", "../out"},           {"in/abs", "/"},
                 {"in/a/l", "b"}, {"in/proc", "/proc/self/root"}, {"in/loop", "loop"}};
    char path[8192];
    if (top[0])
        return;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", fuzz_folder(), folders[i]);
        FUZZ_MUST(mkdir(path, 0700) == 0);
    }
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", fuzz_folder(), links[i].at);
        FUZZ_MUST(symlink(links[i].to, path) == 0);
    }
    snprintf(path, sizeof path, "%s/in", fuzz_folder());
    FUZZ_MUST(realpath(path, top) != NULL);
    root.fd = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
    FUZZ_MUST(root.fd >= 0);
}

static void check_inside(int fd)
{
    char link[64], at[8192];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, at, sizeof at - 1);
    FUZZ_MUST(n > 0);
    at[n] = '\0';
    FUZZ_MUST(strncmp(at, top, strlen(top)) == 0 && strchr("/", at[strlen(top)]));
}

static int open_by(bool walk, const char *rel, int *why)
{
    fs_resolve_by_walk(walk);
    errno = 0;
    int fd = fs_open_beneath(&root, rel, O_PATH);
    *why = errno;
    if (fd >= 0)
        check_inside(fd);
    return fd;
}

static void check_resolve(const char *rel, bool is_legal)
{
    struct stat a, b;
    int why, walked;
    make_tree();
    int fd = open_by(false, rel, &why);
    if (is_legal) {
        int other = open_by(true, rel, &walked);
        FUZZ_MUST((fd < 0) == (other < 0) && (fd >= 0 || why == walked));
        if (fd >= 0)
            FUZZ_MUST(fstat(fd, &a) == 0 && fstat(other, &b) == 0 && fs_same(&a, &b));
        fs_close(&other);
    }
    fs_close(&fd);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    char path[PATH_MAX_BYTES + 1], joined[PATH_MAX_BYTES + 1], *text;
    struct slice s = {fuzz_copy(data, n), n};
    bool good = path_parse(s, path) == ERR_OK;
    FUZZ_MUST(good == legal(s) && good == (path_check(s) == ERR_OK));
    if (good) {
        FUZZ_MUST(strlen(path) == n && memcmp(path, data, n) == 0);
        FUZZ_MUST(!strchr(path_base(path), '/'));
        if (path_join(path, "x", joined) == ERR_OK)
            FUZZ_MUST(legal(slice_str(joined)) && strcmp(path_base(joined), "x") == 0);
    }
    text = fuzz_text(s);
    if (path_join("/a", text, joined) == ERR_OK)
        FUZZ_MUST(legal(slice_str(joined)));
    check_resolve(good ? path + 1 : text, good);
    free(text);
    free((void *)(uintptr_t)s.p);
}

void fuzz_seeds(void)
{
    static const char *const seeds[] = {
        "/",       "/a/b/c",   "/a/l/c",        "a/b/c", "/up/in/a", "a/../../out/x",
        "out/x",   "/abs/tmp", "proc/etc",      "/a//b", "/a/./b",   "/.consign/parts",
        "/loop/a", "/a/b/",    "/\xc3\xa9\xff", "/..",   "..",       "/.consign2"};
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++)
        fuzz_seed_text("", seeds[i]);
}
