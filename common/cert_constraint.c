/* SPDX-License-Identifier: ISC */
/* Name constraints. GnuTLS compares host names, e-mail and addresses; constraints of URIs and of
 * directory names it lets pass or not, without looking: here they refuse what they are about. A name with
 * a wildcard it takes for a name like others: here it must not stand for an excluded one. */
#include "cert.h"

#include <string.h>
#include <strings.h>

static const struct kind {
    gnutls_x509_subject_alt_name_t type;
    const char *fault;
} kinds[] = {
    {GNUTLS_SAN_DNSNAME, "a host name it may not bear"},
    {GNUTLS_SAN_RFC822NAME, "an e-mail address it may not bear"},
    {GNUTLS_SAN_IPADDRESS, "an address it may not bear"},
};

typedef int get_fn(gnutls_x509_name_constraints_t nc, unsigned i, unsigned *type,
                   gnutls_datum_t *name);

static bool has_type(gnutls_x509_name_constraints_t nc, get_fn *get,
                     gnutls_x509_subject_alt_name_t wanted)
{
    gnutls_datum_t name;
    unsigned type;
    for (unsigned i = 0; get(nc, i, &type, &name) >= 0; i++)
        if (type == wanted)
            return true;
    return false;
}

bool cert_constraint_has(gnutls_x509_name_constraints_t nc, gnutls_x509_subject_alt_name_t type)
{
    return has_type(nc, gnutls_x509_name_constraints_get_permitted, type) ||
           has_type(nc, gnutls_x509_name_constraints_get_excluded, type);
}

/* What can't be read may be one. */
static bool has_uri(gnutls_x509_crt_t crt)
{
    for (unsigned i = 0;; i++) {
        unsigned char value[4096];
        size_t n = sizeof value;
        int rc = gnutls_x509_crt_get_subject_alt_name(crt, i, value, &n, NULL);
        if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            return false;
        if (rc == GNUTLS_SAN_URI || rc < 0)
            return true;
    }
}

/* Whether domain, in which a wildcard stands for any host, is above an excluded name. */
static bool is_above_excluded(gnutls_x509_name_constraints_t nc, const char *domain, size_t n)
{
    gnutls_datum_t name;
    unsigned type;
    for (unsigned i = 0; gnutls_x509_name_constraints_get_excluded(nc, i, &type, &name) >= 0; i++)
        if (type == GNUTLS_SAN_DNSNAME && name.size > n &&
            strncasecmp((const char *)name.data + name.size - n, domain, n) == 0)
            return true;
    return false;
}

/* Of "*.example" the domain is ".example". Other names have been compared by GnuTLS. */
static bool has_wildcard_above_excluded(gnutls_x509_name_constraints_t nc, gnutls_x509_crt_t crt)
{
    for (unsigned i = 0;; i++) {
        char value[4096];
        size_t n = sizeof value;
        int rc = gnutls_x509_crt_get_subject_alt_name(crt, i, value, &n, NULL);
        if (rc < 0)
            return rc != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
        const char *star = rc == GNUTLS_SAN_DNSNAME ? memchr(value, '*', n) : NULL;
        const char *domain = star ? memchr(star, '.', (size_t)(value + n - star)) : NULL;
        if (star && (!domain || is_above_excluded(nc, domain, (size_t)(value + n - domain))))
            return true;
    }
}

static const char *fault_of(gnutls_x509_name_constraints_t nc, gnutls_x509_crt_t crt)
{
    if (cert_constraint_has(nc, GNUTLS_SAN_DN))
        return "constraints of directory names can't be checked";
    if (cert_constraint_has(nc, GNUTLS_SAN_URI) && has_uri(crt))
        return "a URI, and constraints of URIs can't be checked";
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (!gnutls_x509_name_constraints_check_crt(nc, kinds[i].type, crt))
            return kinds[i].fault;
    if (cert_constraint_has(nc, GNUTLS_SAN_DNSNAME) && has_wildcard_above_excluded(nc, crt))
        return "a wildcard above a host name it may not bear";
    return NULL;
}

const char *cert_constraint_fault(gnutls_x509_crt_t crt, gnutls_x509_crt_t ca)
{
    gnutls_x509_name_constraints_t nc;
    const char *fault = NULL;
    unsigned critical;
    if (gnutls_x509_name_constraints_init(&nc) < 0)
        return "out of memory";
    int rc = gnutls_x509_crt_get_name_constraints(ca, nc, 0, &critical);
    if (rc >= 0)
        fault = fault_of(nc, crt);
    else if (rc != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
        fault = "name constraints that can't be read";
    gnutls_x509_name_constraints_deinit(nc);
    return fault;
}
