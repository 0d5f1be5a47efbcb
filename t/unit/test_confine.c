/* SPDX-License-Identifier: ISC */
/* Each attempt is made by a forked child, for there is no way back from confinement. */
#include "../../server/ipc.h"
#include "confine.h"
#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

/* All but those that run a PKCS#11 module, or start who does: these are not killed. */
enum {
    MODULE = 1 << CONFINE_MASTER | 1 << CONFINE_KEEPER | 1 << CONFINE_SIGNER,
    ALL = ((1 << CONFINE_PROCESSES) - 1) & ~MODULE,
    SCRIBE = 1 << CONFINE_SCRIBE,
    NAMES = 1 << CONFINE_STORE | 1 << CONFINE_SCRUB | 1 << CONFINE_RECEIVER,
    NAMELESS = ALL & ~NAMES,
    KILLED = -SIGSYS
};

/* In a child: ends it with a message unless cond holds. */
#define WANT(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            dprintf(2, "# line %d: %s (errno %d)\n", __LINE__, #cond, errno);                      \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static int tcp; /* a socket that was made before confinement */
static pid_t parent;
static char folder[64]; /* a fresh folder for each test */

/* The child's exit status, or minus the signal that killed it. */
static int run(void (*child)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        child();
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void try_open(void)
{
    (void)!open("/etc/passwd", O_RDONLY);
}

static void try_openat2(void)
{
    struct open_how how = {.flags = O_RDONLY};
    syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", &how, sizeof how);
}

static void try_socket(void)
{
    (void)!socket(AF_INET, SOCK_STREAM, 0);
}

static void try_connect(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
    (void)!connect(tcp, (struct sockaddr *)&to, sizeof to);
}

static void try_bind(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    (void)!bind(tcp, (struct sockaddr *)&at, sizeof at);
}

static void try_accept(void)
{
    (void)!accept4(tcp, NULL, NULL, 0);
}

static void try_filter(void)
{
    struct sock_fprog none = {0};
    (void)!setsockopt(tcp, SOL_SOCKET, SO_ATTACH_FILTER, &none, sizeof none);
}

static void try_exec(void)
{
    execl("/bin/true", "true", (char *)NULL);
}

static void try_fork(void)
{
    if (fork() == 0)
        _exit(0);
}

static void try_ptrace(void)
{
    (void)!ptrace(PTRACE_ATTACH, parent, NULL, NULL);
}

static void try_read_memory(void)
{
    char c;
    struct iovec to = {&c, 1}, from = {&tcp, 1};
    (void)!process_vm_readv(parent, &to, 1, &from, 1, 0);
}

static void try_kill(void)
{
    kill(parent, 0);
}

static void try_exec_memory(void)
{
    (void)!mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void try_make_executable(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static void try_memfd(void)
{
    (void)!memfd_create("x", 0);
}

static void try_setuid(void)
{
    (void)!setuid(65534);
}

static void try_prctl(void)
{
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void try_chmod(void)
{
    chmod("/nowhere", 0777);
}

static void try_chown(void)
{
    (void)!chown("/nowhere", 1, 1);
}

static void try_touch_by_name(void)
{
    utimensat(AT_FDCWD, "/nowhere", NULL, 0);
}

static void try_stat_by_name(void)
{
    struct stat st;
    (void)!fstatat(AT_FDCWD, "/etc/passwd", &st, 0);
}

static void try_unlink(void)
{
    unlinkat(AT_FDCWD, "/nowhere/x", 0);
}

static void try_chroot(void)
{
    (void)!chroot("/");
}

static void try_io_uring(void)
{
    syscall(SYS_io_uring_setup, 1, NULL);
}

static void try_bpf(void)
{
    syscall(SYS_bpf, 0, NULL, 0);
}

static void try_owner_signal(void)
{
    fcntl(tcp, F_SETOWN, parent);
}

static void try_ioctl(void)
{
    syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, "x");
}

/* The upper half of the argument does not count for the kernel. */
static void try_cut_stderr(void)
{
    syscall(SYS_ftruncate, UINT64_C(1) << 32 | STDERR_FILENO, 0);
}

static void try_cut_stdout(void)
{
    (void)!ftruncate(STDOUT_FILENO, 0);
}

static void try_punch_stdout(void)
{
    (void)!fallocate(STDOUT_FILENO, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1);
}

static void try_flags_of_stderr(void)
{
    fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
}

static void try_flags_of_stdin(void)
{
    syscall(SYS_fcntl, UINT64_C(3) << 32 | STDIN_FILENO, F_SETFL, O_NONBLOCK);
}

static const struct attempt {
    const char *name;
    void (*make)(void);
    unsigned killed; /* by which lists */
} attempts[] = {
    {"open", try_open, NAMELESS & ~SCRIBE},
    {"openat2", try_openat2, NAMELESS},
    {"stat by name", try_stat_by_name, NAMELESS},
    {"unlink", try_unlink, NAMELESS | 1 << CONFINE_SCRUB},
    {"chmod by name", try_chmod, ALL},
    {"chown by name", try_chown, ALL},
    {"times by name", try_touch_by_name, ALL},
    {"chroot", try_chroot, ALL},
    {"socket", try_socket, ALL},
    {"connect", try_connect, ALL},
    {"bind", try_bind, ALL},
    {"accept", try_accept, ALL},
    {"socket filter", try_filter, ALL},
    {"execve", try_exec, ALL},
    {"fork", try_fork, ALL},
    {"ptrace", try_ptrace, ALL},
    {"process_vm_readv", try_read_memory, ALL},
    {"kill", try_kill, ALL},
    {"F_SETOWN", try_owner_signal, ALL},
    {"executable mmap", try_exec_memory, ALL},
    {"executable mprotect", try_make_executable, ALL},
    {"memfd_create", try_memfd, ALL},
    {"setuid", try_setuid, ALL},
    {"prctl", try_prctl, ALL},
    {"ftruncate of stdout", try_cut_stdout, ALL},
    {"ftruncate of stderr", try_cut_stderr, ALL},
    {"fallocate of stdout", try_punch_stdout, ALL},
    {"F_SETFL of stdin", try_flags_of_stdin, ALL},
    {"F_SETFL of stderr", try_flags_of_stderr, ALL},
    {"ioctl", try_ioctl, ALL},
    {"io_uring", try_io_uring, ALL},
    {"bpf", try_bpf, ALL},
};

/* Calls that none of them has, with arguments that would do no harm. */
static const int none_has[] = {
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_unshare,
    SYS_setns,
    SYS_userfaultfd,
    SYS_keyctl,
    SYS_add_key,
    SYS_perf_event_open,
    SYS_init_module,
    SYS_finit_module,
    SYS_kexec_load,
    SYS_swapon,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_acct,
    SYS_quotactl,
    SYS_ptrace,
    SYS_bpf,
    SYS_io_uring_setup,
    SYS_process_vm_readv,
    SYS_kcmp,
    SYS_name_to_handle_at,
    SYS_open_by_handle_at,
    SYS_mknodat,
    SYS_personality,
    SYS_process_vm_writev,
    SYS_pidfd_getfd,
    SYS_fanotify_init,
    SYS_syslog,
    SYS_listen,
    SYS_chroot,
    SYS_memfd_secret,
};

#if !defined __SANITIZE_ADDRESS__
/* Of these the module's processes have some. */
static const int confined_lack[] = {
    SYS_rt_sigaction, SYS_prctl,    SYS_prlimit64, SYS_shmget, SYS_tgkill, SYS_socketpair,
    SYS_execveat,     SYS_fchmodat, SYS_fchownat,  SYS_setuid, SYS_capset, SYS_setresuid,
};
#endif

static const struct attempt *now;
static enum confine_process as;
static int number;

/* Nobody listens there. */
static void attempt_confined(void)
{
    confine_report_to(tcp);
    WANT(confine_start(&tcp, 1) == ERR_OK);
    WANT(confine_calls(as) == ERR_OK);
    now->make();
}

static void calls_that_are_not_listed_kill(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        now = &attempts[i];
        for (as = 0; as < CONFINE_PROCESSES; as++) {
            int want = now->killed & 1 << as ? KILLED : 0, got = 0;
            if (!(MODULE & 1 << as))
                got = run(attempt_confined);
            if (got != want)
                print_error("%s in %s: %d, not %d\n", now->name, confine_name(as), got, want);
            assert_int_equal(got, want);
        }
    }
}

static void call_by_number(void)
{
    confine_report_to(tcp);
    WANT(confine_start(NULL, 0) == ERR_OK);
    WANT(confine_calls(as) == ERR_OK);
    long rc = syscall(number, 0, 0, 0, 0, 0, 0);
    if (MODULE & 1 << as)
        WANT(rc == -1 && errno == ENOSYS);
}

static void try_each(const int *list, size_t n, unsigned who)
{
    for (size_t i = 0; i < n; i++) {
        number = list[i];
        for (as = 0; as < CONFINE_PROCESSES; as++) {
            int want = MODULE & 1 << as ? 0 : KILLED,
                got = who & 1u << as ? run(call_by_number) : want;
            if (got != want)
                print_error("call %d in %s: %d, not %d\n", number, confine_name(as), got, want);
            assert_int_equal(got, want);
        }
    }
}

static void what_no_process_has(void **state)
{
    (void)state;
#if defined __SANITIZE_ADDRESS__
    try_each(none_has, sizeof none_has / sizeof none_has[0], ALL);
#else
    try_each(none_has, sizeof none_has / sizeof none_has[0], ALL | MODULE);
    try_each(confined_lack, sizeof confined_lack / sizeof confined_lack[0], ALL);
#endif
}

/* What a module may do, and what who starts other processes must be able to. */
static void work_as_signer(void)
{
    WANT(confine_start(NULL, 0) == ERR_OK && confine_outside() == ERR_OK);
    WANT(confine_calls(as) == ERR_OK);
    int fd = open("/dev/urandom", O_RDONLY), status = -1;
    WANT(fd >= 0 && close(fd) == 0);
    WANT(socket(AF_INET, SOCK_STREAM, 0) >= 0 && socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
    pid_t pid = fork();
    if (pid == 0)
        execl("/bin/true", "true", (char *)NULL);
    WANT(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    WANT(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    WANT(mkdir(folder, 0700) < 0 && errno == EEXIST);
}

static void a_module_finds_what_it_needs(void **state)
{
    (void)state;
    for (as = 0; as < CONFINE_PROCESSES; as++)
        if (MODULE & 1 << as)
            assert_int_equal(run(work_as_signer), 0);
}

static int told[2];

static void be_killed_and_tell(void)
{
    confine_report_to(told[1]);
    WANT(confine_start(NULL, 0) == ERR_OK && confine_calls(as) == ERR_OK);
    (void)!chroot("/");
}

static void who_is_killed_says_for_which_call(void **state)
{
    char name[CONFINE_CALL_NAME];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, told), 0);
    for (as = 0; as < CONFINE_PROCESSES; as++) {
        int call = 0;
        if (MODULE & 1 << as)
            continue;
        assert_int_equal(run(be_killed_and_tell), KILLED);
        assert_int_equal(read(told[0], &call, sizeof call), sizeof call);
        assert_int_equal(call, SYS_chroot);
        confine_call_name(call, name);
        assert_string_equal(name, "chroot");
    }
    confine_call_name(99999, name);
    assert_string_equal(name, "99999");
    close(told[0]);
    close(told[1]);
}

/* What a session does with the descriptors it was handed, a store's message along. */
static void work_as_session(void)
{
    int pair[2], data = open(folder, O_TMPFILE | O_RDWR, 0600);
    uint8_t buffer[IPC_SMALL], digest[32];
    struct ipc_in in;
    struct stat st;
    WANT(data >= 0 && ipc_pair(pair) == ERR_OK);
    int keep[] = {data, pair[0], pair[1]};
    int abi;
    WANT(confine_start(keep, 3) == ERR_OK);
    WANT(confine_files(NULL, 0, false, false, &abi) == ERR_OK);
    WANT(confine_calls(CONFINE_SESSION) == ERR_OK);
    WANT(fallocate(data, 0, 0, 8192) == 0);
    WANT(pwrite(data, "hello", 5, 100) == 5 && pread(data, buffer, 5, 100) == 5);
    WANT(fdatasync(data) == 0 && fsync(data) == 0 && ftruncate(data, 10) == 0);
    WANT(fstat(data, &st) == 0 && st.st_size == 10);
    WANT(IPC_SEND_FDS(pair[0], granted, GRANTED, &data, 1, .status = 0) == ERR_OK);
    WANT(ipc_recv(pair[1], buffer, sizeof buffer, &in, 1000) == ERR_OK && in.n_fds == 1);
    WANT(pwrite(in.fds[0], "x", 1, 0) == 1);
    ipc_drop(&in);
    char *big = malloc(8 << 20);
    WANT(big && (big = realloc(big, 32 << 20)) != NULL);
    memset(big, 1, 32 << 20);
    WANT(gnutls_hash_fast(GNUTLS_DIG_SHA256, big, 32 << 20, digest) == 0);
    WANT(gnutls_rnd(GNUTLS_RND_KEY, digest, sizeof digest) == 0);
    free(big);
    log_warn("a line of a confined process");
    int on = 1;
    (void)!setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void work_as_store(void)
{
    int root = open(folder, O_PATH | O_DIRECTORY), abi;
    WANT(confine_start(&root, 1) == ERR_OK);
    WANT(confine_files(&root, 1, false, false, &abi) == ERR_OK);
    WANT(confine_calls(CONFINE_STORE) == ERR_OK);
    struct open_how how = {.flags = O_CREAT | O_RDWR, .mode = 0600, .resolve = RESOLVE_BENEATH};
    struct stat st;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    WANT(mkdirat(root, "parts", 0700) == 0 && mkdirat(root, "in", 0700) == 0);
    int fd = (int)syscall(SYS_openat2, root, "parts/a", &how, sizeof how);
    WANT(fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0);
    WANT(write(fd, "abc", 3) == 3 && ftruncate(fd, 2) == 0 && fsync(fd) == 0);
    WANT(futimens(fd, NULL) == 0 && fchmod(fd, 0640) == 0);
    char names[64];
    bool kept = fsetxattr(fd, "user.x", "v", 1, 0) == 0; /* where the filesystem has some */
    WANT(!kept || (flistxattr(fd, names, sizeof names) == 7 &&
                   fgetxattr(fd, "user.x", names, sizeof names) == 1));
    WANT(renameat(root, "parts/a", root, "in/a") == 0);
    WANT(linkat(root, "in/a", root, "in/b", 0) == 0 && unlinkat(root, "in/a", 0) == 0);
    WANT(fstatat(root, "in/b", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size == 2);
    int dir = openat(root, "in", O_RDONLY | O_DIRECTORY);
    WANT(dir >= 0 && fsync(dir) == 0);
    DIR *d = fdopendir(dir);
    WANT(d != NULL);
    int seen = 0;
    while (readdir(d))
        seen++;
    WANT(seen == 3);
    closedir(d);
    WANT(openat(root, "../confine.t", O_RDONLY) < 0);
}

static void the_work_of_each_is_allowed(void **state)
{
    (void)state;
    assert_int_equal(run(work_as_session), 0);
    assert_int_equal(run(work_as_store), 0);
}

/* Landlock alone, without the lists of calls, so that its own refusals show. */
static int landlock(unsigned n, int abi_wanted)
{
    int root = open(folder, O_PATH | O_DIRECTORY), keep[] = {root, tcp}, abi = -1;
    WANT(root >= 0 && confine_start(keep, 2) == ERR_OK);
    WANT(confine_files(&root, n, false, true, &abi) == ERR_OK);
    WANT(abi >= abi_wanted);
    return root;
}

static bool refused(long rc, int errnum)
{
    return rc < 0 && errno == errnum;
}

static void outside_the_folder(void)
{
    int root = landlock(1, 2);
    WANT(refused(open("/etc/passwd", O_RDONLY), EACCES));
    WANT(refused(open("/tmp", O_RDONLY | O_DIRECTORY), EACCES));
    WANT(refused(open("/proc/self/mem", O_RDONLY), EACCES));
    WANT(refused(openat(root, "..", O_RDONLY | O_DIRECTORY), EACCES));
    WANT(refused(open("/tmp/consign-outside", O_CREAT | O_WRONLY, 0600), EACCES));
    WANT(refused(mkdir("/tmp/consign-outside", 0700), EACCES));
}

static void kinds_of_files(void)
{
    int root = landlock(1, 2);
    WANT(openat(root, "f", O_CREAT | O_RDWR | O_TRUNC, 0700) >= 0);
    WANT(refused(symlinkat("/etc/passwd", root, "link"), EACCES));
    WANT(refused(mkfifoat(root, "fifo", 0600), EACCES));
    WANT(refused(mknodat(root, "socket", S_IFSOCK | 0600, 0), EACCES));
    WANT(refused(execveat(root, "f", (char *[]){NULL}, (char *[]){NULL}, 0), EACCES));
}

/* Made, and of no more use than without it. */
static void symbolic_links(void)
{
    int root = open(folder, O_PATH | O_DIRECTORY), abi;
    char target[20];
    WANT(root >= 0 && confine_start(&root, 1) == ERR_OK);
    WANT(confine_files(&root, 1, true, true, &abi) == ERR_OK);
    WANT(confine_calls(CONFINE_STORE) == ERR_OK);
    WANT(symlinkat("/etc/passwd", root, "link") == 0);
    WANT(readlinkat(root, "link", target, sizeof target) == 11 &&
         memcmp(target, "/etc/passwd", 11) == 0);
    WANT(refused(openat(root, "link", O_RDONLY), EACCES));
    WANT(refused(symlinkat("x", AT_FDCWD, "/tmp/consign-outside"), EACCES));
}

static void no_folder_at_all(void)
{
    char c;
    int before = open(folder, O_TMPFILE | O_RDWR, 0600), abi;
    WANT(before >= 0 && confine_start(&before, 1) == ERR_OK);
    WANT(confine_files(NULL, 0, false, true, &abi) == ERR_OK);
    WANT(refused(open(folder, O_RDONLY | O_DIRECTORY), EACCES));
    WANT(refused(open("/dev/null", O_RDONLY), EACCES));
    WANT(write(before, "x", 1) == 1 && pread(before, &c, 1, 0) == 1 && c == 'x');
}

static void reading_only(void)
{
    int root = open(folder, O_PATH | O_DIRECTORY), abi;
    int made = openat(root, "to-read", O_CREAT | O_RDWR, 0600);
    WANT(made >= 0 && confine_start(&root, 1) == ERR_OK);
    WANT(confine_reading(&root, 1, true, &abi) == ERR_OK);
    WANT(confine_calls(CONFINE_SCRUB) == ERR_OK);
    WANT(openat(root, "to-read", O_RDONLY) >= 0);
    WANT(refused(openat(root, "to-read", O_RDWR), EACCES));
    WANT(refused(openat(root, "new", O_CREAT | O_WRONLY, 0600), EACCES));
    WANT(refused(open("/etc/passwd", O_RDONLY), EACCES));
}

/* With all capabilities of who runs this. */
static void outside(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    int keep[] = {tcp}, status;
    pid_t own;
    WANT(confine_start(keep, 1) == ERR_OK && confine_outside() == ERR_OK);
    WANT(refused(mknod("/tmp/consign-outside", S_IFCHR | 0600, 0), EACCES) || errno == EPERM);
    WANT(refused(bind(tcp, (struct sockaddr *)&at, sizeof at), EACCES));
    WANT(refused(kill(parent, 0), EPERM));
    WANT((own = fork()) >= 0);
    if (own == 0)
        for (;;)
            pause();
    WANT(kill(own, SIGKILL) == 0 && waitpid(own, &status, 0) == own);
    WANT(open("/etc/passwd", O_RDONLY) >= 0);
    int root = open(folder, O_PATH | O_DIRECTORY);
    (void)mkdirat(root, "a", 0700);
    WANT(openat(root, "moves", O_CREAT | O_RDWR, 0600) >= 0);
    WANT(renameat(root, "moves", root, "a/moved") == 0);
}

static void no_capabilities(void)
{
    gid_t groups[] = {1};
    if (geteuid() != 0)
        return;
    WANT(confine_start(NULL, 0) == ERR_OK && confine_capabilities(0) == ERR_OK);
    WANT(refused(setgroups(1, groups), EPERM) && refused(chroot("/"), EPERM));
    WANT(prctl(PR_CAPBSET_READ, 21, 0, 0, 0) == 0);
}

static void network_and_signals(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(9)};
    (void)landlock(0, 6);
    WANT(refused(connect(tcp, (struct sockaddr *)&at, sizeof at), EACCES));
    WANT(refused(bind(tcp, (struct sockaddr *)&at, sizeof at), EACCES));
    WANT(refused(kill(parent, 0), EPERM));
}

static void what_landlock_knows(void **state)
{
    (void)state;
    assert_int_equal(run(outside_the_folder), 0);
    assert_int_equal(run(kinds_of_files), 0);
    assert_int_equal(run(symbolic_links), 0);
    assert_int_equal(run(no_folder_at_all), 0);
    assert_int_equal(run(network_and_signals), 0);
    assert_int_equal(run(reading_only), 0);
    assert_int_equal(run(outside), 0);
    assert_int_equal(run(no_capabilities), 0);
}

/* Only the standard streams are left out. */
static void descriptors(void)
{
    int keep[10] = {3, 4, 5, 6, 7, 8, 9, 16, 64, 100},
        file = open(folder, O_TMPFILE | O_RDWR, 0600);
    WANT(file >= 0 && (file = dup2(file, 120)) >= 0);
    for (int i = 0; i < 10; i++)
        WANT(dup2(file, keep[i]) == keep[i]);
    WANT(confine_start(keep, 10) == ERR_OK);
    WANT(confine_calls(as) == ERR_OK);
    for (int i = 0; i < 10; i++)
        WANT(ftruncate(keep[i], i) == 0 && fcntl(keep[i], F_SETFL, O_APPEND) == 0);
}

static void every_own_descriptor_is_cut_and_set(void **state)
{
    (void)state;
    for (as = 0; as < CONFINE_PROCESSES; as++)
        if ((NAMES | SCRIBE | 1 << CONFINE_SESSION) & ~(1 << CONFINE_SCRUB) & 1 << as)
            assert_int_equal(run(descriptors), 0);
}

static void start(void)
{
    struct rlimit core;
    int keep[] = {200, -1, 20};
    for (size_t i = 0; i < 2; i++)
        WANT(dup2(1, (int[]){200, 20}[i]) >= 0 && dup2(1, (int[]){201, 21}[i]) >= 0);
    WANT(confine_start(keep, 3) == ERR_OK);
    for (int fd = 0; fd < 300; fd++)
        WANT((fcntl(fd, F_GETFD) >= 0) == (fd <= 2 || fd == 20 || fd == 200));
    WANT(prctl(PR_GET_DUMPABLE) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    WANT(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0);
}

static void start_closes_and_forgoes(void **state)
{
    (void)state;
    assert_int_equal(run(start), 0);
}

static void become_another(void)
{
    gid_t groups[] = {65533}, got[8];
    log_quiet(true);
    WANT(confine_become(0, 0, NULL, 0) == ERR_CONFIG);
    if (geteuid() != 0) {
        WANT(confine_become(getuid() + 1, getgid(), NULL, 0) == ERR_CONFIG);
        WANT(confine_become(getuid(), getgid(), NULL, 0) == ERR_OK);
        return;
    }
    WANT(confine_become(65534, 65532, groups, 1) == ERR_OK);
    WANT(getuid() == 65534 && geteuid() == 65534 && getgid() == 65532 && getegid() == 65532);
    WANT(getgroups(8, got) == 1 && got[0] == 65533);
    WANT(refused(setuid(0), EPERM) && refused(setgid(0), EPERM));
    WANT(refused(open("/etc/shadow", O_RDONLY), EACCES));
    WANT(prctl(PR_GET_DUMPABLE) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    WANT(confine_become(65533, 65532, NULL, 0) == ERR_CONFIG);
    WANT(confine_become(65534, 65532, NULL, 0) == ERR_OK);
}

static void becoming_has_no_way_back(void **state)
{
    (void)state;
    assert_int_equal(run(become_another), 0);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/consign-confine-XXXXXX");
    parent = getpid();
    tcp = socket(AF_INET, SOCK_STREAM, 0);
    return mkdtemp(folder) && tcp >= 0 && gnutls_global_init() == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    close(tcp);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_closes_and_forgoes),
        cmocka_unit_test(becoming_has_no_way_back),
        cmocka_unit_test(calls_that_are_not_listed_kill),
        cmocka_unit_test(what_no_process_has),
        cmocka_unit_test(who_is_killed_says_for_which_call),
        cmocka_unit_test(the_work_of_each_is_allowed),
        cmocka_unit_test(a_module_finds_what_it_needs),
        cmocka_unit_test(every_own_descriptor_is_cut_and_set),
        cmocka_unit_test(what_landlock_knows),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
