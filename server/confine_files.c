/* SPDX-License-Identifier: ISC */
#include "confine.h"
#include "log.h"

#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What linux/landlock.h of the oldest supported system lacks, with the ABI that brought it. */
#define ABI_REFER       2
#define ABI_TRUNCATE    3
#define ABI_NET         4
#define ABI_IOCTL_DEV   5
#define ABI_SCOPE       6
#define FS_TRUNCATE     (1ull << 14)
#define FS_IOCTL_DEV    (1ull << 15)
#define NET_BIND_TCP    (1ull << 0)
#define NET_CONNECT_TCP (1ull << 1)
#define SCOPE_ABSTRACT  (1ull << 0)
#define SCOPE_SIGNAL    (1ull << 1)

/* struct landlock_ruleset_attr as it is since ABI 6; an older kernel takes it as long as what it
 * does not know is 0. */
struct ruleset {
    uint64_t fs;
    uint64_t net;
    uint64_t scoped;
};

#define FS_ABI_1 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1) /* all 13 of them */

/* What stays allowed beneath the folders; all else that the kernel can refuse is refused. */
#define FS_BENEATH                                                                                 \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_DIR |  \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |  \
     LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REFER | FS_TRUNCATE)

static struct ruleset refused_by(int abi)
{
    return (struct ruleset){
        .fs = FS_ABI_1 | (abi >= ABI_REFER ? LANDLOCK_ACCESS_FS_REFER : 0) |
              (abi >= ABI_TRUNCATE ? FS_TRUNCATE : 0) | (abi >= ABI_IOCTL_DEV ? FS_IOCTL_DEV : 0),
        .net = abi >= ABI_NET ? NET_BIND_TCP | NET_CONNECT_TCP : 0,
        .scoped = abi >= ABI_SCOPE ? SCOPE_ABSTRACT | SCOPE_SIGNAL : 0,
    };
}

static enum err enforce(const struct ruleset *refused, const int *folders, unsigned n, bool links)
{
    enum err rc = ERR_OK;
    uint64_t allowed = FS_BENEATH | (links ? LANDLOCK_ACCESS_FS_MAKE_SYM : 0);
    int fd = (int)syscall(SYS_landlock_create_ruleset, refused, sizeof *refused, 0);
    if (fd < 0)
        return log_fail_errno("Landlock rules");
    for (unsigned i = 0; i < n && !rc; i++) {
        struct landlock_path_beneath_attr beneath = {refused->fs & allowed, folders[i]};
        if (syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) != 0)
            rc = log_fail_errno("Landlock rule for folder %u", i + 1);
    }
    if (!rc && syscall(SYS_landlock_restrict_self, fd, 0) != 0)
        rc = log_fail_errno("Landlock");
    close(fd);
    return rc;
}

enum err confine_files(const int *folders, unsigned n, bool links, bool require, int *abi)
{
    long found = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    /* Before ABI 2 a file could not be renamed from one folder to another at all: of no use with
     * folders. */
    bool usable = found >= (n ? ABI_REFER : 1);
    *abi = !usable ? 0 : found < ABI_SCOPE ? (int)found : ABI_SCOPE;
    if (*abi == 0)
        return require ? log_fail(ERR_CONFIG,
                                  "this kernel has no Landlock (5.19 or later, enabled by lsm=), "
                                  "which confine = require demands")
                       : ERR_OK;
    struct ruleset refused = refused_by(*abi);
    return enforce(&refused, folders, n, links);
}
