/* SPDX-License-Identifier: ISC */
#include "token_patience.h"

#include <gnutls/crypto.h>
#include <gnutls/pkcs11.h>
#include <poll.h>
#include <stdint.h>

enum { FIRST_MS = 20, LONGEST_MS = 400, FAILED_MS = 150, ABSENT_MS = 400, PRESENT_MS = 1000 };

static bool is_missing(int rc)
{
    return rc == GNUTLS_E_PKCS11_REQUESTED_OBJECT_NOT_AVAILBLE ||
           rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE || rc == GNUTLS_E_PKCS11_ATTRIBUTE_ERROR;
}

bool token_login_failed(int rc)
{
    return rc == GNUTLS_E_PKCS11_ERROR || rc == GNUTLS_E_PKCS11_USER_ERROR;
}

/* Between half of what it is to be and all of it, lest those that collided do so again. */
static int pause_of(unsigned looks)
{
    int ms = looks < 5 ? FIRST_MS << looks : LONGEST_MS;
    uint16_t random = 0;
    (void)gnutls_rnd(GNUTLS_RND_NONCE, &random, sizeof random);
    return ms / 2 + random % (ms / 2 + 1);
}

bool token_again(struct token_patience *p, const char *url, int rc)
{
    unsigned flags;
    if (!is_missing(rc) && !token_login_failed(rc))
        return false;
    p->seen = p->seen || gnutls_pkcs11_token_get_flags(url, &flags) >= 0;
    int most = !is_missing(rc) ? FAILED_MS : p->seen ? PRESENT_MS : ABSENT_MS;
    int ms = pause_of(p->looks++), left = most - p->waited_ms;
    if (left <= 0)
        return false;
    ms = ms > left ? left : ms;
    p->waited_ms += ms;
    poll(NULL, 0, ms);
    return true;
}
