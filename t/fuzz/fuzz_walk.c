/* SPDX-License-Identifier: ISC */
/* A listing by a server, as the client reads it: whatever is said, what is taken of it is a tree, told folder by folder,
 * of legal names. The first byte: whether folders alone are wanted. */
#include "fuzz.h"

#include "../../client/remote_order.h"

/* The folders that were entered and not left; what a client makes of a walk lies in the last of them. */
struct model {
    char *path[PATH_MAX_BYTES];
    size_t depth;
};

static void check_place(const struct model *m, const char *path)
{
    char absolute[PATH_MAX_BYTES + 2] = "/";
    const char *above = m->depth ? m->path[m->depth - 1] : "";
    const char *base = path_base(path);
    strcat(absolute, path);
    FUZZ_MUST(path_check(slice_str(absolute)) == ERR_OK && path[0]);
    if (m->depth == 0)
        FUZZ_MUST(base == path);
    else
        FUZZ_MUST((size_t)(base - path) == strlen(above) + 1 &&
                  strncmp(path, above, strlen(above)) == 0);
}

static void check_item(struct model *m, const struct remote_item *item, bool folders)
{
    const struct fs_info *i = &item->info;
    if (i->type == MSG_FAULT) {
        FUZZ_MUST(item->fault != ERR_OK && fuzz_shows(item->path, strlen(item->path), false));
        return;
    }
    FUZZ_MUST(item->fault == ERR_OK && i->mode <= 0777 && i->mtime_ns < 1000000000);
    FUZZ_MUST(!i->has_root || i->type == MSG_FILE);
    FUZZ_MUST(!i->target || i->type == MSG_LINK);
    if (i->type == MSG_LEAVE) {
        FUZZ_MUST(m->depth > 0 && strcmp(m->path[m->depth - 1], item->path) == 0);
        free(m->path[--m->depth]);
        return;
    }
    check_place(m, item->path);
    FUZZ_MUST(!folders || i->type == MSG_FOLDER);
    if (i->type == MSG_FOLDER)
        m->path[m->depth++] = strdup(item->path);
    else
        FUZZ_MUST(i->type == MSG_FILE || i->type == MSG_LINK || i->type == MSG_OTHER);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    static struct model model;
    static struct remote_order order;
    struct msg_item m;
    struct remote_item item;
    if (n == 0)
        return;
    uint8_t *copy = fuzz_copy(data, n);
    struct slice items = slice_of(copy + 1, n - 1);
    bool folders = copy[0] & 1;
    order.folder[0] = order.item[0] = order.target[0] = '\0';
    while (items.n > 0 && msg_take_item(&items, &m)) {
        enum err e = remote_order_take(&order, &m, folders, &item);
        FUZZ_MUST(e == ERR_OK || e == ERR_PROTO);
        if (e != ERR_OK)
            break;
        check_item(&model, &item, folders);
    }
    while (model.depth > 0)
        free(model.path[--model.depth]);
    free(copy);
}

static void put(struct buf *b, uint8_t type, const char *name, const char *target)
{
    struct msg_item m = {.type = type,
                         .mode = type == MSG_FAULT ? ERR_DENIED : 0644,
                         .size = 7,
                         .has_root = type == MSG_FILE,
                         .name = slice_str(name),
                         .target = slice_str(target)};
    FUZZ_MUST(msg_add_item(b, &m));
}

void fuzz_seeds(void)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    wire_put_u8(&b, 0);
    put(&b, MSG_FILE, "a", NULL);
    put(&b, MSG_FOLDER, "b", NULL);
    put(&b, MSG_LINK, "b/l", "../../x");
    put(&b, MSG_FOLDER, "b/c", NULL);
    put(&b, MSG_FAULT, "b/c/\x1bx", NULL);
    put(&b, MSG_LEAVE, "b/c", NULL);
    put(&b, MSG_OTHER, "b/d", NULL);
    put(&b, MSG_LEAVE, "b", NULL);
    put(&b, MSG_FILE, "z", NULL);
    fuzz_seed(b.data, b.len);
    buf_clear(&b);
    wire_put_u8(&b, 1);
    put(&b, MSG_FOLDER, "x", NULL);
    put(&b, MSG_FOLDER, "x/y", NULL);
    put(&b, MSG_LEAVE, "x/y", NULL);
    put(&b, MSG_LEAVE, "x", NULL);
    fuzz_seed(b.data, b.len);
    buf_release(&b);
}
