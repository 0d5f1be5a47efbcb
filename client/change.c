/* SPDX-License-Identifier: ISC */
/* consign mkdir, rm, mv: what changes names only. */
#include "client.h"

#include "log.h"
#include <string.h>

enum err command_mkdir(const struct command *self, int argc, const char **argv)
{
    int parents = 0;
    struct poptOption table[] = {{"parents", 'p', POPT_ARG_NONE, &parents, 0,
                                  "Make what is missing above; an existing folder is fine", NULL},
                                 POPT_TABLEEND};
    struct link l = {.chan.failed = true};
    struct remote r = {0};
    const char **args;
    poptContext ctx;
    enum err e = command_parse(self, argc, argv, table, 1, 1, &ctx, &args);
    if (e == ERR_OK && (e = remote_parse(args[0], &r)) == ERR_OK &&
        (e = link_open(r.profile, &l)) == ERR_OK) {
        uint32_t id = l.next_id++;
        e = CHAN_SEND(&l.chan, mkdir, MKDIR, .id = id, .flags = parents ? MSG_MKDIR_PARENTS : 0,
                      .mode = 0755, .path = slice_str(r.path));
        if (e == ERR_OK)
            e = link_await(&l, id, args[0], NULL, NULL);
    }
    link_close(&l);
    remote_release(&r);
    poptFreeContext(ctx);
    return e;
}

/* The errors of single names are counted, so that the others are still tried. */
static enum err remove_all(struct link *l, const struct remote *first, const char **args,
                           uint32_t flags)
{
    enum err worst = ERR_OK;
    for (int i = 0; args[i]; i++) {
        char path[PATH_MAX_BYTES + 1];
        uint32_t id = l->next_id++;
        enum err e = remote_also(first, args[i], path);
        if (e == ERR_OK)
            e = CHAN_SEND(&l->chan, remove, REMOVE, .id = id, .flags = flags,
                          .path = slice_str(path));
        if (e == ERR_OK)
            e = link_await(l, id, args[i], NULL, NULL);
        if (worst == ERR_OK)
            worst = e;
        if (l->chan.failed)
            break;
    }
    return worst;
}

enum err command_rm(const struct command *self, int argc, const char **argv)
{
    int folder = 0, part = 0;
    struct poptOption table[] = {
        {"folder", 'd', POPT_ARG_NONE, &folder, 0, "Remove empty folders", NULL},
        {"part", '\0', POPT_ARG_NONE, &part, 0, "Remove the unfinished upload for the path", NULL},
        POPT_TABLEEND};
    struct link l = {.chan.failed = true};
    struct remote first = {0};
    const char **args;
    poptContext ctx;
    enum err e = command_parse(self, argc, argv, table, 1, -1, &ctx, &args);
    if (e == ERR_OK && folder && part)
        e = log_fail(ERR_USAGE, "--folder and --part go one at a time");
    if (e == ERR_OK && (e = remote_parse(args[0], &first)) == ERR_OK &&
        (e = link_open(first.profile, &l)) == ERR_OK)
        e = remove_all(&l, &first, args,
                       (folder ? MSG_REMOVE_FOLDER : 0) | (part ? MSG_REMOVE_PART : 0));
    link_close(&l);
    remote_release(&first);
    poptFreeContext(ctx);
    return e;
}

enum err command_mv(const struct command *self, int argc, const char **argv)
{
    int no_overwrite = 0;
    struct poptOption table[] = {
        {"no-overwrite", 'n', POPT_ARG_NONE, &no_overwrite, 0, "Replace nothing that exists", NULL},
        POPT_TABLEEND};
    struct link l = {.chan.failed = true};
    struct remote from = {0};
    char to[PATH_MAX_BYTES + 1];
    const char **args;
    poptContext ctx;
    enum err e = command_parse(self, argc, argv, table, 2, 2, &ctx, &args);
    if (e == ERR_OK && (e = remote_parse(args[0], &from)) == ERR_OK)
        e = remote_also(&from, args[1], to);
    if (e == ERR_OK && (e = link_open(from.profile, &l)) == ERR_OK) {
        uint32_t id = l.next_id++;
        e = CHAN_SEND(&l.chan, rename, RENAME, .id = id,
                      .flags = no_overwrite ? 0 : MSG_RENAME_OVERWRITE,
                      .from = slice_str(from.path), .to = slice_str(to));
        if (e == ERR_OK)
            e = link_await(&l, id, args[0], NULL, NULL);
    }
    link_close(&l);
    remote_release(&from);
    poptFreeContext(ctx);
    return e;
}
