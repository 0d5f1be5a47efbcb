/* SPDX-License-Identifier: ISC */
/* What a taken-over receiver could still do: each attempt is made by a forked child. */
#include "../../client/receiver.h"
#include "confine.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { KILLED = -SIGSYS };

static char top[64], below[80], beside[80];
static pid_t parent;

static void enter(bool links)
{
    struct profile p = {0};
    static struct fs fs;
    fs_init(&fs, "", true);
    confine_report_to(socket(AF_UNIX, SOCK_DGRAM, 0)); /* nobody listens */
    if (fs_add_root(&fs, "/", below, FS_ALL) != ERR_OK ||
        receiver_confine(&p, &fs, links) != ERR_OK)
        _exit(99);
}

/* The exit status of a child that runs attempt once confined, or minus the signal that killed it. */
static int confined(int (*attempt)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        enter(false);
        _exit(attempt() < 0 ? errno : 0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int read_passwords(void)
{
    return open("/etc/passwd", O_RDONLY);
}

static int read_memory(void)
{
    return open("/proc/self/mem", O_RDONLY);
}

static int read_beside(void)
{
    return open(beside, O_RDONLY);
}

static int write_beside(void)
{
    return open(beside, O_WRONLY | O_TRUNC);
}

static int remove_beside(void)
{
    return unlinkat(AT_FDCWD, beside, 0);
}

static int climb(void)
{
    int fd = open(below, O_RDONLY | O_DIRECTORY);
    return openat(fd, "../beside", O_RDONLY);
}

static int make_link(void)
{
    int fd = open(below, O_RDONLY | O_DIRECTORY);
    return symlinkat("/etc", fd, "link");
}

static int make_below(void)
{
    int fd = open(below, O_RDONLY | O_DIRECTORY), made;
    if (mkdirat(fd, "d", 0700) < 0 || (made = openat(fd, "d/f", O_CREAT | O_RDWR, 0600)) < 0)
        return -1;
    return renameat(fd, "d/f", fd, "f");
}

static int make_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int connect_out(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
    return connect(STDERR_FILENO, (struct sockaddr *)&to, sizeof to);
}

static int start_program(void)
{
    return execl("/bin/true", "true", (char *)NULL);
}

static int start_process(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid;
}

static int trace(void)
{
    return (int)ptrace(PTRACE_ATTACH, parent, NULL, NULL);
}

static int send_signal(void)
{
    return kill(parent, 0);
}

static int make_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? -1 : 0;
}

static int type_for_the_user(void)
{
    return (int)syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, "x");
}

static int be_dumped(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void *nothing(void *arg)
{
    return arg;
}

static int start_thread(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0
               ? 0
               : -1;
}

static void *read_in_thread(void *arg)
{
    *(int *)arg = read_passwords() < 0 ? errno : 0;
    return NULL;
}

static int a_thread_reads(void)
{
    pthread_t thread;
    int got = 0;
    if (pthread_create(&thread, NULL, read_in_thread, &got) != 0 || pthread_join(thread, NULL) != 0)
        return 0;
    errno = got;
    return got ? -1 : 0;
}

static const struct {
    const char *name;
    int (*make)(void);
    int want;
} attempts[] = {
    {"read /etc/passwd", read_passwords, EACCES},
    {"read its memory by name", read_memory, EACCES},
    {"read beside", read_beside, EACCES},
    {"write beside", write_beside, EACCES},
    {"remove beside", remove_beside, EACCES},
    {"climb", climb, EACCES},
    {"a link", make_link, EACCES},
    {"a thread reads", a_thread_reads, EACCES},
    {"work below", make_below, 0},
    {"threads", start_thread, 0},
    {"socket", make_socket, KILLED},
    {"connect", connect_out, KILLED},
    {"program", start_program, KILLED},
    {"process", start_process, KILLED},
    {"trace", trace, KILLED},
    {"signal", send_signal, KILLED},
    {"code", make_code, KILLED},
    {"terminal", type_for_the_user, KILLED},
    {"dump", be_dumped, KILLED},
};

static void the_folder_is_all_there_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        int got = confined(attempts[i].make);
        if (got != attempts[i].want)
            print_error("%s: %d, not %d\n", attempts[i].name, got, attempts[i].want);
        assert_int_equal(got, attempts[i].want);
    }
}

static void links_where_they_are_kept(void **state)
{
    int status;
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        enter(true);
        _exit(make_link() == 0 ? 0 : errno);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static int set_up(void **state)
{
    (void)state;
    parent = getpid();
    snprintf(top, sizeof top, "/tmp/consign-receiver-XXXXXX");
    if (!mkdtemp(top))
        return -1;
    snprintf(below, sizeof below, "%s/below", top);
    snprintf(beside, sizeof beside, "%s/beside", top);
    int fd = open(beside, O_CREAT | O_WRONLY, 0600);
    return fd >= 0 && close(fd) == 0 ? mkdir(below, 0700) : -1;
}

static int tear_down(void **state)
{
    char command[256];
    (void)state;
    snprintf(command, sizeof command, "test -e %s && rm -rf %s", beside, top);
    return system(command);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_folder_is_all_there_is),
        cmocka_unit_test(links_where_they_are_kept),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
