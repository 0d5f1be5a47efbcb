/* SPDX-License-Identifier: ISC */
/* Rights: their words, and the one table of which of them each verb takes. */
#include "fs_internal.h"

#include "log.h"
#include <stdio.h>
#include <string.h>

/* ---- words ---- */

static const struct word {
    const char *text;
    unsigned right;
} words[] = {
    {"list", FS_LIST},           {"read", FS_READ},     {"create", FS_CREATE},
    {"overwrite", FS_OVERWRITE}, {"delete", FS_DELETE}, {"rename", FS_RENAME},
    {"mkdir", FS_MKDIR},
};

enum { N_WORDS = sizeof words / sizeof words[0] };

static unsigned right_of(const char *text, size_t n)
{
    for (size_t i = 0; i < N_WORDS; i++)
        if (strlen(words[i].text) == n && memcmp(words[i].text, text, n) == 0)
            return words[i].right;
    return n == 3 && memcmp(text, "all", n) == 0 ? FS_ALL : 0;
}

bool fs_rights_parse(const char *text, unsigned *rights)
{
    unsigned all = 0;
    *rights = 0;
    for (;;) {
        text += strspn(text, " \t,");
        size_t n = strcspn(text, " \t,");
        unsigned one = right_of(text, n);
        if (n == 0)
            break;
        if (one == 0)
            return false;
        all |= one;
        text += n;
    }
    *rights = all;
    return all != 0;
}

void fs_rights_text(unsigned rights, char *out, size_t cap)
{
    size_t at = 0;
    if (cap == 0)
        return;
    out[0] = '\0';
    for (size_t i = 0; i < N_WORDS && at < cap; i++)
        if (rights & words[i].right)
            at += (size_t)snprintf(out + at, cap - at, "%s%s", at ? " " : "", words[i].text);
}

/* ---- verbs ---- */

#define PUTS (FS_CREATE | FS_OVERWRITE)

static const struct needs {
    unsigned begin; /* any one of these, or what is asked is refused unseen */
    unsigned free;  /* to bring something to a name that nothing has */
    unsigned taken; /* to change or replace what stands there */
} table[FS_VERBS] = {
    [FS_DO_STAT] = {FS_LIST | FS_READ, 0, 0},
    [FS_DO_LIST] = {FS_LIST, 0, 0},
    [FS_DO_READ] = {FS_READ, 0, 0},
    [FS_DO_RECEIVE] = {PUTS, FS_CREATE, FS_OVERWRITE},
    [FS_DO_DISCARD] = {PUTS, 0, 0},
    [FS_DO_LINK] = {PUTS, FS_CREATE, FS_OVERWRITE},
    [FS_DO_REMOVE] = {FS_DELETE, 0, FS_DELETE},
    [FS_DO_RENAME] = {FS_RENAME, FS_RENAME, FS_OVERWRITE},
    [FS_DO_MKDIR] = {FS_MKDIR, FS_MKDIR, 0},
    [FS_DO_PARENTS] = {FS_ALL, FS_MKDIR, 0},
    [FS_DO_ATTRIBUTES] = {FS_MKDIR, FS_MKDIR, FS_MKDIR},
    [FS_DO_META] = {FS_OVERWRITE | FS_MKDIR, 0, FS_OVERWRITE},
    [FS_DO_META_FOLDER] = {FS_MKDIR, 0, FS_MKDIR},
};

static enum err no_right(const char *path, unsigned any_of)
{
    char missing[64];
    fs_rights_text(any_of, missing, sizeof missing);
    return log_fail(ERR_DENIED, "%s: no right here (it would take: %s)", path, missing);
}

bool fs_has(const struct fs_root *root, enum fs_verb verb)
{
    return root->rights & table[verb].begin;
}

enum err fs_allow(struct fs *fs, const char *path, enum fs_verb verb, struct fs_place *out)
{
    /* Whoever calls has checked the path already; a single ".." that slipped through would be one
     * too many. */
    unsigned any_of = table[verb].begin;
    enum err e = path_check(slice_str(path));
    if (e != ERR_OK)
        return e;
    *out = (struct fs_place){.root = fs_root_of(fs, path), .path = path, .rel = ""};
    if (!out->root && (any_of & ~(unsigned)(FS_LIST | FS_READ)))
        return no_right(path, any_of);
    if (!out->root)
        return fs_above_roots(fs, path) ? ERR_OK : log_fail(ERR_NOENT, "%s: does not exist", path);
    if (!fs_has(out->root, verb))
        return no_right(path, any_of);
    out->rel = fs_rel(out->root, path);
    return ERR_OK;
}

bool fs_may(const struct fs_root *root, enum fs_verb verb, bool taken)
{
    unsigned need = taken ? table[verb].taken : table[verb].free;
    return need && (root->rights & need) == need;
}

enum err fs_must(const struct fs_place *at, enum fs_verb verb, bool taken)
{
    return fs_may(at->root, verb, taken)
               ? ERR_OK
               : no_right(at->path, taken ? table[verb].taken : table[verb].free);
}
