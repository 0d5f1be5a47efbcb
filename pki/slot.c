/* SPDX-License-Identifier: ISC */
#include "slot.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>

enum { LABEL = 32 };

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

static enum err look(const struct p11 *m, const char *label, struct slot_survey *s)
{
    struct p11_token *all;
    unsigned n;
    CK_INFO info;
    *s = (struct slot_survey){0};
    enum err e = p11_tokens(m, &all, &n);
    if (e)
        return e;
    s->software =
        m->f->C_GetInfo(&info) == CKR_OK && memcmp(info.manufacturerID, "SoftHSM", 7) == 0;
    for (unsigned i = 0; i < n; i++) {
        if (all[i].info.flags & CKF_TOKEN_INITIALIZED) {
            s->labelled += strcmp(all[i].label, label) == 0;
        } else if (!s->has_blank) {
            s->has_blank = true;
            s->blank = all[i].slot;
        }
    }
    free(all);
    return ERR_OK;
}

enum err slot_survey(const char *module, const char *label, struct slot_survey *out)
{
    CK_UTF8CHAR padded[LABEL];
    struct p11 m = {NULL};
    enum err e = pad(label, padded);
    if (!e)
        e = p11_open(module, &m);
    if (!e)
        e = look(&m, label, out);
    p11_close(&m);
    return e;
}

static enum err set_pin(const struct p11 *m, CK_SLOT_ID slot, const char *so_pin, const char *pin)
{
    CK_SESSION_HANDLE s;
    CK_RV rv = m->f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s);
    if (rv != CKR_OK)
        return p11_fail(rv, "session with the new token");
    rv = m->f->C_Login(s, CKU_SO, (CK_UTF8CHAR *)(uintptr_t)so_pin, strlen(so_pin));
    if (rv == CKR_OK)
        rv = m->f->C_InitPIN(s, (CK_UTF8CHAR *)(uintptr_t)pin, strlen(pin));
    m->f->C_CloseSession(s);
    return rv == CKR_OK ? ERR_OK : p11_fail(rv, "PIN of the new token");
}

static enum err make(const struct p11 *m, const char *label, const char *so_pin, const char *pin)
{
    CK_UTF8CHAR padded[LABEL];
    struct slot_survey s;
    enum err e = pad(label, padded);
    if (!e)
        e = look(m, label, &s);
    if (e)
        return e;
    if (s.labelled)
        return log_fail(ERR_EXISTS, "token \"%s\" exists: it is left as it is", label);
    if (!s.has_blank)
        return log_fail(ERR_TOKEN, "no slot of the module holds a blank token");
    CK_RV rv = m->f->C_InitToken(s.blank, (CK_UTF8CHAR *)(uintptr_t)so_pin, strlen(so_pin), padded);
    return rv == CKR_OK ? set_pin(m, s.blank, so_pin, pin) : p11_fail(rv, "making the token");
}

enum err slot_init(const char *module, const char *label, struct token_pin *so_pin,
                   struct token_pin *pin)
{
    struct p11 m = {NULL};
    const char *so = token_pin_get(so_pin);
    const char *user = so ? token_pin_get(pin) : NULL;
    if (!user)
        return ERR_PIN;
    enum err e = p11_open(module, &m);
    if (!e)
        e = make(&m, label, so, user);
    p11_close(&m);
    token_pin_forget(so_pin);
    return e;
}
