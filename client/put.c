/* SPDX-License-Identifier: ISC */
/* consign put: files and folders to a server. */
#include "trees.h"

#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct put {
    struct work work;
    struct worker worker;
    struct link link;
    struct tree_options tree;
    int recursive;
};

static enum err open_source(const char *file, int *fd, struct stat *st)
{
    /* O_NONBLOCK: opening a FIFO must not wait for a writer. */
    *fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0)
        return log_fail_errno("%s", file);
    enum err e = ERR_OK;
    if (fstat(*fd, st) < 0)
        e = log_fail_errno("%s", file);
    else if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
        e = log_fail(ERR_TYPE, "%s: neither a file nor a folder", file);
    if (e != ERR_OK)
        close(*fd);
    return e;
}

/* The last component of a local name, whatever slashes end it; NULL for "/", "." and "..". */
static const char *local_base(const char *file, char out[static PATH_NAME_MAX + 1])
{
    size_t end = strlen(file), at;
    while (end > 1 && file[end - 1] == '/')
        end--;
    for (at = end; at > 0 && file[at - 1] != '/';)
        at--;
    if (!path_name_ok(file + at, end - at))
        return NULL;
    memcpy(out, file + at, end - at);
    out[end - at] = '\0';
    return out;
}

static enum err put_thing(struct put *p, int fd, const struct stat *st, const char *file,
                          const char *path)
{
    if (S_ISDIR(st->st_mode) && !p->recursive) {
        close(fd);
        return batch_fail(&p->work.batch,
                          log_fail(ERR_TYPE, "%s is a folder; put -r sends folders", file));
    }
    if (S_ISDIR(st->st_mode))
        return tree_up(&p->worker, &p->tree, fd, file, path);
    struct job *j;
    enum err e = job_new(file, path, fd, st, &j);
    return e == ERR_OK ? work_do(&p->worker, j) : e;
}

static enum err put_argument(struct put *p, const char *file, bool into)
{
    char path[PATH_MAX_BYTES + 1], name[PATH_NAME_MAX + 1];
    struct stat st;
    int fd;
    enum err e = open_source(file, &fd, &st);
    if (e != ERR_OK)
        return batch_fail(&p->work.batch, e);
    memcpy(path, p->work.at->path, sizeof path);
    if (into && !local_base(file, name))
        e = log_fail(ERR_NAME, "%s: has no name to give it at the server; say which", file);
    else if (into)
        e = path_join(p->work.at->path, name, path);
    if (e == ERR_OK)
        return put_thing(p, fd, &st, file, path);
    close(fd);
    return batch_fail(&p->work.batch, e);
}

static enum err put_all(struct put *p, const char **files, int n)
{
    enum err e = work_open(&p->worker, &p->work, &p->link);
    for (int i = 0; i < n && e == ERR_OK; i++)
        e = put_argument(p, files[i], p->work.at->folder);
    return work_close(&p->worker, e);
}

enum err command_put(const struct command *self, int argc, const char **argv)
{
    static struct put p = {.work.op = "put", .link.chan.failed = true};
    struct remote to = {0};
    const char **args;
    poptContext ctx;
    int n = 0;
    struct poptOption table[] = {
        {"recursive", 'r', POPT_ARG_NONE, &p.recursive, 0, "Send folders with all in them", NULL},
        {"no-overwrite", 'n', POPT_ARG_NONE, &p.work.no_overwrite, 0, "Replace nothing that exists",
         NULL},
        {"recheck", '\0', POPT_ARG_NONE, &p.work.recheck, 0,
         "Have everything that the server has of it hashed again", NULL},
        WORK_OPTIONS(&p.work),
        TREE_OPTIONS(&p.tree),
        POPT_TABLEEND};
    tree_options_init(&p.tree);
    enum err e = command_parse(self, argc, argv, table, 2, -1, &ctx, &args);
    while (e == ERR_OK && args[n])
        n++;
    if (e == ERR_OK)
        e = tree_options_check(&p.tree);
    if (e == ERR_OK)
        e = remote_parse(args[n - 1], &to);
    if (e == ERR_OK && n > 2 && !to.folder)
        e = log_fail(ERR_USAGE, "%s: several files need a folder: end it with /", args[n - 1]);
    p.work.at = &to;
    p.work.tree = p.recursive;
    if (e == ERR_OK)
        e = work_check(&p.work);
    if (e == ERR_OK && (e = link_open(to.profile, &p.link)) == ERR_OK)
        e = put_all(&p, args, n - 1);
    link_close(&p.link);
    tree_options_release(&p.tree);
    remote_release(&to);
    poptFreeContext(ctx);
    return e;
}
