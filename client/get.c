/* SPDX-License-Identifier: ISC */
/* consign get: files and folders from a server. Nothing is written outside the folder that was
 * named. */
#include "client.h"

#include "log.h"
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCK_WAIT_MS = 5000, DEPTH_MAX = 256 };

struct get {
    struct link link;
    struct batch batch;
    struct fs fs;     /* one root: the folder that things are written into */
    const char *base; /* its name, for messages */
    const struct remote *from;
    int recursive, no_overwrite, recheck;
    unsigned depth; /* folders down from what was named */
};

struct sink {
    struct get *g;
    const char *path; /* below g->fs */
};

static enum err sink_open(void *arg, uint64_t length, struct fs_part *out)
{
    struct sink *s = arg;
    return fs_open_part(&s->g->fs, s->path, length, !s->g->no_overwrite, LOCK_WAIT_MS, out);
}

static enum err sink_commit(void *arg, const struct fs_part *part, const struct msg_offer *o)
{
    struct sink *s = arg;
    struct fs_commit how = {s->path, !s->g->no_overwrite, o->mode, (int64_t)o->mtime_s,
                            o->mtime_ns};
    return fs_commit(&s->g->fs, part, &how);
}

static enum err get_file(struct get *g, const char *path, const char *local)
{
    char shown[PATH_MAX_BYTES + 80], file[2 * PATH_MAX_BYTES];
    struct xfer_result result = {0};
    struct sink target = {g, local};
    struct xfer_sink sink = {.open = sink_open, .commit = sink_commit, .arg = &target};
    struct show show;
    uint32_t id = g->link.next_id++;
    uint64_t before = tls_bytes_in(g->link.chan.tls);
    remote_text(g->from, path, shown, sizeof shown);
    snprintf(file, sizeof file, "%s%s", strcmp(g->base, "/") == 0 ? "" : g->base, local);
    show_start(&show, "get", shown, file);
    struct xfer x = {.chan = &g->link.chan,
                     .id = id,
                     .name = file,
                     .engine = g->link.engine,
                     .recheck = g->recheck,
                     .threads = true,
                     .event = show_event,
                     .event_arg = &show};
    enum err e = CHAN_SEND(&g->link.chan, get, GET, .id = id,
                           .flags = g->recheck ? MSG_GET_RECHECK : 0, .path = slice_str(path));
    if (e == ERR_OK)
        e = xfer_receive(&x, &sink, &result);
    e = batch_reason(&g->link, shown, e, &result);
    show_result(&show, e, &result, tls_bytes_in(g->link.chan.tls) - before);
    return batch_count(&g->batch, e, &result);
}

static enum err get_tree(struct get *g, const char *path, const char *local);

static enum err get_entry(struct get *g, const char *path, const char *local,
                          const struct link_entry *entry)
{
    char from[PATH_MAX_BYTES + 1], to[PATH_MAX_BYTES + 1];
    enum err e;
    if ((e = path_join(path, entry->name, from)) != ERR_OK ||
        (e = path_join(local, entry->name, to)) != ERR_OK)
        return batch_fail(&g->batch, e);
    if (entry->info.type == MSG_FILE)
        return get_file(g, from, to);
    if (entry->info.type == MSG_FOLDER)
        return get_tree(g, from, to);
    return batch_fail(&g->batch, log_fail(ERR_TYPE, "%s: neither a file nor a folder", from));
}

static enum err get_tree(struct get *g, const char *path, const char *local)
{
    struct link_entry *list;
    size_t n;
    if (g->depth == DEPTH_MAX)
        return batch_fail(&g->batch,
                          log_fail(ERR_LIMIT, "%s: more than %d folders deep", path, DEPTH_MAX));
    enum err e = link_list(&g->link, path, &list, &n);
    if (e != ERR_OK)
        return g->link.chan.failed ? e : batch_fail(&g->batch, e);
    if (strcmp(local, "/") != 0 && (e = fs_mkdir(&g->fs, local, 0755, true)) != ERR_OK)
        e = batch_fail(&g->batch, e);
    g->depth++;
    for (size_t i = 0; i < n && e == ERR_OK; i++)
        e = get_entry(g, path, local, &list[i]);
    g->depth--;
    free(list);
    return e;
}

/* One argument: path at the server to local (below the base). */
static enum err get_argument(struct get *g, const char *path, const char *local)
{
    struct fs_info info;
    if (!g->recursive)
        return get_file(g, path, local);
    enum err e = link_stat(&g->link, path, false, false, &info);
    if (e != ERR_OK)
        return g->link.chan.failed ? e : batch_fail(&g->batch, e);
    return info.type == MSG_FOLDER ? get_tree(g, path, local) : get_file(g, path, local);
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
    static char base[PATH_MAX_BYTES + 1];
    if (strlen(target) > PATH_MAX_BYTES)
        return log_fail(ERR_NAME, "%s: too long", target);
    snprintf(copy1, sizeof copy1, "%s", target);
    snprintf(copy2, sizeof copy2, "%s", target);
    if (into) {
        snprintf(base, sizeof base, "%s", target);
        for (size_t n = strlen(base); n > 1 && base[n - 1] == '/'; n--)
            base[n - 1] = '\0';
    } else {
        const char *last = basename(copy2);
        snprintf(base, sizeof base, "%s", dirname(copy1));
        if (!path_name_ok(last, strlen(last)))
            return log_fail(ERR_NAME, "%s: not a name for a file", target);
        snprintf(name, PATH_NAME_MAX + 2, "/%s", last);
    }
    g->base = base;
    fs_init(&g->fs, "", true);
    return fs_add_root(&g->fs, "/", base, FS_ALL);
}

static enum err get_all(struct get *g, const char **args, int n, bool into, const char *name)
{
    enum err e = ERR_OK;
    for (int i = 0; i < n - 1 && e == ERR_OK; i++) {
        struct remote from = {0};
        char local[PATH_NAME_MAX + 2];
        if ((e = remote_parse(args[i], &from)) == ERR_OK && !remote_same(&from, g->from))
            e = log_fail(ERR_USAGE, "%s: all sources must be at one server", args[i]);
        /* "/" itself has no name: what is in it goes into the folder. */
        snprintf(local, sizeof local, "/%s", path_base(from.path));
        if (e == ERR_OK)
            e = get_argument(g, from.path, into ? local : name);
        remote_release(&from);
    }
    return e;
}

enum err command_get(const struct command *self, int argc, const char **argv)
{
    struct get g = {.link.chan.failed = true};
    struct remote first = {0};
    const char **args;
    poptContext ctx;
    int n = 0;
    char name[PATH_NAME_MAX + 2] = "/";
    struct poptOption table[] = {
        {"recursive", 'r', POPT_ARG_NONE, &g.recursive, 0, "Fetch folders with all in them", NULL},
        {"no-overwrite", 'n', POPT_ARG_NONE, &g.no_overwrite, 0, "Replace nothing that exists",
         NULL},
        {"recheck", '\0', POPT_ARG_NONE, &g.recheck, 0,
         "Trust no recorded hash on either side: hash everything again", NULL},
        POPT_TABLEEND};
    enum err e = command_parse(self, argc, argv, table, 2, -1, &ctx, &args);
    while (e == ERR_OK && args[n])
        n++;
    if (e == ERR_OK)
        e = remote_parse(args[0], &first);
    if (e == ERR_OK) {
        const char *target = args[n - 1];
        size_t len = strlen(target);
        bool into = n > 2 || (len > 0 && target[len - 1] == '/') || is_folder(target);
        g.from = &first;
        if ((e = open_base(&g, target, into, name)) == ERR_OK &&
            (e = link_open(first.profile, &g.link)) == ERR_OK) {
            e = get_all(&g, args, n, into, name);
            e = batch_end(&g.batch, "get", e);
        }
        link_close(&g.link);
        fs_release(&g.fs);
    }
    remote_release(&first);
    poptFreeContext(ctx);
    return e;
}
