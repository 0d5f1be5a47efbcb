/* SPDX-License-Identifier: ISC */
#include "slot.h"
#include "log.h"

#include <errno.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS_MAX = 256, LABEL = 32 };

static enum err fail(CK_RV rv, const char *what)
{
    enum err e = rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LEN_RANGE || rv == CKR_PIN_INVALID
                     ? ERR_PIN
                     : ERR_TOKEN;
    return log_fail(e, "%s: %s", what, p11_kit_strerror(rv));
}

static enum err open_module(const char *path, CK_FUNCTION_LIST **out)
{
    if (access(path, R_OK))
        return log_fail(ERR_TOKEN, "PKCS#11 module \"%s\": %s", path, strerror(errno));
    CK_FUNCTION_LIST *f = p11_kit_module_load(path, P11_KIT_MODULE_CRITICAL);
    if (!f)
        return log_fail(ERR_TOKEN, "PKCS#11 module \"%s\" can't be loaded: %s", path,
                        p11_kit_message());
    CK_RV rv = p11_kit_module_initialize(f);
    if (rv != CKR_OK) {
        p11_kit_module_release(f);
        return log_fail(ERR_TOKEN, "PKCS#11 module \"%s\" can't be started: %s", path,
                        p11_kit_strerror(rv));
    }
    *out = f;
    return ERR_OK;
}

static void close_module(CK_FUNCTION_LIST *f)
{
    p11_kit_module_finalize(f);
    p11_kit_module_release(f);
}

/* PKCS#11 pads labels with blanks. */
static enum err pad(const char *label, CK_UTF8CHAR out[static LABEL])
{
    size_t n = strlen(label);
    if (n == 0 || n > LABEL)
        return log_fail(ERR_USAGE, "token label \"%s\": must have 1 to 32 bytes", label);
    memset(out, ' ', LABEL);
    memcpy(out, label, n);
    return ERR_OK;
}

static enum err look(CK_FUNCTION_LIST *f, const CK_UTF8CHAR *label, struct slot_survey *s)
{
    CK_SLOT_ID ids[SLOTS_MAX];
    CK_ULONG n = SLOTS_MAX;
    CK_TOKEN_INFO t;
    CK_INFO info;
    memset(s, 0, sizeof *s);
    CK_RV rv = f->C_GetSlotList(CK_TRUE, ids, &n);
    if (rv != CKR_OK)
        return fail(rv, "list of slots");
    s->software = f->C_GetInfo(&info) == CKR_OK && memcmp(info.manufacturerID, "SoftHSM", 7) == 0;
    for (CK_ULONG i = 0; i < n; i++) {
        if (f->C_GetTokenInfo(ids[i], &t) != CKR_OK)
            continue;
        if (t.flags & CKF_TOKEN_INITIALIZED)
            s->labelled += memcmp(t.label, label, LABEL) == 0;
        else if (!s->has_blank) {
            s->has_blank = true;
            s->blank = ids[i];
        }
    }
    return ERR_OK;
}

enum err slot_survey(const char *module, const char *label, struct slot_survey *out)
{
    CK_UTF8CHAR padded[LABEL];
    CK_FUNCTION_LIST *f;
    enum err e = pad(label, padded);
    if (!e)
        e = open_module(module, &f);
    if (e)
        return e;
    e = look(f, padded, out);
    close_module(f);
    return e;
}

static enum err set_pin(CK_FUNCTION_LIST *f, CK_SLOT_ID slot, const char *so_pin, const char *pin)
{
    CK_SESSION_HANDLE s;
    CK_RV rv = f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s);
    if (rv != CKR_OK)
        return fail(rv, "session with the new token");
    rv = f->C_Login(s, CKU_SO, (CK_UTF8CHAR *)so_pin, strlen(so_pin));
    if (rv == CKR_OK)
        rv = f->C_InitPIN(s, (CK_UTF8CHAR *)pin, strlen(pin));
    f->C_CloseSession(s);
    return rv == CKR_OK ? ERR_OK : fail(rv, "PIN of the new token");
}

static enum err make(CK_FUNCTION_LIST *f, const char *label, const char *so_pin, const char *pin)
{
    CK_UTF8CHAR padded[LABEL];
    struct slot_survey s;
    enum err e = pad(label, padded);
    if (!e)
        e = look(f, padded, &s);
    if (e)
        return e;
    if (s.labelled)
        return log_fail(ERR_EXISTS, "token \"%s\" exists: it is left as it is", label);
    if (!s.has_blank)
        return log_fail(ERR_TOKEN, "no slot of the module holds a blank token");
    CK_RV rv = f->C_InitToken(s.blank, (CK_UTF8CHAR *)so_pin, strlen(so_pin), padded);
    return rv == CKR_OK ? set_pin(f, s.blank, so_pin, pin) : fail(rv, "making the token");
}

enum err slot_init(const char *module, const char *label, struct token_pin *so_pin,
                   struct token_pin *pin)
{
    CK_FUNCTION_LIST *f;
    const char *so = token_pin_get(so_pin);
    const char *user = so ? token_pin_get(pin) : NULL;
    if (!user)
        return ERR_PIN;
    enum err e = open_module(module, &f);
    if (e)
        return e;
    e = make(f, label, so, user);
    close_module(f);
    token_pin_forget(so_pin);
    return e;
}
