/* SPDX-License-Identifier: ISC */
#include "token_probe.h"

#include "log.h"
#include <gnutls/pkcs11.h>
#include <p11-kit/pkcs11.h>
#include <string.h>
#include <time.h>

enum { SESSIONS_MAX = 512 };

static const struct token_mechanism mechanisms[] = {
    {CKM_ECDSA, "CKM_ECDSA"},
    {CKM_RSA_PKCS_PSS, "CKM_RSA_PKCS_PSS"},
    {CKM_RSA_PKCS, "CKM_RSA_PKCS"},
    {CKM_EDDSA, "CKM_EDDSA"},
    {CKM_EC_KEY_PAIR_GEN, "CKM_EC_KEY_PAIR_GEN"},
    {CKM_RSA_PKCS_KEY_PAIR_GEN, "CKM_RSA_PKCS_KEY_PAIR_GEN"},
    {CKM_EC_EDWARDS_KEY_PAIR_GEN, "CKM_EC_EDWARDS_KEY_PAIR_GEN"},
    {CKM_GENERIC_SECRET_KEY_GEN, "CKM_GENERIC_SECRET_KEY_GEN"},
    {CKM_SHA256_HMAC, "CKM_SHA256_HMAC"},
};

const struct token_mechanism *token_mechanisms(size_t *n)
{
    *n = sizeof mechanisms / sizeof mechanisms[0];
    return mechanisms;
}

const char *token_signing_mechanism(gnutls_pk_algorithm_t pk)
{
    return pk == GNUTLS_PK_ECDSA                            ? "CKM_ECDSA"
           : pk == GNUTLS_PK_RSA || pk == GNUTLS_PK_RSA_PSS ? "CKM_RSA_PKCS_PSS"
           : pk == GNUTLS_PK_EDDSA_ED25519                  ? "CKM_EDDSA"
                                                            : NULL;
}

/* ---- what it says ---- */

static enum err reach(const char *url, CK_FUNCTION_LIST **f, unsigned long *slot)
{
    void *module = NULL;
    int rc = gnutls_pkcs11_token_get_ptr(url, &module, slot, 0);
    *f = module;
    return rc < 0 ? token_fail(rc, "token of \"%s\"", url) : ERR_OK;
}

/* PKCS#11 pads with blanks. */
static void take_text(const unsigned char *padded, size_t n, char *out, size_t cap)
{
    while (n > 0 && (padded[n - 1] == ' ' || padded[n - 1] == '\0'))
        n--;
    log_scrub(out, cap, padded, n);
}

enum err token_facts(const char *url, struct token_facts *out)
{
    CK_FUNCTION_LIST *f;
    CK_TOKEN_INFO t;
    unsigned long slot;
    *out = (struct token_facts){0};
    enum err e = reach(url, &f, &slot);
    if (e != ERR_OK)
        return e;
    if (f->C_GetTokenInfo(slot, &t) != CKR_OK)
        return log_fail(ERR_TOKEN, "token of \"%s\": it does not say what it is", url);
    take_text(t.label, sizeof t.label, out->label, sizeof out->label);
    take_text(t.manufacturerID, sizeof t.manufacturerID, out->manufacturer,
              sizeof out->manufacturer);
    take_text(t.model, sizeof t.model, out->model, sizeof out->model);
    take_text(t.serialNumber, sizeof t.serialNumber, out->serial, sizeof out->serial);
    out->software = !(t.flags & CKF_HW);
    out->pin_low = t.flags & CKF_USER_PIN_COUNT_LOW;
    out->pin_last = t.flags & CKF_USER_PIN_FINAL_TRY;
    out->pin_locked = t.flags & CKF_USER_PIN_LOCKED;
    return ERR_OK;
}

/* ---- what it can ---- */

static unsigned long number_of(const char *name)
{
    for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++)
        if (strcmp(mechanisms[i].name, name) == 0)
            return mechanisms[i].number;
    return CKM_VENDOR_DEFINED;
}

bool token_has(const char *url, const char *mechanism, unsigned bits)
{
    CK_FUNCTION_LIST *f;
    CK_MECHANISM_INFO info;
    unsigned long slot;
    if (reach(url, &f, &slot) != ERR_OK ||
        f->C_GetMechanismInfo(slot, number_of(mechanism), &info) != CKR_OK)
        return false;
    /* Some tell no sizes, some those of RSA in bytes. */
    return !bits || !info.ulMaxKeySize || bits <= info.ulMaxKeySize ||
           bits / 8 == info.ulMaxKeySize;
}

enum err token_count_sessions(const char *url, unsigned at_most, unsigned *opened,
                              unsigned long *said)
{
    CK_SESSION_HANDLE sessions[SESSIONS_MAX];
    CK_FUNCTION_LIST *f;
    CK_TOKEN_INFO info;
    unsigned long slot;
    *opened = 0;
    *said = 0;
    enum err e = reach(url, &f, &slot);
    if (e != ERR_OK)
        return e;
    if (f->C_GetTokenInfo(slot, &info) == CKR_OK &&
        info.ulMaxSessionCount != CK_UNAVAILABLE_INFORMATION)
        *said = info.ulMaxSessionCount;
    while (*opened < at_most && *opened < SESSIONS_MAX &&
           f->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &sessions[*opened]) == CKR_OK)
        ++*opened;
    for (unsigned i = 0; i < *opened; i++)
        f->C_CloseSession(sessions[i]);
    return *opened ? ERR_OK : log_fail(ERR_TOKEN, "the token opens no further session");
}

static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

enum err token_measure(gnutls_privkey_t key, const gnutls_pcert_st *leaf, int ms, unsigned at_most,
                       double *per_second)
{
    static unsigned char text[] = "consign: how many signatures a second?";
    const gnutls_datum_t data = {text, sizeof text - 1};
    gnutls_sign_algorithm_t algorithm = token_algorithm(leaf->pubkey);
    double start = now_s(), took = 0;
    unsigned n = 0;
    int rc = 0;
    *per_second = 0;
    while (n < at_most && took * 1000 < ms) {
        gnutls_datum_t signature = {0};
        rc = gnutls_privkey_sign_data2(key, algorithm, 0, &data, &signature);
        gnutls_free(signature.data);
        if (rc < 0)
            return token_fail(rc, "signature %u", n + 1);
        took = now_s() - start;
        n++;
    }
    *per_second = took > 0 ? n / took : 0;
    return ERR_OK;
}
