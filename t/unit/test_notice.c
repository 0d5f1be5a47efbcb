/* SPDX-License-Identifier: ISC */
/* Files that change are noticed, once, and when they have come to rest. */
#include "../../server/notice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/consign-notice-XXXXXX";
static char conf_file[64], map_file[64], pem[64], crl[64], fresh[64];

static struct config_anchor anchor = {.ca = pem, .crl = crl};
static struct config config = {.file = conf_file,
                               .map = map_file,
                               .certificate = pem,
                               .tokens = {{.key = (char *)(uintptr_t) "pkcs11:object=x"}},
                               .n_tokens = 1,
                               .anchors = &anchor,
                               .n_anchors = 1};

static void write_file(const char *file, const char *text)
{
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static void replace_file(const char *file, const char *text)
{
    write_file(fresh, text);
    assert_int_equal(rename(fresh, file), 0);
}

static void each_change_is_seen(void **state)
{
    uint64_t was = notice_files(&config), is;
    (void)state;
    assert_true(notice_files(&config) == was);
    char *const files[] = {conf_file, map_file, pem, crl};
    for (size_t i = 0; i < 4; i++) {
        replace_file(files[i], "same\n");
        assert_true((is = notice_files(&config)) != was);
        write_file(files[i], "longer than that\n");
        was = is;
        assert_true((is = notice_files(&config)) != was);
        assert_int_equal(unlink(files[i]), 0);
        was = is;
        assert_true((is = notice_files(&config)) != was);
        replace_file(files[i], "same\n");
        was = is;
        assert_true((is = notice_files(&config)) != was);
        assert_int_equal(chmod(files[i], 0600), 0);
        was = is;
        assert_true((is = notice_files(&config)) != was);
        was = is;
    }
}

static void two_looks_alike(void **state)
{
    struct notice w = {0};
    bool changed = false;
    int64_t now = 100;
    (void)state;
    notice_reading(&w, &config);
    assert_false(notice_tick(&w, &config, now, &changed));
    replace_file(map_file, "a\n");
    assert_false(notice_tick(&w, &config, now + NOTICE_LOOK_MS - 1, &changed)); /* not looked */
    assert_false(notice_tick(&w, &config, now += NOTICE_LOOK_MS, &changed));
    replace_file(crl, "b\n");
    assert_false(notice_tick(&w, &config, now += NOTICE_LOOK_MS, &changed)); /* still moving */
    assert_true(notice_tick(&w, &config, now += NOTICE_LOOK_MS, &changed));
    assert_true(changed);
    notice_reading(&w, &config);
    assert_false(notice_tick(&w, &config, now += NOTICE_LOOK_MS, &changed));
    assert_false(notice_tick(&w, &config, now += NOTICE_LOOK_MS, &changed));
}

static void failures_are_tried_again(void **state)
{
    struct notice w = {0};
    uint64_t files = notice_files(&config);
    bool changed = true;
    (void)state;
    notice_reading(&w, &config);
    notice_read(&w, NULL, 0);
    assert_false(notice_tick(&w, &config, 1, &changed));
    assert_true(notice_tick(&w, &config, NOTICE_AGAIN_MS, &changed));
    assert_false(changed);
    notice_read(&w, &files, NOTICE_AGAIN_MS);
    assert_false(notice_tick(&w, &config, 10 * NOTICE_AGAIN_MS, &changed));
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    char *const files[] = {conf_file, map_file, pem, crl, fresh};
    const char *const names[] = {"conf", "map", "pem", "crl", "fresh"};
    for (size_t i = 0; i < 5; i++) {
        snprintf(files[i], sizeof conf_file, "%s/%s", dir, names[i]);
        if (i < 4)
            write_file(files[i], "same\n");
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    char *const files[] = {conf_file, map_file, pem, crl};
    for (size_t i = 0; i < 4; i++)
        unlink(files[i]);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_change_is_seen),
        cmocka_unit_test(two_looks_alike),
        cmocka_unit_test(failures_are_tried_again),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, begin, end);
}
