/* SPDX-License-Identifier: ISC */
/* What the tests of walk share: folders to walk through, and what a walk reported as text. */
#ifndef TEST_WALK_H
#define TEST_WALK_H

#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a folder to play in: top/in is walked, top/out belongs to somebody else ---- */

static char top[64];

static inline const char *at(const char *rel)
{
    static char paths[4][PATH_MAX_BYTES];
    static unsigned next;
    char *p = paths[next++ % 4];
    snprintf(p, sizeof paths[0], "%s/%s", top, rel);
    return p;
}

static inline void file_put(const char *rel, const char *text)
{
    FILE *f = fopen(at(rel), "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static inline void folder(const char *rel)
{
    assert_int_equal(mkdir(at(rel), 0755), 0);
}

static inline void sym(const char *to, const char *rel)
{
    assert_int_equal(symlink(to, at(rel)), 0);
}

static inline void move(const char *from, const char *to)
{
    assert_int_equal(rename(at(from), at(to)), 0);
}

static inline int begin(void **state)
{
    const char *tmp = getenv("TMPDIR");
    (void)state;
    snprintf(top, sizeof top, "%s/consign-walk-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    if (!mkdtemp(top) || chmod(top, 0755) < 0)
        return -1;
    folder("in");
    folder("out");
    file_put("out/secret", "secret");
    return 0;
}

static inline int end(void **state)
{
    int status;
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", "--", top, (char *)NULL);
        _exit(127);
    }
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

/* ---- what a walk reported, as text ---- */

struct seen {
    char **lines; /* "file a/b", "error a NAME" */
    size_t n;
    struct walk *w;
    void (*hook)(const struct walk_entry *entry);
    const char *skip;  /* a path */
    size_t stop_after; /* entries; 0: never */
};

static const char *const kinds[] = {"file", "enter", "leave", "link", "other", "error"};

static inline void see(struct seen *s, const struct walk_entry *entry)
{
    const char *name = strrchr(entry->path, '/');
    assert_string_equal(entry->name, name ? name + 1 : entry->path);
    s->lines = realloc(s->lines, (s->n + 1) * sizeof *s->lines);
    assert_non_null(s->lines);
    bool bad = entry->kind == WALK_ERROR;
    assert_true(asprintf(&s->lines[s->n++], "%s %s%s%s", kinds[entry->kind], entry->path,
                         bad ? " " : "", bad ? err_name(entry->error) : "") > 0);
    if (bad)
        assert_true(entry->reason && entry->reason[0]);
    if (s->hook)
        s->hook(entry);
    if (s->skip && strcmp(entry->path, s->skip) == 0)
        walk_skip(s->w);
}

static inline int open_in(void)
{
    int root = open(at("in"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(root >= 0);
    return root;
}

/* To its end, or stop_after. */
static inline void run(struct seen *s, int root, const struct walk_options *options)
{
    struct walk_entry entry;
    enum err e = ERR_OK;
    assert_int_equal(walk_open(root, options, &s->w), ERR_OK);
    while ((s->n == 0 || s->n != s->stop_after) && (e = walk_next(s->w, &entry)) == ERR_OK)
        see(s, &entry);
    if (e != ERR_OK) {
        assert_int_equal(e, ERR_NOENT);
        walk_skip(s->w);
        assert_int_equal(walk_next(s->w, &entry), ERR_NOENT); /* and stays there */
    }
    walk_close(s->w);
}

static inline void walk(struct seen *s, const struct walk_options *options)
{
    run(s, open_in(), options);
}

static inline void forget(struct seen *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->lines[i]);
    free(s->lines);
    *s = (struct seen){0};
}

static inline int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All lines, sorted, each ended by a newline. */
static inline void is(struct seen *s, const char *expect)
{
    char text[4096] = "";
    size_t len = 0;
    if (s->n > 0)
        qsort(s->lines, s->n, sizeof *s->lines, compare);
    for (size_t i = 0; i < s->n; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s\n", s->lines[i]);
    assert_string_equal(text, expect);
    forget(s);
}

static inline void walk_is(const struct walk_options *options, const char *expect)
{
    struct seen s = {0};
    walk(&s, options);
    is(&s, expect);
}

static inline void hooked_walk_is(void (*hook)(const struct walk_entry *), const char *expect)
{
    struct seen s = {.hook = hook};
    walk(&s, &(struct walk_options){0});
    is(&s, expect);
}

static inline size_t count(const struct seen *s, const char *prefix)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += strncmp(s->lines[i], prefix, strlen(prefix)) == 0;
    return n;
}

static inline unsigned descriptors(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static inline void file_in(int dir, const char *name)
{
    assert_int_equal(mknodat(dir, name, S_IFREG | 0600, 0), 0);
}

/* Folders called name within each other below in/. The descriptor of the last. */
static inline int nest_open(unsigned levels, const char *name)
{
    int fd = open(at("in"), O_RDONLY | O_DIRECTORY);
    for (unsigned i = 0; i < levels; i++) {
        assert_int_equal(mkdirat(fd, name, 0755), 0);
        int next = openat(fd, name, O_RDONLY | O_DIRECTORY);
        assert_true(next >= 0);
        close(fd);
        fd = next;
    }
    return fd;
}

/* The same with a file x in the last. */
static inline void nest(unsigned levels, const char *name)
{
    int fd = nest_open(levels, name);
    file_in(fd, "x");
    close(fd);
}

static inline void make_files(unsigned n)
{
    int fd = open(at("in"), O_RDONLY | O_DIRECTORY);
    for (unsigned i = 0; i < n; i++) {
        char name[80];
        snprintf(name, sizeof name, "%060u", i);
        file_in(fd, name);
    }
    close(fd);
}

#endif
