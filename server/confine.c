/* SPDX-License-Identifier: ISC */
#include "confine.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The system calls that each process may still make. The first list is for all of them; a call with
 * arguments is allowed only where they are as said. */
struct call {
    int number;
    unsigned n;
    struct scmp_arg_cmp arg[2];
};

#define CALL(name)                                                                                 \
    {                                                                                              \
        SCMP_SYS(name), 0,                                                                         \
        {                                                                                          \
            {                                                                                      \
                0                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
#define CALL_IF(name, one)                                                                         \
    {                                                                                              \
        SCMP_SYS(name), 1,                                                                         \
        {                                                                                          \
            one                                                                                    \
        }                                                                                          \
    }
#define CALL_IF2(name, one, two)                                                                   \
    {                                                                                              \
        SCMP_SYS(name), 2,                                                                         \
        {                                                                                          \
            one, two                                                                               \
        }                                                                                          \
    }
#define IS(n, value)                                                                               \
    {                                                                                              \
        n, SCMP_CMP_EQ, value, 0                                                                   \
    }
#define WITHOUT(n, bits)                                                                           \
    {                                                                                              \
        n, SCMP_CMP_MASKED_EQ, bits, 0                                                             \
    }
#define WITH(n, bits)                                                                              \
    {                                                                                              \
        n, SCMP_CMP_MASKED_EQ, bits, bits                                                          \
    }

static const struct call every_process[] = {
    /* its own sockets and descriptors */
    CALL(read),
    CALL(readv),
    CALL(recvfrom),
    CALL(recvmsg),
    CALL(write),
    CALL(writev),
    CALL(sendto),
    CALL(sendmsg),
    CALL(poll),
    CALL(ppoll),
    CALL(shutdown),
    CALL(close),
    CALL(lseek),
    CALL(fstat),
    CALL_IF(newfstatat, WITH(3, AT_EMPTY_PATH)),
    CALL(pread64),
    CALL(pwrite64),
    CALL(ftruncate),
    CALL(fsync),
    CALL(fdatasync),
    CALL_IF(fcntl, IS(1, F_GETFD)),
    CALL_IF(fcntl, IS(1, F_SETFD)),
    CALL_IF(fcntl, IS(1, F_GETFL)),
    CALL_IF(fcntl, IS(1, F_SETFL)),
    /* memory, never executable */
    CALL_IF(mmap, WITHOUT(2, PROT_EXEC)),
    CALL_IF(mmap2, WITHOUT(2, PROT_EXEC)),
    CALL_IF(mprotect, WITHOUT(2, PROT_EXEC)),
    CALL(munmap),
    CALL(mremap),
    CALL(brk),
    CALL(madvise),
    /* time, randomness, itself */
    CALL(clock_gettime),
    CALL(gettimeofday),
    CALL(time),
    CALL(getrandom),
    CALL(getpid),
    CALL(gettid),
    CALL(futex),
    CALL(rt_sigreturn),
    CALL(rt_sigprocmask),
    CALL(restart_syscall),
    CALL(exit),
    CALL(exit_group),
};

static const struct call scribe[] = {
    /* the log's folder (Landlock), for rotation */
    CALL(openat),
    /* many sockets */
    CALL(epoll_create1),
    CALL(epoll_wait),
    CALL(epoll_pwait),
    CALL(epoll_ctl),
};

static const struct call session[] = {
    /* the descriptors it was handed */
    CALL(fallocate),
    CALL(fadvise64),
    CALL(copy_file_range),
    CALL(sync_file_range),
    /* its one connection */
    CALL_IF2(setsockopt, IS(1, IPPROTO_TCP), IS(2, TCP_NODELAY)),
    CALL_IF2(setsockopt, IS(1, IPPROTO_TCP), IS(2, TCP_CORK)),
    CALL_IF2(setsockopt, IS(1, SOL_SOCKET), IS(2, SO_RCVTIMEO)),
    CALL_IF2(setsockopt, IS(1, SOL_SOCKET), IS(2, SO_SNDTIMEO)),
    CALL_IF2(setsockopt, IS(1, SOL_SOCKET), IS(2, SO_RCVBUF)),
    CALL_IF2(getsockopt, IS(1, IPPROTO_TCP), IS(2, TCP_INFO)),
    CALL_IF2(getsockopt, IS(1, SOL_SOCKET), IS(2, SO_ERROR)),
};

static const struct call store[] = {
    /* the user's folders (Landlock); no call that changes mode or owner by name, which Landlock
       does not see */
    CALL(openat),
    CALL(openat2),
    CALL(newfstatat),
    CALL(statx),
    CALL(fstatfs),
    CALL(getdents64),
    CALL(mkdirat),
    CALL(unlinkat),
    CALL(renameat),
    CALL(renameat2),
    CALL(linkat),
    CALL(symlinkat),
    CALL(readlinkat),
    /* names by the table of common/meta.c */
    CALL(fgetxattr),
    CALL(fsetxattr),
    CALL(flistxattr),
    CALL(geteuid),
    CALL(fchmod),
    CALL_IF(utimensat, IS(1, 0)),
    CALL(umask),
    CALL(dup),
    CALL(fallocate),
    CALL(fadvise64),
    CALL(copy_file_range),
    CALL(sync_file_range),
    CALL(syncfs),
    /* locks that cross nodes */
    CALL_IF(fcntl, IS(1, F_OFD_SETLK)),
    CALL_IF(fcntl, IS(1, F_OFD_GETLK)),
    CALL_IF(fcntl, IS(1, F_DUPFD_CLOEXEC)),
    CALL(nanosleep),
    CALL(clock_nanosleep),
};

#if defined __SANITIZE_ADDRESS__
/* Not part of a release: what AddressSanitizer's runtime needs besides. */
static const struct call sanitizer[] = {
    CALL(sigaltstack),
    CALL(rt_sigaction),
    CALL(sched_yield),
};
#endif

#define MIB      (1024ull * 1024)
#define LIST(of) of, sizeof of / sizeof of[0]

static const struct process {
    const char *name;
    rlim_t memory;      /* bytes of address space, what it shares with the master included */
    rlim_t descriptors; /* 0: as many as the server was given */
    const struct call *calls;
    size_t n;
} processes[] = {
    [CONFINE_SCRIBE] = {"scribe", 2048 * MIB, 0, LIST(scribe)},
    [CONFINE_SESSION] = {"session", 2048 * MIB, 64, LIST(session)},
    [CONFINE_STORE] = {"store", 2048 * MIB, 512, LIST(store)},
    [CONFINE_JUDGE] = {"judge", 2048 * MIB, 16, NULL, 0},
};

static enum err set_limit(__rlimit_resource_t what, rlim_t value, const char *name)
{
    struct rlimit now, want = {value, value};
    if (getrlimit(what, &now) != 0)
        return log_fail_errno("limit on %s", name);
    if (now.rlim_max < value)
        want.rlim_cur = want.rlim_max = now.rlim_max;
    return setrlimit(what, &want) == 0 ? ERR_OK : log_fail_errno("limit on %s", name);
}

static enum err set_limits(const struct process *p)
{
    enum err rc = set_limit(RLIMIT_CORE, 0, "core dumps");
    if (!rc)
        rc = set_limit(RLIMIT_NPROC, 0, "processes");
    if (!rc && p->descriptors)
        rc = set_limit(RLIMIT_NOFILE, p->descriptors, "descriptors");
#if !defined __SANITIZE_ADDRESS__
    if (!rc)
        rc = set_limit(RLIMIT_AS, p->memory, "memory");
#endif
    return rc;
}

static int allow(scmp_filter_ctx filter, const struct call *calls, size_t n)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, calls[i].number, calls[i].n,
                                    calls[i].arg);
    return rc;
}

/* Before each list: what changes an open file for all who share it is not for the standard streams,
 * which all processes share with each other and with whoever started the server. Not a matter for
 * libseccomp, which compares all 64 bits of an argument: the kernel takes a descriptor from the low
 * half alone. */
#define LOW(n)                                                                                     \
    (offsetof(struct seccomp_data, args[n]) + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0))
#define LOAD(offset)               BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)
#define IF_EQUAL(value, yes, no)   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define IF_GREATER(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, value, yes, no)

static const struct sock_filter streams[] = {
    LOAD(offsetof(struct seccomp_data, nr)),
    IF_EQUAL(SYS_ftruncate, 4, 0),
    IF_EQUAL(SYS_fallocate, 3, 0),
    IF_EQUAL(SYS_fcntl, 0, 5),
    LOAD(LOW(1)),
    IF_EQUAL(F_SETFL, 0, 3),
    LOAD(LOW(0)),
    IF_GREATER(STDERR_FILENO, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};

enum { STREAMS = sizeof streams / sizeof streams[0] };

/* The lists as the kernel takes them. */
static struct list {
    struct sock_filter code[512];
    unsigned short n; /* 0: not made yet */
} lists[sizeof processes / sizeof processes[0]];

/* libseccomp hands its work out through a descriptor only; a list fits in a pipe many times. */
static int export(scmp_filter_ctx filter, struct list *to)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
        return -errno;
    int rc = seccomp_export_bpf(filter, fds[1]);
    const size_t room = sizeof to->code - sizeof streams;
    ssize_t n = rc ? 0 : read(fds[0], to->code + STREAMS, room);
    if (!rc && (n <= 0 || (size_t)n == room))
        rc = -E2BIG;
    if (!rc) {
        memcpy(to->code, streams, sizeof streams);
        to->n = (unsigned short)(STREAMS + (size_t)n / sizeof to->code[0]);
    }
    close(fds[0]);
    close(fds[1]);
    return rc;
}

static int fill(scmp_filter_ctx filter, const struct process *p)
{
    int rc = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (!rc) /* a binary tree: the kernel loads it in half the time of a chain */
        rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (!rc)
        rc = allow(filter, LIST(every_process));
    if (!rc)
        rc = allow(filter, p->calls, p->n);
#if defined __SANITIZE_ADDRESS__
    if (!rc)
        rc = allow(filter, LIST(sanitizer));
#endif
    return rc;
}

static enum err build(enum confine_process process)
{
    if (lists[process].n)
        return ERR_OK;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int rc = filter ? fill(filter, &processes[process]) : -ENOMEM;
    if (!rc)
        rc = export(filter, &lists[process]);
    seccomp_release(filter);
    if (!rc)
        return ERR_OK;
    errno = -rc;
    return log_fail_errno("list of system calls of the %s", processes[process].name);
}

enum err confine_prepare(void)
{
    enum err rc = build(CONFINE_SCRIBE);
    if (!rc)
        rc = build(CONFINE_SESSION);
    if (!rc)
        rc = build(CONFINE_JUDGE);
    return rc ? rc : build(CONFINE_STORE);
}

enum err confine_calls(enum confine_process process)
{
    const struct process *p = &processes[process];
    enum err rc = build(process);
    if (!rc)
        rc = set_limits(p);
    if (rc)
        return rc;
    struct sock_fprog list = {lists[process].n, lists[process].code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &list) == 0)
        return ERR_OK;
    return log_fail_errno("seccomp of the %s (does the kernel have CONFIG_SECCOMP_FILTER?)",
                          p->name);
}

/* Closes [first, last], where that is not empty. */
static enum err close_between(unsigned first, unsigned last)
{
    if (first > last || close_range(first, last, 0) == 0)
        return ERR_OK;
    return log_fail_errno("closing descriptors");
}

/* The smallest of keep that is from or above; -1 when there is none. */
static int next_kept(const int *keep, unsigned n, unsigned from)
{
    int best = -1;
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

enum err confine_start(const int *keep, unsigned n)
{
    enum err rc = forgo_privileges();
    if (!rc)
        rc = set_limit(RLIMIT_CORE, 0, "core dumps");
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
