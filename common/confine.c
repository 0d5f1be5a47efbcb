/* SPDX-License-Identifier: ISC */
#include "confine_internal.h"
#include "log.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum err confine_limit(__rlimit_resource_t what, rlim_t value, const char *name)
{
    struct rlimit now, want = {value, value};
    if (getrlimit(what, &now) != 0)
        return log_fail_errno("limit on %s", name);
    if (now.rlim_max < value)
        want.rlim_cur = want.rlim_max = now.rlim_max;
    return setrlimit(what, &want) == 0 ? ERR_OK : log_fail_errno("limit on %s", name);
}

/* ---- descriptors ---- */

/* Closes [first, last], where that is not empty. */
static enum err close_between(unsigned first, unsigned last)
{
    if (first > last || close_range(first, last, 0) == 0)
        return ERR_OK;
    return log_fail_errno("closing descriptors");
}

/* The smallest of keep that is from or above, or the one that reports go to; -1 when there is none. */
static int next_kept(const int *keep, unsigned n, unsigned from)
{
    int report = confine_reports(), best = report >= 0 && (unsigned)report >= from ? report : -1;
    for (unsigned i = 0; i < n; i++)
        if (keep[i] >= 0 && (unsigned)keep[i] >= from && (best < 0 || keep[i] < best))
            best = keep[i];
    return best;
}

static enum err close_others(const int *keep, unsigned n)
{
    unsigned from = STDERR_FILENO + 1;
    enum err rc = ERR_OK;
    for (int at; !rc && (at = next_kept(keep, n, from)) >= 0; from = (unsigned)at + 1)
        if ((unsigned)at > from)
            rc = close_between(from, (unsigned)at - 1);
    return rc ? rc : close_between(from, ~0u);
}

/* ---- privileges ---- */

/* A change of user makes a process dumpable by the system's default again: hence asked for after
 * each. */
static enum err forgo_privileges(void)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return log_fail_errno("no new privileges");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return log_fail_errno("no memory dumps");
    return ERR_OK;
}

enum err confine_forgo(void)
{
    enum err rc = forgo_privileges();
    return rc ? rc : confine_limit(RLIMIT_CORE, 0, "core dumps");
}

enum err confine_start(const int *keep, unsigned n)
{
    enum err rc = confine_forgo();
    return rc ? rc : close_others(keep, n);
}

/* Whether the process is uid and gid in every respect and can't become root again. */
static bool settled(uid_t uid, gid_t gid)
{
    uid_t r, e, s;
    gid_t rg, eg, sg;
    if (getresuid(&r, &e, &s) != 0 || getresgid(&rg, &eg, &sg) != 0)
        return false;
    return r == uid && e == uid && s == uid && rg == gid && eg == gid && sg == gid &&
           setresuid(0, 0, 0) != 0 && setuid(0) != 0 && seteuid(0) != 0;
}

enum err confine_become(uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups)
{
    if (uid == 0)
        return log_fail(ERR_CONFIG, "root is not an account to run as");
    if (geteuid() != 0) {
        if (geteuid() != uid || getuid() != uid)
            return log_fail(ERR_CONFIG, "only root can become another account (uid %u)", uid);
        return forgo_privileges();
    }
    if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0 || setgroups(n_groups, groups) != 0 ||
        setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
        return log_fail_errno("becoming uid %u, gid %u", uid, gid);
    if (!settled(uid, gid))
        return log_fail(ERR_INTERNAL, "uid %u has a way back to root", uid);
    return forgo_privileges();
}

/* What a program that is started may have at most. Only who has CAP_SETPCAP can narrow it; who does not was
 * given a set by whoever started it. */
static enum err bound(uint64_t keep)
{
    for (int cap = 0, there; (there = prctl(PR_CAPBSET_READ, cap, 0, 0, 0)) >= 0; cap++)
        if (there && !(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 &&
            errno != EPERM)
            return log_fail_errno("giving up capability %d", cap);
    return ERR_OK;
}

enum err confine_capabilities(uint64_t keep)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
    enum err rc = bound(keep);
    if (rc)
        return rc;
    if (syscall(SYS_capget, &head, caps) != 0)
        return log_fail_errno("capabilities");
    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        uint32_t mask = (uint32_t)(keep >> 32 * i);
        caps[i].effective &= mask;
        caps[i].permitted &= mask;
        caps[i].inheritable &= mask;
    }
    return syscall(SYS_capset, &head, caps) == 0 ? ERR_OK : log_fail_errno("capabilities");
}
