/* SPDX-License-Identifier: ISC */
#include "token_wait.h"
#include "log.h"

#include <signal.h>
#include <stdbool.h>
#include <time.h>

enum { FIRST_S = 10, AGAIN_S = 60 };

static struct {
    bool announces, has_timer;
    timer_t timer;
} state;

void token_wait_announce(void)
{
    state.announces = true;
}

static void tell(union sigval ignored)
{
    (void)ignored;
    log_warn("the token does not answer; waiting for it (an interrupt ends this)");
}

static void set(time_t first, time_t again)
{
    struct sigevent how = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = tell};
    struct itimerspec when = {.it_value.tv_sec = first, .it_interval.tv_sec = again};
    if (state.announces && !state.has_timer)
        state.has_timer = timer_create(CLOCK_MONOTONIC, &how, &state.timer) == 0;
    if (state.has_timer)
        timer_settime(state.timer, 0, &when, NULL);
}

void token_wait_begin(void)
{
    set(FIRST_S, AGAIN_S);
}

void token_wait_end(void)
{
    set(0, 0);
}
