/* SPDX-License-Identifier: ISC */
/* Names of things at a server: what is taken, and how it is shown again. */
#include "../../client/client.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct options options; /* those of the program */

static char dir[] = "/tmp/consign-profile-XXXXXX";
static char file[64];

#define REST "ca = ca.pem\ncertificate = c.pem\nkey = pkcs11:object=k\n"

static const char conf[] = "[default]\nhost = a.example\n" REST "[six]\nhost = 2001:db8::1\n" REST;

/* What stands for name is at that host and port, and is shown so. */
static void at(const char *name, const char *host, const char *port, const char *shown)
{
    struct remote r, again;
    char text[256];
    if (remote_parse(name, &r) != ERR_OK)
        fail_msg("%s: %s", name, log_reason());
    assert_string_equal(r.profile->host, host);
    assert_string_equal(r.profile->port, port);
    remote_text(&r, r.path, text, sizeof text);
    assert_string_equal(text, shown);
    assert_int_equal(remote_parse(text, &again), ERR_OK);
    assert_string_equal(again.profile->host, host);
    assert_string_equal(again.profile->port, port);
    assert_string_equal(again.path, r.path);
    remote_release(&again);
    remote_release(&r);
}

static void what_is_shown_means_the_same(void **state)
{
    (void)state;
    at("default:/x/y", "a.example", "7411", "consign://a.example:7411/x/y");
    at("consign://b.example:5/x", "b.example", "5", "consign://b.example:5/x");
    at("consign://[2001:db8::1]:5/x", "2001:db8::1", "5", "consign://[2001:db8::1]:5/x");
    at("consign://[::1]", "::1", "7411", "consign://[::1]:7411/");
    at("six:/x", "2001:db8::1", "7411", "six:/x");
}

static void no_names(void **state)
{
    static const char *const names[] = {"consign://[::1/x",   "consign://:5/x", "consign://a:/x",
                                        "consign://[::1]5/x", "a/b:/x",         "none:/x"};
    struct remote r;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_not_equal(remote_parse(names[i], &r), ERR_OK);
        remote_release(&r);
    }
}

static int begin(void **state)
{
    (void)state;
    log_quiet(getenv("V") == NULL);
    if (!mkdtemp(dir))
        return -1;
    snprintf(file, sizeof file, "%s/consign.conf", dir);
    FILE *out = fopen(file, "w");
    if (!out || fputs(conf, out) < 0 || fchmod(fileno(out), 0600) != 0 || fclose(out) != 0)
        return -1;
    options.config = file;
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(file);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_shown_means_the_same),
        cmocka_unit_test(no_names),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, begin, end);
}
