/* SPDX-License-Identifier: ISC */
#include "confine.h"
#include "log.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
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
#define FS_READING (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_BENEATH                                                                                 \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_DIR |  \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |  \
     LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REFER | FS_TRUNCATE)

/* The ABI of this kernel; 0: it has no Landlock. */
static int kernel_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi > 0 ? (int)abi : 0;
}

static struct ruleset refused_by(int abi)
{
    return (struct ruleset){
        .fs = FS_ABI_1 | (abi >= ABI_REFER ? LANDLOCK_ACCESS_FS_REFER : 0) |
              (abi >= ABI_TRUNCATE ? FS_TRUNCATE : 0) | (abi >= ABI_IOCTL_DEV ? FS_IOCTL_DEV : 0),
        .net = abi >= ABI_NET ? NET_BIND_TCP | NET_CONNECT_TCP : 0,
        .scoped = abi >= ABI_SCOPE ? SCOPE_ABSTRACT | SCOPE_SIGNAL : 0,
    };
}

static enum err enforce(const struct ruleset *refused, const int *folders, unsigned n,
                        uint64_t allowed)
{
    enum err rc = ERR_OK;
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

static enum err fail_demand(void)
{
    return log_fail(ERR_CONFIG,
                    "this kernel has no Landlock that is of use (5.19 or later, enabled "
                    "by lsm=), which confine = require demands");
}

static enum err beneath(const int *folders, unsigned n, uint64_t allowed, bool require, int *abi)
{
    int found = kernel_abi();
    /* Before ABI 2 a file could not be renamed from one folder to another at all: of no use with
     * folders. */
    *abi = found >= (n ? ABI_REFER : 1) ? found : 0;
    if (*abi == 0)
        return require ? fail_demand() : ERR_OK;
    struct ruleset refused = refused_by(*abi);
    return enforce(&refused, folders, n, allowed);
}

enum err confine_files(const int *folders, unsigned n, bool links, bool require, int *abi)
{
    uint64_t allowed = FS_BENEATH | (links ? LANDLOCK_ACCESS_FS_MAKE_SYM : 0);
    return beneath(folders, n, allowed, require, abi);
}

enum err confine_reading(const int *folders, unsigned n, bool require, int *abi)
{
    return beneath(folders, n, FS_READING, require, abi);
}

/* A rule for "/" gives back the renaming from folder to folder, which every list of rules refuses. */
enum err confine_outside(void)
{
    int abi = kernel_abi();
    if (abi < ABI_REFER)
        return ERR_OK;
    struct ruleset refused = {
        .fs =
            LANDLOCK_ACCESS_FS_REFER | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK,
        .net = abi >= ABI_NET ? NET_BIND_TCP : 0,
        .scoped = abi >= ABI_SCOPE ? SCOPE_SIGNAL : 0,
    };
    int top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return log_fail_errno("/");
    enum err rc = enforce(&refused, &top, 1, LANDLOCK_ACCESS_FS_REFER);
    close(top);
    return rc;
}

enum err confine_demand(void)
{
    return kernel_abi() >= ABI_REFER ? ERR_OK : fail_demand();
}

void confine_statement(char out[static CONFINE_TEXT])
{
    int abi = kernel_abi();
    if (abi < ABI_REFER)
        snprintf(out, CONFINE_TEXT, "%s: files by accounts and descriptors alone; seccomp",
                 abi ? "no Landlock but ABI 1, which is of no use" : "no Landlock");
    else
        snprintf(out, CONFINE_TEXT, "Landlock ABI %d: files, renaming%s%s%s%s; seccomp", abi,
                 abi >= ABI_TRUNCATE ? ", truncation" : "", abi >= ABI_NET ? ", TCP" : "",
                 abi >= ABI_IOCTL_DEV ? ", devices" : "", abi >= ABI_SCOPE ? ", signals" : "");
}
