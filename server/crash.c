/* SPDX-License-Identifier: ISC */
#include "crash.h"

#include "confine.h"
#include "log.h"
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { AT_ONCE = 64 }; /* of a process that does nothing but talk */

enum err crash_init(struct crash *c)
{
    int pair[2], on = 1;
    *c = (struct crash){.fd = -1, .theirs = -1};
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return log_fail_errno("socket for reports");
    c->fd = pair[0];
    c->theirs = pair[1];
    if (setsockopt(c->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0)
        return log_fail_errno("socket for reports");
    confine_report_to(c->theirs);
    return ERR_OK;
}

void crash_release(struct crash *c)
{
    if (c->fd >= 0)
        close(c->fd);
    if (c->theirs >= 0)
        close(c->theirs);
    *c = (struct crash){.fd = -1, .theirs = -1};
}

/* One report: false when there is none. *pid is 0 for what is none. */
static bool take(const struct crash *c, pid_t *pid, int *call)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct iovec iov = {call, sizeof *call};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
    struct ucred who;
    *pid = 0;
    ssize_t n = recvmsg(c->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return false;
    const struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    if (n == sizeof *call && h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_CREDENTIALS &&
        !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        memcpy(&who, CMSG_DATA(h), sizeof who);
        *pid = who.pid;
    }
    return true;
}

void crash_hear(struct crash *c)
{
    pid_t pid;
    int call;
    for (int i = 0; i < AT_ONCE && take(c, &pid, &call); i++) {
        if (pid == 0 || call < 0)
            continue;
        unsigned at = c->next++ % CRASH_WORDS;
        c->words[at].pid = pid;
        c->words[at].call = call;
    }
}

int crash_call(struct crash *c, pid_t pid)
{
    int call = -1;
    crash_hear(c);
    for (unsigned i = 0; i < CRASH_WORDS; i++)
        if (c->words[i].pid == pid) {
            call = c->words[i].call;
            c->words[i].pid = 0;
        }
    return call;
}
