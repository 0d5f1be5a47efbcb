/* SPDX-License-Identifier: ISC */
#include "fault.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_MS = 20 };

static atomic_uint under_way;
static atomic_int owner; /* pid; 0: nobody */

void call_owner(bool started)
{
    owner = started ? getpid() : 0;
}

static void wait_ms(unsigned long ms)
{
    struct timespec left = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) && errno == EINTR)
        continue;
}

/* Until the control file is another one. */
static void hang(const struct call *c)
{
    folder_note(c, "hangs");
    while (control_stands(c->control))
        wait_ms(LOOK_MS);
}

static void end(const struct call *c)
{
    folder_note(c, "aborts");
    complain("%s, %u under way%s: ends the process", function_name(c->function), c->under_way,
             c->foreign ? ", after a fork" : "");
    abort();
}

/* A token logs out whom it closes the last session of. */
static void lose(const struct call *c)
{
    CK_SESSION_HANDLE lost = c->lose_all                                ? sessions_lose()
                             : c->lose_this && session_lose(c->session) ? c->session
                                                                        : 0;
    if (lost && sessions_open() == 0)
        module_logout(lost);
}

struct call call_begin(enum function function, enum object object, CK_SESSION_HANDLE session)
{
    struct call c = {.function = function, .object = object, .session = session};
    int started_by = owner;
    c.foreign = started_by && started_by != getpid();
    c.under_way = atomic_fetch_add(&under_way, 1) + 1;
    control_apply(&c);
    lose(&c);
    if (session && session_lost(session) && !c.answered) {
        c.answered = true;
        c.answer = CKR_SESSION_HANDLE_INVALID;
    }
    if (session)
        session_used(session);
    if (c.end)
        end(&c);
    if (c.slow_ms)
        wait_ms(c.slow_ms);
    if (c.hang)
        hang(&c);
    return c;
}

CK_RV call_end(const struct call *c, CK_RV rv, CK_BYTE *out, CK_ULONG *out_n)
{
    char name[24];
    if (rv == CKR_OK && out_n && c->garble && out && *out_n)
        out[*out_n - 1] ^= 1;
    if (rv == CKR_OK && out_n && c->has_length)
        *out_n = c->length;
    folder_note(c, folder_name(rv, name));
    atomic_fetch_sub(&under_way, 1);
    return rv;
}
