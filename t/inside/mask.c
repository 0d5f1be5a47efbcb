/* SPDX-License-Identifier: ISC */
/* Runs a program as on a kernel with an older Landlock, or without any:
 *
 *   landlock-mask ABI PROGRAM [ARGUMENT...]         ABI 0: none
 *
 * For 0 the program's landlock_create_ruleset is ENOSYS. Else a process of its own answers the question for the ABI, by
 * seccomp's notifications, and refuses rules that such a kernel would not know; the rest is the kernel's. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { QUESTION = 1 /* LANDLOCK_CREATE_RULESET_VERSION */ };

/* struct landlock_ruleset_attr since ABI 6. */
struct rules {
    uint64_t fs, net, scoped;
};

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(99);
}

/* What a kernel of that ABI knows. */
static struct rules known(int abi)
{
    static const unsigned fs_bits[] = {0, 13, 14, 15, 15, 16, 16};
    unsigned bits = fs_bits[abi > 6 ? 6 : abi];
    return (struct rules){(UINT64_C(1) << bits) - 1, abi >= 4 ? 3 : 0, abi >= 6 ? 3 : 0};
}

/* The rules that a process wants to make; false when they can't be read. */
static int read_rules(pid_t pid, uint64_t at, uint64_t n, struct rules *out)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    memset(out, 0, sizeof *out);
    if (n > sizeof *out || fd < 0 || pread(fd, out, n, (off_t)at) != (ssize_t)n)
        return 0;
    close(fd);
    return 1;
}

static void answer(int abi, const struct seccomp_notif *q, struct seccomp_notif_resp *r)
{
    struct rules want, may = known(abi);
    *r = (struct seccomp_notif_resp){.id = q->id};
    if (q->data.args[2] == QUESTION)
        r->val = abi;
    else if (!read_rules((pid_t)q->pid, q->data.args[0], q->data.args[1], &want))
        r->error = -EFAULT;
    else if ((want.fs & ~may.fs) || (want.net & ~may.net) || (want.scoped & ~may.scoped))
        r->error = -EINVAL;
    else
        r->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
}

/* Until nobody is left that could ask. */
static void serve(int abi, int fd)
{
    struct seccomp_notif *q;
    struct seccomp_notif_resp *r;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (seccomp_notify_alloc(&q, &r) != 0)
        die("notifications");
    while (poll(&p, 1, -1) > 0 && !(p.revents & POLLHUP)) {
        memset(q, 0, sizeof *q);
        if (seccomp_notify_receive(fd, q) != 0)
            continue;
        answer(abi, q, r);
        (void)seccomp_notify_respond(fd, r);
    }
}

static void send_fd(int to, int fd)
{
    char byte = 0, control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec iov = {&byte, 1};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(h), &fd, sizeof fd);
    if (sendmsg(to, &m, 0) != 1)
        die("sending");
}

static int receive_fd(int from)
{
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {&byte, 1};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int fd;
    if (recvmsg(from, &m, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&m))
        _exit(99);
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
    return fd;
}

/* A grandchild, so that the program does not find a child that it did not start. */
static int start_server(int abi)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        die("socketpair");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        close(pair[0]);
        if (fork() == 0) {
            int fd = receive_fd(pair[1]);
            close(pair[1]);
            /* Whoever waits for the end of the program's output does not wait for this. */
            int null = open("/dev/null", O_RDWR);
            for (int i = 0; i < 10; i++)
                if (i != fd)
                    dup2(null, i);
            serve(abi, fd);
        }
        _exit(0);
    }
    close(pair[1]);
    waitpid(pid, NULL, 0);
    return pair[0];
}

int main(int argc, char **argv)
{
    int abi = argc > 2 ? atoi(argv[1]) : -1;
    if (abi < 0)
        die("landlock-mask ABI PROGRAM [ARGUMENT...]");
    int server = abi ? start_server(abi) : -1;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    uint32_t action = abi ? SCMP_ACT_NOTIFY : SCMP_ACT_ERRNO(ENOSYS);
    if (!filter || seccomp_rule_add(filter, action, SCMP_SYS(landlock_create_ruleset), 0) != 0 ||
        seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 1) != 0 || seccomp_load(filter) != 0)
        die("seccomp");
    if (abi) {
        send_fd(server, seccomp_notify_fd(filter));
        close(seccomp_notify_fd(filter));
        close(server);
    }
    execvp(argv[2], argv + 2);
    die(argv[2]);
}
