/* SPDX-License-Identifier: ISC */
/* Counting what is on the disk, to begin a ledger or to correct it. Names go on changing meanwhile: what came
 * and what went between the first look at an account and the last may have been seen or not, which bounds what is
 * known; only what is certainly wrong is corrected. Where nothing happens that is everything. */
#include "fs_gate.h"

#include "log.h"
#include "walk.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TRIES = 3 };

struct tally {
    struct fs_account then; /* as it was when the counting began */
    struct fs_sum found;
};

struct counting {
    struct fs *fs;
    const struct fs_root *root;
    int ledger;
    struct tally *list;
    size_t n, cap;
    struct tally *last; /* most files have the same owner as the one before */
    int64_t since;      /* counted since then is good enough */
    uint64_t moves;
    uint64_t unseen;
};

/* ---- accounts ---- */

static enum err add_account(void *arg, const struct fs_account *a)
{
    struct counting *c = arg;
    if (c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 16;
        struct tally *grown = realloc(c->list, cap * sizeof *grown);
        if (!grown)
            return log_fail(ERR_INTERNAL, "out of memory for a ledger");
        c->list = grown;
        c->cap = cap;
    }
    c->list[c->n++] = (struct tally){.then = *a};
    return ERR_OK;
}

static struct tally *tally_of(struct counting *c, const char *user)
{
    if (c->last && strcmp(c->last->then.user, user) == 0)
        return c->last;
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->list[i].then.user, user) == 0)
            return c->last = &c->list[i];
    return NULL;
}

static enum err need_account(struct counting *c, const char *user)
{
    struct fs_account a = {0};
    snprintf(a.user, sizeof a.user, "%s", user);
    return tally_of(c, user) ? ERR_OK : add_account(c, &a);
}

static enum err begin(struct counting *c)
{
    struct fs_head head;
    c->n = 0;
    c->last = NULL;
    c->unseen = 0;
    enum err e = fs_ledger_lock(c->ledger);
    if (e != ERR_OK)
        return e;
    e = fs_ledger_each(c->ledger, add_account, c);
    fs_ledger_head(c->ledger, &head);
    c->moves = head.moves;
    fs_ledger_unlock(c->ledger);
    if (e == ERR_OK && c->since && head.counted > c->since)
        c->n = 0;
    else if (e == ERR_OK && fs_counted(c->fs))
        e = need_account(c, c->fs->owner);
    return e == ERR_OK && c->n > 0 ? need_account(c, "") : e;
}

/* ---- the disk ---- */

/* What belongs to a user without an account counts to nobody at all. */
static void found(struct counting *c, const struct fs_mark *m, const struct fs_sum *sum)
{
    struct tally *t = tally_of(c, m->by);
    if (t)
        fs_sum_add(&t->found, sum);
}

static bool is_other_root(const struct counting *c, const struct stat *st)
{
    struct stat root;
    for (size_t i = 0; i < c->fs->n; i++)
        if (fstat(c->fs->roots[i].fd, &root) == 0 && fs_same(&root, st))
            return true;
    return false;
}

static void count_entry(struct counting *c, struct walk *w, const struct walk_entry *entry)
{
    struct fs_sum sum = {.files = 1};
    struct fs_mark m;
    if (entry->kind == WALK_ERROR || entry->kind == WALK_LEAVE) {
        c->unseen +=
            entry->kind == WALK_ERROR && entry->error != ERR_NOENT && entry->error != ERR_CHANGED;
        return;
    }
    if (entry->kind == WALK_ENTER && is_other_root(c, &entry->st)) {
        walk_skip(w);
        return;
    }
    if (entry->kind == WALK_FILE)
        sum.bytes = (uint64_t)entry->st.st_size;
    (void)fs_mark_at(entry->dirfd, entry->name, &entry->st, &m);
    found(c, &m, &sum);
}

static enum err count_tree(struct counting *c)
{
    struct walk_options options = {0};
    struct walk_entry entry;
    struct walk *w;
    int fd = fs_open_beneath(c->root, "", O_RDONLY);
    if (fd < 0)
        return log_fail_errno("root %s: counting", c->root->prefix);
    enum err e = walk_open(fd, &options, &w);
    if (e != ERR_OK)
        return log_fail(e, "root %s: counting: %s", c->root->prefix, strerror(errno));
    while (walk_next(w, &entry) == ERR_OK)
        count_entry(c, w, &entry);
    walk_close(w);
    return ERR_OK;
}

static void count_part(struct counting *c, int parts, const char *data)
{
    struct fs_mark m;
    struct fs_sum sum;
    if (fs_part_counts(parts, data, &m, &sum))
        found(c, &m, &sum);
}

static enum err count_parts(struct counting *c)
{
    const struct dirent *entry;
    struct fs_service service;
    enum err e = fs_service_open(c->root, true, &service);
    if (e != ERR_OK)
        return e;
    DIR *dir = fs_opendir(service.parts, ".");
    if (!dir)
        e = log_fail_errno("root %s: counting unfinished uploads", c->root->prefix);
    while (dir && (entry = readdir(dir)))
        if (fs_has_suffix(entry->d_name, ".data"))
            count_part(c, service.parts, entry->d_name);
    if (dir)
        closedir(dir);
    fs_service_close(&service);
    return e;
}

/* ---- the correction ---- */

static void correct_one(uint64_t found, uint64_t in0, uint64_t out0, uint64_t *in, uint64_t *out)
{
    /* Both only grow, so the differences are not negative; lengths are below 2^63. */
    int64_t came = (int64_t)(*in - in0), went = (int64_t)(*out - out0);
    int64_t too_much = (int64_t)(in0 - out0) - (int64_t)found;
    if (too_much - went > 0)
        *out += (uint64_t)(too_much - went);
    else if (too_much + came < 0)
        *in += (uint64_t) - (too_much + came);
}

static void correct(const struct tally *t, struct fs_account *now)
{
    const struct fs_account *was = &t->then;
    correct_one(t->found.bytes, was->in.bytes, was->out.bytes, &now->in.bytes, &now->out.bytes);
    correct_one(t->found.files, was->in.files, was->out.files, &now->in.files, &now->out.files);
    correct_one(t->found.parts, was->in.parts, was->out.parts, &now->in.parts, &now->out.parts);
}

static void tell(const struct counting *c, const char *user, const struct fs_sum *was,
                 const struct fs_sum *is)
{
    log_warn("root %s: %s%s: counted again: %llu bytes, %llu files, %llu unfinished uploads; the "
             "ledger said %llu, %llu, %llu",
             c->root->prefix, user[0] ? "user " : "without an owner", user,
             (unsigned long long)is->bytes, (unsigned long long)is->files,
             (unsigned long long)is->parts, (unsigned long long)was->bytes,
             (unsigned long long)was->files, (unsigned long long)was->parts);
}

static enum err settle(struct counting *c, const struct tally *t)
{
    struct fs_account now;
    enum err e = fs_ledger_find(c->ledger, t->then.user, &now);
    if (e != ERR_OK && e != ERR_NOENT)
        return e;
    /* Counted by another process meanwhile. */
    if (e == ERR_OK && !t->then.at)
        return ERR_OK;
    struct fs_sum was = fs_account_sum(&now);
    bool fresh = e == ERR_NOENT;
    if (fresh)
        now.in = t->found;
    else
        correct(t, &now);
    struct fs_sum is = fs_account_sum(&now);
    if (fresh || memcmp(&was, &is, sizeof is) != 0)
        e = fs_ledger_write(c->ledger, &now);
    if (!fresh && memcmp(&was, &is, sizeof is) != 0)
        tell(c, now.user, &was, &is);
    return e;
}

/* ERR_CHANGED, silent: folders were renamed meanwhile, and what is in them may have been missed or seen twice. */
static enum err end(struct counting *c, bool last)
{
    struct fs_head head;
    enum err e = fs_ledger_lock(c->ledger);
    if (e != ERR_OK)
        return e;
    fs_ledger_head(c->ledger, &head);
    bool moved = head.moves != c->moves;
    if (moved && !last)
        e = ERR_CHANGED;
    for (size_t i = 0; e == ERR_OK && i < c->n; i++)
        if (!moved || !c->list[i].then.at)
            e = settle(c, &c->list[i]);
    head.counted = (int64_t)time(NULL);
    if (e == ERR_OK)
        e = fs_ledger_write_head(c->ledger, &head);
    fs_ledger_unlock(c->ledger);
    return e;
}

static enum err count_once(struct counting *c, bool last)
{
    enum err e = begin(c);
    if (e == ERR_OK && c->n > 0)
        e = count_tree(c);
    if (e == ERR_OK && c->n > 0)
        e = count_parts(c);
    return e == ERR_OK && c->n > 0 ? end(c, last) : e;
}

static enum err count_locked(struct counting *c)
{
    enum err e = ERR_CHANGED;
    for (int i = 1; e == ERR_CHANGED && i <= TRIES; i++)
        e = count_once(c, i == TRIES);
    if (e == ERR_OK && c->unseen > 0)
        log_warn("root %s: %llu files and folders can't be looked at and are not counted",
                 c->root->prefix, (unsigned long long)c->unseen);
    free(c->list);
    return e;
}

enum err fs_count(struct fs *fs, const struct fs_root *root)
{
    struct counting c = {.fs = fs, .root = root, .ledger = -1};
    struct fs_service service;
    enum err e = fs_service_open(root, true, &service);
    if (e == ERR_OK)
        e = fs_ledger_open(service.top, true, &c.ledger);
    fs_service_close(&service);
    if (e == ERR_OK)
        e = count_locked(&c);
    fs_close(&c.ledger);
    return e;
}

enum err fs_recount(struct fs *fs, size_t i, int64_t since)
{
    struct counting c = {.fs = fs, .root = &fs->roots[i], .ledger = -1, .since = since};
    struct fs_service service = {-1, -1};
    enum err e = fs_service_open(c.root, false, &service);
    if (e == ERR_OK)
        e = fs_ledger_open(service.top, false, &c.ledger);
    fs_service_close(&service);
    if (e == ERR_OK)
        e = count_locked(&c);
    fs_close(&c.ledger);
    return e == ERR_NOENT ? ERR_OK : e;
}
