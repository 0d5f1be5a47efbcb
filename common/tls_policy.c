/* SPDX-License-Identifier: ISC */
#include "tls_policy.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* AES first: GnuTLS runs ChaCha20 at a tenth of its speed where AES instructions exist. */
static const char *const suites[] = {"AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305"};

/* The PKCS#1 signatures are for certificates in a chain; TLS 1.3 itself never uses them. */
static const char *const signatures[] = {"ECDSA-SECP256R1-SHA256",
                                         "ECDSA-SECP384R1-SHA384",
                                         "ECDSA-SECP521R1-SHA512",
                                         "EDDSA-ED25519",
                                         "RSA-PSS-RSAE-SHA256",
                                         "RSA-PSS-RSAE-SHA384",
                                         "RSA-PSS-RSAE-SHA512",
                                         "RSA-SHA256",
                                         "RSA-SHA384",
                                         "RSA-SHA512"};

static const gnutls_group_t default_groups[] = {GNUTLS_GROUP_X25519, GNUTLS_GROUP_SECP256R1,
                                                GNUTLS_GROUP_SECP384R1};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- groups ---- */

/* Those that TLS 1.3 has no number for. */
static bool is_usable(gnutls_group_t group)
{
    const char *name = gnutls_group_get_name(group);
    return name && strcmp(name, "SECP192R1") != 0 && strcmp(name, "SECP224R1") != 0 &&
           strncmp(name, "GC", 2) != 0;
}

const char *tls_group_name(gnutls_group_t group)
{
    static const struct {
        gnutls_group_t group;
        const char *name;
    } nist[] = {{GNUTLS_GROUP_SECP256R1, "P-256"},
                {GNUTLS_GROUP_SECP384R1, "P-384"},
                {GNUTLS_GROUP_SECP521R1, "P-521"}};
    for (size_t i = 0; i < COUNT(nist); i++)
        if (nist[i].group == group)
            return nist[i].name;
    const char *name = gnutls_group_get_name(group);
    return name ? name : "";
}

/* Whether the n bytes at text are name, but for case and hyphens: X25519MLKEM768 is X25519-MLKEM768. */
static bool is_name(const char *name, const char *text, size_t n)
{
    size_t at = 0;
    for (; *name; name++) {
        if (*name == '-')
            continue;
        while (at < n && text[at] == '-')
            at++;
        if (at == n || tolower((unsigned char)*name) != tolower((unsigned char)text[at]))
            return false;
        at++;
    }
    return at == n;
}

static gnutls_group_t find_group(const char *text, size_t n)
{
    for (const gnutls_group_t *g = gnutls_group_list(); *g; g++)
        if (is_usable(*g) &&
            (is_name(gnutls_group_get_name(*g), text, n) || is_name(tls_group_name(*g), text, n)))
            return *g;
    return GNUTLS_GROUP_INVALID;
}

static void list_groups(char *out, size_t cap)
{
    size_t at = 0;
    out[0] = '\0';
    for (const gnutls_group_t *g = gnutls_group_list(); *g && at < cap; g++)
        if (is_usable(*g))
            at += (size_t)snprintf(out + at, cap - at, "%s%s", at ? " " : "", tls_group_name(*g));
}

static bool add_group(struct tls_groups *out, const char *text, size_t n, char *why)
{
    char known[TLS_WHY / 2];
    gnutls_group_t group = find_group(text, n);
    if (group == GNUTLS_GROUP_INVALID) {
        list_groups(known, sizeof known);
        snprintf(why, TLS_WHY, "%.*s is no group that GnuTLS %s has; there are: %s",
                 n > 40 ? 40 : (int)n, text, gnutls_check_version(NULL), known);
        return false;
    }
    for (unsigned i = 0; i < out->n; i++)
        if (out->list[i] == group) {
            snprintf(why, TLS_WHY, "%s is there twice", tls_group_name(group));
            return false;
        }
    if (out->n < TLS_GROUPS)
        out->list[out->n++] = group;
    return true;
}

bool tls_groups_parse(const char *text, struct tls_groups *out, char why[static TLS_WHY])
{
    *out = (struct tls_groups){0};
    for (size_t n; *(text += strspn(text, " \t")); text += n) {
        n = strcspn(text, " \t");
        if (!add_group(out, text, n, why))
            return false;
    }
    if (out->n == 0)
        snprintf(why, TLS_WHY, "names no group");
    return out->n > 0;
}

static bool allowed(const struct tls_policy *p, enum fips_kind kind, const char *name)
{
    return p->fips != FIPS_REQUIRE || fips_approved(kind, name);
}

bool tls_policy_check(const struct tls_policy *p, char why[static TLS_WHY])
{
    for (unsigned i = 0; i < p->groups.n; i++)
        if (!allowed(p, FIPS_GROUP, gnutls_group_get_name(p->groups.list[i]))) {
            snprintf(why, TLS_WHY,
                     "%s is not approved, and fips = require: leave it out, or take P-256 P-384",
                     tls_group_name(p->groups.list[i]));
            return false;
        }
    return true;
}

/* ---- the priority string ---- */

static void add(char *out, const char *prefix, const char *name)
{
    size_t n = strlen(out);
    snprintf(out + n, TLS_PRIORITY - n, ":+%s%s", prefix, name);
}

void tls_policy_priority(const struct tls_policy *p, char out[static TLS_PRIORITY])
{
    const gnutls_group_t *groups = p->groups.n ? p->groups.list : default_groups;
    size_t n_groups = p->groups.n ? p->groups.n : COUNT(default_groups);
    snprintf(out, TLS_PRIORITY, "NONE:+VERS-TLS1.3:+AEAD:+SHA256:+SHA384:+CTYPE-X509");
    for (size_t i = 0; i < COUNT(suites); i++)
        if (allowed(p, FIPS_SUITE, suites[i]))
            add(out, "", suites[i]);
    for (size_t i = 0; i < n_groups; i++)
        if (allowed(p, FIPS_GROUP, gnutls_group_get_name(groups[i])))
            add(out, "GROUP-", gnutls_group_get_name(groups[i]));
    for (size_t i = 0; i < COUNT(signatures); i++)
        if (allowed(p, FIPS_SIGNATURE, signatures[i]))
            add(out, "SIGN-", signatures[i]);
    size_t end = strlen(out);
    snprintf(out + end, TLS_PRIORITY - end, ":%%SERVER_PRECEDENCE:%%PROFILE_MEDIUM");
}

bool tls_policy_signs(const struct tls_policy *p, gnutls_sign_algorithm_t algorithm)
{
    for (size_t i = 0; i < COUNT(signatures); i++)
        if (gnutls_sign_get_id(signatures[i]) == algorithm)
            return allowed(p, FIPS_SIGNATURE, signatures[i]);
    return false;
}

/* ---- what was agreed on ---- */

static void copy_signature(int algorithm, char *out, size_t cap)
{
    const char *name =
        algorithm > 0 ? gnutls_sign_get_name((gnutls_sign_algorithm_t)algorithm) : NULL;
    snprintf(out, cap, "%s", name ? name : "");
}

void tls_agreed_read(gnutls_session_t session, struct tls_agreed *out)
{
    snprintf(out->suite, sizeof out->suite, "TLS1.3-%s",
             gnutls_cipher_get_name(gnutls_cipher_get(session)));
    snprintf(out->group, sizeof out->group, "%s", tls_group_name(gnutls_group_get(session)));
    copy_signature(gnutls_sign_algorithm_get(session), out->signature, sizeof out->signature);
    copy_signature(gnutls_sign_algorithm_get_client(session), out->client_signature,
                   sizeof out->client_signature);
}

void tls_agreed_text(const struct tls_agreed *a, char out[static TLS_AGREED_TEXT])
{
    int n =
        snprintf(out, TLS_AGREED_TEXT, "%s%s%s", a->suite, a->group[0] ? ", group " : "", a->group);
    if (a->signature[0] && n > 0 && n < TLS_AGREED_TEXT)
        snprintf(out + n, (size_t)(TLS_AGREED_TEXT - n), ", signatures %s (server) and %s (client)",
                 a->signature, a->client_signature[0] ? a->client_signature : "none");
}

/* The name as the table has it. */
static const char *group_of(const char *shown)
{
    return gnutls_group_get_name(find_group(shown, strlen(shown)));
}

void tls_agreed_note(const struct tls_agreed *a, const char *engine, const char *certificates,
                     char note[static FIPS_NOTE])
{
    const char *own[] = {a->signature, a->client_signature};
    note[0] = '\0';
    const char *cipher = a->suite + strlen("TLS1.3-");
    if (!fips_approved(FIPS_SUITE, cipher))
        fips_note(note, "suite %s", cipher);
    if (a->group[0] && !fips_approved(FIPS_GROUP, group_of(a->group)))
        fips_note(note, "group %s", a->group);
    for (size_t i = 0; i < 2; i++)
        if (own[i][0] && !fips_approved(FIPS_SIGNATURE, own[i]))
            fips_note(note, "signature %s", own[i]);
    if (!fips_approved(FIPS_HASH, engine))
        fips_note(note, "hash engine %s", engine);
    if (certificates[0])
        fips_note(note, "%s", certificates);
}
