/* SPDX-License-Identifier: ISC */
#include "conf.h"

#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_BYTES = 8192 };

/* ---- opening ---- */

/* Who may write the folder can put another file of the owner's in the place of this one: an older one, say. */
static enum err check_folder(const char *file)
{
    const char *slash = strrchr(file, '/');
    size_t n = slash == file ? 1 : slash ? (size_t)(slash - file) : 0;
    char folder[4096] = ".";
    struct stat st;
    if (n >= sizeof folder)
        return log_fail(ERR_CONFIG, "%s: the name of its folder is too long", file);
    if (n > 0) {
        memcpy(folder, file, n);
        folder[n] = '\0';
    }
    if (stat(folder, &st) < 0)
        return log_fail_errno("%s: its folder %s", file, folder);
    bool sticky = st.st_mode & S_ISVTX;
    if (!sticky && st.st_mode & 022)
        return log_fail(ERR_CONFIG,
                        "%s: others may write its folder %s (mode %04o), and so exchange it; chmod "
                        "go-w",
                        file, folder, (unsigned)st.st_mode & 07777);
    if (!sticky && st.st_uid != 0 && st.st_uid != geteuid())
        return log_fail(ERR_CONFIG, "%s: its folder %s belongs to somebody else (uid %u)", file,
                        folder, (unsigned)st.st_uid);
    return ERR_OK;
}

int conf_open(const char *file, bool private)
{
    struct stat st;
    enum err e = ERR_OK;
    int fd = open(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 && errno == ELOOP)
        e = log_fail(ERR_CONFIG, "%s: is a symbolic link; name the file itself", file);
    else if (fd < 0 || fstat(fd, &st) < 0)
        e = log_fail_errno("%s", file);
    else if (!S_ISREG(st.st_mode))
        e = log_fail(ERR_CONFIG, "%s: not a regular file", file);
    else if (st.st_uid != 0 && st.st_uid != geteuid())
        e = log_fail(ERR_CONFIG, "%s: belongs to somebody else (uid %u)", file,
                     (unsigned)st.st_uid);
    else if (st.st_mode & 022)
        e = log_fail(ERR_CONFIG, "%s: others may write it (mode %04o); chmod go-w", file,
                     (unsigned)st.st_mode & 07777);
    else if (private && st.st_mode & 077)
        e = log_fail(ERR_CONFIG, "%s: others may read it (mode %04o); chmod 600", file,
                     (unsigned)st.st_mode & 07777);
    else
        e = check_folder(file);
    if (e == ERR_OK)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* ---- reading ---- */

struct reader {
    struct conf_at at;
    char section[128];
    conf_fn *each;
    void *arg;
};

static enum err fail_line(const struct reader *r, const char *why)
{
    return log_fail(ERR_CONFIG, "%s:%u: %s", r->at.file, r->at.line, why);
}

static char *trim(char *s)
{
    s += strspn(s, " \t");
    for (size_t n = strlen(s); n > 0 && strchr(" \t\r\n", s[n - 1]); n--)
        s[n - 1] = '\0';
    return s;
}

/* [NAME] */
static enum err take_section(struct reader *r, char *text)
{
    size_t n = strlen(text);
    if (n < 3 || text[n - 1] != ']' || n - 2 >= sizeof r->section)
        return fail_line(r, "not a section: [NAME]");
    text[n - 1] = '\0';
    text = trim(text + 1);
    if (!*text)
        return fail_line(r, "a section without a name");
    snprintf(r->section, sizeof r->section, "%s", text);
    r->at.key = NULL;
    return r->each(r->arg, &r->at, NULL);
}

/* KEY = VALUE */
static enum err take_key(struct reader *r, char *text)
{
    char *equals = strchr(text, '=');
    if (equals)
        *equals = '\0';
    r->at.key = trim(text);
    if (!equals || !*r->at.key)
        return fail_line(r, "neither [SECTION], nor KEY = VALUE, nor a comment");
    if (!r->section[0])
        return fail_line(r, "a key before the first section");
    char *value = trim(equals + 1);
    /* Whoever writes this means a comment; whoever reads it would take it for a value. */
    for (const char *c = value; *c; c++)
        if ((*c == '#' || *c == ';') && c > value && (c[-1] == ' ' || c[-1] == '\t'))
            return fail_line(r, "comments stand on lines of their own");
    return r->each(r->arg, &r->at, value);
}

static enum err take_line(struct reader *r, char *line, size_t n)
{
    if (n > LINE_BYTES || memchr(line, 0, n))
        return fail_line(r, "the line is too long, or holds a NUL");
    char *text = trim(line);
    if (!*text || *text == '#' || *text == ';')
        return ERR_OK;
    if (text != line)
        return fail_line(r, "the line begins with a blank (lines are not continued)");
    return *text == '[' ? take_section(r, text) : take_key(r, text);
}

static enum err read_lines(struct reader *r, FILE *in, bool whole)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n = 0;
    enum err e = ERR_OK;
    while (e == ERR_OK && (n = getline(&line, &cap, in)) >= 0) {
        r->at.line++;
        e = whole && line[n - 1] != '\n'
                ? fail_line(r, "the last line does not end: is the file half "
                               "written? Replace it by renaming")
                : take_line(r, line, (size_t)n);
    }
    if (e == ERR_OK && ferror(in))
        e = log_fail_errno("%s: reading", r->at.file);
    free(line);
    return e;
}

enum err conf_read(const char *file, conf_fn *each, void *arg)
{
    struct reader r = {.at.file = file, .each = each, .arg = arg};
    int fd = conf_open(file, false);
    if (fd < 0)
        return ERR_CONFIG;
    FILE *in = fdopen(fd, "r");
    if (!in) {
        close(fd);
        return log_fail_errno("%s", file);
    }
    r.at.section = r.section;
    enum err e = read_lines(&r, in, false);
    fclose(in);
    return e;
}

/* A read lease is only given where nobody has the file open for writing. It is given back at once; who opens it
 * between is told of to us by a signal, here one that means nothing unless it is asked for. */
static bool is_being_written(int fd)
{
    if (fcntl(fd, F_SETSIG, SIGURG) != 0)
        return false;
    if (fcntl(fd, F_SETLEASE, F_RDLCK) != 0)
        return errno == EAGAIN;
    (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    return false;
}

static bool same_version(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

enum err conf_read_whole(const char *file, conf_fn *each, void *arg)
{
    struct reader r = {.at.file = file, .each = each, .arg = arg};
    struct stat before, after;
    int fd = conf_open(file, false);
    if (fd < 0)
        return ERR_CONFIG;
    FILE *in = fdopen(fd, "r");
    if (!in || fstat(fd, &before) != 0) {
        enum err e = log_fail_errno("%s", file);
        in ? (void)fclose(in) : (void)close(fd);
        return e;
    }
    r.at.section = r.section;
    bool open = is_being_written(fd);
    enum err e = open ? ERR_OK : read_lines(&r, in, true);
    if (e == ERR_OK && (open || is_being_written(fd)))
        e = log_fail(ERR_CONFIG, "%s: a process has it open for writing; replace it by renaming",
                     file);
    if (e == ERR_OK && fstat(fd, &after) != 0)
        e = log_fail_errno("%s", file);
    if (e == ERR_OK && !same_version(&before, &after))
        e = log_fail(ERR_CONFIG, "%s: changed while it was read; replace it by renaming", file);
    fclose(in);
    return e;
}

enum err conf_fail(const struct conf_at *at, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return log_fail(ERR_CONFIG, "%s:%u: [%s]%s%s: %s", at->file, at->line, at->section,
                    at->key ? " " : "", at->key ? at->key : "", text);
}

/* ---- values ---- */

/* The digits at value, nothing else accepted (no sign, no blank, no 0x); *rest is what follows. */
static bool digits(const char *value, uint64_t *out, const char **rest)
{
    uint64_t v = 0;
    size_t n = strspn(value, "0123456789");
    for (size_t i = 0; i < n; i++)
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(value[i] - '0'), &v))
            return false;
    *out = v;
    *rest = value + n;
    return n > 0;
}

static enum err in_range(const struct conf_at *at, uint64_t v, uint64_t min, uint64_t max,
                         uint64_t *out)
{
    if (v < min || v > max)
        return conf_fail(at, "%llu is not between %llu and %llu", (unsigned long long)v,
                         (unsigned long long)min, (unsigned long long)max);
    *out = v;
    return ERR_OK;
}

enum err conf_u64(const struct conf_at *at, const char *value, uint64_t min, uint64_t max,
                  uint64_t *out)
{
    const char *rest;
    uint64_t v;
    if (!digits(value, &v, &rest) || *rest)
        return conf_fail(at, "\"%s\" is not a number", value);
    return in_range(at, v, min, max, out);
}

/* A number and one of the letters of units (or nothing), which stand for factors. */
static bool scaled(const char *value, const char *units, const uint64_t *factors, uint64_t *out)
{
    const char *rest, *unit;
    if (!digits(value, out, &rest))
        return false;
    if (!*rest)
        return true;
    unit = strchr(units, *rest);
    return unit && !rest[1] && !__builtin_mul_overflow(*out, factors[unit - units], out);
}

bool conf_parse_size(const char *value, uint64_t *out)
{
    static const uint64_t factors[] = {UINT64_C(1) << 10, UINT64_C(1) << 20, UINT64_C(1) << 30,
                                       UINT64_C(1) << 40};
    return scaled(value, "KMGT", factors, out);
}

enum err conf_size(const struct conf_at *at, const char *value, uint64_t *out)
{
    return conf_parse_size(value, out)
               ? ERR_OK
               : conf_fail(at, "\"%s\" is not a number of bytes (17, 64K, 10G ...)", value);
}

enum err conf_seconds(const struct conf_at *at, const char *value, uint64_t min, uint64_t max,
                      uint64_t *out)
{
    static const uint64_t factors[] = {1, 60, 3600, 86400, 7 * 86400, 365 * 86400};
    uint64_t v;
    if (!scaled(value, "smhdwy", factors, &v))
        return conf_fail(at, "\"%s\" is not a time (30, 30s, 5m, 2h, 7d)", value);
    return in_range(at, v, min, max, out);
}

enum err conf_bool(const struct conf_at *at, const char *value, bool *out)
{
    *out = strcmp(value, "yes") == 0;
    return *out || strcmp(value, "no") == 0 ? ERR_OK
                                            : conf_fail(at, "\"%s\" is neither yes nor no", value);
}

enum err conf_string(const struct conf_at *at, const char *value, bool path, char **out)
{
    const char *slash = strrchr(at->file, '/');
    char *copy = NULL;
    if (!value[0])
        return conf_fail(at, "no value");
    if (path && value[0] != '/' && slash) {
        if (asprintf(&copy, "%.*s/%s", (int)(slash - at->file), at->file, value) < 0)
            copy = NULL;
    } else {
        copy = strdup(value);
    }
    if (!copy)
        return log_fail(ERR_INTERNAL, "out of memory for the configuration");
    free(*out);
    *out = copy;
    return ERR_OK;
}
