/* SPDX-License-Identifier: ISC */
#include "trees.h"

#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* popt tells callbacks of a table nothing but that table: there is one command a process. */
static struct tree_options *current;
static enum err wrong; /* the first rule that was refused */

enum { INCLUDE = 1, EXCLUDE, EXCLUDE_FROM };

static void on_option(poptContext ctx, enum poptCallbackReason reason, const struct poptOption *opt,
                      const char *arg, const void *data)
{
    enum err e = ERR_OK;
    (void)ctx;
    (void)reason;
    (void)data;
    if (opt->val == EXCLUDE_FROM)
        e = filter_load(&current->filter, arg);
    else
        e = filter_add(&current->filter, opt->val == INCLUDE, arg);
    wrong = wrong == ERR_OK ? e : wrong;
}

struct poptOption tree_filter_table[] = {
    {NULL, '\0', POPT_ARG_CALLBACK, (void *)on_option, 0, NULL, NULL},
    {"include", '\0', POPT_ARG_STRING, NULL, INCLUDE, "Take what matches; the first rule decides",
     "PATTERN"},
    {"exclude", '\0', POPT_ARG_STRING, NULL, EXCLUDE, "Pass over what matches", "PATTERN"},
    {"exclude-from", '\0', POPT_ARG_STRING, NULL, EXCLUDE_FROM,
     "Pass over what matches a line of FILE", "FILE"},
    POPT_TABLEEND};

void tree_options_init(struct tree_options *o)
{
    filter_init(&o->filter);
    current = o;
    wrong = ERR_OK;
}

enum err tree_options_check(const struct tree_options *o)
{
    if (wrong != ERR_OK)
        return wrong;
    if (o->links && strcmp(o->links, "refuse") != 0 && strcmp(o->links, "skip") != 0 &&
        strcmp(o->links, "follow") != 0 && strcmp(o->links, "keep") != 0)
        return log_fail(ERR_USAGE, "--links is refuse, skip, follow or keep, not \"%s\"", o->links);
    return ERR_OK;
}

void tree_options_release(struct tree_options *o)
{
    filter_release(&o->filter);
    free(o->links);
    o->links = NULL;
}

bool tree_join(struct worker *w, const char *top, const char *rel, char *out, size_t cap)
{
    const char *between = rel[0] && strcmp(top, "/") != 0 ? "/" : "";
    if (snprintf(out, cap, "%s%s%s", top, between, rel) < (int)cap)
        return true;
    tree_fault(w, rel, ERR_NAME, "too long");
    return false;
}

void tree_fault(struct worker *w, const char *what, enum err e, const char *why)
{
    batch_fail(&w->work->batch, log_fail(e, "%s: %s", what, why));
}

static void fault_at(struct worker *w, const char *top, const char *rel, enum err e,
                     const char *why)
{
    char local[2 * PATH_MAX_BYTES];
    if (tree_join(w, top, rel, local, sizeof local))
        tree_fault(w, local, e, why);
}

void tree_fault_errno(struct worker *w, const char *top, const char *rel)
{
    fault_at(w, top, rel, errno == ESTALE ? ERR_CHANGED : err_from_errno(errno),
             errno == ESTALE ? "was replaced while it was read" : strerror(errno));
}

void tree_pass_over(struct worker *w, const struct tree_options *o, const char *top,
                    const struct walk_entry *entry)
{
    if (entry->kind == WALK_LINK && o->links && strcmp(o->links, "skip") == 0)
        return;
    if (entry->kind == WALK_ERROR)
        fault_at(w, top, entry->path, entry->error, entry->reason);
    else
        fault_at(w, top, entry->path, ERR_TYPE,
                 entry->kind == WALK_LINK ? "is a symbolic link (see --links)"
                                          : "neither a file nor a folder");
}

static bool folder_passes(void *arg, const char *path, bool folder)
{
    return folder && tree_passes(arg, path, folder);
}

enum err tree_walk(const struct tree_options *o, bool folders, int fd, const char *file,
                   struct walk **out)
{
    bool follow = o->links && strcmp(o->links, "follow") == 0;
    struct walk_options how = {folders ? folder_passes : tree_passes, (void *)(uintptr_t)o, follow};
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *out = NULL;
    return own >= 0 && walk_open(own, &how, out) == ERR_OK ? ERR_OK : log_fail_errno("%s", file);
}

bool tree_keeps_links(const struct tree_options *o)
{
    return o->links && strcmp(o->links, "keep") == 0;
}

uint32_t tree_items(const struct tree_options *o)
{
    return (o->compare == TREE_ROOTS ? MSG_ITEMS_ROOTS : 0) |
           (tree_keeps_links(o) ? MSG_ITEMS_LINKS : 0);
}

bool tree_target(int top, const char *rel, char target[static FS_TARGET_MAX + 1])
{
    ssize_t n = readlinkat(top, rel, target, FS_TARGET_MAX + 1);
    if (n > FS_TARGET_MAX)
        errno = ENAMETOOLONG;
    target[n > 0 && n <= FS_TARGET_MAX ? n : 0] = '\0';
    return target[0] != '\0';
}

bool tree_passes(void *arg, const char *path, bool folder)
{
    const struct tree_options *o = arg;
    return filter_passes(&o->filter, path, folder);
}

void tree_says(const struct tree_options *o, const char *deed, const char *what)
{
    if (options.json && o->dry_run)
        show_json("would", "do", deed, "path", what, NULL);
    else if (o->dry_run || options.verbose)
        show_line("%s%s %s", o->dry_run ? "would " : "", deed, what);
}
