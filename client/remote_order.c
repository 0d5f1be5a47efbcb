/* SPDX-License-Identifier: ISC */
#include "remote_order.h"

#include "log.h"
#include <string.h>

bool remote_item_info(const struct msg_item *m, struct fs_info *out)
{
    *out = (struct fs_info){.type = m->type,
                            .mode = m->mode,
                            .size = m->size,
                            .mtime_s = (int64_t)m->mtime_s,
                            .mtime_ns = m->mtime_ns,
                            .has_root = m->has_root};
    memcpy(out->root, m->root, TREE_HASH);
    if (m->type == MSG_FAULT)
        return m->mode != ERR_OK && m->mode <= UINT16_MAX && !m->has_root && m->target.n == 0;
    out->mode &= 0777;
    return m->type <= MSG_LEAVE && m->mtime_ns < 1000000000 && m->has_root <= 1 &&
           (m->type == MSG_FILE || !m->has_root) && (m->type == MSG_LINK || m->target.n == 0) &&
           (m->target.n == 0 || !memchr(m->target.p, 0, m->target.n));
}

static enum err refuse(const struct msg_item *m, const char *why)
{
    return log_fail(ERR_PROTO, "the server sent an entry %s in a walk: \"%.*s\"", why,
                    m->name.n > 200 ? 200 : (int)m->name.n, (const char *)m->name.p);
}

/* Whether name is one legal component below o->folder. */
static bool inside(const struct remote_order *o, struct slice name)
{
    size_t above = strlen(o->folder);
    if (above > 0) {
        if (name.n <= above || memcmp(name.p, o->folder, above) != 0 || name.p[above] != '/')
            return false;
        above++;
    }
    return name.n < PATH_MAX_BYTES && path_name_ok((const char *)name.p + above, name.n - above);
}

static void leave(struct remote_order *o)
{
    char *slash = strrchr(o->folder, '/');
    *(slash ? slash : o->folder) = '\0';
}

enum err remote_order_take(struct remote_order *o, const struct msg_item *m, bool folders,
                           struct remote_item *out)
{
    *out = (struct remote_item){.path = o->item};
    if (!remote_item_info(m, &out->info) || m->type == MSG_MISSING)
        return refuse(m, "that is not well-formed");
    if (m->type == MSG_FAULT) {
        log_scrub(o->item, sizeof o->item, m->name.p, m->name.n);
        out->fault = err_from_wire((uint16_t)m->mode);
        return ERR_OK;
    }
    if (folders && m->type != MSG_FOLDER && m->type != MSG_LEAVE)
        return refuse(m, "that is no folder");
    bool last = m->type == MSG_LEAVE;
    if (last ? m->name.n == 0 || !slice_eq(m->name, slice_str(o->folder)) : !inside(o, m->name))
        return refuse(m, "out of place");
    memcpy(o->item, m->name.p, m->name.n);
    o->item[m->name.n] = '\0';
    if (m->target.n > 0 && slice_copy(m->target, o->target, sizeof o->target))
        out->info.target = o->target;
    if (last)
        leave(o);
    else if (m->type == MSG_FOLDER)
        memcpy(o->folder, o->item, m->name.n + 1);
    return ERR_OK;
}
