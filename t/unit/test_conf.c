/* SPDX-License-Identifier: ISC */
#include "conf.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/consign-conf-XXXXXX";
static char path[64], other[64];
static char seen[20000]; /* what the handler was told, one piece a line */

static enum err note(void *arg, const struct conf_at *at, const char *value)
{
    size_t n = strlen(seen);
    (void)arg;
    if (!at->key)
        snprintf(seen + n, sizeof seen - n, "%u[%s]\n", at->line, at->section);
    else
        snprintf(seen + n, sizeof seen - n, "%u[%s]{%s}{%s}\n", at->line, at->section, at->key,
                 value);
    return at->key && strcmp(at->key, "stop") == 0 ? conf_fail(at, "told to %s", value) : ERR_OK;
}

static void put(const void *p, size_t n, mode_t mode)
{
    unlink(path);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(p, 1, n, out), n);
    assert_int_equal(fchmod(fileno(out), mode), 0);
    assert_int_equal(fclose(out), 0);
}

static enum err read_bytes(const void *p, size_t n)
{
    put(p, n, 0644);
    seen[0] = '\0';
    log_clear_reason();
    return conf_read(path, note, NULL);
}

static void gives(const char *text, const char *wanted)
{
    if (read_bytes(text, strlen(text)) != ERR_OK)
        fail_msg("refused: %s", log_reason());
    assert_string_equal(seen, wanted);
}

static void refused(const char *text, unsigned line)
{
    char at[96];
    if (read_bytes(text, strlen(text)) != ERR_CONFIG)
        fail_msg("taken: %s", text);
    snprintf(at, sizeof at, "%s:%u: ", path, line);
    if (strncmp(log_reason(), at, strlen(at)) != 0)
        fail_msg("\"%s\" is not about line %u", log_reason(), line);
}

/* ---- reading ---- */

static void sections_and_keys(void **state)
{
    (void)state;
    gives("", "");
    gives("# only\n; comments\n\n", "");
    gives("[a]\nk = v\n[b c]\nroot /in=/x y\n",
          "1[a]\n2[a]{k}{v}\n3[b c]\n4[b c]{root /in}{/x y}\n");
    gives("[a]\r\nk = v\r\n", "1[a]\n2[a]{k}{v}\n");
    gives("[a]\nk\t=\tv", "1[a]\n2[a]{k}{v}\n");
    gives("[a]\nk = a=b:c\n", "1[a]\n2[a]{k}{a=b:c}\n");
    gives("[a]\nk = CN=x\\#1\nu = a#b;c\n", "1[a]\n2[a]{k}{CN=x\\#1}\n3[a]{u}{a#b;c}\n");
}

static void junk(void **state)
{
    (void)state;
    refused("k = v\n", 1);
    refused("[a]\nk\n", 2);
    refused("[a]\nk: v\n", 2);
    refused("[a]\n= v\n", 2);
    refused("[a]\n\r\t= v\n", 2);
    refused("[a]\nk = v # not a comment\n", 2);
    refused("[a]\nk = v\t; not a comment\n", 2);
    refused("[a]\nk = v\n  goes on\n", 3);
    refused("[a\nk = v\n", 1);
    refused("[]\n", 1);
    refused("[ ]\n", 1);
    refused("[a] b\n", 1);
    refused("\xef\xbb\xbf[a]\n", 1);
}

static void long_lines(void **state)
{
    static char text[20000], wanted[9000];
    (void)state;
    memset(text, 'v', sizeof text);
    memcpy(text, "[a]\nk = ", 8);
    strcpy(text + 8000, "\nl = w\n");
    snprintf(wanted, sizeof wanted, "1[a]\n2[a]{k}{%.7992s}\n3[a]{l}{w}\n", text + 8);
    gives(text, wanted);
    text[8000] = 'v';
    memset(text + 8000, 'v', 4000);
    strcpy(text + 12000, "\n");
    refused(text, 2);
}

static void nul(void **state)
{
    (void)state;
    assert_int_equal(read_bytes("[a]\nk = v\0w\n", 12), ERR_CONFIG);
    assert_int_equal(read_bytes("[a]\n\0\n", 6), ERR_CONFIG);
}

static void handler_ends_it(void **state)
{
    (void)state;
    refused("[a]\nstop = halt\nk = v\n", 2);
    assert_string_equal(seen, "1[a]\n2[a]{stop}{halt}\n");
    assert_non_null(strstr(log_reason(), ":2: [a] stop: told to halt"));
}

/* ---- whole files ---- */

static enum err read_whole(const char *text, conf_fn *each)
{
    put(text, strlen(text), 0644);
    seen[0] = '\0';
    log_clear_reason();
    return conf_read_whole(path, each, NULL);
}

static void half_written(void **state)
{
    (void)state;
    assert_int_equal(read_whole("[a]\nk = v\n", note), ERR_OK);
    assert_string_equal(seen, "1[a]\n2[a]{k}{v}\n");
    assert_int_equal(read_whole("", note), ERR_OK);
    assert_int_equal(read_whole("[a]\nk = v", note), ERR_CONFIG);
    assert_non_null(strstr(log_reason(), ":2: the last line does not end"));
    assert_string_equal(seen, "1[a]\n"); /* not even the key is looked at */
    assert_int_equal(read_whole("# only\n#", note), ERR_CONFIG);
}

static enum err append(void *arg, const struct conf_at *at, const char *value)
{
    FILE *out = fopen(path, "a");
    (void)arg;
    (void)at;
    (void)value;
    assert_non_null(out);
    assert_true(fputs("# more\n", out) >= 0);
    assert_int_equal(fclose(out), 0);
    return ERR_OK;
}

/* By whoever is at it while we read. */
static void changes_meanwhile(void **state)
{
    (void)state;
    assert_int_equal(read_whole("[a]\nk = v\n", append), ERR_CONFIG);
    assert_non_null(strstr(log_reason(), "changed while it was read"));
}

/* A writer who pauses has written whole lines only. */
static void open_for_writing(void **state)
{
    (void)state;
    put("[a]\nk = v\n", 10, 0644);
    FILE *writer = fopen(path, "a");
    assert_non_null(writer);
    seen[0] = '\0';
    assert_int_equal(conf_read_whole(path, note, NULL), ERR_CONFIG);
    assert_non_null(strstr(log_reason(), "open for writing"));
    assert_string_equal(seen, "");
    assert_int_equal(conf_read(path, note, NULL), ERR_OK);
    assert_int_equal(fclose(writer), 0);
    assert_int_equal(conf_read_whole(path, note, NULL), ERR_OK);
    FILE *reader = fopen(path, "r");
    assert_non_null(reader);
    assert_int_equal(conf_read_whole(path, note, NULL), ERR_OK);
    assert_int_equal(fclose(reader), 0);
    /* And nothing is left that would hold up the next writer, or end us. */
    assert_int_equal(append(NULL, NULL, NULL), ERR_OK);
}

/* ---- opening ---- */

static void expect_open(bool private, bool good)
{
    int fd = conf_open(path, private);
    if (good != (fd >= 0))
        fail_msg("%s", good ? log_reason() : "opened");
    if (fd >= 0)
        close(fd);
}

static void who_may_write_or_read(void **state)
{
    (void)state;
    put("", 0, 0644);
    expect_open(false, true);
    expect_open(true, false);
    put("", 0, 0640);
    expect_open(true, false);
    put("", 0, 0600);
    expect_open(true, true);
    put("", 0, 0620);
    expect_open(false, false);
    put("", 0, 0602);
    expect_open(false, false);
    if (geteuid() == 0) {
        put("", 0, 0600);
        assert_int_equal(chown(path, 1, 1), 0);
        expect_open(false, false);
    }
}

static void only_regular_files(void **state)
{
    (void)state;
    put("[a]\n", 4, 0644);
    assert_int_equal(rename(path, other), 0);
    expect_open(false, false);
    assert_int_equal(symlink(other, path), 0);
    expect_open(false, false);
    assert_int_equal(conf_read(path, note, NULL), ERR_CONFIG);
    unlink(path);
    assert_int_equal(mkdir(path, 0755), 0);
    expect_open(false, false);
    rmdir(path);
    assert_int_equal(mkfifo(path, 0644), 0); /* and without waiting for a writer */
    expect_open(false, false);
    unlink(path);
    unlink(other);
}

/* ---- values ---- */

static const struct conf_at here = {"/etc/x/file", 7, "s", "k"};

static void numbers(void **state)
{
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "0x10",
                                      "1.5",
                                      "1e3",
                                      "1K",
                                      "no",
                                      "18446744073709551616",
                                      "99999999999999999999999"};
    uint64_t v = 42;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (conf_u64(&here, bad[i], 0, UINT64_MAX, &v) != ERR_CONFIG)
            fail_msg("\"%s\" was taken", bad[i]);
    assert_int_equal(conf_u64(&here, "0", 1, 10, &v), ERR_CONFIG);
    assert_int_equal(conf_u64(&here, "11", 1, 10, &v), ERR_CONFIG);
    assert_string_equal(log_reason(), "/etc/x/file:7: [s] k: 11 is not between 1 and 10");
    assert_true(v == 42);
    assert_int_equal(conf_u64(&here, "10", 1, 10, &v), ERR_OK);
    assert_true(v == 10);
    assert_int_equal(conf_u64(&here, "18446744073709551615", 0, UINT64_MAX, &v), ERR_OK);
    assert_true(v == UINT64_MAX);
}

static void sizes(void **state)
{
    static const char *const bad[] = {"", "K", "1KB", "1k", "-1K", "1 K", "1P", "16777216T"};
    uint64_t v = 0;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (conf_size(&here, bad[i], &v) != ERR_CONFIG)
            fail_msg("\"%s\" was taken", bad[i]);
    assert_int_equal(conf_size(&here, "17", &v), ERR_OK);
    assert_true(v == 17);
    assert_int_equal(conf_size(&here, "3K", &v), ERR_OK);
    assert_true(v == 3 << 10);
    assert_int_equal(conf_size(&here, "10G", &v), ERR_OK);
    assert_true(v == UINT64_C(10) << 30);
    assert_int_equal(conf_size(&here, "16777215T", &v), ERR_OK);
    assert_true(v == UINT64_C(16777215) << 40);
}

static void times(void **state)
{
    uint64_t v = 0;
    (void)state;
    assert_int_equal(conf_seconds(&here, "90", 1, 1000000, &v), ERR_OK);
    assert_true(v == 90);
    assert_int_equal(conf_seconds(&here, "90s", 1, 1000000, &v), ERR_OK);
    assert_true(v == 90);
    assert_int_equal(conf_seconds(&here, "5m", 1, 1000000, &v), ERR_OK);
    assert_true(v == 300);
    assert_int_equal(conf_seconds(&here, "2h", 1, 1000000, &v), ERR_OK);
    assert_true(v == 7200);
    assert_int_equal(conf_seconds(&here, "7d", 1, 1000000, &v), ERR_OK);
    assert_true(v == 604800);
    assert_int_equal(conf_seconds(&here, "0", 1, 1000000, &v), ERR_CONFIG);
    assert_int_equal(conf_seconds(&here, "12d", 1, 1000000, &v), ERR_CONFIG);
    assert_int_equal(conf_seconds(&here, "1w", 1, 1000000, &v), ERR_OK);
    assert_int_equal(v, 7 * 86400);
    assert_int_equal(conf_seconds(&here, "2y", 1, 100000000, &v), ERR_OK);
    assert_int_equal(v, 2 * 365 * 86400);
    assert_int_equal(conf_seconds(&here, "1f", 1, 1000000, &v), ERR_CONFIG);
    assert_int_equal(conf_seconds(&here, "1dd", 1, 1000000, &v), ERR_CONFIG);
    assert_int_equal(conf_seconds(&here, "213503982334602d", 0, UINT64_MAX, &v), ERR_CONFIG);
}

static void yes_and_no(void **state)
{
    static const char *const bad[] = {"", "true", "1", "YES", "yes ", "nope"};
    bool v = false;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(conf_bool(&here, bad[i], &v), ERR_CONFIG);
    assert_int_equal(conf_bool(&here, "yes", &v), ERR_OK);
    assert_true(v);
    assert_int_equal(conf_bool(&here, "no", &v), ERR_OK);
    assert_false(v);
}

static void strings_and_paths(void **state)
{
    const struct conf_at bare = {"file", 1, "s", "k"};
    char *v = NULL;
    (void)state;
    assert_int_equal(conf_string(&here, "", false, &v), ERR_CONFIG);
    assert_null(v);
    assert_int_equal(conf_string(&here, "a b", false, &v), ERR_OK);
    assert_string_equal(v, "a b");
    assert_int_equal(conf_string(&here, "tls/key.pem", true, &v), ERR_OK);
    assert_string_equal(v, "/etc/x/tls/key.pem");
    assert_int_equal(conf_string(&here, "/abs", true, &v), ERR_OK);
    assert_string_equal(v, "/abs");
    assert_int_equal(conf_string(&bare, "rel", true, &v), ERR_OK);
    assert_string_equal(v, "rel");
    free(v);
}

static int begin(void **state)
{
    (void)state;
    log_quiet(true);
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/file", dir);
    snprintf(other, sizeof other, "%s/other", dir);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_and_keys),
        cmocka_unit_test(junk),
        cmocka_unit_test(long_lines),
        cmocka_unit_test(nul),
        cmocka_unit_test(handler_ends_it),
        cmocka_unit_test(half_written),
        cmocka_unit_test(changes_meanwhile),
        cmocka_unit_test(open_for_writing),
        cmocka_unit_test(who_may_write_or_read),
        cmocka_unit_test(only_regular_files),
        cmocka_unit_test(numbers),
        cmocka_unit_test(sizes),
        cmocka_unit_test(times),
        cmocka_unit_test(yes_and_no),
        cmocka_unit_test(strings_and_paths),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, begin, end);
}
