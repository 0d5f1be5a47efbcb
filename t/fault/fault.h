/* SPDX-License-Identifier: ISC */
/* A PKCS#11 module that passes every call on to another module, except as the file "control" of the
 * folder $CONSIGN_FAULT says at that moment. README says what it can be told.
 *
 *   module.c    the functions of PKCS#11, and the module behind
 *   call.c      what each of them does before and after it is passed on
 *   control.c   the lines of "control"
 *   mood.c      the moods
 *   sessions.c  which sessions are open, and which of them are lost
 *   folder.c    the folder: which module is behind, and the list of calls */
#ifndef CONSIGN_FAULT_H
#define CONSIGN_FAULT_H

#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <sys/types.h>

enum function {
#define CALL(name, ...) FN_##name,
#include "calls.def"
    FN_COUNT,
};

enum object { OF_MODULE, OF_SLOT, OF_SESSION };

/* One call, while it lasts. */
struct call {
    enum function function;
    enum object object;
    CK_SESSION_HANDLE session; /* 0: none */
    bool foreign;              /* in another process than the one that started the module */
    unsigned under_way;        /* calls of this process at its beginning, itself among them */
    /* what the moods want */
    unsigned long slow_ms;
    bool hang, end;           /* end: the process */
    bool lose_this, lose_all; /* sessions */
    bool answered;            /* with answer, and not passed on */
    CK_RV answer;
    bool has_length, garble;
    unsigned long length;
    ino_t control; /* the control file that said so */
};

/* ---- module.c ---- */

/* Ends the login at the module behind. */
void module_logout(CK_SESSION_HANDLE session);

/* ---- call.c ---- */

struct call call_begin(enum function function, enum object object, CK_SESSION_HANDLE session);
/* rv as the caller gets it. out (may be NULL) is what was given, of *out_n bytes. */
CK_RV call_end(const struct call *c, CK_RV rv, CK_BYTE *out, CK_ULONG *out_n);
/* This process has started the module (true), or ended it. */
void call_owner(bool started);

/* ---- control.c ---- */

/* Lets every mood that is in force have its say of c. Ends the process for a line that can't be
 * understood. */
void control_apply(struct call *c);
/* Whether the control file is still the one of that inode. */
bool control_stands(ino_t inode);

/* ---- mood.c ---- */

/* A line of "control". */
struct wish {
    const struct mood *mood;
    enum function in;     /* FN_COUNT: any */
    bool has_answer, end; /* "as=": a return value, or "abort" */
    CK_RV answer;
    unsigned long n, ms, after, times;
};

/* NULL: there is none of that name. */
const struct mood *mood_find(const char *name);
/* Whether c is a call that the wish is about. */
bool mood_meets(const struct wish *w, const struct call *c);
void mood_act(const struct wish *w, struct call *c);

/* ---- sessions.c: of this process; a handle that is not known is neither lost nor idle ---- */

void session_opened(CK_SESSION_HANDLE session, CK_SLOT_ID slot);
void session_closed(CK_SESSION_HANDLE session);
void sessions_closed(CK_SLOT_ID slot);
void sessions_forget(void);
/* Those that are not lost. */
unsigned sessions_open(void);
bool session_lost(CK_SESSION_HANDLE session);
/* Milliseconds since the last session_used. */
unsigned long session_idle(CK_SESSION_HANDLE session);
void session_used(CK_SESSION_HANDLE session);
/* Whether it was not lost before. */
bool session_lose(CK_SESSION_HANDLE session);
/* One of those that were not lost before, 0 when there were none. */
CK_SESSION_HANDLE sessions_lose(void);

/* ---- folder.c ---- */

/* Finds the folder and sets the environment that it lists. False, said on standard error. */
bool folder_open(void);
/* The first line of "module"; NULL, said on standard error. */
const char *folder_module(void);
/* Opens a file of the folder, -1 when there is none. */
int folder_file(const char *name, int flags);
/* Adds a line to "calls". */
void folder_note(const struct call *c, const char *outcome);
/* "CKR_..."; to, of 24 bytes, holds it where it has no name. */
const char *folder_name(CK_RV rv, char to[static 24]);
bool folder_code(const char *name, CK_RV *rv);
const char *function_name(enum function function);
enum function function_find(const char *name);
__attribute__((format(printf, 1, 2))) void complain(const char *fmt, ...);

#endif
