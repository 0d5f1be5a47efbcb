/* SPDX-License-Identifier: ISC */
#include "fs_internal.h"

#include "log.h"
#include <dirent.h>
#include <errno.h>
#include <string.h>

enum { SLOTS = 512 };

struct survey {
    struct fs *fs;
    const struct fs_root *root;
    const char *path;
    fs_pending_fn *each;
    void *arg;
};

static enum err count_have(int journal, const struct part_header *h, uint64_t *have)
{
    static const uint8_t empty[TREE_HASH];
    uint8_t hashes[SLOTS * TREE_HASH];
    uint64_t chunks = tree_chunks(h->length, h->chunk_log2);
    *have = 0;
    for (uint64_t at = 0; at < chunks; at += SLOTS) {
        size_t n = chunks - at < SLOTS ? (size_t)(chunks - at) : SLOTS;
        enum err e = part_slots_read(journal, at, n, hashes);
        if (e != ERR_OK)
            return e;
        for (size_t i = 0; i < n; i++)
            if (memcmp(hashes + i * TREE_HASH, empty, TREE_HASH) != 0)
                *have += tree_chunk_size(h->length, h->chunk_log2, at + i);
    }
    return ERR_OK;
}

/* A header is only believed where the part's name agrees with it. */
static bool concerns(const struct survey *s, const struct part_header *h, const char *name)
{
    char legal[PATH_MAX_BYTES + 1];
    struct fs_names names;
    if (!fs_within(h->path, s->path) || path_parse(slice_str(h->path), legal) != ERR_OK ||
        fs_root_of(s->fs, h->path) != s->root)
        return false;
    fs_names_of(h->path, &names);
    return strcmp(names.journal, name) == 0 &&
           (!s->fs->owner[0] || strcmp(h->owner, s->fs->owner) == 0 || fs_has(s->root, FS_DO_LIST));
}

static enum err show_part(const struct survey *s, int parts, const char *name)
{
    struct part_header h;
    struct stat st;
    enum err e = ERR_OK;
    int fd = fs_open_regular(parts, name, O_RDONLY, &st);
    if (fd < 0)
        return ERR_OK;
    if (part_header_read(fd, &h) == ERR_OK && concerns(s, &h, name)) {
        struct fs_pending p = {h.path, h.length, 0, st.st_mtim.tv_sec, fs_locked_now(fd)};
        e = count_have(fd, &h, &p.have);
        if (e == ERR_OK)
            e = s->each(s->arg, &p);
    }
    fs_close(&fd);
    return e;
}

static enum err survey_root(const struct survey *s)
{
    const struct dirent *entry;
    struct fs_service service;
    enum err e = fs_service_open(s->root, false, &service);
    if (e != ERR_OK)
        return e == ERR_NOENT ? ERR_OK : e;
    DIR *dir = fs_opendir(service.parts, ".");
    if (!dir)
        e = log_fail_errno("root %s: listing unfinished transfers", s->root->prefix);
    while (e == ERR_OK && dir && (entry = readdir(dir)))
        if (fs_has_suffix(entry->d_name, ".journal"))
            e = show_part(s, service.parts, entry->d_name);
    if (dir)
        closedir(dir);
    fs_service_close(&service);
    return e;
}

enum err fs_list_pending(struct fs *fs, const char *path, fs_pending_fn *each, void *arg)
{
    char legal[PATH_MAX_BYTES + 1];
    enum err e = path_parse(slice_str(path), legal);
    for (size_t i = 0; e == ERR_OK && i < fs->n; i++) {
        struct survey s = {fs, &fs->roots[i], path, each, arg};
        if (fs_within(fs->roots[i].prefix, path) || fs_within(path, fs->roots[i].prefix))
            e = survey_root(&s);
    }
    return e;
}
