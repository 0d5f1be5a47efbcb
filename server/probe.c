/* SPDX-License-Identifier: ISC */
/* Only in the build for t/: what a break-in would try, from inside a confined process. */
#include "probe.h"

#ifdef CONSIGN_PROBE

#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
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

static int try_exec(void)
{
    return execl("/bin/true", "true", (char *)NULL);
}

static int try_fork(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid;
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

static const struct {
    const char *name;
    int (*run)(void);
} attempts[] = {{"open", try_open},     {"create", try_create},   {"unlink", try_unlink},
                {"socket", try_socket}, {"connect", try_connect}, {"exec", try_exec},
                {"fork", try_fork},     {"kill", try_kill},       {"trace", try_trace},
                {"root", try_root}};

/* CONSIGN_PROBE is STAGE:ATTEMPT[:ARGUMENT]. */
void probe_run(const char *stage)
{
    const char *want = getenv("CONSIGN_PROBE");
    size_t n = strlen(stage);
    if (!want || strncmp(want, stage, n) != 0 || want[n] != ':')
        return;
    want += n + 1;
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
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
