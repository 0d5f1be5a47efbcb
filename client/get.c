/* SPDX-License-Identifier: ISC */
/* consign get: files and folders from a server. Nothing is written outside the folder that was
 * named. */
#include "trees.h"

#include "log.h"
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct get {
    struct work work;
    struct worker worker;
    struct link link;
    struct tree_options tree;
    int recursive;
    char base[PATH_MAX_BYTES + 1];
};

/* One argument: path at the server to local (below the base). */
static enum err get_argument(struct get *g, const char *path, const char *local)
{
    char shown[2 * PATH_MAX_BYTES];
    struct fs_info info;
    enum err e = ERR_OK;
    if (g->recursive) {
        if ((e = work_settle(&g->worker)) == ERR_OK)
            e = link_stat(&g->link, path, false, false, &info);
        if (e != ERR_OK)
            return g->link.chan.failed ? e : batch_fail(&g->work.batch, e);
        if (info.type == MSG_FOLDER)
            return tree_down(&g->worker, &g->tree, path, local);
    }
    work_local(&g->work, local, shown, sizeof shown);
    struct job *j;
    e = job_new(shown, path, -1, NULL, &j);
    return e == ERR_OK ? work_do(&g->worker, j) : e;
}

static bool is_folder(const char *file)
{
    struct stat st;
    return stat(file, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Splits the local target into a folder that exists and, when it is to be the name itself, that
 * name. */
static enum err open_base(struct get *g, const char *target, bool into,
                          char name[static PATH_NAME_MAX + 2])
{
    char copy1[PATH_MAX_BYTES + 1], copy2[PATH_MAX_BYTES + 1];
    if (strlen(target) > PATH_MAX_BYTES)
        return log_fail(ERR_NAME, "%s: too long", target);
    snprintf(copy1, sizeof copy1, "%s", target);
    snprintf(copy2, sizeof copy2, "%s", target);
    if (into) {
        snprintf(g->base, sizeof g->base, "%s", target);
        for (size_t n = strlen(g->base); n > 1 && g->base[n - 1] == '/'; n--)
            g->base[n - 1] = '\0';
    } else {
        const char *last = basename(copy2);
        snprintf(g->base, sizeof g->base, "%s", dirname(copy1));
        if (!path_name_ok(last, strlen(last)))
            return log_fail(ERR_NAME, "%s: not a name for a file", target);
        snprintf(name, PATH_NAME_MAX + 2, "/%s", last);
    }
    g->work.base = g->base;
    fs_init(&g->work.fs, "", true);
    enum err e = fs_add_root(&g->work.fs, "/", g->base, FS_ALL);
    if (tree_keeps_links(&g->tree))
        fs_keep_links(&g->work.fs);
    return e;
}

static enum err get_all(struct get *g, const char **args, int n, bool into, const char *name)
{
    enum err e = work_open(&g->worker, &g->work, &g->link);
    for (int i = 0; i < n - 1 && e == ERR_OK; i++) {
        char path[PATH_MAX_BYTES + 1], local[PATH_NAME_MAX + 2];
        if ((e = remote_also(g->work.at, args[i], path)) != ERR_OK)
            break;
        /* "/" itself has no name: what is in it goes into the folder. */
        snprintf(local, sizeof local, "/%s", path_base(path));
        e = get_argument(g, path, into ? local : name);
    }
    return work_close(&g->worker, e);
}

enum err command_get(const struct command *self, int argc, const char **argv)
{
    static struct get g = {.work.op = "get", .link.chan.failed = true};
    struct remote first = {0};
    const char **args;
    poptContext ctx;
    int n = 0;
    char name[PATH_NAME_MAX + 2] = "/";
    struct poptOption table[] = {
        {"recursive", 'r', POPT_ARG_NONE, &g.recursive, 0, "Fetch folders with all in them", NULL},
        {"no-overwrite", 'n', POPT_ARG_NONE, &g.work.no_overwrite, 0, "Replace nothing that exists",
         NULL},
        {"recheck", '\0', POPT_ARG_NONE, &g.work.recheck, 0,
         "Trust no recorded hash on either side: hash everything again", NULL},
        WORK_OPTIONS(&g.work),
        TREE_OPTIONS(&g.tree),
        POPT_TABLEEND};
    tree_options_init(&g.tree);
    enum err e = command_parse(self, argc, argv, table, 2, -1, &ctx, &args);
    while (e == ERR_OK && args[n])
        n++;
    if (e == ERR_OK)
        e = tree_options_check(&g.tree);
    if (e == ERR_OK)
        e = remote_parse(args[0], &first);
    if (e == ERR_OK) {
        const char *target = args[n - 1];
        size_t len = strlen(target);
        bool into = n > 2 || (len > 0 && target[len - 1] == '/') || is_folder(target);
        g.work.at = &first;
        g.work.tree = g.recursive;
        if ((e = work_check(&g.work)) == ERR_OK &&
            (e = open_base(&g, target, into, name)) == ERR_OK &&
            (e = link_open_confined(first.profile, &g.work.fs, tree_keeps_links(&g.tree),
                                    &g.link)) == ERR_OK)
            e = get_all(&g, args, n, into, name);
        link_close(&g.link);
        fs_release(&g.work.fs);
    }
    tree_options_release(&g.tree);
    remote_release(&first);
    poptFreeContext(ctx);
    return e;
}
