/* SPDX-License-Identifier: ISC */
#include "p11.h"
#include "log.h"

#include <errno.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LABEL = 32, SLOTS_MAX = 256 };

enum err p11_fail(CK_RV rv, const char *fmt, ...)
{
    char what[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    switch (rv) {
    case CKR_PIN_INCORRECT:
        return log_fail(ERR_PIN, "%s: the PIN was refused; it was tried once", what);
    case CKR_PIN_LOCKED:
    case CKR_PIN_INVALID:
    case CKR_PIN_LEN_RANGE:
    case CKR_PIN_EXPIRED:
        return log_fail(ERR_PIN, "%s: %s", what, p11_kit_strerror(rv));
    case CKR_HOST_MEMORY:
        return log_fail(ERR_INTERNAL, "%s: out of memory", what);
    default:
        return log_fail(ERR_TOKEN, "%s: %s", what, p11_kit_strerror(rv));
    }
}

enum err p11_path(const char *module, char **out)
{
    *out = NULL;
    if (strchr(module, '/')) {
        *out = strdup(module);
        return *out ? ERR_OK : log_fail(ERR_INTERNAL, "out of memory");
    }
    CK_FUNCTION_LIST **all = p11_kit_modules_load(NULL, 0);
    CK_FUNCTION_LIST *f = all ? p11_kit_module_for_name(all, module) : NULL;
    if (f)
        *out = p11_kit_module_get_filename(f);
    if (all)
        p11_kit_modules_release(all);
    return *out ? ERR_OK
                : log_fail(ERR_TOKEN,
                           "PKCS#11 module \"%s\": no path, and none of p11-kit's is called so "
                           "(p11-kit list-modules shows them)",
                           module);
}

static enum err start(const char *path, CK_FUNCTION_LIST **out)
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
        return p11_fail(rv, "PKCS#11 module \"%s\" can't be started", path);
    }
    *out = f;
    return ERR_OK;
}

enum err p11_open(const char *module, struct p11 *out)
{
    char *path;
    enum err e = p11_path(module, &path);
    if (!e)
        e = start(path, &out->f);
    free(path);
    return e;
}

void p11_close(struct p11 *m)
{
    if (!m || !m->f)
        return;
    p11_kit_module_finalize(m->f);
    p11_kit_module_release(m->f);
    m->f = NULL;
}

/* PKCS#11 pads texts with blanks. */
static void trim(const CK_UTF8CHAR *from, size_t max, char *to)
{
    size_t n = p11_kit_space_strlen(from, max);
    memcpy(to, from, n);
    to[n] = '\0';
}

static bool look(const struct p11 *m, CK_SLOT_ID slot, struct p11_token *t)
{
    t->slot = slot;
    if (m->f->C_GetTokenInfo(slot, &t->info) != CKR_OK)
        return false;
    trim(t->info.label, sizeof t->info.label, t->label);
    trim(t->info.manufacturerID, sizeof t->info.manufacturerID, t->maker);
    trim(t->info.model, sizeof t->info.model, t->model);
    trim(t->info.serialNumber, sizeof t->info.serialNumber, t->serial);
    return true;
}

enum err p11_tokens(const struct p11 *m, struct p11_token **out, unsigned *n)
{
    CK_SLOT_ID ids[SLOTS_MAX];
    CK_ULONG slots = SLOTS_MAX;
    *n = 0;
    *out = calloc(SLOTS_MAX, sizeof **out);
    if (!*out)
        return log_fail(ERR_INTERNAL, "out of memory");
    CK_RV rv = m->f->C_GetSlotList(CK_TRUE, ids, &slots);
    if (rv != CKR_OK) {
        free(*out);
        *out = NULL;
        return p11_fail(rv, "list of slots");
    }
    for (CK_ULONG i = 0; i < slots; i++)
        if (look(m, ids[i], &(*out)[*n]))
            (*out)[(*n)++].unique = true;
    for (unsigned i = 0; i < *n; i++)
        for (unsigned k = 0; k < *n; k++)
            if (i != k && strcmp((*out)[i].label, (*out)[k].label) == 0)
                (*out)[i].unique = false;
    return ERR_OK;
}

static bool is_meant(const struct p11_token *t, const char *label, P11KitUri *uri)
{
    if (!(t->info.flags & CKF_TOKEN_INITIALIZED))
        return false;
    return uri ? p11_kit_uri_match_token_info(uri, &t->info) : strcmp(t->label, label) == 0;
}

static enum err parse(const char *token, P11KitUri **out)
{
    *out = p11_kit_uri_new();
    int rc = *out ? p11_kit_uri_parse(token, P11_KIT_URI_FOR_ANY, *out) : P11_KIT_URI_UNEXPECTED;
    return rc == P11_KIT_URI_OK ? ERR_OK
                                : log_fail(ERR_USAGE, "\"%s\": %s", token, p11_kit_uri_message(rc));
}

enum err p11_find_token(const struct p11 *m, const char *token, struct p11_token *out)
{
    struct p11_token *all = NULL;
    P11KitUri *uri = NULL;
    unsigned n = 0, found = 0;
    enum err e = token_is_url(token) ? parse(token, &uri) : ERR_OK;
    if (!e)
        e = p11_tokens(m, &all, &n);
    for (unsigned i = 0; i < n; i++)
        if (is_meant(&all[i], token, uri) && ++found == 1)
            *out = all[i];
    if (!e && found == 0)
        e = log_fail(ERR_TOKEN,
                     "token \"%s\": there is none (consign-pki token list shows what is there)",
                     token);
    else if (!e && found > 1)
        e = log_fail(ERR_TOKEN,
                     "%u tokens are labelled \"%s\": name one by its URL (consign-pki token list)",
                     found, token);
    p11_kit_uri_free(uri);
    free(all);
    return e;
}

enum err p11_session_open(const struct p11 *m, const struct p11_token *t, bool write,
                          struct p11_session *out)
{
    CK_FLAGS flags = CKF_SERIAL_SESSION | (write ? CKF_RW_SESSION : 0);
    *out = (struct p11_session){m->f, t->slot, CK_INVALID_HANDLE};
    CK_RV rv = m->f->C_OpenSession(t->slot, flags, NULL, NULL, &out->handle);
    return rv == CKR_OK ? ERR_OK : p11_fail(rv, "session with token \"%s\"", t->label);
}

void p11_session_close(struct p11_session *s)
{
    if (s->f && s->handle != CK_INVALID_HANDLE)
        s->f->C_CloseSession(s->handle);
    s->handle = CK_INVALID_HANDLE;
}

static bool is_logged_in(const struct p11_session *s)
{
    CK_SESSION_INFO i;
    return s->f->C_GetSessionInfo(s->handle, &i) == CKR_OK &&
           (i.state == CKS_RO_USER_FUNCTIONS || i.state == CKS_RW_USER_FUNCTIONS);
}

/* Why the token is not given a PIN, by what it says of itself now. */
static enum err check_pin_state(const char *label, CK_FLAGS flags)
{
    if (!(flags & CKF_USER_PIN_INITIALIZED))
        return log_fail(ERR_PIN, "token \"%s\" has no user PIN; its security officer must set one",
                        label);
    if (flags & CKF_USER_PIN_LOCKED)
        return log_fail(ERR_PIN,
                        "the PIN of token \"%s\" is locked; its security officer must unlock it",
                        label);
    if (flags & CKF_USER_PIN_FINAL_TRY)
        return log_fail(ERR_PIN,
                        "token \"%s\" has one try left before it locks: not used; give it the "
                        "right PIN by its own tool first",
                        label);
    if (flags & CKF_USER_PIN_COUNT_LOW)
        log_warn("token \"%s\": a wrong PIN was given to it since the last right one", label);
    return ERR_OK;
}

enum err p11_login(const struct p11_session *s, const struct p11_token *t, struct token_pin *pin)
{
    CK_TOKEN_INFO now;
    const char *text = NULL;
    CK_RV rv = s->f->C_GetTokenInfo(s->slot, &now);
    if (rv != CKR_OK)
        return p11_fail(rv, "token \"%s\"", t->label);
    if (!(now.flags & CKF_LOGIN_REQUIRED) || is_logged_in(s))
        return ERR_OK;
    enum err e = check_pin_state(t->label, now.flags);
    if (e)
        return e;
    if (!(now.flags & CKF_PROTECTED_AUTHENTICATION_PATH)) {
        if (!pin)
            return log_fail(ERR_PIN, "token \"%s\" wants a PIN and no PIN source is named",
                            t->label);
        text = token_pin_get(pin);
        if (!text)
            return ERR_PIN;
    }
    rv =
        s->f->C_Login(s->handle, CKU_USER, (CK_UTF8CHAR *)(uintptr_t)text, text ? strlen(text) : 0);
    return rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN
               ? ERR_OK
               : p11_fail(rv, "token \"%s\"", t->label);
}

bool p11_can(const struct p11 *m, const struct p11_token *t, CK_MECHANISM_TYPE mechanism,
             CK_FLAGS flags, CK_MECHANISM_INFO *info)
{
    CK_MECHANISM_INFO i;
    if (m->f->C_GetMechanismInfo(t->slot, mechanism, &i) != CKR_OK)
        return false;
    if (info)
        *info = i;
    return (i.flags & flags) == flags;
}

enum err p11_random(const struct p11_session *s, void *out, size_t n)
{
    CK_RV rv = s->f->C_GenerateRandom(s->handle, out, n);
    if (rv == CKR_RANDOM_NO_RNG || rv == CKR_FUNCTION_NOT_SUPPORTED)
        return log_fail(ERR_TOKEN, "the token has no random generator");
    return rv == CKR_OK ? ERR_OK : p11_fail(rv, "the token's random generator");
}
