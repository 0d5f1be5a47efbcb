/* SPDX-License-Identifier: ISC */
#include "fips.h"

#include <gnutls/gnutls.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What is not here is not approved. Left out on purpose: X25519 and its hybrid, half of which would be;
 * Ed25519, which FIPS 186-5 knows, but SP 800-52 Rev. 2 does not for TLS; SHA-1 and SHA-224. */
static const struct fips_row table[] = {
    {FIPS_SUITE, "AES-128-GCM", 0, "FIPS 197, SP 800-38D"},
    {FIPS_SUITE, "AES-256-GCM", 0, "FIPS 197, SP 800-38D"},

    {FIPS_GROUP, "SECP256R1", 0, "SP 800-56A, SP 800-186"},
    {FIPS_GROUP, "SECP384R1", 0, "SP 800-56A, SP 800-186"},
    {FIPS_GROUP, "SECP521R1", 0, "SP 800-56A, SP 800-186"},
    {FIPS_GROUP, "FFDHE2048", 0, "SP 800-56A"},
    {FIPS_GROUP, "FFDHE3072", 0, "SP 800-56A"},
    {FIPS_GROUP, "FFDHE4096", 0, "SP 800-56A"},
    {FIPS_GROUP, "FFDHE6144", 0, "SP 800-56A"},
    {FIPS_GROUP, "FFDHE8192", 0, "SP 800-56A"},
    {FIPS_GROUP, "SECP256R1-MLKEM768", 0, "SP 800-56A, FIPS 203"},
    {FIPS_GROUP, "SECP384R1-MLKEM1024", 0, "SP 800-56A, FIPS 203"},

    {FIPS_SIGNATURE, "ECDSA-SECP256R1-SHA256", 0, "FIPS 186-5"},
    {FIPS_SIGNATURE, "ECDSA-SECP384R1-SHA384", 0, "FIPS 186-5"},
    {FIPS_SIGNATURE, "ECDSA-SECP521R1-SHA512", 0, "FIPS 186-5"},
    {FIPS_SIGNATURE, "RSA-PSS-RSAE-SHA256", 0, "FIPS 186-5"},
    {FIPS_SIGNATURE, "RSA-PSS-RSAE-SHA384", 0, "FIPS 186-5"},
    {FIPS_SIGNATURE, "RSA-PSS-RSAE-SHA512", 0, "FIPS 186-5"},
    {FIPS_SIGNATURE, "RSA-PSS-SHA256", 0, "FIPS 186-5"},
    {FIPS_SIGNATURE, "RSA-PSS-SHA384", 0, "FIPS 186-5"},
    {FIPS_SIGNATURE, "RSA-PSS-SHA512", 0, "FIPS 186-5"},
    {FIPS_SIGNATURE, "ECDSA-SHA256", 0, "FIPS 186-5"},
    {FIPS_SIGNATURE, "ECDSA-SHA384", 0, "FIPS 186-5"},
    {FIPS_SIGNATURE, "ECDSA-SHA512", 0, "FIPS 186-5"},
    {FIPS_SIGNATURE, "RSA-SHA256", 0, "FIPS 186-5"},
    {FIPS_SIGNATURE, "RSA-SHA384", 0, "FIPS 186-5"},
    {FIPS_SIGNATURE, "RSA-SHA512", 0, "FIPS 186-5"},

    {FIPS_KEY, "EC/ECDSA", 256, "FIPS 186-5, SP 800-186"},
    {FIPS_KEY, "RSA", 2048, "FIPS 186-5"},
    {FIPS_KEY, "RSA-PSS", 2048, "FIPS 186-5"},

    {FIPS_HASH, "gnutls", 0, "FIPS 180-4"},

    {FIPS_MECHANISM, "CKM_ECDSA", 0, "FIPS 186-5"},
    {FIPS_MECHANISM, "CKM_RSA_PKCS", 0, "FIPS 186-5"},
    {FIPS_MECHANISM, "CKM_RSA_PKCS_PSS", 0, "FIPS 186-5"},
    {FIPS_MECHANISM, "CKM_EC_KEY_PAIR_GEN", 0, "FIPS 186-5"},
    {FIPS_MECHANISM, "CKM_RSA_PKCS_KEY_PAIR_GEN", 0, "FIPS 186-5"},
    {FIPS_MECHANISM, "CKM_GENERIC_SECRET_KEY_GEN", 0, "SP 800-133"},
    {FIPS_MECHANISM, "CKM_SHA256_HMAC", 0, "FIPS 198-1"},
};

static const char *const modes[] = {
    [FIPS_OFF] = "off", [FIPS_REPORT] = "report", [FIPS_REQUIRE] = "require"};

bool fips_mode_parse(const char *text, enum fips_mode *out)
{
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(text, modes[i]) == 0) {
            *out = (enum fips_mode)i;
            return true;
        }
    return false;
}

const char *fips_mode_name(enum fips_mode mode)
{
    return modes[mode];
}

const struct fips_row *fips_find(enum fips_kind kind, const char *name)
{
    for (size_t i = 0; name && i < sizeof table / sizeof table[0]; i++)
        if (table[i].kind == kind && strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

bool fips_key(const char *kind, unsigned bits)
{
    const struct fips_row *row = fips_find(FIPS_KEY, kind);
    return row && bits >= row->bits;
}

void fips_note(char note[static FIPS_NOTE], const char *fmt, ...)
{
    char text[FIPS_NOTE];
    size_t n = strlen(note);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!strstr(note, text))
        snprintf(note + n, FIPS_NOTE - n, "%s%s", n ? "; " : "", text);
}

/* ---- what the module says of itself ---- */

bool fips_module(void)
{
    return gnutls_fips140_mode_enabled() != 0;
}

void fips_statement(enum fips_mode mode, char out[static FIPS_TEXT])
{
    static const char *const means[] = {[FIPS_OFF] = "any algorithm that is secure",
                                        [FIPS_REPORT] =
                                            "what is not approved is reported for each session",
                                        [FIPS_REQUIRE] = "approved algorithms only"};
    snprintf(out, FIPS_TEXT, "fips = %s: %s; GnuTLS %s is %s", modes[mode], means[mode],
             gnutls_check_version(NULL),
             fips_module() ? "in FIPS mode"
                           : "not in FIPS mode, so no validated module is at work");
}

void fips_watch_begin(struct fips_watch *w)
{
    gnutls_fips140_context_t context;
    w->context = NULL;
    if (!fips_module() || gnutls_fips140_context_init(&context) < 0)
        return;
    if (gnutls_fips140_push_context(context) >= 0)
        w->context = context;
    else
        gnutls_fips140_context_deinit(context);
}

const char *fips_watch_end(struct fips_watch *w)
{
    gnutls_fips140_context_t context = w->context;
    if (!context)
        return fips_module() ? "not-approved" : FIPS_NO_MODULE;
    w->context = NULL;
    bool good = gnutls_fips140_pop_context() >= 0 &&
                gnutls_fips140_get_operation_state(context) == GNUTLS_FIPS140_OP_APPROVED;
    gnutls_fips140_context_deinit(context);
    return good ? "approved" : "not-approved";
}
