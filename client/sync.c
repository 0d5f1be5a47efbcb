/* SPDX-License-Identifier: ISC */
/* consign sync: makes one tree like another, of which one is at a server and one is here. */
#include "trees.h"

#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DELETE = 1000 };

struct sync {
    struct work work;
    struct worker worker;
    struct link link;
    struct tree_options tree;
    int checksum;
};

static enum err up(struct sync *s, const char *from, const char *path)
{
    int fd = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum err e = fd < 0 ? log_fail_errno("%s", from) : work_open(&s->worker, &s->work, &s->link);
    if (e == ERR_OK)
        return work_close(&s->worker, tree_up(&s->worker, &s->tree, fd, from, path));
    if (fd >= 0)
        close(fd);
    return e;
}

/* The local folder is made when it is missing. */
static enum err down(struct sync *s, const struct remote *at, const char *to)
{
    if (!s->tree.dry_run && mkdir(to, 0777) < 0 && errno != EEXIST)
        return log_fail_errno("%s: making the folder", to);
    s->work.base = to;
    fs_init(&s->work.fs, "", true);
    enum err e = fs_add_root(&s->work.fs, "/", to, FS_ALL);
    if (tree_keeps_links(&s->tree))
        fs_keep_links(&s->work.fs);
    if (e == ERR_OK)
        e = link_open_confined(at->profile, &s->work.fs, tree_keeps_links(&s->tree), &s->link);
    if (e == ERR_OK)
        e = work_open(&s->worker, &s->work, &s->link);
    return e == ERR_OK ? work_close(&s->worker, tree_down(&s->worker, &s->tree, at->path, "/")) : e;
}

static enum err run(struct sync *s, const char *from, const char *to)
{
    struct remote at = {0};
    bool is_up = remote_is(to);
    if (is_up == remote_is(from))
        return log_fail(ERR_USAGE, "one of the two must be at a server, and the other one here");
    enum err e = remote_parse(is_up ? to : from, &at);
    s->work.at = &at;
    if (e == ERR_OK)
        e = work_check(&s->work);
    if (e == ERR_OK && !is_up)
        e = down(s, &at, to);
    else if (e == ERR_OK && (e = link_open(at.profile, &s->link)) == ERR_OK)
        e = up(s, from, at.path);
    link_close(&s->link);
    fs_release(&s->work.fs);
    remote_release(&at);
    return e;
}

enum err command_sync(const struct command *self, int argc, const char **argv)
{
    static struct sync s = {.work = {.op = "sync", .tree = true},
                            .link.chan.failed = true,
                            .tree.max_delete = MAX_DELETE};
    const char **args;
    poptContext ctx;
    struct poptOption table[] = {{"checksum", '\0', POPT_ARG_NONE, &s.checksum, 0,
                                  "Compare contents by their roots, not by size and time", NULL},
                                 {"delete", '\0', POPT_ARG_NONE, &s.tree.delete, 0,
                                  "Delete what stands at the destination only", NULL},
                                 {"max-delete", '\0', POPT_ARG_INT, &s.tree.max_delete, 0,
                                  "If that is more than N things, delete nothing (default 1000)",
                                  "N"},
                                 {"dry-run", '\0', POPT_ARG_NONE, &s.tree.dry_run, 0,
                                  "Say what would be done, and do nothing", NULL},
                                 WORK_OPTIONS(&s.work),
                                 TREE_OPTIONS(&s.tree),
                                 POPT_TABLEEND};
    tree_options_init(&s.tree);
    enum err e = command_parse(self, argc, argv, table, 2, 2, &ctx, &args);
    if (e == ERR_OK)
        e = tree_options_check(&s.tree);
    if (e == ERR_OK && s.tree.max_delete < 0)
        e = log_fail(ERR_USAGE, "--max-delete is 0 or more");
    s.tree.compare = s.checksum ? TREE_ROOTS : TREE_SIZE_TIME;
    if (e == ERR_OK)
        e = run(&s, args[0], args[1]);
    tree_options_release(&s.tree);
    poptFreeContext(ctx);
    return e;
}
