/* SPDX-License-Identifier: ISC */
/* consign verify: a file or a tree here and one at a server, compared by length and root. No content is
 * moved. A tree is gone through twice: here, asking the server about all there is in batches; then there,
 * for what is not here. */
#include "trees.h"

#include "log.h"
#include "lookup.h"
#include "remote_walk.h"
#include "text.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct verify {
    struct work work;
    struct worker worker;
    struct link link;
    struct tree_options tree;
    int recursive;
    const char *file; /* what it is called here; at the server it is work.at */
    int fd;
    struct walk *walk;
    struct lookup lookups[2];
    uint64_t differ, one_side;
};

/* ---- differences in a tree ---- */

static void tell(const struct verify *v, const char *rel, const char *why, const uint8_t *root,
                 const uint8_t *remote_root)
{
    char local[2 * PATH_MAX_BYTES], path[2 * PATH_MAX_BYTES], remote[2 * PATH_MAX_BYTES + 80];
    char a[2 * TREE_HASH + 1], b[2 * TREE_HASH + 1];
    const char *top = v->work.at->path;
    snprintf(local, sizeof local, "%s/%s", v->file, rel);
    snprintf(path, sizeof path, "%s/%s", strcmp(top, "/") == 0 ? "" : top, rel);
    remote_text(v->work.at, path, remote, sizeof remote);
    if (root)
        show_hex(root, a);
    if (remote_root)
        show_hex(remote_root, b);
    if (options.json)
        show_json("verify", "file", local, "remote", remote, "#equal", "false", "why", why, "root",
                  root ? a : NULL, "remote_root", remote_root ? b : NULL, NULL);
    else
        show_line("%s: %s", strcmp(why, "missing here") == 0 ? remote : local, why);
}

static void differs(struct verify *v, const char *rel, const char *why, const uint8_t *root,
                    const uint8_t *remote_root)
{
    v->differ++;
    tell(v, rel, why, root, remote_root);
}

static void missing(struct verify *v, const char *rel, const char *why)
{
    v->one_side++;
    tell(v, rel, why, NULL, NULL);
}

/* What the server can't say of rel. */
static void fault_there(struct verify *v, const char *rel, enum err e, const char *why)
{
    char path[PATH_MAX_BYTES + 1], remote[PATH_MAX_BYTES + 80];
    if (!tree_join(&v->worker, v->work.at->path, rel, path, sizeof path))
        return;
    remote_text(v->work.at, path, remote, sizeof remote);
    tree_fault(&v->worker, remote, e, why);
}

/* ---- here ---- */

static enum err hash_entry(struct verify *v, const struct looked_up *f,
                           uint8_t root[static TREE_HASH])
{
    char local[2 * PATH_MAX_BYTES];
    struct show show;
    int fd = lookup_open(f, v->fd);
    if (fd < 0) {
        tree_fault_errno(&v->worker, v->file, f->rel);
        return ERR_IO;
    }
    snprintf(local, sizeof local, "%s/%s", v->file, f->rel);
    show_start(&show, "verify", local, "");
    show.drawn_ms = show.started_ms; /* short ones are not worth a line */
    enum err e = roots_local(&v->worker.pipeline, fd, local, &f->st, &show, root);
    show_end(&show);
    close(fd);
    if (e != ERR_OK && !v->link.chan.failed)
        batch_fail(&v->work.batch, e);
    return e;
}

static enum err compare_entry(struct verify *v, struct looked_up *f)
{
    uint8_t root[TREE_HASH] = {0};
    const struct fs_info *t = &f->there;
    enum err ours = f->st.st_size > 0 ? hash_entry(v, f, root) : ERR_OK;
    enum err e = v->link.chan.failed ? ours : roots_wait(&f->root, &v->worker.pipeline);
    if (e != ERR_OK || ours != ERR_OK)
        return e;
    if (f->root.status != ERR_OK)
        fault_there(v, f->rel, f->root.status, f->root.reason);
    else if (t->type != MSG_FILE)
        differs(v, f->rel, "another type", NULL, NULL);
    else if (t->size != (uint64_t)f->st.st_size)
        differs(v, f->rel, "another length", NULL, NULL);
    else if (!t->has_root && t->size > 0)
        fault_there(v, f->rel, ERR_PROTO, "its root was not told");
    else if (t->size > 0 && memcmp(root, t->root, TREE_HASH) != 0)
        differs(v, f->rel, "another content", root, t->root);
    else {
        v->work.batch.good++;
        v->work.batch.bytes += t->size;
    }
    return ERR_OK;
}

static enum err compare_link(struct verify *v, const struct looked_up *f)
{
    char target[FS_TARGET_MAX + 1];
    if (!tree_target(v->fd, f->rel, target))
        tree_fault_errno(&v->worker, v->file, f->rel);
    else if (!f->target)
        fault_there(v, f->rel, ERR_DENIED, "is a symbolic link, and its target is not told");
    else if (strcmp(f->target, target) != 0)
        differs(v, f->rel, "another target", NULL, NULL);
    else
        v->work.batch.good++;
    return ERR_OK;
}

static uint8_t type_of(mode_t mode)
{
    return S_ISDIR(mode) ? MSG_FOLDER : S_ISLNK(mode) ? MSG_LINK : MSG_FILE;
}

static enum err judge(struct verify *v, struct looked_up *f)
{
    const struct fs_info *t = &f->there;
    enum err unknown = err_from_wire((uint16_t)t->mode);
    bool folder = S_ISDIR(f->st.st_mode);
    if (!f->known && !f->root.asked)
        fault_there(v, f->rel, unknown, err_text(unknown));
    else if (t->type == MSG_MISSING)
        missing(v, f->rel, "missing there");
    else if (t->type != type_of(f->st.st_mode))
        differs(v, f->rel, "another type", NULL, NULL);
    else if (t->type == MSG_LINK)
        return compare_link(v, f);
    else if (!folder && t->size != (uint64_t)f->st.st_size && !f->root.asked)
        differs(v, f->rel, "another length", NULL, NULL);
    else if (!folder)
        return compare_entry(v, f);
    return ERR_OK;
}

/* Walks on until l is full or the tree is at its end. */
static enum err fill(struct verify *v, struct lookup *l, bool *end)
{
    struct walk_entry entry;
    enum err e = ERR_OK;
    while (e == ERR_OK && !lookup_full(l)) {
        *end = walk_next(v->walk, &entry) != ERR_OK;
        if (*end)
            break;
        if (entry.kind == WALK_FILE || entry.kind == WALK_ENTER ||
            (entry.kind == WALK_LINK && tree_keeps_links(&v->tree)))
            e = lookup_add(l, entry.path, &entry.st, entry.followed);
        else if (entry.kind != WALK_LEAVE)
            tree_pass_over(&v->worker, &v->tree, v->file, &entry);
    }
    if (e != ERR_OK || l->n == 0)
        return e;
    return lookup_ask(l, &v->worker.pipeline, v->work.at->path, tree_items(&v->tree));
}

static enum err judge_batch(struct verify *v, struct lookup *l)
{
    struct pipeline *p = &v->worker.pipeline;
    enum err e = lookup_wait(l, p);
    if (e == ERR_OK)
        e = lookup_ask_roots(l, p, v->work.at->path);
    for (size_t i = 0; e == ERR_OK && i < l->n; i++)
        e = judge(v, &l->list[i]);
    lookup_clear(l);
    return e;
}

/* While the files of one batch are hashed, the server answers about the next. */
static enum err go_through_local(struct verify *v)
{
    bool end = false;
    unsigned now = 0;
    enum err e = fill(v, &v->lookups[now], &end);
    while (e == ERR_OK && v->lookups[now].n > 0) {
        if (!end)
            e = fill(v, &v->lookups[!now], &end);
        if (e == ERR_OK)
            e = judge_batch(v, &v->lookups[now]);
        now = !now;
    }
    return e;
}

/* ---- there ---- */

static void on_remote(struct verify *v, struct remote_walk *walk, const struct remote_item *item)
{
    uint8_t type = item->info.type;
    const char *links = v->tree.links;
    struct stat st;
    if (type == MSG_FAULT) {
        fault_there(v, item->path, item->fault, err_text(item->fault));
        return;
    }
    if (type == MSG_LEAVE)
        return;
    if (!tree_passes(&v->tree, item->path, type == MSG_FOLDER)) {
        if (type == MSG_FOLDER)
            remote_walk_skip(walk);
        return;
    }
    if (type == MSG_LINK && links && strcmp(links, "skip") == 0)
        return;
    /* What is here has been judged. */
    if (fstatat(v->fd, item->path, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        missing(v, item->path, "missing here");
}

static enum err go_through_remote(struct verify *v)
{
    struct remote_walk *walk = NULL;
    struct remote_item item;
    enum err e = remote_walk_open(&v->worker.pipeline, v->work.at->path, 0, &walk);
    while (e == ERR_OK && (e = remote_walk_next(walk, &item)) == ERR_OK)
        on_remote(v, walk, &item);
    remote_walk_close(walk);
    if (e == ERR_NOENT && !v->link.chan.failed)
        return ERR_OK;
    return v->link.chan.failed ? e : batch_fail(&v->work.batch, e);
}

/* ---- the whole ---- */

static void say_sum(const struct verify *v)
{
    const struct batch *b = &v->work.batch;
    char bytes[TEXT_SIZE], good[32], failed[32], n[32], differ[32], one_side[32];
    text_size(b->bytes, bytes);
    snprintf(good, sizeof good, "%llu", (unsigned long long)b->good);
    snprintf(failed, sizeof failed, "%llu", (unsigned long long)b->failed);
    snprintf(n, sizeof n, "%llu", (unsigned long long)b->bytes);
    snprintf(differ, sizeof differ, "%llu", (unsigned long long)v->differ);
    snprintf(one_side, sizeof one_side, "%llu", (unsigned long long)v->one_side);
    if (options.json)
        show_json("summary", "op", "verify", "#good", good, "#failed", failed, "#bytes", n,
                  "#differ", differ, "#missing", one_side, NULL);
    else
        show_line("verify: %s files are equal, %s; %s differ; %s on one side only; %s failed", good,
                  bytes, differ, one_side, failed);
}

static enum err verify_tree(struct verify *v)
{
    struct fs_info info;
    char remote[PATH_MAX_BYTES + 80];
    enum err e = link_stat(&v->link, v->work.at->path, false, false, &info);
    if (e != ERR_OK)
        return e;
    if (info.type != MSG_FOLDER) {
        remote_text(v->work.at, v->work.at->path, remote, sizeof remote);
        return log_fail(ERR_TYPE, "%s: not a folder, but %s is", remote, v->file);
    }
    e = tree_walk(&v->tree, false, v->fd, v->file, &v->walk);
    if (e == ERR_OK)
        e = worker_init(&v->worker, &v->work, &v->link);
    if (e == ERR_OK && (e = go_through_local(v)) == ERR_OK && (e = go_through_remote(v)) == ERR_OK)
        e = worker_settle(&v->worker);
    walk_close(v->walk);
    worker_release(&v->worker);
    say_sum(v);
    if (e != ERR_OK)
        return e;
    return v->differ + v->one_side > 0 ? ERR_DIFFER : v->work.batch.first;
}

/* ---- a single file ---- */

static enum err say_files(const struct verify *v, uint64_t size, const uint8_t *root,
                          const struct fs_info *theirs)
{
    char a[2 * TREE_HASH + 1], b[2 * TREE_HASH + 1], shown[PATH_MAX_BYTES + 80];
    bool same = size == theirs->size && memcmp(root, theirs->root, TREE_HASH) == 0;
    remote_text(v->work.at, v->work.at->path, shown, sizeof shown);
    show_hex(root, a);
    show_hex(theirs->root, b);
    if (options.json)
        show_json("verify", "file", v->file, "remote", shown, "#equal", same ? "true" : "false",
                  "root", a, "remote_root", b, NULL);
    else if (same)
        show_line("%s and %s are equal: %llu bytes, root %s", v->file, shown,
                  (unsigned long long)size, a);
    return same ? ERR_OK
                : log_fail(ERR_DIFFER,
                           "%s (%llu bytes, root %s) and %s (%llu bytes, root %s) differ", v->file,
                           (unsigned long long)size, a, shown, (unsigned long long)theirs->size, b);
}

/* Hashed at both sides at once. */
static enum err verify_file(struct verify *v, const struct stat *st)
{
    struct pipeline *p = &v->worker.pipeline;
    const char *path = v->work.at->path;
    uint8_t root[TREE_HASH];
    struct root_question q;
    struct fs_info theirs;
    struct show show;
    enum err e = link_stat(&v->link, path, false, false, &theirs);
    if (e == ERR_OK && theirs.type != MSG_FILE)
        e = log_fail(ERR_TYPE, "%s: not a file at the server", path);
    if (e != ERR_OK)
        return e;
    pipeline_init(p, &v->link);
    if ((e = roots_ask(&q, p, path, &theirs)) != ERR_OK ||
        (e = pipeline_sent(p, chan_flush(&v->link.chan))) != ERR_OK)
        return e;
    show_start(&show, "verify", v->file, "");
    enum err ours = roots_local(p, v->fd, v->file, st, &show, root);
    show_end(&show);
    e = v->link.chan.failed ? ours : roots_wait(&q, p);
    if (e != ERR_OK || ours != ERR_OK)
        return e != ERR_OK ? e : ours;
    if (q.status != ERR_OK)
        return log_fail(q.status, "%s", q.reason);
    if (!theirs.has_root)
        return log_fail(ERR_TYPE, "%s: has no root", path);
    return say_files(v, (uint64_t)st->st_size, root, &theirs);
}

/* ---- the command ---- */

static enum err run(struct verify *v, const struct remote *at)
{
    struct stat st;
    v->fd = open(v->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (v->fd < 0 || fstat(v->fd, &st) < 0)
        return log_fail_errno("%s", v->file);
    if (S_ISDIR(st.st_mode) && !v->recursive)
        return log_fail(ERR_TYPE, "%s is a folder; verify -r compares folders", v->file);
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return log_fail(ERR_TYPE, "%s: neither a file nor a folder", v->file);
    enum err e = link_open(at->profile, &v->link);
    if (e != ERR_OK)
        return e;
    return S_ISDIR(st.st_mode) ? verify_tree(v) : verify_file(v, &st);
}

enum err command_verify(const struct command *self, int argc, const char **argv)
{
    static struct verify v = {
        .work = {.op = "verify", .tree = true}, .link.chan.failed = true, .fd = -1};
    struct remote at = {0};
    const char **args;
    poptContext ctx;
    struct poptOption table[] = {{"recursive", 'r', POPT_ARG_NONE, &v.recursive, 0,
                                  "Compare folders with all in them", NULL},
                                 TREE_OPTIONS(&v.tree),
                                 POPT_TABLEEND};
    tree_options_init(&v.tree);
    v.tree.compare = TREE_ROOTS;
    enum err e = command_parse(self, argc, argv, table, 2, 2, &ctx, &args);
    if (e == ERR_OK)
        e = tree_options_check(&v.tree);
    if (e == ERR_OK && (e = remote_parse(args[1], &at)) == ERR_OK) {
        v.work.at = &at;
        v.file = args[0];
        e = run(&v, &at);
    }
    for (unsigned i = 0; i < 2; i++)
        lookup_clear(&v.lookups[i]);
    link_close(&v.link);
    if (v.fd >= 0)
        close(v.fd);
    tree_options_release(&v.tree);
    remote_release(&at);
    poptFreeContext(ctx);
    return e;
}
