/* SPDX-License-Identifier: ISC */
#include "meta.h"

#include "log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { LIST_MAX = 65536, VALUE_MAX = 65535 };

/* consign's own, by which files are counted and retained (fs_mark.c). */
#define OWN "user.consign"

/* The table: no other name is read, written or taken from anybody. */
static const struct known {
    const char *name;
    bool prefix; /* with at least one byte more */
    unsigned kind;
} table[] = {
    {"user.", true, META_XATTRS},
    {"system.posix_acl_access", false, META_ACLS},
    {"system.posix_acl_default", false, META_ACLS},
};

unsigned meta_kind(struct slice name)
{
    if (name.n > META_NAME_MAX || (name.n > 0 && memchr(name.p, '\0', name.n)))
        return 0;
    if (name.n >= strlen(OWN) && memcmp(name.p, OWN, strlen(OWN)) == 0)
        return 0;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t n = strlen(table[i].name);
        if ((table[i].prefix ? name.n > n : name.n == n) && memcmp(name.p, table[i].name, n) == 0)
            return table[i].kind;
    }
    return 0;
}

/* ---- the set ---- */

static size_t count(struct slice set)
{
    struct slice name, value;
    size_t n = 0;
    while (meta_take(&set, &name, &value))
        n++;
    return n;
}

bool meta_add(struct buf *set, struct slice name, struct slice value)
{
    if (name.n == 0 || name.n > META_NAME_MAX || value.n > VALUE_MAX ||
        set->len + 3 + name.n + value.n > META_SET_MAX ||
        count(slice_of(set->data, set->len)) == META_MAX)
        return false;
    wire_put_u8(set, (uint8_t)name.n);
    buf_put(set, name.p, name.n);
    wire_put_str(set, value, VALUE_MAX);
    return !set->bad;
}

bool meta_take(struct slice *set, struct slice *name, struct slice *value)
{
    size_t n = set->n > 0 ? set->p[0] : 0;
    if (n == 0 || set->n < n + 3)
        return false;
    size_t length = (size_t)set->p[n + 1] << 8 | set->p[n + 2];
    if (set->n < n + 3 + length)
        return false;
    *name = slice_of(set->p + 1, n);
    *value = slice_of(set->p + n + 3, length);
    *set = slice_of(set->p + n + 3 + length, set->n - n - 3 - length);
    return true;
}

enum err meta_check(const struct meta *m, const char *what)
{
    struct slice rest = m->set, name, value;
    size_t n = 0;
    if (m->set.n > META_SET_MAX)
        return log_fail(ERR_LIMIT, "%s: more than %d bytes of attributes", what, META_SET_MAX);
    while (meta_take(&rest, &name, &value)) {
        if (++n > META_MAX)
            return log_fail(ERR_LIMIT, "%s: more than %d attributes", what, META_MAX);
        if (!(meta_kind(name) & m->kinds))
            return log_fail(ERR_NAME, "%s: an attribute of a name that is not allowed", what);
    }
    return rest.n == 0 ? ERR_OK : log_fail(ERR_PROTO, "%s: malformed attributes", what);
}

/* ---- from and to files ---- */

static enum err read_one(int fd, const char *name, uint8_t *value, const char *what,
                         struct buf *set)
{
    ssize_t n = fgetxattr(fd, name, value, VALUE_MAX);
    if (n < 0 && errno == ENODATA)
        return ERR_OK;
    if (n < 0)
        return log_fail_errno("%s: reading attribute %s", what, name);
    if (meta_add(set, slice_str(name), slice_of(value, (size_t)n)))
        return ERR_OK;
    return log_fail(ERR_LIMIT, "%s: attribute %s is over the bound (%d attributes, %d bytes)", what,
                    name, META_MAX, META_SET_MAX);
}

static enum err read_set(int fd, unsigned kinds, const char *what, struct buf *set)
{
    enum err first = ERR_OK;
    char *list = malloc(LIST_MAX + VALUE_MAX);
    if (!list)
        return log_fail(ERR_INTERNAL, "out of memory for attributes");
    ssize_t n = flistxattr(fd, list, LIST_MAX);
    if (n < 0 && errno != ENOTSUP)
        first = log_fail_errno("%s: listing attributes", what);
    for (const char *name = list; name < list + (n > 0 ? n : 0); name += strlen(name) + 1) {
        if (!(meta_kind(slice_str(name)) & kinds))
            continue;
        enum err e = read_one(fd, name, (uint8_t *)list + LIST_MAX, what, set);
        first = first == ERR_OK ? e : first;
    }
    free(list);
    return first;
}

enum err meta_read(int fd, unsigned kinds, const char *what, struct buf *set, struct meta *out)
{
    struct stat st;
    enum err e = ERR_OK;
    *out = (struct meta){.kinds = kinds};
    buf_clear(set);
    if (kinds & META_OWNERS) {
        if (fstat(fd, &st) < 0)
            return log_fail_errno("%s", what);
        out->uid = st.st_uid;
        out->gid = st.st_gid;
    }
    if (kinds & (META_XATTRS | META_ACLS))
        e = read_set(fd, kinds, what, set);
    out->set = slice_of(set->data, set->len);
    return e;
}

static enum err write_one(int fd, struct slice name, struct slice value, const char *what)
{
    char text[META_NAME_MAX + 1];
    if (!slice_copy(name, text, sizeof text))
        return log_fail(ERR_NAME, "%s: an attribute of a name that is not allowed", what);
    if (fsetxattr(fd, text, value.n ? (const void *)value.p : "", value.n, 0) == 0)
        return ERR_OK;
    return log_fail_errno("%s: setting attribute %s", what, text);
}

enum err meta_write(int fd, const struct meta *m, const char *what)
{
    struct slice rest = m->set, name, value;
    enum err first = ERR_OK;
    if (m->kinds & META_OWNERS && fchown(fd, m->uid, m->gid) < 0)
        first = log_fail_errno("%s: setting owner %u and group %u", what, m->uid, m->gid);
    while (meta_take(&rest, &name, &value)) {
        if (!(meta_kind(name) & m->kinds))
            continue;
        enum err e = write_one(fd, name, value, what);
        first = first == ERR_OK ? e : first;
    }
    return first;
}
