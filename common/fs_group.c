/* SPDX-License-Identifier: ISC */
/* Small files that arrive together: each is written aside at once; then the data of all is made durable,
 * all get their names, their folders are made durable. What is written aside and never committed is
 * swept like the data of a part without a journal. */
#include "fs_gate.h"

#include "log.h"
#include "text.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    SYNC_EACH = 16, /* so many files are synced one by one; for more the whole filesystem is */
    SYNC_DEVICES = 4,
    MANY = 16, /* for so many one look at all parts is cheaper than one for each */
    STAGED_NAME = 44,
    REASON = 256,
    TRIES = 100,
};

/* Descriptors to be synced together. */
struct sync_set {
    int fds[SYNC_EACH];
    unsigned n;
    struct device {
        int fd;
        dev_t dev;
    } devices[SYNC_DEVICES]; /* of what did not fit into fds */
    unsigned n_devices;
    enum err failed; /* a sync that was not put off */
};

struct staged {
    char *path;
    bool overwrite;
    uint8_t root[TREE_HASH];
    struct fs_place at; /* speaks of path */
    ino_t inode;
    uint64_t length;
    int64_t until;           /* it is retained */
    char aside[STAGED_NAME]; /* its name in parts; empty: none */
    struct stat old;         /* what its name stood for */
    bool named;              /* it has its own name */
    enum err status;
    char reason[REASON];
};

struct fs_group {
    struct fs *fs;
    struct staged *files;
    size_t n;
    struct sync_set data, folders;
    uint8_t id[16];             /* of the next file: random, so that no other process has it */
    const struct fs_root *root; /* whose service folders are open */
    struct fs_service service;
    struct fs_slots slots;
    char made[PATH_MAX_BYTES + 1]; /* the folder that was last seen to be there */
    struct folder {
        char path[PATH_MAX_BYTES + 1]; /* up to and with the last slash */
        size_t n;
        int fd; /* -1: none is open */
        bool changed;
    } folder;   /* the one that names were last given in */
    bool parts; /* the root may have unfinished transfers */
    bool marks; /* the root's files get marks */
    struct fs_gate gate;
    enum err closed; /* the gate could not be entered */
};

/* ---- syncing ---- */

/* Syncs fd's file later; fd moves in. */
static enum err sync_later(struct sync_set *s, int fd, dev_t dev, const char *path)
{
    unsigned i = 0;
    if (s->n < SYNC_EACH) {
        s->fds[s->n++] = fd;
        return ERR_OK;
    }
    while (i < s->n_devices && s->devices[i].dev != dev)
        i++;
    if (i == s->n_devices && i < SYNC_DEVICES) {
        s->devices[s->n_devices++] = (struct device){fd, dev};
        return ERR_OK;
    }
    enum err e =
        i < s->n_devices || fsync(fd) == 0 ? ERR_OK : log_fail_errno("%s: making it durable", path);
    fs_close(&fd);
    return e;
}

/* Syncs and closes all. What failed can't be told from what did not: then all have failed. */
static enum err sync_all(struct sync_set *s)
{
    enum err e = s->failed == ERR_OK ? ERR_OK : log_fail(s->failed, "making small files durable");
    for (unsigned i = 0; i < s->n_devices; i++) {
        if (e == ERR_OK && syncfs(s->devices[i].fd) < 0)
            e = log_fail_errno("making small files durable");
        fs_close(&s->devices[i].fd);
    }
    for (unsigned i = 0; i < s->n; i++) {
        if (e == ERR_OK && fsync(s->fds[i]) < 0)
            e = log_fail_errno("making small files durable");
        fs_close(&s->fds[i]);
    }
    *s = (struct sync_set){0};
    return e;
}

/* ---- writing aside ---- */

enum err fs_group_new(struct fs *fs, struct fs_group **out)
{
    struct fs_group *g = calloc(1, sizeof *g);
    *out = NULL;
    if (!g || !(g->files = calloc(FS_GROUP_MAX, sizeof *g->files))) {
        free(g);
        return log_fail(ERR_INTERNAL, "out of memory for a group of files");
    }
    g->fs = fs;
    g->service = (struct fs_service){-1, -1};
    g->folder.fd = g->gate.ledger = -1;
    fs_slots_init(&g->slots, -1);
    if (getrandom(g->id, sizeof g->id, 0) != sizeof g->id) {
        enum err e = log_fail_errno("random name for a file");
        fs_group_free(g);
        return e;
    }
    *out = g;
    return ERR_OK;
}

static enum err use_root(struct fs_group *g, const struct fs_root *root)
{
    if (g->root == root)
        return ERR_OK;
    g->root = NULL;
    fs_service_close(&g->service);
    fs_slots_release(&g->slots);
    fs_slots_init(&g->slots, -1);
    enum err e = fs_service_open(root, true, &g->service);
    if (e != ERR_OK)
        return e;
    if (!g->fs->tidy)
        fs_slots_init(&g->slots, fs_trees_open(root, true));
    g->marks = fs_marks(g->fs, g->service.top);
    g->root = root;
    return ERR_OK;
}

/* The name of data without a journal: if it stays behind, fs_sweep takes it for such. */
static void next_name(struct fs_group *g, char out[static STAGED_NAME])
{
    char hex[33];
    for (size_t i = sizeof g->id; i-- > 0 && ++g->id[i] == 0;)
        continue;
    text_hex(g->id, sizeof g->id, hex);
    snprintf(out, STAGED_NAME, "%s.data", hex);
}

static enum err write_all(int fd, const struct fs_small *file)
{
    for (size_t done = 0; done < file->n;) {
        ssize_t n = write(fd, file->bytes + done, file->n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return log_fail_errno("%s: writing", file->path);
        done += (size_t)n;
    }
    return ERR_OK;
}

static enum err furnish(int fd, const struct fs_small *file, struct stat *st)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                      {.tv_sec = file->mtime_s, .tv_nsec = file->mtime_ns}};
    mode_t mode = (file->mode & 0755) | 0600;
    if (fstat(fd, st) < 0)
        return log_fail_errno("%s: looking at what was received", file->path);
    if ((st->st_mode & 07777) != mode && fchmod(fd, mode) < 0)
        return log_fail_errno("%s: setting the mode", file->path);
    return futimens(fd, times) == 0 ? ERR_OK : log_fail_errno("%s: setting the time", file->path);
}

static enum err mark(const struct fs_group *g, struct staged *s, int fd)
{
    struct fs_mark m = fs_mark_now(g->fs, s->length);
    if (!g->marks)
        return ERR_OK;
    s->until = m.until;
    return fs_mark_write(fd, &m, s->path);
}

/* Another process or thread that tidies up may remove the folder while nothing is in it. */
static enum err open_aside(struct fs_group *g, struct staged *s, uint32_t mode, int *fd)
{
    enum err e = ERR_OK;
    *fd = -1;
    for (int i = 0; i < TRIES && e == ERR_OK && *fd < 0; i++) {
        if ((e = use_root(g, s->at.root)) != ERR_OK)
            break;
        next_name(g, s->aside);
        *fd = openat(g->service.parts, s->aside, O_WRONLY | O_CREAT | O_EXCL | FS_LEAF,
                     (mode & 0755) | 0600);
        if (*fd < 0 && errno != ENOENT)
            e = log_fail_errno("%s: starting to receive", s->path);
        else if (*fd < 0)
            g->root = NULL;
    }
    if (e == ERR_OK && *fd < 0)
        e = log_fail(ERR_BUSY, "%s: " PATH_SERVICE " keeps being removed", s->path);
    if (*fd < 0)
        s->aside[0] = '\0';
    return e;
}

static enum err write_aside(struct fs_group *g, struct staged *s, const struct fs_small *file)
{
    struct stat st;
    int fd;
    enum err e = open_aside(g, s, file->mode, &fd);
    if (e != ERR_OK)
        return e;
    e = write_all(fd, file);
    if (e == ERR_OK)
        e = furnish(fd, file, &st);
    if (e == ERR_OK)
        e = mark(g, s, fd);
    if (e != ERR_OK) {
        fs_close(&fd);
        return e;
    }
    s->inode = st.st_ino;
    return sync_later(&g->data, fd, st.st_dev, file->path);
}

/* Makes the folders above when they are missing. */
static enum err need_parents(struct fs_group *g, const struct fs_place *at)
{
    const char *slash = strrchr(at->rel, '/');
    size_t n = slash ? (size_t)(slash - at->path) : 0;
    if (n == 0 || (strncmp(g->made, at->path, n) == 0 && g->made[n] == '\0'))
        return ERR_OK;
    enum err e = fs_parents(g->fs, at->path);
    snprintf(g->made, sizeof g->made, "%.*s", e == ERR_OK ? (int)n : 0, at->path);
    return e;
}

static enum err stage(struct fs_group *g, struct staged *s, const struct fs_small *file)
{
    s->overwrite = file->overwrite;
    s->length = file->n;
    memcpy(s->root, file->root, TREE_HASH);
    if (!(s->path = strdup(file->path)))
        return log_fail(ERR_INTERNAL, "out of memory for a path");
    enum err e = fs_allow(g->fs, s->path, FS_DO_RECEIVE, &s->at);
    /* Before the folder of another file in the group is taken for that of a root. */
    if (e == ERR_OK && s->at.rel[0] == '\0')
        e = log_fail(ERR_DENIED, "%s: a root itself is not touched", s->path);
    if (e == ERR_OK && file->n > FS_SMALL_MAX)
        e = log_fail(ERR_LIMIT, "%s: %zu bytes are no small file", s->path, file->n);
    if (e == ERR_OK && file->mtime_ns >= 1000000000)
        e = log_fail(ERR_PROTO, "%s: a time with %u nanoseconds", s->path, file->mtime_ns);
    if (e == ERR_OK && file->parents)
        e = need_parents(g, &s->at);
    return e == ERR_OK ? write_aside(g, s, file) : e;
}

static void fail(struct staged *s, enum err e)
{
    if (s->status != ERR_OK || e == ERR_OK)
        return;
    s->status = e;
    snprintf(s->reason, sizeof s->reason, "%s", log_reason());
}

bool fs_group_add(struct fs_group *g, const struct fs_small *file)
{
    if (g->n == FS_GROUP_MAX)
        return false;
    struct staged *s = &g->files[g->n++];
    *s = (struct staged){0};
    fail(s, stage(g, s, file));
    return true;
}

/* ---- the names ---- */

static void leave_folder(struct fs_group *g)
{
    struct stat st;
    int fd = g->folder.fd;
    enum err e = ERR_OK;
    g->folder.fd = -1;
    if (fd < 0 || !g->folder.changed) {
        fs_close(&fd);
    } else if (fstat(fd, &st) < 0) {
        e = log_fail_errno("%s: making it durable", g->folder.path);
        fs_close(&fd);
    } else {
        e = sync_later(&g->folders, fd, st.st_dev, g->folder.path);
    }
    if (e != ERR_OK)
        g->folders.failed = e;
}

/* Opens the folder that s's name is given in, unless it is open already. */
static enum err enter_folder(struct fs_group *g, const struct staged *s)
{
    const char *name = path_base(s->path);
    size_t n = (size_t)(name - s->path);
    if (g->folder.fd >= 0 && g->folder.n == n && memcmp(g->folder.path, s->path, n) == 0)
        return ERR_OK;
    leave_folder(g);
    enum err e = fs_open_parent(&s->at, O_RDONLY, &g->folder.fd, &name);
    memcpy(g->folder.path, s->path, n);
    g->folder.path[n] = '\0';
    g->folder.n = n;
    g->folder.changed = false;
    return e;
}

/* Enters the gate of s's root, and claims what all its files in the group take. */
static enum err enter_gate(struct fs_group *g, const struct staged *s)
{
    struct fs_sum all = {0};
    if (!g->fs->gated || g->gate.root == s->at.root)
        return ERR_OK;
    if (g->closed != ERR_OK)
        return log_fail(g->closed, "%s: could not be counted", s->path);
    fs_gate_leave(&g->gate);
    enum err e = fs_gate_enter(g->fs, s->at.root, true, &g->gate);
    for (size_t i = 0; i < g->n; i++) {
        const struct staged *other = &g->files[i];
        struct fs_sum one = {other->length, 1, 0};
        if (other->at.root == s->at.root && other->status == ERR_OK && !other->named)
            fs_sum_add(&all, &one);
    }
    if (e == ERR_OK)
        e = fs_gate_claim(&g->gate, &all);
    g->closed = e;
    return e;
}

/* Whether it may take its name, and what goes for it. */
static enum err check(struct fs_group *g, struct staged *s, struct fs_yield *old)
{
    struct fs_sum whole = {s->length, 1, 0};
    enum err e = fs_check_target(&s->at, g->folder.fd, s->overwrite, FS_DO_RECEIVE, &s->old);
    if (e == ERR_OK)
        e = fs_gate_yield(&g->gate, g->folder.fd, path_base(s->path), &s->old, s->path, old);
    if (e == ERR_OK)
        e = fs_gate_room(&g->gate, s->path, &whole, NULL, old);
    return e == ERR_OK ? fs_gate_promise(&g->gate, s->until) : e;
}

static enum err give_name(struct fs_group *g, struct staged *s)
{
    struct fs_sum whole = {s->length, 1, 0};
    struct fs_yield old;
    enum err e = use_root(g, s->at.root);
    if (e == ERR_OK)
        e = enter_folder(g, s);
    if (e == ERR_OK)
        e = enter_gate(g, s);
    if (e == ERR_OK)
        e = check(g, s, &old);
    if (e != ERR_OK)
        return e;
    struct fs_move m = {g->service.parts, s->aside,
                        g->folder.fd,     path_base(s->path),
                        s->path,          s->overwrite && fs_may(s->at.root, FS_DO_RECEIVE, true)};
    if ((e = fs_move_name(&m)) != ERR_OK)
        return e;
    fs_gate_settle(&g->gate, &whole);
    fs_gate_gone(&g->gate, &old);
    g->folder.changed = s->named = true;
    if (m.replace)
        s->aside[0] = '\0';
    return ERR_OK;
}

/* ---- afterwards ---- */

/* What fails here costs only what is stored of the content. */
static void keep_root(struct fs_group *g, const struct staged *s)
{
    struct stat st;
    if (g->slots.trees >= 0 && enter_folder(g, s) == ERR_OK &&
        fstatat(g->folder.fd, path_base(s->path), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        st.st_ino == s->inode)
        (void)fs_slot_write(&g->slots, &st, s->root);
    if (s->old.st_nlink == 1)
        fs_tree_drop(s->at.root, &s->old);
}

/* What an earlier transfer to the same name left would never be gone on with. Not where it is at work
 * now, or another user's. */
static void drop_part(const struct fs_group *g, const struct staged *s)
{
    struct part_header h;
    struct fs_locked journal;
    struct fs_names names;
    fs_names_of(s->path, &names);
    if (fs_lock(g->service.parts, &names, false, 0, &journal) != ERR_OK)
        return;
    if (!fs_part_is_anothers(g->fs, journal.fd, &h) &&
        fs_drop_part(g->fs, g->root, g->service.parts, &names) != ERR_OK)
        log_warn("%s: an unfinished transfer of it stays behind", s->path);
    fs_close(&journal.fd);
}

/* Whether a journal lies in parts: of many files it is not worth while to look for that of each. */
static bool has_journals(int parts)
{
    const struct dirent *entry;
    DIR *dir = fs_opendir(parts, ".");
    bool found = false;
    while (dir && !found && (entry = readdir(dir)))
        found = fs_has_suffix(entry->d_name, ".journal");
    if (!dir)
        return true;
    closedir(dir);
    return found;
}

static void finish(struct fs_group *g, struct staged *s)
{
    bool same = g->root == s->at.root, own = use_root(g, s->at.root) == ERR_OK;
    if (own && !same)
        g->parts = has_journals(g->service.parts);
    if (own && s->aside[0])
        (void)unlinkat(g->service.parts, s->aside, 0);
    if (!own || s->status != ERR_OK)
        return;
    keep_root(g, s);
    if (g->parts)
        drop_part(g, s);
}

static void each_staged(struct fs_group *g, enum err (*step)(struct fs_group *, struct staged *))
{
    for (size_t i = 0; i < g->n; i++)
        if (g->files[i].status == ERR_OK)
            fail(&g->files[i], step(g, &g->files[i]));
}

static void fail_all(struct fs_group *g, enum err e)
{
    for (size_t i = 0; e != ERR_OK && i < g->n; i++)
        fail(&g->files[i], e);
}

void fs_group_commit(struct fs_group *g, fs_group_fn *each, void *arg)
{
    fail_all(g, sync_all(&g->data));
    g->closed = ERR_OK;
    each_staged(g, give_name);
    fs_gate_leave(&g->gate);
    leave_folder(g);
    fail_all(g, sync_all(&g->folders));
    g->parts = !g->root || g->n < MANY || has_journals(g->service.parts);
    for (size_t i = 0; i < g->n; i++)
        if (g->files[i].at.root)
            finish(g, &g->files[i]);
    fs_close(&g->folder.fd);
    for (size_t i = 0; i < g->n; i++) {
        struct staged *s = &g->files[i];
        if (each)
            each(arg, i, s->status, s->reason);
        free(s->path);
    }
    g->n = 0;
    g->made[0] = '\0';
    g->marks = g->root && fs_marks(g->fs, g->service.top);
}

size_t fs_group_count(const struct fs_group *g)
{
    return g->n;
}

void fs_group_free(struct fs_group *g)
{
    if (!g)
        return;
    if (g->n > 0)
        g->data.failed = ERR_CONN;
    fs_group_commit(g, NULL, NULL);
    fs_service_close(&g->service);
    fs_slots_release(&g->slots);
    if (g->fs->tidy && g->root)
        fs_service_tidy(g->root);
    free(g->files);
    free(g);
}
