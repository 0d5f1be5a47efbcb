/* SPDX-License-Identifier: ISC */
#include "fault.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

static CK_FUNCTION_LIST *real, own;

/* ---- those that say something about slots and sessions ---- */

static CK_RV on_C_Initialize(void *args)
{
    struct call c = call_begin(FN_C_Initialize, OF_MODULE, 0);
    CK_RV rv = c.answered ? c.answer : real->C_Initialize(args);
    if (rv == CKR_OK) {
        sessions_forget();
        call_owner(true);
    }
    return call_end(&c, rv, NULL, NULL);
}

static CK_RV on_C_Finalize(void *reserved)
{
    struct call c = call_begin(FN_C_Finalize, OF_MODULE, 0);
    CK_RV rv = c.answered ? c.answer : real->C_Finalize(reserved);
    if (rv == CKR_OK) {
        sessions_forget();
        call_owner(false);
    }
    return call_end(&c, rv, NULL, NULL);
}

/* With CKR_TOKEN_NOT_PRESENT for an answer, there are slots without a token. */
static CK_RV on_C_GetSlotList(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *n)
{
    struct call c = call_begin(FN_C_GetSlotList, OF_SLOT, 0);
    bool gone = c.answered && c.answer == CKR_TOKEN_NOT_PRESENT;
    CK_RV rv = c.answer;
    if (gone && present) {
        *n = 0;
        rv = CKR_OK;
    } else if (gone || !c.answered) {
        rv = real->C_GetSlotList(present, list, n);
    }
    return call_end(&c, rv, NULL, NULL);
}

static CK_RV on_C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    struct call c = call_begin(FN_C_GetSlotInfo, OF_SLOT, 0);
    bool gone = c.answered && c.answer == CKR_TOKEN_NOT_PRESENT;
    CK_RV rv = c.answered && !gone ? c.answer : real->C_GetSlotInfo(slot, info);
    if (gone && rv == CKR_OK)
        info->flags &= ~(CK_FLAGS)CKF_TOKEN_PRESENT;
    return call_end(&c, rv, NULL, NULL);
}

static CK_RV on_C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *arg, CK_NOTIFY notify,
                              CK_SESSION_HANDLE *session)
{
    struct call c = call_begin(FN_C_OpenSession, OF_SLOT, 0);
    CK_RV rv = c.answered ? c.answer : real->C_OpenSession(slot, flags, arg, notify, session);
    if (rv == CKR_OK)
        session_opened(*session, slot);
    return call_end(&c, rv, NULL, NULL);
}

/* What the caller takes for lost is closed all the same, or it would stay for ever. */
static CK_RV on_C_CloseSession(CK_SESSION_HANDLE session)
{
    struct call c = call_begin(FN_C_CloseSession, OF_SESSION, session);
    CK_RV rv = CKR_OK;
    if (!c.answered || session_lost(session)) {
        rv = real->C_CloseSession(session);
        session_closed(session);
    }
    return call_end(&c, c.answered ? c.answer : rv, NULL, NULL);
}

static CK_RV on_C_CloseAllSessions(CK_SLOT_ID slot)
{
    struct call c = call_begin(FN_C_CloseAllSessions, OF_SLOT, 0);
    CK_RV rv = c.answered ? c.answer : real->C_CloseAllSessions(slot);
    if (rv == CKR_OK)
        sessions_closed(slot);
    return call_end(&c, rv, NULL, NULL);
}

/* ---- all others ---- */

#define PASS_ON(name, parameters, arguments, object, session, out, out_n)                          \
    static CK_RV on_##name parameters                                                              \
    {                                                                                              \
        struct call c = call_begin(FN_##name, object, session);                                    \
        return call_end(&c, c.answered ? c.answer : real->name arguments, out, out_n);             \
    }
#define OWN(name)
#define ON_MODULE(name, parameters, arguments)                                                     \
    PASS_ON(name, parameters, arguments, OF_MODULE, 0, NULL, NULL)
#define ON_SLOT(name, parameters, arguments)                                                       \
    PASS_ON(name, parameters, arguments, OF_SLOT, 0, NULL, NULL)
#define ON_SESSION(name, parameters, arguments)                                                    \
    PASS_ON(name, parameters, arguments, OF_SESSION, session, NULL, NULL)
#define GIVING(name, parameters, arguments)                                                        \
    PASS_ON(name, parameters, arguments, OF_SESSION, session, out, out_n)
#include "calls.def"

/* ---- the module behind ---- */

void module_logout(CK_SESSION_HANDLE session)
{
    real->C_Logout(session);
}

static void load(void)
{
    const char *path = folder_open() ? folder_module() : NULL;
    void *handle = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (path && !handle)
        complain("%s", dlerror());
    /* POSIX lets a pointer of dlsym be a function's. */
    union {
        void *object;
        CK_C_GetFunctionList function;
    } entry = {.object = handle ? dlsym(handle, "C_GetFunctionList") : NULL};
    if (!entry.object || entry.function(&real) != CKR_OK) {
        complain("no PKCS#11 module behind");
        real = NULL;
    }
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    if (!real)
        return CKR_GENERAL_ERROR;
    own.version = real->version;
    own.C_GetFunctionList = C_GetFunctionList;
#define CALL(name, ...) own.name = on_##name;
#include "calls.def"
    *list = &own;
    return CKR_OK;
}
