/* SPDX-License-Identifier: ISC */
/* PKCS#11 itself (OASIS PKCS #11 2.40 and 3.0), for what GnuTLS has no call for: every token of a
 * module, its mechanisms, objects with all their attributes, its random generator. Signing is
 * token.h's.
 *
 *   p11_open -> p11_find_token -> p11_session_open -> p11_login -> ... -> p11_session_close -> p11_close
 *
 * p11-kit manages the module, so that this may be open in a process where token_start was called;
 * each ends for itself. A login is the process's: it lasts while any session with the token is open.
 * Not to be used in a process that forks afterwards, nor after a fork. */
#ifndef CONSIGN_P11_H
#define CONSIGN_P11_H

#include "err.h"
#include "token.h"
#include <p11-kit/pkcs11.h>

struct p11 {
    CK_FUNCTION_LIST *f;
};

/* Loads and starts a module: a path, or a name that p11-kit is configured with. */
enum err p11_open(const char *module, struct p11 *out) MUST_CHECK;
/* NULL and a zeroed one are allowed. */
void p11_close(struct p11 *m);

/* The path of a module: of a path itself, of a name without a slash what p11-kit is configured
 * with. The caller frees. */
enum err p11_path(const char *module, char **out) MUST_CHECK;

/* Logs "TEXT: what rv means"; ERR_PIN where it is about a PIN, else ERR_TOKEN. */
enum err p11_fail(CK_RV rv, const char *fmt, ...) __attribute__((format(printf, 2, 3))) MUST_CHECK;

/* What is in a slot. The texts are without their padding and as the token has them: not to be shown
 * unscrubbed. */
struct p11_token {
    CK_SLOT_ID slot;
    CK_TOKEN_INFO info;
    char label[33], maker[33], model[17], serial[17];
    bool unique; /* no other token of the module has the label */
};

/* Every token of the module, blank ones too; the caller frees. */
enum err p11_tokens(const struct p11 *m, struct p11_token **out, unsigned *n) MUST_CHECK;

/* The one initialised token with the label, or that a pkcs11: URL is about. ERR_TOKEN for none and for
 * several. */
enum err p11_find_token(const struct p11 *m, const char *token, struct p11_token *out) MUST_CHECK;

struct p11_session {
    CK_FUNCTION_LIST *f;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE handle; /* CK_INVALID_HANDLE: closed */
};

enum err p11_session_open(const struct p11 *m, const struct p11_token *t, bool write,
                          struct p11_session *out) MUST_CHECK;
/* A zeroed one is allowed. */
void p11_session_close(struct p11_session *s);

/* Logs the user in; does nothing where that is done or not needed. pin may be NULL. One try: a token
 * that would lock at a wrong PIN is not given any. A token with a PIN pad asks there. */
enum err p11_login(const struct p11_session *s, const struct p11_token *t,
                   struct token_pin *pin) MUST_CHECK;

/* Whether the token can do it: flags are CKF_SIGN ..., all of them. *info may be NULL. */
bool p11_can(const struct p11 *m, const struct p11_token *t, CK_MECHANISM_TYPE mechanism,
             CK_FLAGS flags, CK_MECHANISM_INFO *info);

/* n bytes of the token's generator. */
enum err p11_random(const struct p11_session *s, void *out, size_t n) MUST_CHECK;

/* The objects that match all n attributes, at most P11_OBJECTS_MAX; the caller frees. */
enum { P11_OBJECTS_MAX = 4096 };
enum err p11_find(const struct p11_session *s, const CK_ATTRIBUTE *match, CK_ULONG n,
                  CK_OBJECT_HANDLE **out, size_t *count) MUST_CHECK;

/* Attributes. False when the object has none, or one of another shape. */
bool p11_flag(const struct p11_session *s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type, bool *out);
bool p11_number(const struct p11_session *s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type,
                CK_ULONG *out);
/* At most *n bytes; *n is set. */
bool p11_bytes(const struct p11_session *s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type,
               uint8_t *out, size_t *n);

/* The URL (RFC 7512) of a token (type NULL) or of an object in it, to be pasted: the token's label, and
 * its serial where the label is not unique. The caller frees; NULL, logged. */
struct p11_name {
    const char *type; /* "private", "public", "secret-key", "cert" */
    const uint8_t *id;
    size_t n_id;       /* 0: none */
    const char *label; /* NULL: none */
};
char *p11_url(const struct p11_token *t, const struct p11_name *object);

#endif
