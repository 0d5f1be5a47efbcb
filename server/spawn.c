/* SPDX-License-Identifier: ISC */
#include "spawn.h"

#include "ipc.h"
#include "log.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

static _Noreturn void become(char *const *argv, int control, pid_t parent)
{
    /* A descriptor that was dup'ed to itself would keep its close-on-exec flag. */
    if (control == SPAWN_CONTROL ? fcntl(control, F_SETFD, 0) < 0
                                 : dup2(control, SPAWN_CONTROL) < 0)
        log_error("%s: control socket", argv[1]);
    else if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent) {
        execv("/proc/self/exe", argv);
        log_error("%s: /proc/self/exe can't be started (is /proc mounted?)", argv[1]);
    }
    _exit(err_exit(ERR_INTERNAL));
}

enum err spawn_self(char *const *argv, int *control, pid_t *pid)
{
    int pair[2];
    pid_t parent = getpid();
    enum err rc = ipc_pair(pair);
    if (rc)
        return rc;
    *pid = fork();
    if (*pid == 0)
        become(argv, pair[1], parent);
    close(pair[1]);
    if (*pid < 0) {
        rc = log_fail_errno("starting %s", argv[1]);
        close(pair[0]);
        return rc;
    }
    *control = pair[0];
    return ERR_OK;
}
