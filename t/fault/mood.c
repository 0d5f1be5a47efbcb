/* SPDX-License-Identifier: ISC */
#include "fault.h"

#include <string.h>

/* A mood, the calls that it is about, what it does to them, and its answer where the line has none
 * (CKR_OK: it ends the process). */
struct mood {
    const char *name;
    bool (*meets)(const struct wish *w, const struct call *c);
    void (*act)(const struct wish *w, struct call *c);
    CK_RV answer;
};

/* ---- when ---- */

static bool always(const struct wish *w, const struct call *c)
{
    return w && c;
}

static bool wants_token(const struct wish *w, const struct call *c)
{
    return w && c->object != OF_MODULE;
}

static bool wants_session(const struct wish *w, const struct call *c)
{
    return w && c->object == OF_SESSION;
}

static bool one_too_many(const struct wish *w, const struct call *c)
{
    return c->function == FN_C_OpenSession && sessions_open() >= w->n;
}

static bool after_fork(const struct wish *w, const struct call *c)
{
    return w && c->foreign && (w->end || c->function != FN_C_Initialize);
}

static bool crowded(const struct wish *w, const struct call *c)
{
    return w && c->under_way > 1;
}

static bool idle_too_long(const struct wish *w, const struct call *c)
{
    return c->session && session_idle(c->session) >= w->ms;
}

static bool signs(const struct wish *w, const struct call *c)
{
    return w->in != FN_COUNT || c->function == FN_C_Sign || c->function == FN_C_SignFinal;
}

/* ---- what ---- */

static void answer(const struct wish *w, struct call *c)
{
    CK_RV rv = w->has_answer ? w->answer : w->mood->answer;
    if (w->end || rv == CKR_OK) {
        c->end = true;
    } else if (!c->answered) {
        c->answered = true;
        c->answer = rv;
    }
}

static void hang(const struct wish *w, struct call *c)
{
    (void)w;
    c->hang = true;
}

static void slow(const struct wish *w, struct call *c)
{
    c->slow_ms += w->ms;
}

static void gone(const struct wish *w, struct call *c)
{
    (void)w;
    c->lose_all = true;
    c->answered = true;
    c->answer = c->object == OF_SLOT ? CKR_TOKEN_NOT_PRESENT : CKR_DEVICE_REMOVED;
}

static void lose_all(const struct wish *w, struct call *c)
{
    (void)w;
    c->lose_all = true;
}

static void lose_this(const struct wish *w, struct call *c)
{
    (void)w;
    c->lose_this = true;
}

static void length(const struct wish *w, struct call *c)
{
    c->has_length = true;
    c->length = w->n;
}

static void garble(const struct wish *w, struct call *c)
{
    (void)w;
    c->garble = true;
}

static const struct mood moods[] = {
    {"error", always, answer, CKR_GENERAL_ERROR},
    {"hang", always, hang, 0},
    {"slow", always, slow, 0},
    {"gone", wants_token, gone, 0},
    {"lose", wants_session, lose_all, 0},
    {"idle", idle_too_long, lose_this, 0},
    {"cap", one_too_many, answer, CKR_SESSION_COUNT},
    {"nofork", after_fork, answer, CKR_CRYPTOKI_NOT_INITIALIZED},
    {"single", crowded, answer, CKR_OK},
    {"length", signs, length, 0},
    {"garble", signs, garble, 0},
};

const struct mood *mood_find(const char *name)
{
    for (size_t i = 0; i < sizeof moods / sizeof moods[0]; i++)
        if (strcmp(moods[i].name, name) == 0)
            return &moods[i];
    return NULL;
}

bool mood_meets(const struct wish *w, const struct call *c)
{
    return (w->in == FN_COUNT || w->in == c->function) && w->mood->meets(w, c);
}

void mood_act(const struct wish *w, struct call *c)
{
    w->mood->act(w, c);
}
