/* SPDX-License-Identifier: ISC */
#include "fs_gate.h"

#include "log.h"
#include <string.h>
#include <time.h>

enum { TRIES = 3 };

void fs_limit(struct fs *fs, const struct fs_limits *l)
{
    fs->limits = *l;
    fs->gated = true;
}

bool fs_counted(const struct fs *fs)
{
    return fs->limits.bytes || fs->limits.files || fs->limits.parts;
}

bool fs_marks(const struct fs *fs, int top)
{
    int fd = -1;
    if (!fs->gated)
        return false;
    bool marks = fs_counted(fs) || fs->limits.retain_s || fs_ledger_open(top, false, &fd) == ERR_OK;
    fs_close(&fd);
    return marks;
}

struct fs_mark fs_mark_now(const struct fs *fs, uint64_t length)
{
    struct fs_mark m = {.length = length, .since = (int64_t)time(NULL)};
    memcpy(m.by, fs->owner, sizeof m.by);
    if (fs->limits.retain_s)
        m.until = m.since + (int64_t)fs->limits.retain_s;
    return m;
}

/* ---- entering ---- */

/* The ledgers that are to be locked, in the order in which everybody locks them. */
struct books {
    struct book {
        const struct fs_root *root;
        int fd;
        dev_t dev;
        ino_t ino;
    } list[FS_GATE_ROOTS];
    unsigned n;
};

static void close_books(struct books *b)
{
    while (b->n > 0)
        fs_close(&b->list[--b->n].fd);
}

/* Two roots may be one folder: then its ledger is there once, as that of the root that matters. */
static enum err add_book(struct books *b, const struct fs_root *root, bool make, bool matters)
{
    struct fs_service service = {-1, -1};
    struct book new = {.root = root, .fd = -1};
    struct stat st;
    unsigned i = 0;
    enum err e = fs_service_open(root, make, &service);
    if (e == ERR_OK)
        e = fs_ledger_open(service.top, make, &new.fd);
    fs_service_close(&service);
    if (e == ERR_OK && fstat(new.fd, &st) < 0)
        e = log_fail_errno("looking at the ledger");
    if (e != ERR_OK) {
        fs_close(&new.fd);
        return e == ERR_NOENT ? ERR_OK : e;
    }
    new.dev = st.st_dev;
    new.ino = st.st_ino;
    while (i < b->n &&
           (b->list[i].dev < new.dev || (b->list[i].dev == new.dev && b->list[i].ino < new.ino)))
        i++;
    if (i < b->n && b->list[i].dev == new.dev && b->list[i].ino == new.ino) {
        if (matters)
            b->list[i].root = root;
        fs_close(&new.fd);
        return ERR_OK;
    }
    memmove(&b->list[i + 1], &b->list[i], (b->n - i) * sizeof b->list[0]);
    b->list[i] = new;
    b->n++;
    return ERR_OK;
}

/* Whether the user can add to it. */
static bool grows(const struct fs_root *root)
{
    return root->rights & (FS_CREATE | FS_OVERWRITE | FS_MKDIR | FS_RENAME);
}

static enum err open_books(struct fs *fs, const struct fs_root *root, bool grow, struct books *b)
{
    bool all = grow && fs_counted(fs);
    bool make = all || fs->limits.retain_s;
    if (fs->n > FS_GATE_ROOTS)
        return log_fail(ERR_CONFIG, "more than %d roots", FS_GATE_ROOTS);
    enum err e = add_book(b, root, make && grows(root), true);
    for (size_t i = 0; all && e == ERR_OK && i < fs->n; i++)
        if (&fs->roots[i] != root)
            e = add_book(b, &fs->roots[i], grows(&fs->roots[i]), false);
    return e;
}

/* Reads what counts by this ledger. ERR_NOENT, silent: the user's files in it were never counted. */
static enum err read_book(struct fs_gate *g, const struct book *b, bool all)
{
    struct fs_account own, nobody;
    enum err e = fs_ledger_find(b->fd, g->fs->owner, &own);
    if (e == ERR_OK)
        e = fs_ledger_find(b->fd, "", &nobody);
    if (e != ERR_OK && (e != ERR_NOENT || all))
        return e;
    if (b->root == g->root) {
        g->ledger = b->fd;
        fs_ledger_head(b->fd, &g->head);
    }
    if (e == ERR_OK && b->root == g->root) {
        g->own = own;
        g->nobody = nobody;
    } else if (e == ERR_OK) {
        struct fs_sum sums[2] = {fs_account_sum(&own), fs_account_sum(&nobody)};
        fs_sum_add(&g->elsewhere, &sums[0]);
        fs_sum_add(&g->elsewhere, &sums[1]);
    }
    return ERR_OK;
}

/* One attempt. ERR_NOENT: *uncounted is to be counted first. */
static enum err enter(struct fs_gate *g, bool grow, const struct fs_root **uncounted)
{
    struct books b = {.n = 0};
    enum err e = open_books(g->fs, g->root, grow, &b);
    for (unsigned i = 0; e == ERR_OK && i < b.n; i++) {
        if ((e = fs_ledger_lock(b.list[i].fd)) == ERR_OK)
            e = read_book(g, &b.list[i], grow && fs_counted(g->fs));
        *uncounted = b.list[i].root;
    }
    if (e != ERR_OK) {
        close_books(&b);
        return e;
    }
    for (unsigned i = 0; i < b.n; i++)
        g->fds[i] = b.list[i].fd;
    g->n = b.n;
    return ERR_OK;
}

enum err fs_gate_enter(struct fs *fs, const struct fs_root *root, bool grow, struct fs_gate *g)
{
    const struct fs_root *uncounted = NULL;
    enum err e = ERR_NOENT;
    *g = (struct fs_gate){.ledger = -1};
    if (!fs->gated)
        return ERR_OK;
    for (int i = 0; e == ERR_NOENT && i < TRIES + FS_GATE_ROOTS; i++) {
        *g = (struct fs_gate){.fs = fs, .root = root, .ledger = -1};
        e = enter(g, grow, &uncounted);
        if (e == ERR_NOENT && (e = fs_count(fs, uncounted)) == ERR_OK)
            e = ERR_NOENT;
    }
    if (e == ERR_NOENT)
        e = log_fail(ERR_BUSY, "the ledger keeps being removed");
    if (e != ERR_OK)
        *g = (struct fs_gate){.ledger = -1};
    return e;
}

static void flush(struct fs_gate *g)
{
    if ((g->own_changed && fs_ledger_write(g->ledger, &g->own) != ERR_OK) ||
        (g->nobody_changed && fs_ledger_write(g->ledger, &g->nobody) != ERR_OK))
        log_warn("root %s: its ledger is behind until it is counted again", g->root->prefix);
    g->own_changed = g->nobody_changed = false;
}

void fs_gate_leave(struct fs_gate *g)
{
    if (!g->root)
        return;
    fs_sum_add(&g->own.out, &g->claimed);
    g->own_changed |= g->claimed.bytes || g->claimed.files || g->claimed.parts;
    flush(g);
    while (g->n > 0)
        fs_close(&g->fds[--g->n]);
    *g = (struct fs_gate){.ledger = -1};
}

/* ---- what goes ---- */

static bool retains(const struct fs_gate *g)
{
    return g->fs->limits.retain_s || g->head.until > (int64_t)time(NULL);
}

enum err fs_gate_yield(const struct fs_gate *g, int dir, const char *name, const struct stat *st,
                       const char *path, struct fs_yield *out)
{
    struct fs_mark m;
    *out = (struct fs_yield){0};
    if (g->ledger < 0 || st->st_nlink == 0)
        return ERR_OK;
    (void)fs_mark_at(dir, name, st, &m);
    memcpy(out->by, m.by, sizeof out->by);
    out->sum =
        (struct fs_sum){.bytes = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0, .files = 1};
    return S_ISDIR(st->st_mode) || !retains(g) ? ERR_OK : fs_retained(g->fs, &m, st, path);
}

enum err fs_gate_yield_folder(const struct fs_gate *g, int dir, const char *name, const char *path)
{
    return g->ledger < 0 || !retains(g) ? ERR_OK : fs_retained_below(g->fs, dir, name, path);
}

/* ---- what comes ---- */

static bool is_over(uint64_t add, uint64_t used, uint64_t replaced, uint64_t limit)
{
    return limit && add > replaced &&
           (add > limit || (used > replaced ? used - replaced : 0) > limit - add);
}

static enum err fail_bytes(const struct fs_gate *g, const char *path, uint64_t add, uint64_t used)
{
    return log_fail(
        ERR_LIMIT, "%s: %llu bytes are more than the quota of %llu leaves: %llu are in use", path,
        (unsigned long long)add, (unsigned long long)g->fs->limits.bytes, (unsigned long long)used);
}

enum err fs_gate_room(const struct fs_gate *g, const char *path, const struct fs_sum *add,
                      const struct fs_sum *already, const struct fs_yield *yields)
{
    struct fs_sum replaced = {0}, used, nobodys;
    if (g->ledger < 0 || !g->own.at)
        return ERR_OK;
    const struct fs_limits *l = &g->fs->limits;
    used = fs_account_sum(&g->own);
    nobodys = fs_account_sum(&g->nobody);
    fs_sum_sub(&used, &g->claimed);
    if (already)
        fs_sum_sub(&used, already);
    fs_sum_add(&used, &nobodys);
    fs_sum_add(&used, &g->elsewhere);
    if (yields && (!yields->by[0] || strcmp(yields->by, g->own.user) == 0))
        replaced = yields->sum;
    if (is_over(add->bytes, used.bytes, replaced.bytes, l->bytes))
        return fail_bytes(g, path, add->bytes, used.bytes);
    if (is_over(add->files, used.files, replaced.files, l->files))
        return log_fail(ERR_LIMIT, "%s: the quota of %llu files and folders is used up", path,
                        (unsigned long long)l->files);
    if (is_over(add->parts, used.parts, 0, l->parts))
        return log_fail(ERR_LIMIT,
                        "%s: the limit of %llu unfinished uploads is reached (consign ls "
                        "--pending shows them, consign rm --part removes one)",
                        path, (unsigned long long)l->parts);
    return ERR_OK;
}

enum err fs_gate_claim(struct fs_gate *g, const struct fs_sum *add)
{
    if (g->ledger < 0 || !g->own.at)
        return ERR_OK;
    fs_sum_add(&g->own.in, add);
    enum err e = fs_ledger_write(g->ledger, &g->own);
    if (e == ERR_OK)
        fs_sum_add(&g->claimed, add);
    else
        fs_sum_sub(&g->own.in, add);
    return e;
}

void fs_gate_settle(struct fs_gate *g, const struct fs_sum *sum)
{
    fs_sum_sub(&g->claimed, sum);
}

void fs_gate_came(struct fs_gate *g, const struct fs_sum *sum)
{
    if (g->ledger < 0 || !g->nobody.at)
        return;
    fs_sum_add(&g->nobody.in, sum);
    g->nobody_changed = true;
}

/* Of another user: his account is written at once. */
static void change_other(struct fs_gate *g, const struct fs_yield *y, bool back)
{
    struct fs_account a;
    if (fs_ledger_find(g->ledger, y->by, &a) != ERR_OK)
        return;
    fs_sum_add(&a.out, &y->sum);
    if (back)
        fs_sum_add(&a.in, &y->sum);
    if (fs_ledger_write(g->ledger, &a) != ERR_OK)
        log_warn("root %s: its ledger is behind until it is counted again", g->root->prefix);
}

static void change(struct fs_gate *g, const struct fs_yield *y, bool back)
{
    if (g->ledger < 0 || y->sum.bytes + y->sum.files + y->sum.parts == 0)
        return;
    bool own = strcmp(y->by, g->fs->owner) == 0;
    struct fs_account *a = own ? &g->own : &g->nobody;
    if (!own && y->by[0]) {
        change_other(g, y, back);
        return;
    }
    if (!a->at)
        return;
    fs_sum_add(&a->out, &y->sum);
    if (back)
        fs_sum_add(&a->in, &y->sum);
    *(own ? &g->own_changed : &g->nobody_changed) = true;
}

void fs_gate_gone(struct fs_gate *g, const struct fs_yield *y)
{
    change(g, y, false);
}

void fs_gate_moved(struct fs_gate *g, const struct fs_yield *y)
{
    change(g, y, true);
}

static void write_head(struct fs_gate *g)
{
    if (fs_ledger_write_head(g->ledger, &g->head) != ERR_OK)
        log_warn("root %s: its ledger is behind until it is counted again", g->root->prefix);
}

void fs_gate_moved_folder(struct fs_gate *g)
{
    if (g->ledger < 0)
        return;
    g->head.moves++;
    write_head(g);
}

enum err fs_gate_promise(struct fs_gate *g, int64_t until)
{
    if (g->ledger < 0 || until <= g->head.until)
        return ERR_OK;
    g->head.until = until;
    return fs_ledger_write_head(g->ledger, &g->head);
}
