/* SPDX-License-Identifier: ISC */
/* consign-pki partner import */
#include "partner_in.h"

#include "fs.h"
#include "log.h"
#include "say.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool plain(const char *s)
{
    for (const char *p = s; *p; p++)
        if ((unsigned char)*p < ' ')
            return false;
    return *s && s[0] != ' ' && s[strlen(s) - 1] != ' ';
}

static enum err copy(char **to, const char *asked, const char *before)
{
    const char *from = asked ? asked : before;
    if (!from)
        return ERR_OK;
    if (!plain(from))
        return log_fail(ERR_USAGE, "--root, --rights and --account are plain text");
    *to = strdup(from);
    return *to ? ERR_OK : log_fail(ERR_INTERNAL, "out of memory");
}

/* As asked for, else as before. */
static enum err settle(const struct options *o, const struct partner_in *in, struct partner *say)
{
    unsigned rights;
    *say = (struct partner){.serial = in->bundle.serial,
                            .from = (uint64_t)in->bundle.from,
                            .until = (uint64_t)in->bundle.until};
    enum err e = copy(&say->signer, in->print, NULL);
    if (!e)
        e = copy(&say->root, o->root, in->old.root);
    if (!e)
        e = copy(&say->rights, o->rights, in->old.rights);
    if (!e)
        e = copy(&say->account, o->account, in->old.account);
    if (e)
        return e;
    if (!say->root || !say->rights)
        return log_fail(ERR_USAGE,
                        "say with --root and --rights what the partner's users may do here");
    if (say->root[0] != '/')
        return log_fail(ERR_USAGE, "--root: from / on");
    for (char *p = say->rights; *p; p++)
        *p = *p == ',' ? ' ' : *p;
    return fs_rights_parse(say->rights, &rights)
               ? ERR_OK
               : log_fail(ERR_USAGE,
                          "--rights: list, read, create, overwrite, delete, rename, mkdir, or all");
}

static enum err check(const struct partner_in *in)
{
    if (in->known && in->bundle.serial <= in->old.serial)
        return log_fail(ERR_AUTH,
                        "the bundle's serial is %" PRIu64 ", that of the one that is here %" PRIu64
                        ": an old one is not taken again",
                        in->bundle.serial, in->old.serial);
    if (!in->bundle.users.n)
        return log_fail(ERR_TYPE, "the bundle names no users: nobody could come in by it");
    return bundle_check(&in->bundle, in->signer, time(NULL));
}

static enum err report(const struct partner_in *in)
{
    struct texts lines = {NULL, 0};
    enum err e = bundle_lines(&in->bundle, &lines);
    for (size_t i = 0; !e && i < lines.n; i++)
        printf("%s\n", lines.list[i]);
    if (!e)
        printf("%-12s %s/%s\n", in->known ? "replaced" : "imported", in->dir, in->name);
    texts_release(&lines);
    return e;
}

enum err partner_import(const struct options *o, const char *file)
{
    struct partner_in in;
    struct partner say = {0};
    int lock = -1;
    enum err e = partner_lock(o->partners ? o->partners : PARTNERS_DIR, true, &lock);
    if (e)
        return e;
    e = partner_in_read(o, file, &in);
    if (!e)
        e = check(&in);
    if (!e)
        e = settle(o, &in, &say);
    if (!e)
        e = partner_store(&in, &say);
    if (!e)
        e = report(&in);
    partner_release(&say);
    partner_in_release(&in);
    close(lock);
    return e;
}
