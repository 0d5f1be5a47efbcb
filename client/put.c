/* SPDX-License-Identifier: ISC */
/* consign put: files and folders to a server. */
#include "client.h"

#include "log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEPTH_MAX = 256 };

struct put {
    struct link link;
    struct batch batch;
    const struct remote *to;
    int recursive, no_overwrite, recheck;
    unsigned depth; /* folders down from what was named */
};

static enum err open_source(const char *file, bool follow, struct fs_source *out)
{
    /* O_NONBLOCK: opening a FIFO must not wait for a writer. */
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (follow ? 0 : O_NOFOLLOW);
    *out = (struct fs_source){.fd = open(file, flags), .tree = -1};
    if (out->fd < 0)
        return log_fail_errno("%s", file);
    enum err e = ERR_OK;
    if (fstat(out->fd, &out->st) < 0)
        e = log_fail_errno("%s", file);
    else if (!S_ISREG(out->st.st_mode) && !S_ISDIR(out->st.st_mode))
        e = log_fail(ERR_TYPE, "%s: neither a file nor a folder", file);
    if (e != ERR_OK)
        close(out->fd);
    return e;
}

static enum err send_file(struct put *p, const struct fs_source *source, const char *file,
                          const char *path)
{
    char shown[PATH_MAX_BYTES + 80];
    struct xfer_result result = {0};
    struct show show;
    uint32_t id = p->link.next_id++;
    uint64_t before = tls_bytes_out(p->link.chan.tls);
    uint32_t flags = (p->no_overwrite ? 0 : MSG_PUT_OVERWRITE) | (p->recheck ? MSG_PUT_RECHECK : 0);
    remote_text(p->to, path, shown, sizeof shown);
    show_start(&show, "put", file, shown);
    struct xfer x = {.chan = &p->link.chan,
                     .id = id,
                     .name = file,
                     .engine = p->link.engine,
                     .event = show_event,
                     .event_arg = &show};
    enum err e =
        CHAN_SEND(&p->link.chan, put, PUT, .id = id, .flags = flags, .path = slice_str(path));
    if (e == ERR_OK)
        e = xfer_send(&x, source, &result);
    e = batch_reason(&p->link, shown, e, &result);
    show_result(&show, e, &result, tls_bytes_out(p->link.chan.tls) - before);
    return batch_count(&p->batch, e, &result);
}

static enum err put_tree(struct put *p, int fd, const char *folder, const char *path);

/* One thing: source is open and moves in. An error that ends all is returned; others are counted.
 */
static enum err put_thing(struct put *p, struct fs_source *source, const char *file,
                          const char *path)
{
    enum err e;
    if (!S_ISDIR(source->st.st_mode)) {
        e = send_file(p, source, file, path);
        close(source->fd);
        return e;
    }
    if (!p->recursive) {
        close(source->fd);
        return batch_fail(&p->batch,
                          log_fail(ERR_TYPE, "%s is a folder; put -r sends folders", file));
    }
    if ((e = link_mkdir(&p->link, path)) != ERR_OK) {
        close(source->fd);
        return p->link.chan.failed ? e : batch_fail(&p->batch, e);
    }
    return put_tree(p, source->fd, file, path);
}

/* What stands in a folder, name by name. */
static enum err put_entry(struct put *p, const char *folder, const char *path, const char *name)
{
    char file[2 * PATH_MAX_BYTES], target[PATH_MAX_BYTES + 1];
    struct fs_source source;
    enum err e;
    if (snprintf(file, sizeof file, "%s/%s", folder, name) >= (int)sizeof file)
        return batch_fail(&p->batch, log_fail(ERR_NAME, "%s/%s: too long", folder, name));
    if ((e = path_join(path, name, target)) != ERR_OK ||
        (e = open_source(file, false, &source)) != ERR_OK)
        return batch_fail(&p->batch, e);
    return put_thing(p, &source, file, target);
}

static enum err put_tree(struct put *p, int fd, const char *folder, const char *path)
{
    DIR *d = fdopendir(fd);
    struct dirent *entry;
    enum err e = ERR_OK;
    if (!d) {
        close(fd);
        return batch_fail(&p->batch, log_fail_errno("%s", folder));
    }
    if (p->depth == DEPTH_MAX)
        e = batch_fail(&p->batch,
                       log_fail(ERR_LIMIT, "%s: more than %d folders deep", folder, DEPTH_MAX));
    errno = 0;
    while (p->depth < DEPTH_MAX && e == ERR_OK && (entry = readdir(d))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            strcmp(entry->d_name, PATH_SERVICE) != 0) {
            p->depth++;
            e = put_entry(p, folder, path, entry->d_name);
            p->depth--;
        }
        errno = 0;
    }
    if (e == ERR_OK && errno)
        e = batch_fail(&p->batch, log_fail_errno("%s", folder));
    closedir(d);
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

static enum err put_argument(struct put *p, const char *file, bool into)
{
    char path[PATH_MAX_BYTES + 1], name[PATH_NAME_MAX + 1];
    struct fs_source source;
    enum err e = open_source(file, true, &source);
    if (e != ERR_OK)
        return batch_fail(&p->batch, e);
    memcpy(path, p->to->path, sizeof path);
    if (into && !local_base(file, name))
        e = log_fail(ERR_NAME, "%s: has no name to give it at the server; say which", file);
    else if (into)
        e = path_join(p->to->path, name, path);
    if (e == ERR_OK)
        return put_thing(p, &source, file, path);
    close(source.fd);
    return batch_fail(&p->batch, e);
}

enum err command_put(const struct command *self, int argc, const char **argv)
{
    struct put p = {0};
    struct remote to = {0};
    const char **args;
    poptContext ctx;
    int n = 0;
    struct poptOption table[] = {
        {"recursive", 'r', POPT_ARG_NONE, &p.recursive, 0, "Send folders with all in them", NULL},
        {"no-overwrite", 'n', POPT_ARG_NONE, &p.no_overwrite, 0, "Replace nothing that exists",
         NULL},
        {"recheck", '\0', POPT_ARG_NONE, &p.recheck, 0,
         "When resuming, have everything the server kept hashed again", NULL},
        POPT_TABLEEND};
    enum err e = command_parse(self, argc, argv, table, 2, -1, &ctx, &args);
    while (e == ERR_OK && args[n])
        n++;
    if (e == ERR_OK)
        e = remote_parse(args[n - 1], &to);
    if (e == ERR_OK && n > 2 && !to.folder)
        e = log_fail(ERR_USAGE, "%s: several files need a folder: end it with /", args[n - 1]);
    p.to = &to;
    if (e == ERR_OK && (e = link_open(to.profile, &p.link)) == ERR_OK) {
        for (int i = 0; i < n - 1 && e == ERR_OK; i++)
            e = put_argument(&p, args[i], to.folder);
        e = batch_end(&p.batch, "put", e);
    }
    link_close(&p.link);
    remote_release(&to);
    poptFreeContext(ctx);
    return e;
}
