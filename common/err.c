/* SPDX-License-Identifier: ISC */
#include "err.h"

#include <errno.h>
#include <stddef.h>

static const struct row {
    const char *name;
    const char *text;
    int exit;
    bool retry;
} rows[] = {
#define ERR(name, wire, exit, retry, text) [wire] = {#name, text, exit, retry},
#include "err.def"
#undef ERR
};

static const struct row *row(enum err e)
{
    size_t i = (size_t)e;
    return i < sizeof rows / sizeof rows[0] && rows[i].name ? &rows[i] : &rows[ERR_INTERNAL];
}

enum err err_from_wire(uint16_t status)
{
    return status < sizeof rows / sizeof rows[0] && rows[status].name ? (enum err)status
                                                                      : ERR_INTERNAL;
}

const char *err_text(enum err e)
{
    return row(e)->text;
}

const char *err_name(enum err e)
{
    return row(e)->name;
}

int err_exit(enum err e)
{
    return row(e)->exit;
}

bool err_retry(enum err e)
{
    return row(e)->retry;
}

enum err err_from_errno(int errnum)
{
    switch (errnum) {
    case 0:
        return ERR_OK;
    case ENOENT:
        return ERR_NOENT;
    case EEXIST:
        return ERR_EXISTS;
    case ENOTEMPTY:
        return ERR_NOTEMPTY;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    case ENOSPC:
    case EDQUOT:
        return ERR_NOSPACE;
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return ERR_LIMIT;
    case ENAMETOOLONG:
    case EXDEV: /* openat2: the path leads out of its root */
    case ELOOP: /* openat2: a symbolic link on the way */
        return ERR_NAME;
    case EISDIR:
    case ENOTDIR:
        return ERR_TYPE;
    case EAGAIN:
    case EBUSY:
    case ETXTBSY:
        return ERR_BUSY;
    case ECONNRESET:
    case EPIPE:
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return ERR_CONN;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    default:
        return ERR_IO;
    }
}
