/* SPDX-License-Identifier: ISC */
/* Progress on a signal. A thread of its own waits for it: nothing runs in a signal handler, and it
 * answers also while the transfer hangs. */
#include "client.h"

#include "log.h"
#include <pthread.h>
#include <signal.h>
#include <string.h>

static void asked(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGUSR1);
#if defined SIGINFO
    sigaddset(set, SIGINFO);
#endif
}

void signal_block(void)
{
    sigset_t set;
    asked(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void *answer(void *arg)
{
    sigset_t set;
    int signal;
    (void)arg;
    asked(&set);
    for (;;)
        if (sigwait(&set, &signal) == 0)
            show_status();
    return NULL;
}

static void start(void)
{
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread, NULL, answer, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        pthread_detach(thread);
    else
        log_warn("progress can't be asked for by a signal: %s", strerror(rc));
}

void signal_watch(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
}
