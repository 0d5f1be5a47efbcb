/* SPDX-License-Identifier: ISC */
/* PIN sources: what is taken, what is refused, what is forgotten. */
#include "log.h"
#include "token.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/consign-pin-XXXXXX";
static char path[64];

static void put(const char *bytes, size_t n, mode_t mode)
{
    unlink(path);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), (ssize_t)n);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static struct token_pin *source(const char *prefix, const char *rest)
{
    struct token_pin *p = NULL;
    char text[256];
    snprintf(text, sizeof text, "%s%s", prefix, rest);
    assert_int_equal(token_pin_new(text, &p), ERR_OK);
    return p;
}

static void expect(const char *bytes, size_t n, const char *pin)
{
    put(bytes, n, 0600);
    struct token_pin *p = source("file:", path);
    const char *got = token_pin_get(p);
    if (pin)
        assert_string_equal(got, pin);
    else
        assert_null(got);
    token_pin_free(p);
}

static void file_is_read(void **state)
{
    (void)state;
    expect("1234", 4, "1234");
    expect("1234\n", 5, "1234");
    expect("1234\r\n", 6, "1234");
    expect(" 12 34 ", 7, " 12 34 ");
}

static void plain_path_is_a_file(void **state)
{
    (void)state;
    put("4711\n", 5, 0400);
    struct token_pin *p = source("", path);
    assert_string_equal(token_pin_get(p), "4711");
    token_pin_free(p);
}

static void bad_content_is_refused(void **state)
{
    char long_pin[300];
    (void)state;
    memset(long_pin, 'x', sizeof long_pin);
    expect("", 0, NULL);
    expect("\n", 1, NULL);
    expect("12\n34\n", 6, NULL);
    expect("12\0"
           "34",
           5, NULL);
    expect(long_pin, 256, NULL);
    expect(long_pin, 300, NULL);
    long_pin[255] = '\n';
    put(long_pin, 256, 0600);
    struct token_pin *p = source("", path);
    assert_int_equal(strlen(token_pin_get(p)), 255);
    token_pin_free(p);
}

static void open_file_is_refused(void **state)
{
    static const mode_t modes[] = {0640, 0604, 0620, 0602};
    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        put("1234\n", 5, modes[i]);
        struct token_pin *p = source("", path);
        assert_null(token_pin_get(p));
        token_pin_free(p);
    }
}

static void no_secret_in_the_reason(void **state)
{
    (void)state;
    expect("geheim\nzwei\n", 12, NULL);
    assert_null(strstr(log_reason(), "geheim"));
    assert_non_null(strstr(log_reason(), "one line"));
}

static void descriptor_is_read_once(void **state)
{
    int fds[2];
    char text[16];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "99\n", 3), 3);
    close(fds[1]);
    snprintf(text, sizeof text, "%d", fds[0]);
    struct token_pin *p = source("fd:", text);
    assert_string_equal(token_pin_get(p), "99");
    assert_string_equal(token_pin_get(p), "99");
    token_pin_forget(p);
    assert_null(token_pin_get(p));
    token_pin_free(p);
}

static void credential_is_read(void **state)
{
    (void)state;
    put("77\n", 3, 0440);
    struct token_pin *p = source("credential:", "pin");
    unsetenv("CREDENTIALS_DIRECTORY");
    assert_null(token_pin_get(p));
    setenv("CREDENTIALS_DIRECTORY", dir, 1);
    assert_string_equal(token_pin_get(p), "77");
    token_pin_forget(p);
    put("77\n", 3, 0444);
    assert_null(token_pin_get(p));
    token_pin_free(p);
}

static void forgetting_reads_anew(void **state)
{
    (void)state;
    put("old", 3, 0600);
    struct token_pin *p = source("", path);
    const char *pin = token_pin_get(p);
    assert_string_equal(pin, "old");
    put("new", 3, 0600);
    assert_string_equal(token_pin_get(p), "old");
    token_pin_forget(p);
    assert_string_equal(pin, "");
    assert_string_equal(token_pin_get(p), "new");
    token_pin_free(p);
}

/* A child in a session of its own has no terminal. */
static void prompt_without_terminal_fails(void **state)
{
    int status;
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct token_pin *p = NULL;
        setsid();
        if (token_pin_new("prompt", &p) || token_pin_get(p))
            _exit(1);
        _exit(strstr(log_reason(), "no terminal") ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void bad_source_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "file:",
                                      "fd:",
                                      "fd:x",
                                      "fd:-1",
                                      "fd:1x",
                                      "credential:",
                                      "credential:../x",
                                      "fd:99999999999"};
    struct token_pin *p = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(token_pin_new(bad[i], &p), ERR_CONFIG);
    assert_null(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_is_read),
        cmocka_unit_test(plain_path_is_a_file),
        cmocka_unit_test(bad_content_is_refused),
        cmocka_unit_test(open_file_is_refused),
        cmocka_unit_test(no_secret_in_the_reason),
        cmocka_unit_test(descriptor_is_read_once),
        cmocka_unit_test(credential_is_read),
        cmocka_unit_test(forgetting_reads_anew),
        cmocka_unit_test(prompt_without_terminal_fails),
        cmocka_unit_test(bad_source_is_refused),
    };
    log_quiet(true);
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/pin", dir);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(dir);
    return rc;
}
