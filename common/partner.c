/* SPDX-License-Identifier: ISC */
#include "partner.h"

#include "conf.h"
#include "log.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES = 60, PARTNERS_MAX = 4096, SIGNER = 7 + 64 };

bool partner_name_ok(const char *name)
{
    static const char legal[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t n = strlen(name);
    return n > 0 && n <= NAME_BYTES && strspn(name, legal) == n && name[0] != '.' && name[0] != '-';
}

char *partner_path(const char *dir, const char *name, const char *file)
{
    char *path;
    if (asprintf(&path, "%s/%s/%s", dir, name, file) >= 0)
        return path;
    return log_fail(ERR_INTERNAL, "out of memory for a partner") ? NULL : path;
}

/* ---- partner.conf ---- */

static enum err take_text(const struct conf_at *at, const char *value, char **to)
{
    return *to ? conf_fail(at, "given twice") : conf_string(at, value, false, to);
}

static enum err take_number(const struct conf_at *at, const char *value, uint64_t *to)
{
    return *to ? conf_fail(at, "given twice") : conf_u64(at, value, 1, INT64_MAX, to);
}

static enum err take(void *arg, const struct conf_at *at, const char *value)
{
    struct partner *p = arg;
    const struct {
        const char *key;
        uint64_t *to;
    } numbers[] = {{"serial", &p->serial}, {"from", &p->from}, {"until", &p->until}};
    const struct {
        const char *key;
        char **to;
    } texts[] = {{"signer", &p->signer},
                 {"root", &p->root},
                 {"rights", &p->rights},
                 {"account", &p->account}};
    if (strcmp(at->section, "partner") != 0)
        return conf_fail(at, "unknown section");
    if (!at->key)
        return ERR_OK;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(numbers[i].key, at->key) == 0)
            return take_number(at, value, numbers[i].to);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(texts[i].key, at->key) == 0)
            return take_text(at, value, texts[i].to);
    return conf_fail(at, "unknown key");
}

enum err partner_read(const char *dir, const char *name, struct partner *out)
{
    char *file = partner_path(dir, name, PARTNER_CONF);
    *out = (struct partner){0};
    enum err e = file ? conf_read(file, take, out) : ERR_INTERNAL;
    if (!e && (!out->serial || !out->from || !out->until || !out->signer ||
               strlen(out->signer) != SIGNER || !out->root || !out->rights))
        e = log_fail(ERR_CONFIG, "%s: not whole: import the partner's bundle again", file);
    free(file);
    return e;
}

void partner_release(struct partner *p)
{
    free(p->signer);
    free(p->root);
    free(p->rights);
    free(p->account);
    *p = (struct partner){0};
}

/* ---- all of them ---- */

/* Who can put a folder here can say whom to trust. */
static enum err check_folder(int fd, const char *path)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return log_fail_errno("%s", path);
    if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH)))
        return log_fail(
            ERR_CONFIG,
            "%s: must belong to root or the server's user, and nobody else may write to it", path);
    return ERR_OK;
}

static enum err check_partner(int dir_fd, const char *dir, const char *name)
{
    struct stat st;
    if (!partner_name_ok(name))
        return log_fail(ERR_CONFIG, "%s/%s: not a partner's name", dir, name);
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return log_fail_errno("%s/%s", dir, name);
    return S_ISDIR(st.st_mode) ? ERR_OK
                               : log_fail(ERR_CONFIG, "%s/%s: not a partner's folder", dir, name);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum err add_name(char ***names, size_t *n, const char *name)
{
    char **grown = *n < PARTNERS_MAX ? realloc(*names, (*n + 1) * sizeof *grown) : NULL;
    if (!grown)
        return log_fail(ERR_LIMIT, "too many partners");
    *names = grown;
    grown[*n] = strdup(name);
    return grown[*n] && ++*n ? ERR_OK : log_fail(ERR_INTERNAL, "out of memory for a partner");
}

enum err partner_names(const char *dir, char ***names, size_t *n)
{
    *names = NULL;
    *n = 0;
    DIR *d = opendir(dir);
    if (!d)
        return log_fail_errno("%s", dir);
    enum err e = check_folder(dirfd(d), dir);
    for (const struct dirent *x; !e && (x = readdir(d)) != NULL;) {
        if (x->d_name[0] == '.')
            continue;
        e = check_partner(dirfd(d), dir, x->d_name);
        if (!e)
            e = add_name(names, n, x->d_name);
    }
    closedir(d);
    if (!e && *n > 0)
        qsort(*names, *n, sizeof **names, by_bytes);
    return e;
}

void partner_names_free(char **names, size_t n)
{
    while (n > 0)
        free(names[--n]);
    free(names);
}
