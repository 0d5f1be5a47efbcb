/* SPDX-License-Identifier: ISC */
/* What may travel with a file or folder besides content, mode and time: extended attributes of the namespace user, POSIX
 * ACLs as the kernel's own attributes, and numeric owners. A set is bounded, and nothing but the names of one
 * table is ever read or written. Everything here goes by descriptor. */
#ifndef CONSIGN_META_H
#define CONSIGN_META_H

#include "err.h"
#include "wire.h"

/* Kinds; the flags of META and META_GET, too. */
enum {
    META_XATTRS = 1, /* user.*, but for user.consign* */
    META_ACLS =
        2, /* system.posix_acl_access and _default, unread: the kernel checks them when they are set */
    META_OWNERS = 4, /* uid and gid, as numbers */
    META_ALL = 7,
};

enum {
    META_MAX = 64,        /* attributes in a set */
    META_NAME_MAX = 255,  /* bytes of a name */
    META_SET_MAX = 65536, /* bytes of a set */
};

struct meta {
    unsigned kinds;    /* that it tells of */
    uint32_t uid, gid; /* with META_OWNERS */
    struct slice
        set; /* of each attribute a u8 and so many bytes of name, a u16 and so many of value; borrowed */
};

/* The kind of an attribute's name; 0: it is none of ours. */
unsigned meta_kind(struct slice name);

/* Appends an attribute; false, with the set as it was, when it is over a bound. */
bool meta_add(struct buf *set, struct slice name, struct slice value);

/* Takes the first attribute off; false when there is none, or it is malformed (then the set is not empty). */
bool meta_take(struct slice *set, struct slice *name, struct slice *value);

/* Whether a set from somebody else is within the bounds and of its kinds: ERR_PROTO malformed, ERR_LIMIT,
 * ERR_NAME; logged with what. */
enum err meta_check(const struct meta *m, const char *what) MUST_CHECK;

/* Reads what fd (a regular file or a folder) has of the kinds; set is *out's. What can't be read or is over a bound is left
 * out, and the first of these errors is the result, logged with what. No attributes are no error, nor is a filesystem without. */
enum err meta_read(int fd, unsigned kinds, const char *what, struct buf *set,
                   struct meta *out) MUST_CHECK;

/* Sets what m (checked) has of its kinds; other attributes stay. All are tried; the first error is the result, logged. */
enum err meta_write(int fd, const struct meta *m, const char *what) MUST_CHECK;

#endif
