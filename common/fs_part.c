/* SPDX-License-Identifier: ISC */
#include "fs_gate.h"

#include "log.h"
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum { JOINED_WAIT_MS = 1000 }; /* for connections that are about to end */

struct opening {
    struct fs *fs;
    uint64_t length;
    bool overwrite, sparse;
    struct fs_place at;
    struct fs_names names;
    struct fs_service service;
    struct fs_locked journal;
    struct part_header header;
    bool valid; /* header was read */
    int data;
    struct stat st;  /* of data */
    bool fresh;      /* data was made just now */
    struct stat old; /* what stands at the path */
};

/* ---- the header ---- */

/* Whose it is concerns those who may see what is there. */
static enum err fail_anothers(const struct fs_root *root, const char *path,
                              const struct part_header *h)
{
    bool seen = root->rights & FS_LIST;
    return log_fail(ERR_BUSY, "%s: there is an unfinished transfer of %s%s", path,
                    seen ? "user " : "another user", seen ? h->owner : "");
}

static enum err read_header(struct opening *o)
{
    enum err e = part_header_read(o->journal.fd, &o->header);
    if (e != ERR_OK && e != ERR_NOENT)
        return e;
    o->valid = e == ERR_OK && strcmp(o->header.path, o->names.path) == 0;
    if (o->valid && o->fs->owner[0] && strcmp(o->header.owner, o->fs->owner) != 0)
        return fail_anothers(o->at.root, o->names.path, &o->header);
    return ERR_OK;
}

static enum err write_header(struct opening *o)
{
    o->header = (struct part_header){.length = o->length,
                                     .chunk_log2 = (uint8_t)tree_chunk_log2(o->length),
                                     .created = (uint64_t)time(NULL)};
    snprintf(o->header.path, sizeof o->header.path, "%s", o->names.path);
    snprintf(o->header.owner, sizeof o->header.owner, "%s", o->fs->owner);
    return part_header_write(o->journal.fd, &o->header);
}

/* ---- the data ---- */

static enum err make_data(struct opening *o)
{
    o->data = openat(o->service.parts, o->names.data, O_RDWR | O_CREAT | O_EXCL | FS_LEAF, 0600);
    o->fresh = o->data >= 0;
    if (o->data < 0 || fstat(o->data, &o->st) < 0)
        return log_fail_errno("%s: starting a transfer", o->names.path);
    return ERR_OK;
}

/* A commit that was cut by a crash between link() and unlink(): the data has its final name
 * already. */
static bool committed(const struct opening *o)
{
    return o->data >= 0 && o->st.st_nlink > 1 && fs_same(&o->st, &o->old);
}

static enum err open_data(struct opening *o)
{
    o->data = fs_open_regular(o->service.parts, o->names.data, O_RDWR, &o->st);
    if (committed(o)) {
        fs_close(&o->data);
        if (unlinkat(o->service.parts, o->names.data, 0) < 0)
            return log_fail_errno("%s: removing what a cut commit left", o->names.path);
        return make_data(o);
    }
    if (o->data < 0 && errno == ENOENT)
        return make_data(o);
    if (o->data < 0)
        return errno == ELOOP || errno == ENOTSUP
                   ? fs_fail_type(o->names.path, o->st.st_mode)
                   : log_fail_errno("%s: opening its unfinished transfer", o->names.path);
    if (o->st.st_nlink != 1)
        return log_fail(ERR_TYPE, "%s: its unfinished transfer has a second name (hard link)",
                        o->names.path);
    return ERR_OK;
}

/* ---- whose it is ---- */

static enum err check_owner(const struct opening *o)
{
    if (o->st.st_uid == geteuid() && o->journal.st.st_uid == geteuid())
        return ERR_OK;
    return log_fail(ERR_TYPE, "%s: its unfinished transfer belongs to another account of the host",
                    o->names.path);
}

/* Memory is not reserved, as that means filling it with zeros first (a quarter of the time of the
 * whole transfer); what can't fit is refused all the same. */
static enum err check_memory(const struct opening *o, const struct statfs *memory)
{
    uint64_t there = (uint64_t)o->st.st_blocks * 512;
    uint64_t room = (uint64_t)memory->f_bavail * (uint64_t)memory->f_bsize;
    if (memory->f_blocks == 0 || o->length <= there || o->length - there <= room)
        return ERR_OK;
    errno = ENOSPC;
    return log_fail_errno("%s: reserving %llu bytes", o->names.path, (unsigned long long)o->length);
}

/* What has holes would lose them. Only once: it moves the change time, and with it the trust in what is there. */
static enum err reserve(const struct opening *o)
{
    struct statfs on;
    if (o->length == 0 || o->sparse || (!o->fresh && o->valid && o->header.length == o->length))
        return ERR_OK;
    if (fstatfs(o->data, &on) == 0 && on.f_type == TMPFS_MAGIC)
        return check_memory(o, &on);
    int failed;
    do
        failed = fallocate(o->data, FALLOC_FL_KEEP_SIZE, 0, (off_t)o->length);
    while (failed && errno == EINTR);
    if (!failed || errno == EOPNOTSUPP || errno == ENOSYS)
        return ERR_OK;
    return log_fail_errno("%s: reserving %llu bytes", o->names.path, (unsigned long long)o->length);
}

/* ---- opening ---- */

static enum err fail_busy(const char *path)
{
    return log_fail(ERR_BUSY, "%s: is being received by another transfer now", path);
}

static enum err check_place(struct opening *o)
{
    const char *name;
    struct stat parts, folder;
    int dir;
    enum err e = fs_open_parent(&o->at, O_RDONLY, &dir, &name);
    if (e != ERR_OK)
        return e;
    e = fs_check_target(&o->at, dir, o->overwrite, FS_DO_RECEIVE, &o->old);
    if (e == ERR_OK && o->service.parts >= 0 &&
        (fstat(dir, &folder) < 0 || fstat(o->service.parts, &parts) < 0))
        e = log_fail_errno("%s: looking at its folder", o->names.path);
    else if (e == ERR_OK && o->service.parts >= 0 && folder.st_dev != parts.st_dev)
        e = log_fail(ERR_DENIED, "%s: another filesystem is mounted there", o->names.path);
    fs_close(&dir);
    return e;
}

/* Another process that tidies up may remove the folder before the journal is in it. */
static enum err lock_journal(struct opening *o, int wait_ms)
{
    enum err e = ERR_NOENT;
    for (int i = 0; i < 100 && e == ERR_NOENT; i++) {
        fs_service_close(&o->service);
        e = fs_service_open(o->at.root, true, &o->service);
        if (e == ERR_OK)
            e = fs_lock(o->service.parts, &o->names, true, wait_ms, &o->journal);
    }
    if (e == ERR_BUSY)
        return fail_busy(o->names.path);
    return e == ERR_NOENT
               ? log_fail(ERR_BUSY, "%s: " PATH_SERVICE " keeps being removed", o->names.path)
               : e;
}

static enum err open_locked(struct opening *o)
{
    /* Once more: whoever held the lock may have committed meanwhile. */
    enum err e = check_place(o);
    if (e == ERR_OK)
        e = read_header(o);
    if (e == ERR_OK)
        e = open_data(o);
    if (e == ERR_OK)
        e = check_owner(o);
    if (e == ERR_OK)
        e = fs_charge(o->fs, &o->at, o->data, o->length);
    if (e == ERR_OK)
        e = reserve(o);
    if (e == ERR_OK && !o->valid)
        e = write_header(o);
    /* Nothing is left of a start that failed; what was there before stays. */
    if (e != ERR_OK && o->fresh &&
        fs_drop_data(o->fs, o->at.root, o->service.parts, &o->names) != ERR_OK)
        log_warn("%s: what was begun of it stays behind", o->names.path);
    if (e != ERR_OK && o->journal.fresh)
        (void)unlinkat(o->service.parts, o->names.journal, 0);
    return e;
}

/* Chunks are what is looked for in an old version: both must have some. */
static bool worth_a_look(const struct opening *o)
{
    return o->old.st_nlink > 0 && !fs_one_chunk((uint64_t)o->old.st_size) &&
           !fs_one_chunk(o->length);
}

enum err fs_open_part(struct fs *fs, const char *path, uint64_t length, unsigned flags, int wait_ms,
                      struct fs_part *out)
{
    struct opening o = {.fs = fs,
                        .length = length,
                        .overwrite = flags & FS_PART_OVERWRITE,
                        .sparse = flags & FS_PART_SPARSE,
                        .service = {-1, -1},
                        .journal = {.fd = -1},
                        .data = -1};
    *out = (struct fs_part){.data = -1, .journal = -1};
    enum err e = fs_allow(fs, path, FS_DO_RECEIVE, &o.at);
    if (e != ERR_OK)
        return e;
    if (length > INT64_MAX || tree_chunk_log2(length) == 0)
        return log_fail(ERR_LIMIT, "%s: %llu bytes are too many", path, (unsigned long long)length);
    fs_names_of(path, &o.names);
    e = check_place(&o);
    if (e == ERR_OK)
        e = lock_journal(&o, wait_ms);
    if (e == ERR_OK)
        e = open_locked(&o);
    if (e == ERR_OK) {
        *out = (struct fs_part){
            .data = o.data, .journal = o.journal.fd, .existed = !o.fresh && o.valid};
        if (worth_a_look(&o))
            out->has_old = fs_open_old(&o.at, o.st.st_dev, &out->old);
    } else {
        fs_close(&o.data);
        fs_close(&o.journal.fd);
    }
    fs_service_close(&o.service);
    if (e != ERR_OK && fs->tidy)
        fs_service_tidy(o.at.root);
    return e;
}

/* ---- several at one part ---- */

enum err fs_share_part(const char *path, const struct fs_part *part)
{
    return fs_lock_share(part->journal, path);
}

enum err fs_unshare_part(const char *path, const struct fs_part *part)
{
    return fs_lock_regain(part->journal, path, JOINED_WAIT_MS);
}

static enum err cannot_join(const char *path)
{
    return log_fail(ERR_BUSY, "%s: there is no transfer to join, or it is another one by now",
                    path);
}

static enum err join_in(const struct fs *fs, int parts, const struct fs_names *names,
                        const uint8_t token[static PART_TOKEN], struct fs_part *out)
{
    struct part_header h;
    struct stat journal, data;
    out->journal = fs_open_regular(parts, names->journal, O_RDWR, &journal);
    if (out->journal < 0)
        return cannot_join(names->path);
    enum err e = fs_lock_join(out->journal, names->path);
    /* Under the lock: the one who began it, if it ended meanwhile, has not been followed by another. */
    if (e == ERR_OK)
        e = part_header_read(out->journal, &h);
    if (e == ERR_BUSY || e == ERR_NOENT ||
        (e == ERR_OK && (!part_joined_by(&h, token) || strcmp(h.path, names->path) != 0 ||
                         strcmp(h.owner, fs->owner) != 0)))
        return cannot_join(names->path);
    if (e != ERR_OK)
        return e;
    out->data = fs_open_regular(parts, names->data, O_RDWR, &data);
    if (out->data < 0 || data.st_nlink != 1 || journal.st_nlink != 1 || data.st_uid != geteuid() ||
        journal.st_uid != geteuid())
        return cannot_join(names->path);
    return ERR_OK;
}

enum err fs_join_part(struct fs *fs, const char *path, const uint8_t token[static PART_TOKEN],
                      struct fs_part *out)
{
    struct fs_place at;
    struct fs_names names;
    struct fs_service service;
    *out = (struct fs_part){.data = -1, .journal = -1};
    enum err e = fs_allow(fs, path, FS_DO_RECEIVE, &at);
    if (e != ERR_OK)
        return e;
    fs_names_of(path, &names);
    if (fs_service_open(at.root, false, &service) != ERR_OK)
        return cannot_join(path);
    e = join_in(fs, service.parts, &names, token, out);
    fs_service_close(&service);
    if (e != ERR_OK) {
        fs_close(&out->data);
        fs_close(&out->journal);
    }
    return e;
}

/* ---- discarding ---- */

bool fs_part_is_anothers(const struct fs *fs, int journal, struct part_header *h)
{
    return part_header_read(journal, h) == ERR_OK && fs->owner[0] &&
           strcmp(h->owner, fs->owner) != 0;
}

static enum err discard_in(struct fs *fs, const struct fs_root *root, int parts,
                           const struct fs_names *names)
{
    struct fs_locked journal;
    struct part_header h;
    struct stat st;
    /* Data without a journal is no use to anybody: the journal is made to lock it. */
    bool orphan = fstatat(parts, names->journal, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT &&
                  fstatat(parts, names->data, &st, AT_SYMLINK_NOFOLLOW) == 0;
    enum err e = fs_lock(parts, names, orphan, 0, &journal);
    if (e != ERR_OK)
        return e == ERR_BUSY ? fail_busy(names->path) : e;
    if (fs_part_is_anothers(fs, journal.fd, &h))
        e = fail_anothers(root, names->path, &h);
    if (e == ERR_OK)
        e = fs_drop_part(fs, root, parts, names);
    fs_close(&journal.fd);
    return e;
}

enum err fs_discard(struct fs *fs, const char *path)
{
    struct fs_place at;
    struct fs_names names;
    struct fs_service service;
    enum err e = fs_allow(fs, path, FS_DO_DISCARD, &at);
    if (e != ERR_OK)
        return e;
    fs_names_of(path, &names);
    e = fs_service_open(at.root, false, &service);
    if (e == ERR_OK)
        e = discard_in(fs, at.root, service.parts, &names);
    fs_service_close(&service);
    if (e == ERR_NOENT)
        e = log_fail(e, "%s: there is no unfinished transfer", path);
    if (fs->tidy)
        fs_service_tidy(at.root);
    return e;
}
