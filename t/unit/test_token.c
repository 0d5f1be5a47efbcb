/* SPDX-License-Identifier: ISC */
/* Keys and chains by reference: what is a URL, what a file must be, what an error of a token is. Tokens themselves:
 * t/t6002-token-keys.t. */
#include "token.h"

#include "log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char file[] = "/tmp/consign-token.XXXXXX";

static void a_url_is_told_from_a_file(void **state)
{
    (void)state;
    assert_true(token_is_url("pkcs11:token=a;object=b"));
    assert_false(token_is_url("key.pem"));
    assert_false(token_is_url("./pkcs11:token=a"));
    assert_false(token_is_url(""));
}

static void what_is_no_key_is_refused(void **state)
{
    gnutls_privkey_t key = NULL;
    gnutls_pcert_st *chain = NULL;
    unsigned n = 0;
    (void)state;
    log_quiet(true);
    assert_int_not_equal(token_load_key("/nonexistent/key", true, &key), ERR_OK);
    assert_non_null(strstr(log_reason(), "/nonexistent/key"));
    assert_int_not_equal(token_load_key(file, true, &key), ERR_OK);
    assert_int_not_equal(token_load_chain(file, &chain, &n), ERR_OK);
    assert_non_null(strstr(log_reason(), file));
    log_quiet(false);
}

static void a_refused_pin_is_told_from_a_lost_token(void **state)
{
    (void)state;
    log_quiet(true);
    assert_int_equal(token_fail(GNUTLS_E_PKCS11_PIN_ERROR, "key"), ERR_PIN);
    assert_int_equal(token_fail(GNUTLS_E_PKCS11_DEVICE_ERROR, "key"), ERR_TOKEN);
    log_quiet(false);
}

static int set_up(void **state)
{
    (void)state;
    int fd = mkstemp(file);
    return fd >= 0 && write(fd, "nonsense\n", 9) == 9 && close(fd) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_is_told_from_a_file),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(a_refused_pin_is_told_from_a_lost_token),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
