/* SPDX-License-Identifier: ISC */
#include "confine_internal.h"
#include "log.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- the rows of confine.def ---- */

enum {
#define PROCESS(NAME, ...)         WHO_##NAME = 1u << CONFINE_##NAME,
#define GROUP(NAME, name, members) WHO_##NAME = members,
#define CALL(...)
#include "confine.def"
#undef PROCESS
#undef GROUP
#undef CALL
};

enum others { NONE, THREADS, PROCESSES };
enum rest { KILLS, MISSING };

static const struct process {
    const char *name;
    rlim_t memory;      /* MiB of address space, what it shares with the master included */
    rlim_t descriptors; /* 0: as many as the server was given */
    enum others others;
    enum rest rest;
} processes[] = {
#define PROCESS(NAME, name, memory, descriptors, others, rest, runs_as, files, network)            \
    {#name, memory, descriptors, others, rest},
#define GROUP(...)
#define CALL(...)
#include "confine.def"
#undef PROCESS
#undef GROUP
#undef CALL
};

/* A call with arguments is allowed only where they are as said. */
static const struct call {
    unsigned who;
    int number;
    unsigned n;
    struct scmp_arg_cmp arg[2];
} calls[] = {
#define NAMESPACES                                                                                 \
    (CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |     \
     CLONE_NEWCGROUP)
#define ANY                                                                                        \
    0,                                                                                             \
    {                                                                                              \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }
#define WHEN(one)                                                                                  \
    1,                                                                                             \
    {                                                                                              \
        one                                                                                        \
    }
#define WHEN2(one, two)                                                                            \
    2,                                                                                             \
    {                                                                                              \
        one, two                                                                                   \
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
#define PROCESS(...)
#define GROUP(...)
#define CALL(who, call, when, why) {WHO_##who, SCMP_SYS(call), when},
#include "confine.def"
#undef PROCESS
#undef GROUP
#undef CALL
};

#if defined __SANITIZE_ADDRESS__
/* Not part of a release: what the sanitizers' runtime needs besides. */
static const int sanitizer[] = {SCMP_SYS(sigaltstack), SCMP_SYS(rt_sigaction),
                                SCMP_SYS(sched_yield)};
#endif

const char *confine_name(enum confine_process process)
{
    return processes[process].name;
}

/* Those whose rows a process has: its own and, for who starts others, theirs. */
static unsigned roles(enum confine_process process)
{
    return process == CONFINE_MASTER   ? WHO_EVERY & ~(unsigned)WHO_RECEIVER
           : process == CONFINE_KEEPER ? WHO_KEEPER | WHO_SIGNER
                                       : 1u << process;
}

/* ---- limits ---- */

static enum err set_limits(const struct process *p)
{
    enum err rc = confine_limit(RLIMIT_CORE, 0, "core dumps");
    if (!rc && p->others == NONE)
        rc = confine_limit(RLIMIT_NPROC, 0, "processes");
    if (!rc && p->descriptors)
        rc = confine_limit(RLIMIT_NOFILE, p->descriptors, "descriptors");
#if !defined __SANITIZE_ADDRESS__
    if (!rc && p->memory)
        rc = confine_limit(RLIMIT_AS, p->memory << 20, "memory");
#endif
    return rc;
}

/* ---- the last word of who is killed ---- */

static struct {
    int fd;
    confine_trap_fn *trap;
} reports = {.fd = -1};

void confine_report_to(int fd)
{
    reports.fd = fd;
}

int confine_reports(void)
{
    return reports.fd;
}

void confine_on_trap(confine_trap_fn *fn)
{
    reports.trap = fn;
}

/* In a signal's handler. */
static void tell_terminal(int call)
{
    static const char text[] = "consign: killed: it made system call ";
    char line[sizeof text + 16];
    size_t at = sizeof text - 1;
    unsigned place = 1;
    memcpy(line, text, at);
    while (call / (int)place >= 10)
        place *= 10;
    for (; place > 0; place /= 10)
        line[at++] = (char)('0' + call / (int)place % 10);
    line[at++] = '\n';
    (void)!write(STDERR_FILENO, line, at);
}

/* While its handler runs SIGSYS is blocked: one more, for a call that is in no list, kills. */
static void on_trap(int number, siginfo_t *info, void *context)
{
    int call = info->si_syscall;
    (void)number;
    (void)context;
    if (reports.trap)
        reports.trap(call);
    if (reports.fd >= 0)
        (void)!send(reports.fd, &call, sizeof call, MSG_DONTWAIT | MSG_NOSIGNAL);
    else
        tell_terminal(call);
    syscall(SYS_reboot, 0, 0, 0, NULL);
    _exit(128 + SIGSYS);
}

static enum err catch_trap(void)
{
    struct sigaction act = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    sigset_t trap;
    sigemptyset(&act.sa_mask);
    sigemptyset(&trap);
    sigaddset(&trap, SIGSYS);
    return sigaction(SIGSYS, &act, NULL) == 0 && sigprocmask(SIG_UNBLOCK, &trap, NULL) == 0
               ? ERR_OK
               : log_fail_errno("SIGSYS");
}

void confine_call_name(int call, char out[static CONFINE_CALL_NAME])
{
    char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call);
    if (name)
        snprintf(out, CONFINE_CALL_NAME, "%s", name);
    else
        snprintf(out, CONFINE_CALL_NAME, "%d", call);
    free(name);
}

/* ---- the lists ---- */

/* Two rows may say the same, as processes have much in common. */
static int allow(scmp_filter_ctx filter, const struct call *c)
{
    int rc = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, c->number, c->n, c->arg);
    return rc == -EEXIST ? 0 : rc;
}

static int allow_all(scmp_filter_ctx filter, enum confine_process process)
{
    int rc = 0;
    for (const struct call *c = calls; c < calls + sizeof calls / sizeof calls[0] && !rc; c++)
        if (c->who & roles(process))
            rc = allow(filter, c);
#if defined __SANITIZE_ADDRESS__
    for (size_t i = 0; i < sizeof sanitizer / sizeof sanitizer[0] && !rc; i++)
        rc = allow(filter, &(struct call){.number = sanitizer[i]});
    /* By which leaks are looked for. */
    if (!rc && processes[process].rest == MISSING)
        rc = allow(filter, &(struct call){.number = SCMP_SYS(ptrace)});
#endif
    return rc;
}

/* Before a list: what changes an open file for all who share it is not for the standard streams,
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
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
};

enum { STREAMS = sizeof streams / sizeof streams[0], CODE_MAX = 2048 };

/* The lists as the kernel takes them. */
static struct list {
    struct sock_filter code[CODE_MAX];
    unsigned short n; /* 0: not made yet */
} lists[CONFINE_PROCESSES];

/* libseccomp hands its work out through a descriptor only. */
static int export(scmp_filter_ctx filter, bool guard, struct list *to)
{
    size_t head = guard ? STREAMS : 0, room = sizeof to->code - head * sizeof to->code[0];
    int fd = memfd_create("list of system calls", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = seccomp_export_bpf(filter, fd);
    ssize_t n = rc ? 0 : pread(fd, to->code + head, room, 0);
    if (!rc && (n <= 0 || (size_t)n == room))
        rc = -E2BIG;
    if (!rc) {
        memcpy(to->code, streams, head * sizeof streams[0]);
        to->n = (unsigned short)(head + (size_t)n / sizeof to->code[0]);
    }
    close(fd);
    return rc;
}

static int fill(scmp_filter_ctx filter, enum confine_process process)
{
    int rc = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (!rc) /* a binary tree: the kernel loads it in half the time of a chain */
        rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    /* The C library does without it. */
    if (!rc && processes[process].others == THREADS)
        rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return rc ? rc : allow_all(filter, process);
}

static enum err build(enum confine_process process)
{
    const struct process *p = &processes[process];
    if (lists[process].n)
        return ERR_OK;
    scmp_filter_ctx filter =
        seccomp_init(p->rest == KILLS ? SCMP_ACT_TRAP : SCMP_ACT_ERRNO(ENOSYS));
    int rc = filter ? fill(filter, process) : -ENOMEM;
    if (!rc)
        rc = export(filter, p->rest == KILLS, &lists[process]);
    seccomp_release(filter);
    if (!rc)
        return ERR_OK;
    errno = -rc;
    return log_fail_errno("list of system calls of the %s", p->name);
}

enum err confine_prepare(void)
{
    enum err rc = ERR_OK;
    for (enum confine_process p = 0; p < CONFINE_PROCESSES && !rc; p++)
        rc =
            p == CONFINE_KEEPER || p == CONFINE_SIGNER || p == CONFINE_RECEIVER ? ERR_OK : build(p);
    return rc;
}

enum err confine_calls(enum confine_process process)
{
    const struct process *p = &processes[process];
    char name[16];
    enum err rc = build(process);
    if (!rc)
        rc = set_limits(p);
    if (!rc && p->rest == KILLS)
        rc = catch_trap();
    if (rc)
        return rc;
    /* The client stays consign. */
    snprintf(name, sizeof name, "consign%s%s", p->others == THREADS ? "" : "-",
             p->others == THREADS ? "" : p->name);
    struct sock_fprog list = {lists[process].n, lists[process].code};
    if (prctl(PR_SET_NAME, name, 0, 0, 0) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &list) == 0)
        return ERR_OK;
    return log_fail_errno("seccomp of the %s (does the kernel have CONFIG_SECCOMP_FILTER?)",
                          p->name);
}
