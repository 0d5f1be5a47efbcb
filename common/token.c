/* SPDX-License-Identifier: ISC */
#include "token.h"
#include "conf.h"
#include "log.h"
#include "token_patience.h"
#include "token_wait.h"

#include <errno.h>
#include <gnutls/pkcs11.h>
#include <gnutls/x509.h>
#include <p11-kit/pkcs11.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { KEY_FILE_MAX = 65536, CHAIN_FILE_MAX = 1 << 20, CHAIN_MAX = 16 };

/* Why the last PIN question was not answered. */
enum refusal { NOT_REFUSED, NO_SOURCE, SOURCE_FAILED, WRONG_PIN, FINAL_TRY };

static struct {
    bool running;
    bool held;
    const char *module;
    struct token_pin *pin;
    enum refusal refusal;
    bool doubtful;   /* the login before this start failed, and nothing was said of the PIN */
    char token[128]; /* label of the token that asked */
} state;

bool token_is_url(const char *ref)
{
    return strncasecmp(ref, "pkcs11:", 7) == 0;
}

static enum refusal judge(int attempt, unsigned flags)
{
    if (state.refusal != NOT_REFUSED)
        return state.refusal;
    if (attempt > 0 || (flags & GNUTLS_PIN_WRONG) ||
        (state.doubtful && (flags & GNUTLS_PIN_COUNT_LOW)))
        return WRONG_PIN;
    if (flags & GNUTLS_PIN_FINAL_TRY)
        return FINAL_TRY;
    return state.pin ? NOT_REFUSED : NO_SOURCE;
}

static int answer(void *arg, int attempt, const char *url, const char *label, unsigned flags,
                  char *to, size_t max)
{
    (void)arg;
    (void)url;
    snprintf(state.token, sizeof state.token, "%s", label ? label : "");
    state.refusal = judge(attempt, flags);
    if (state.refusal != NOT_REFUSED)
        return GNUTLS_E_PKCS11_PIN_ERROR;
    if (flags & GNUTLS_PIN_COUNT_LOW)
        log_warn("token \"%s\": a wrong PIN was given to it since the last right one", state.token);
    token_wait_end(); /* for the user, not the token */
    const char *pin = token_pin_get(state.pin);
    token_wait_begin();
    if (!pin || strlen(pin) >= max) {
        state.refusal = SOURCE_FAILED;
        return GNUTLS_E_PKCS11_PIN_ERROR;
    }
    strcpy(to, pin);
    return 0;
}

static enum err add_module(const char *module)
{
    if (access(module, R_OK))
        return log_fail(ERR_TOKEN, "PKCS#11 module \"%s\": %s", module, strerror(errno));
    int rc = gnutls_pkcs11_add_provider(module, NULL);
    if (rc < 0)
        return log_fail(ERR_TOKEN, "PKCS#11 module \"%s\" can't be used: %s", module,
                        gnutls_strerror(rc));
    return ERR_OK;
}

enum err token_environment(const char *assignment)
{
    static const char legal[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    char name[64];
    if (!assignment)
        return ERR_OK;
    size_t n = strspn(assignment, legal);
    if (n == 0 || n >= sizeof name || assignment[n] != '=' || strncmp(assignment, "LD_", 3) == 0)
        return log_fail(ERR_CONFIG,
                        "module-env: \"%s\" is not NAME=VALUE with a name that may be set",
                        assignment);
    memcpy(name, assignment, n);
    name[n] = '\0';
    return setenv(name, assignment + n + 1, 1) == 0 ? ERR_OK
                                                    : log_fail_errno("module-env: %s", name);
}

static enum err start(const char *module, struct token_pin *pin)
{
    unsigned how = module ? GNUTLS_PKCS11_FLAG_MANUAL : GNUTLS_PKCS11_FLAG_AUTO;
    token_stop();
    int rc = gnutls_pkcs11_init(how, NULL);
    if (rc < 0)
        return token_fail(rc, "PKCS#11 can't be started");
    state.running = true;
    state.module = module;
    state.pin = pin;
    state.refusal = NOT_REFUSED;
    state.doubtful = false;
    state.token[0] = '\0';
    gnutls_pkcs11_set_pin_function(answer, NULL);
    enum err e = module ? add_module(module) : ERR_OK;
    if (e)
        token_stop();
    return e;
}

enum err token_start(const char *module, struct token_pin *pin)
{
    token_wait_begin();
    enum err e = start(module, pin);
    token_wait_end();
    return e;
}

void token_stop(void)
{
    if (!state.running)
        return;
    gnutls_pkcs11_set_pin_function(NULL, NULL);
    gnutls_pkcs11_deinit();
    state.running = state.held = false;
    state.pin = NULL;
}

void token_hold(void)
{
    state.held = state.running;
}

static enum err fail_pin(int rc, const char *what)
{
    if (rc == GNUTLS_E_PKCS11_PIN_LOCKED)
        return log_fail(
            ERR_PIN, "%s: the PIN of token \"%s\" is locked; its security officer must unlock it",
            what, state.token);
    if (rc == GNUTLS_E_PKCS11_PIN_EXPIRED)
        return log_fail(ERR_PIN, "%s: the PIN of token \"%s\" has expired and must be changed",
                        what, state.token);
    switch (state.refusal) {
    case SOURCE_FAILED: /* logged where it failed */
        return ERR_PIN;
    case NO_SOURCE:
        return log_fail(ERR_PIN, "%s: token \"%s\" wants a PIN and no PIN source is configured",
                        what, state.token);
    case FINAL_TRY:
        return log_fail(ERR_PIN,
                        "%s: token \"%s\" has one try left before it locks: not used; give it the "
                        "right PIN by its own tool first",
                        what, state.token);
    default:
        return log_fail(ERR_PIN,
                        "%s: token \"%s\" refused the PIN; it was tried once and will not be "
                        "tried again",
                        what, state.token);
    }
}

static enum err fail_text(int rc, const char *what)
{
    switch (rc) {
    case GNUTLS_E_PKCS11_PIN_ERROR:
    case GNUTLS_E_PKCS11_PIN_LOCKED:
    case GNUTLS_E_PKCS11_PIN_EXPIRED:
        return fail_pin(rc, what);
    case GNUTLS_E_PKCS11_REQUESTED_OBJECT_NOT_AVAILBLE:
    case GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE:
        return log_fail(ERR_TOKEN,
                        "%s: no such token or object (consign-pki token list shows what is there)",
                        what);
    case GNUTLS_E_MEMORY_ERROR:
        return log_fail(ERR_INTERNAL, "%s: out of memory", what);
    default:
        return log_fail(ERR_TOKEN, "%s: %s", what, gnutls_strerror(rc));
    }
}

enum err token_fail(int rc, const char *fmt, ...)
{
    char what[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return fail_text(rc, what);
}

/* How a key may leave its token. */
struct nature {
    bool extractable, sensitive;
};

static bool flag(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key,
                 CK_ATTRIBUTE_TYPE type, bool *out)
{
    CK_BBOOL value = CK_FALSE;
    CK_ATTRIBUTE a = {type, &value, sizeof value};
    CK_RV rv = f->C_GetAttributeValue(session, key, &a, 1);
    *out = value != 0;
    return rv == CKR_OK;
}

/* Reads the attributes that GnuTLS does not tell: 0, or GnuTLS's error. */
static int read_flags(gnutls_pkcs11_obj_t obj, struct nature *out)
{
    void *module = NULL, *session = NULL, *handle = NULL;
    int rc = gnutls_pkcs11_obj_get_ptr(obj, &module, &session, &handle, NULL,
                                       GNUTLS_PKCS11_OBJ_FLAG_LOGIN);
    if (rc < 0)
        return rc;
    CK_FUNCTION_LIST *f = module;
    CK_SESSION_HANDLE s = (CK_SESSION_HANDLE)session;
    CK_OBJECT_HANDLE key = (CK_OBJECT_HANDLE)handle;
    bool told = flag(f, s, key, CKA_EXTRACTABLE, &out->extractable) &&
                flag(f, s, key, CKA_SENSITIVE, &out->sensitive);
    f->C_CloseSession(s);
    return told ? 0 : GNUTLS_E_PKCS11_ATTRIBUTE_ERROR;
}

/* What the token says of the key: 0, or GnuTLS's error. */
static int read_nature(const char *url, struct nature *out)
{
    gnutls_pkcs11_obj_t obj;
    int rc = gnutls_pkcs11_obj_init(&obj);
    if (rc < 0)
        return rc;
    rc = gnutls_pkcs11_obj_import_url(
        obj, url, GNUTLS_PKCS11_OBJ_FLAG_LOGIN | GNUTLS_PKCS11_OBJ_FLAG_PRIVKEY);
    if (rc >= 0)
        rc = read_flags(obj, out);
    gnutls_pkcs11_obj_deinit(obj);
    return rc;
}

static enum err read_file(const char *path, bool private, size_t max, gnutls_datum_t *out)
{
    enum err e = ERR_OK;
    int fd = conf_open(path, private);
    if (fd < 0)
        return ERR_CONFIG;
    out->data = malloc(max);
    out->size = 0;
    while (out->data && out->size < max) {
        ssize_t r = read(fd, out->data + out->size, max - out->size);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            e = log_fail_errno("%s", path);
        if (r <= 0)
            break;
        out->size += (unsigned)r;
    }
    close(fd);
    if (!out->data)
        e = log_fail(ERR_INTERNAL, "%s: out of memory", path);
    else if (!e && out->size == max)
        e = log_fail(ERR_CONFIG, "%s: too large", path);
    return e;
}

static enum err load_file(const char *path, gnutls_privkey_t *out)
{
    gnutls_datum_t pem = {NULL, 0};
    gnutls_privkey_t key = NULL;
    enum err e = read_file(path, true, KEY_FILE_MAX, &pem);
    int rc = e ? 0 : gnutls_privkey_init(&key);
    if (!e && rc >= 0)
        rc = gnutls_privkey_import_x509_raw(key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (rc == GNUTLS_E_DECRYPTION_FAILED)
        e = log_fail(ERR_CONFIG, "key file \"%s\" is encrypted: keep the key in a token instead",
                     path);
    else if (rc < 0)
        e = log_fail(ERR_CONFIG, "key file \"%s\": %s", path, gnutls_strerror(rc));
    if (pem.data)
        explicit_bzero(pem.data, pem.size);
    free(pem.data);
    if (e && key)
        gnutls_privkey_deinit(key);
    else if (!e)
        *out = key;
    return e;
}

/* One session at a time: a token may have no more. */
static int load_once(const char *url, struct nature *nature, gnutls_privkey_t *key)
{
    int rc = nature ? read_nature(url, nature) : 0;
    if (rc >= 0)
        rc = gnutls_privkey_init(key);
    if (rc < 0)
        return rc;
    rc = gnutls_privkey_import_url(*key, url, 0);
    if (rc < 0)
        gnutls_privkey_deinit(*key);
    return rc;
}

/* A module may keep what it missed: each further look is by a module that was started anew. */
static enum err load_token(const char *url, bool allow_extractable, gnutls_privkey_t *out)
{
    struct nature nature = {.sensitive = true};
    struct token_patience patience = {0};
    gnutls_privkey_t key;
    int rc = load_once(url, allow_extractable ? NULL : &nature, &key);
    while (rc < 0 && !state.held && token_again(&patience, url, rc)) {
        if (start(state.module, state.pin) != ERR_OK)
            return ERR_TOKEN;
        state.doubtful = token_login_failed(rc);
        rc = load_once(url, allow_extractable ? NULL : &nature, &key);
    }
    if (rc == GNUTLS_E_PKCS11_ATTRIBUTE_ERROR)
        return log_fail(ERR_TOKEN,
                        "key \"%s\": the token does not say whether it can be read out; try again",
                        url);
    if (rc < 0)
        return token_fail(rc, "key \"%s\"", url);
    if (nature.extractable || !nature.sensitive) {
        gnutls_privkey_deinit(key);
        return log_fail(
            ERR_CONFIG,
            "key \"%s\" can be read out of its token: make it there as sensitive and not "
            "extractable, or allow it by configuration",
            url);
    }
    *out = key;
    return ERR_OK;
}

enum err token_load_key(const char *ref, bool allow_extractable, gnutls_privkey_t *out)
{
    token_wait_begin();
    enum err e = token_is_url(ref) ? load_token(ref, allow_extractable, out) : load_file(ref, out);
    token_wait_end();
    return e;
}

enum err token_load_another(const char *ref, gnutls_privkey_t *out)
{
    gnutls_privkey_t key;
    if (!token_is_url(ref))
        return token_load_key(ref, true, out);
    if (gnutls_privkey_init(&key) < 0)
        return ERR_INTERNAL;
    if (gnutls_privkey_import_url(key, ref, 0) < 0) {
        gnutls_privkey_deinit(key);
        return ERR_TOKEN;
    }
    *out = key;
    return ERR_OK;
}

static enum err chain_from_file(const char *path, gnutls_pcert_st *chain, unsigned *n)
{
    gnutls_datum_t pem = {NULL, 0};
    enum err e = read_file(path, false, CHAIN_FILE_MAX, &pem);
    /* DER begins with a SEQUENCE, which no PEM file does, and is one certificate. */
    bool der = e == ERR_OK && pem.size > 0 && pem.data[0] == 0x30;
    int rc = e ? 0
               : gnutls_pcert_list_import_x509_raw(chain, n, &pem,
                                                   der ? GNUTLS_X509_FMT_DER : GNUTLS_X509_FMT_PEM,
                                                   GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED);
    if (rc == GNUTLS_E_CERTIFICATE_LIST_UNSORTED)
        e = log_fail(ERR_CONFIG,
                     "%s: the certificates are not in order (leaf first, then its issuer)", path);
    else if (rc < 0)
        e = log_fail(ERR_CONFIG, "%s: no certificates: %s", path, gnutls_strerror(rc));
    else if (!e && *n == 0)
        e = log_fail(ERR_CONFIG, "%s: no certificates", path);
    free(pem.data);
    return e;
}

static enum err chain_from_token(const char *url, gnutls_pcert_st *chain, unsigned *n)
{
    gnutls_x509_crt_t crt = NULL;
    int rc = gnutls_x509_crt_init(&crt);
    token_wait_begin();
    if (rc >= 0)
        rc = gnutls_x509_crt_import_url(crt, url, 0);
    token_wait_end();
    if (rc >= 0)
        rc = gnutls_pcert_import_x509(chain, crt, 0);
    if (crt)
        gnutls_x509_crt_deinit(crt);
    *n = 1;
    return rc < 0 ? token_fail(rc, "certificate \"%s\"", url) : ERR_OK;
}

enum err token_load_chain(const char *ref, gnutls_pcert_st **out, unsigned *n)
{
    unsigned count = CHAIN_MAX;
    gnutls_pcert_st *chain = calloc(CHAIN_MAX, sizeof *chain);
    if (!chain)
        return log_fail(ERR_INTERNAL, "certificate \"%s\": out of memory", ref);
    enum err e = token_is_url(ref) ? chain_from_token(ref, chain, &count)
                                   : chain_from_file(ref, chain, &count);
    if (e) {
        free(chain);
        return e;
    }
    *out = chain;
    *n = count;
    return ERR_OK;
}

void token_free_chain(gnutls_pcert_st *chain, unsigned n)
{
    for (unsigned i = 0; chain && i < n; i++)
        gnutls_pcert_deinit(&chain[i]);
    free(chain);
}

gnutls_sign_algorithm_t token_algorithm(gnutls_pubkey_t pub)
{
    unsigned bits = 0;
    int pk = gnutls_pubkey_get_pk_algorithm(pub, &bits);
    if (pk == GNUTLS_PK_RSA)
        return GNUTLS_SIGN_RSA_PSS_RSAE_SHA256;
    if (pk == GNUTLS_PK_RSA_PSS)
        return GNUTLS_SIGN_RSA_PSS_SHA256;
    if (pk == GNUTLS_PK_ECDSA)
        return gnutls_pk_to_sign(GNUTLS_PK_ECDSA, bits > 384   ? GNUTLS_DIG_SHA512
                                                  : bits > 256 ? GNUTLS_DIG_SHA384
                                                               : GNUTLS_DIG_SHA256);
    return pk == GNUTLS_PK_EDDSA_ED25519 ? GNUTLS_SIGN_EDDSA_ED25519 : GNUTLS_SIGN_UNKNOWN;
}

/* By a test signature: many tokens hold no public half to compare, and it shows that the key works.
 */
enum err token_match(gnutls_privkey_t key, const gnutls_pcert_st *leaf, const char *what)
{
    static unsigned char text[] = "consign: does this key belong to that certificate?";
    gnutls_datum_t data = {text, sizeof text - 1}, sig = {NULL, 0};
    gnutls_sign_algorithm_t algo = token_algorithm(leaf->pubkey);
    if (algo == GNUTLS_SIGN_UNKNOWN)
        return log_fail(ERR_CONFIG, "%s: the certificate's kind of key is not supported", what);
    int own = gnutls_privkey_get_pk_algorithm(key, NULL);
    int theirs = gnutls_pubkey_get_pk_algorithm(leaf->pubkey, NULL);
    token_wait_begin();
    int rc = own == theirs ? gnutls_privkey_sign_data2(key, algo, 0, &data, &sig) : 0;
    token_wait_end();
    if (rc < 0)
        return token_fail(rc, "%s: test signature", what);
    rc = own == theirs ? gnutls_pubkey_verify_data2(leaf->pubkey, algo, 0, &data, &sig) : -1;
    gnutls_free(sig.data);
    if (rc < 0)
        return log_fail(ERR_CONFIG, "%s: this key does not belong to the certificate", what);
    return ERR_OK;
}
