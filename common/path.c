/* SPDX-License-Identifier: ISC */
#include "path.h"

#include "log.h"
#include <string.h>

const char *path_name_fault(const char *name, size_t n)
{
    if (n == 0)
        return "an empty component";
    if (n > PATH_NAME_MAX)
        return "a component of more than 255 bytes";
    if (name[0] == '.' && (n == 1 || (n == 2 && name[1] == '.')))
        return "a component \".\" or \"..\"";
    if (n == sizeof PATH_SERVICE - 1 && memcmp(name, PATH_SERVICE, n) == 0)
        return "a component \"" PATH_SERVICE "\"";
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return "a control character";
        if (name[i] == '/')
            return "a slash";
    }
    return NULL;
}

bool path_name_ok(const char *name, size_t n)
{
    return path_name_fault(name, n) == NULL;
}

static enum err refuse(struct slice s, const char *why)
{
    int shown = s.n > 200 ? 200 : (int)s.n;
    return log_fail(ERR_NAME, "\"%.*s\": %s is not allowed in a name", shown, (const char *)s.p,
                    why);
}

enum err path_check(struct slice s)
{
    const char *at = (const char *)s.p;
    size_t left = s.n;
    if (s.n > PATH_MAX_BYTES)
        return log_fail(ERR_NAME, "a path of %zu bytes; at most %d are allowed", s.n,
                        PATH_MAX_BYTES);
    if (s.n == 0 || at[0] != '/')
        return log_fail(ERR_NAME, "\"%.*s\": a path begins with /", s.n > 200 ? 200 : (int)s.n, at);
    while (s.n > 1 && left > 0) {
        const char *slash = memchr(at + 1, '/', left - 1);
        size_t n = slash ? (size_t)(slash - at - 1) : left - 1;
        const char *why = path_name_fault(at + 1, n);
        if (why)
            return refuse(s, why);
        at += n + 1;
        left -= n + 1;
    }
    return ERR_OK;
}

enum err path_parse(struct slice s, char path[static PATH_MAX_BYTES + 1])
{
    enum err e = path_check(s);
    if (e != ERR_OK)
        return e;
    memcpy(path, s.p, s.n);
    path[s.n] = '\0';
    return ERR_OK;
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

enum err path_join(const char *dir, const char *name, char out[static PATH_MAX_BYTES + 1])
{
    size_t d = strcmp(dir, "/") == 0 ? 0 : strlen(dir), n = strlen(name);
    const char *why = path_name_fault(name, n);
    if (why)
        return refuse(slice_of(name, n), why);
    if (d + 1 + n > PATH_MAX_BYTES)
        return log_fail(ERR_NAME, "a path of %zu bytes; at most %d are allowed", d + 1 + n,
                        PATH_MAX_BYTES);
    memmove(out, dir, d);
    out[d] = '/';
    memcpy(out + d + 1, name, n + 1);
    return ERR_OK;
}
