/* SPDX-License-Identifier: ISC */
/* What a server may say in a walk: paths are legal, each entry lies right in the folder that was
 * entered last, each folder is left in its turn. So who makes what a walk tells, below a folder of its
 * own, makes nothing outside it. That a name comes twice is not noticed. */
#ifndef CONSIGN_REMOTE_ORDER_H
#define CONSIGN_REMOTE_ORDER_H

#include "fs.h"
#include "msg.h"

struct remote_item {
    const char *path; /* relative to the walk's: "a/b"; lasts until the next item. Of a fault text
                          * for people (scrubbed; "" for the walk's own folder) */
    struct fs_info info; /* type MSG_FILE, MSG_LINK, MSG_OTHER; MSG_FOLDER: what is in it follows,
                          * then its MSG_LEAVE; MSG_FAULT: there is something that can't be taken */
    enum err fault; /* of MSG_FAULT: why; else ERR_OK. A link's info.target lasts as long as path */
};

/* Where a walk is; all 0 at its beginning. */
struct remote_order {
    char folder[PATH_MAX_BYTES + 1]; /* entered last and not left; "" at the end */
    char item[4 * PATH_MAX_BYTES + 1];
    char target[FS_TARGET_MAX + 1];
};

/* Checks the next item of a walk (of folders alone, if folders is set) and copies it to out, whose
 * path is o's. ERR_PROTO, logged. */
enum err remote_order_take(struct remote_order *o, const struct msg_item *m, bool folders,
                           struct remote_item *out) MUST_CHECK;

/* Copies what any item may say of a file, but for its name and a link's target: false when it may not. */
bool remote_item_info(const struct msg_item *m, struct fs_info *out);

#endif
