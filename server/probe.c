/* SPDX-License-Identifier: ISC */
/* Only in the build for t/: what a break-in would try, from inside a confined process. */
#include "probe.h"

#ifdef CONSIGN_PROBE

#include "confine.h"
#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *argument; /* what stands behind the attempt's name */

static int try_open(void)
{
    return open(argument, O_RDONLY | O_CLOEXEC);
}

static int try_create(void)
{
    return open(argument, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static int try_unlink(void)
{
    return unlink(argument);
}

static int try_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int try_connect(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
    return connect(STDERR_FILENO, (struct sockaddr *)&to, sizeof to);
}

/* Of a program that is not there, for where starting one is allowed. */
static int try_exec(void)
{
    return execl("/nowhere", "nowhere", (char *)NULL) < 0 && errno == ENOENT ? 0 : -1;
}

static int try_fork(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid > 0 ? waitpid(pid, NULL, 0) : pid;
}

static int try_kill(void)
{
    return kill(getppid(), 0);
}

static int try_trace(void)
{
    return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int try_root(void)
{
    return setuid(0);
}

static int try_bind(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return bind(fd < 0 ? STDIN_FILENO : fd, (struct sockaddr *)&at, sizeof at);
}

static int try_listen(void)
{
    return listen(STDIN_FILENO, 1);
}

static int try_memory(void)
{
    static char byte;
    struct iovec to = {&byte, 1}, from = {&byte, 1};
    return (int)process_vm_readv(getppid(), &to, 1, &from, 1, 0);
}

static int try_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? -1 : munmap(p, 4096);
}

static int try_mount(void)
{
    return mount("none", "/mnt", "tmpfs", 0, NULL);
}

static int try_namespace(void)
{
    return unshare(CLONE_NEWUSER);
}

static int try_bpf(void)
{
    return (int)syscall(SYS_bpf, 0, NULL, 0);
}

static int try_ring(void)
{
    return (int)syscall(SYS_io_uring_setup, 1, NULL);
}

static int try_fault(void)
{
    return (int)syscall(SYS_userfaultfd, 0);
}

static int try_module(void)
{
    return (int)syscall(SYS_finit_module, -1, "", 0);
}

static int try_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return clock_settime(CLOCK_REALTIME, &now);
}

static int try_chroot(void)
{
    return chroot("/");
}

static int try_device(void)
{
    char name[64];
    snprintf(name, sizeof name, "/tmp/consign-probe-%d", (int)getpid());
    int rc = mknod(name, S_IFCHR | 0600, makedev(1, 3));
    if (rc == 0)
        unlink(name);
    return rc;
}

static int try_dump(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static int try_core(void)
{
    const struct rlimit most = {RLIM_INFINITY, RLIM_INFINITY};
    return setrlimit(RLIMIT_CORE, &most);
}

static const struct {
    const char *name;
    int (*run)(void);
} attempts[] = {{"open", try_open},     {"create", try_create},   {"unlink", try_unlink},
                {"socket", try_socket}, {"connect", try_connect}, {"exec", try_exec},
                {"fork", try_fork},     {"kill", try_kill},       {"trace", try_trace},
                {"root", try_root},     {"bind", try_bind},       {"listen", try_listen},
                {"memory", try_memory}, {"code", try_code},       {"mount", try_mount},
                {"bpf", try_bpf},       {"ring", try_ring},       {"namespace", try_namespace},
                {"fault", try_fault},   {"module", try_module},   {"clock", try_clock},
                {"chroot", try_chroot}, {"device", try_device},   {"dump", try_dump},
                {"core", try_core}};

enum { ATTEMPTS = sizeof attempts / sizeof attempts[0], NAMED = 3 /* take an argument */ };

/* ---- all of them ---- */

static sigjmp_buf back;
static volatile int killed_for;

static void trapped(int call)
{
    killed_for = call;
    siglongjmp(back, 1);
}

static void attempt(const char *stage, const char *name, int (*run)(void), const char *what)
{
    char call[CONFINE_CALL_NAME], text[300];
    argument = what;
    snprintf(text, sizeof text, "probe %s:%s%s%s", stage, name, what[0] ? ":" : "", what);
    if (sigsetjmp(back, 1) != 0) {
        confine_call_name(killed_for, call);
        log_info("%s: killed (%s)", text, call);
    } else if (run() < 0) {
        log_info("%s: denied (%s)", text, strerror(errno));
    } else {
        log_info("%s: ALLOWED", text);
    }
}

static void run_all(const char *stage)
{
    const char *files = getenv("CONSIGN_PROBE_FILES");
    char *list = strdup(files ? files : ""), *rest = list;
    confine_on_trap(trapped);
    for (char *file; (file = strsep(&rest, ":"));)
        attempt(stage, "open", try_open, file);
    for (size_t i = NAMED; i < ATTEMPTS; i++)
        attempt(stage, attempts[i].name, attempts[i].run, "");
    confine_on_trap(NULL);
    free(list);
}

/* CONSIGN_PROBE is STAGE:ATTEMPT[:ARGUMENT]. */
void probe_run(const char *stage)
{
    const char *want = getenv("CONSIGN_PROBE");
    size_t n = strlen(stage);
    if (want && strcmp(want, "all") == 0)
        run_all(stage);
    if (!want || strncmp(want, stage, n) != 0 || want[n] != ':')
        return;
    want += n + 1;
    for (size_t i = 0; i < ATTEMPTS; i++) {
        size_t len = strlen(attempts[i].name);
        if (strncmp(want, attempts[i].name, len) != 0 || (want[len] && want[len] != ':'))
            continue;
        argument = want[len] ? want + len + 1 : "";
        log_info("probe %s: trying", getenv("CONSIGN_PROBE"));
        int rc = attempts[i].run();
        if (rc < 0)
            log_info("probe %s: denied (%s)", getenv("CONSIGN_PROBE"), strerror(errno));
        else
            log_info("probe %s: ALLOWED", getenv("CONSIGN_PROBE"));
    }
}

#endif
