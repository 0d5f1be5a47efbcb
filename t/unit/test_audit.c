/* SPDX-License-Identifier: ISC */
#include "../../pki/audit_check.h"
#include "../../pki/audit_read.h"
#include "audit.h"
#include "text.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LOG  "00112233445566778899aabbccddeeff"
#define TIME "2026-11-25T12:00:00.000001Z"

static bool read_line(const char *text, struct audit_line *out)
{
    return audit_line_read(slice_str(text), out);
}

static void a_line_is_taken_apart(void **state)
{
    char zeros[AUDIT_HEX + 1] = {0}, text[512];
    struct audit_line l;
    struct slice value;
    (void)state;
    memset(zeros, '0', AUDIT_HEX);
    snprintf(text, sizeof text,
             "{\"time\":\"" TIME "\",\"seq\":18446744073709551615,\"prev\":\"%s\",\"session\":\"1-"
             "2\",\"event\":\"put\",\"path\":\"/a\\\"}\\\\\",\"event2\":\"x\"}",
             zeros);
    assert_true(read_line(text, &l));
    assert_true(l.seq == UINT64_MAX && slice_eq(l.event, slice_str("put")));
    assert_true(audit_get(l.text, "path", &value) && slice_eq(value, slice_str("/a\\\"}\\\\")));
    assert_false(audit_get(l.text, "pat", &value));
    /* No part of it is one. */
    for (size_t n = 0; n < strlen(text); n++)
        assert_false(audit_line_read(slice_of(text, n), &l));
}

static void what_is_no_line_is_refused(void **state)
{
    char zeros[AUDIT_HEX + 1] = {0}, text[512];
    static const char *const forms[] = {
        "{\"time\":\"t\",\"seq\":1,\"prev\":\"%s\"}",
        "{\"time\":\"t\",\"seq\":-1,\"prev\":\"%s\",\"event\":\"x\"}",
        "{\"time\":\"t\",\"seq\":\"\",\"prev\":\"%s\",\"event\":\"x\"}",
        "{\"time\":\"t\",\"seq\":18446744073709551616,\"prev\":\"%s\",\"event\":\"x\"}",
        "{\"time\":\"t\",\"seq\":1,\"prev\":\"%s0\",\"event\":\"x\"}",
        "{\"seq\":1,\"time\":\"t\",\"prev\":\"%s\",\"event\":\"x\"}",
        "{\"time\":\"t\",\"seq\":1,\"prev\":\"%s\",\"event\":\"x\"} ",
        "{\"time\":\"t\",\"seq\":1,\"prev\":\"%s\",\"event\":\"x\ny\"}",
        "{\"time\":\"t\",\"seq\":1,\"prev\":\"%s\",\"event\":\"x\\\"}",
    };
    struct audit_line l;
    (void)state;
    memset(zeros, '0', AUDIT_HEX);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof text, forms[i], zeros);
#pragma GCC diagnostic pop
        if (read_line(text, &l))
            fail_msg("%s", text);
    }
}

static void times_go_there_and_back(void **state)
{
    char text[AUDIT_TIME];
    struct timespec t = {1795626370, 123456789}, back;
    (void)state;
    audit_time(&t, text);
    assert_string_equal(text, "2026-11-25T17:06:10.123456Z");
    assert_true(audit_time_read(slice_str(text), &back));
    assert_true(back.tv_sec == t.tv_sec && back.tv_nsec == 123456000);
    assert_false(audit_time_read(slice_str("2026-11-25T17:06:10.123456"), &back));
    assert_false(audit_time_read(slice_str(""), &back));
}

static void a_head_is_one_text(void **state)
{
    struct audit_head h = {.log = LOG, .seq = 17, .time = 1795626370};
    char text[AUDIT_HEAD_TEXT];
    (void)state;
    memset(h.hash, 0xab, sizeof h.hash);
    size_t n = audit_head_text(&h, text);
    static const char want[] =
        "consign/1 audit head\0" LOG "\n17\n"
        "abababababababababababababababababababababababababababababababab\n1795626370\n";
    assert_int_equal(n, sizeof want - 1);
    assert_memory_equal(text, want, n);
}

static void base64_is_that_of_rfc_4648(void **state)
{
    static const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
    static const char *const coded[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                        "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    char out[16];
    (void)state;
    for (size_t i = 0; i < 7; i++) {
        text_base64((const uint8_t *)plain[i], strlen(plain[i]), out);
        assert_string_equal(out, coded[i]);
    }
}

/* ---- chains ---- */

enum { LINES = 40 };

struct chain {
    char *lines[LINES + 8]; /* each with its newline */
    size_t n;
};

static uint64_t found_line;
static int found_kind;
static char found_text[512];

static void found(void *arg, enum audit_kind kind, const struct audit_place *at, const char *text)
{
    (void)arg;
    if ((int)kind <= found_kind)
        return;
    found_kind = (int)kind;
    found_line = at->line;
    snprintf(found_text, sizeof found_text, "%s", text);
}

static enum audit_verdict trust(void *arg, const struct audit_head *head, struct slice line)
{
    (void)arg;
    (void)head;
    return audit_get(line, "wrong", &line) ? AUDIT_WRONG : AUDIT_GOOD;
}

static char *line(uint64_t seq, const char *before, const char *rest)
{
    uint8_t hash[WIRE_HASH] = {0};
    char hex[AUDIT_HEX + 1], *out;
    if (before)
        audit_hash(before, strlen(before), hash);
    text_hex(hash, sizeof hash, hex);
    assert_true(asprintf(&out, "{\"time\":\"" TIME "\",\"seq\":%" PRIu64 ",\"prev\":\"%s\",%s}\n",
                         seq, hex, rest) > 0);
    return out;
}

static void add(struct chain *c, const char *rest)
{
    c->lines[c->n] = line(c->n + 1, c->n ? c->lines[c->n - 1] : NULL, rest);
    c->n++;
}

static void add_head(struct chain *c, uint64_t seq, const char *more)
{
    char rest[512], hex[AUDIT_HEX + 1];
    uint8_t hash[WIRE_HASH];
    audit_hash(c->lines[seq - 1], strlen(c->lines[seq - 1]), hash);
    text_hex(hash, sizeof hash, hex);
    snprintf(rest, sizeof rest,
             "\"event\":\"head\",\"log\":\"" LOG "\",\"head_seq\":\"%" PRIu64
             "\",\"head_hash\":\"%s\",\"head_time\":\"1\",\"signature\":\"x\"%s",
             seq, hex, more);
    add(c, rest);
}

static struct chain make(void)
{
    struct chain c = {.n = 0};
    add(&c, "\"event\":\"begin\",\"log\":\"" LOG "\"");
    while (c.n < LINES)
        if (c.n % 10 == 9)
            add_head(&c, c.n, "");
        else
            add(&c, "\"event\":\"put\",\"path\":\"/a\"");
    return c;
}

static void drop(struct chain *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->lines[i]);
}

/* The worst finding of it, -1: none. */
static int check(const struct chain *c, const struct audit_proof *proofs, size_t n)
{
    struct audit_check k;
    found_kind = -1;
    found_text[0] = '\0';
    assert_true(audit_check_init(&k));
    k.found = found;
    k.verify = trust;
    k.proofs = proofs;
    k.n_proofs = n;
    for (size_t i = 0; i < c->n; i++) {
        size_t len = strlen(c->lines[i]);
        bool ended = len && c->lines[i][len - 1] == '\n';
        audit_check_line(&k, &(struct audit_place){"log", i + 1},
                         slice_of(c->lines[i], len - ended), ended);
    }
    audit_check_end(&k);
    assert_true(k.bad == (found_kind == AUDIT_BAD));
    audit_check_release(&k);
    return found_kind;
}

static void assert_bad(const struct chain *c, uint64_t at, const char *text)
{
    assert_int_equal(check(c, NULL, 0), AUDIT_BAD);
    if (found_line != at || !strstr(found_text, text))
        fail_msg("line %" PRIu64 ": %s", found_line, found_text);
}

static void a_whole_chain_is_good(void **state)
{
    struct chain c = make();
    (void)state;
    assert_int_equal(check(&c, NULL, 0), -1);
    drop(&c);
}

/* Whatever line and whatever byte of it. */
static void no_byte_can_be_changed(void **state)
{
    struct chain c = make();
    (void)state;
    for (size_t i = 0; i + 1 < c.n; i++) {
        for (size_t b = 0; b + 1 < strlen(c.lines[i]); b += 7) {
            c.lines[i][b] ^= 1;
            assert_int_equal(check(&c, NULL, 0), AUDIT_BAD);
            assert_in_range(found_line, i + 1, i + 2);
            c.lines[i][b] ^= 1;
        }
    }
    drop(&c);
}

static void no_line_can_be_taken_out(void **state)
{
    struct chain c = make();
    (void)state;
    for (size_t i = 1; i + 1 < c.n; i++) {
        struct chain d = c;
        memmove(d.lines + i, d.lines + i + 1, (d.n - i - 1) * sizeof d.lines[0]);
        d.n--;
        assert_bad(&d, i + 1, "missing");
    }
    drop(&c);
}

static void no_two_lines_can_change_places(void **state)
{
    struct chain c = make();
    (void)state;
    for (size_t i = 1; i + 1 < c.n; i++) {
        for (size_t j = i + 1; j + 1 < c.n; j += 5) {
            struct chain d = c;
            d.lines[i] = c.lines[j];
            d.lines[j] = c.lines[i];
            assert_bad(&d, i + 1, "out of order");
        }
    }
    drop(&c);
}

static void no_line_can_be_put_in(void **state)
{
    struct chain c = make();
    (void)state;
    for (size_t i = 1; i + 1 < c.n; i++) {
        struct chain d = c;
        memmove(d.lines + i + 1, d.lines + i, (d.n - i) * sizeof d.lines[0]);
        d.n++;
        d.lines[i] = line(i + 1, c.lines[i - 1], "\"event\":\"put\",\"path\":\"/forged\"");
        assert_bad(&d, i + 1, "put in");
        free(d.lines[i]);
        d.lines[i] = (char[]){"no line\n"};
        assert_bad(&d, i + 1, "not a line");
        d.lines[i] = c.lines[i];
        assert_int_equal(check(&d, NULL, 0), AUDIT_BAD);
        assert_in_range(found_line, i + 1, i + 2);
    }
    drop(&c);
}

static void a_chain_made_anew_meets_the_next_head(void **state)
{
    struct chain c = make(), d = {.n = 0};
    (void)state;
    for (size_t i = 0; i < c.n; i++) {
        char *rest = strdup(strstr(c.lines[i], "\"event\""));
        assert_non_null(rest);
        rest[strlen(rest) - 2] = '\0';
        add(&d, i == 14 ? "\"event\":\"put\",\"path\":\"/forged\"" : rest);
        free(rest);
    }
    assert_bad(&d, 20, "the head has another hash than line 19: lines after number 9");
    drop(&d);
    d = (struct chain){.n = 0};
    add(&d, "\"event\":\"begin\",\"log\":\"" LOG "\"");
    add_head(&d, 1, "");
    add(&d, "\"event\":\"put\"");
    add_head(&d, 3, ",\"wrong\":\"yes\"");
    assert_bad(&d, 4, "signature of the head is wrong: lines after number 1");
    drop(&d);
    drop(&c);
}

static void a_head_from_elsewhere_is_held_against_it(void **state)
{
    struct chain c = make();
    struct audit_proof p = {.head = {.log = LOG, .seq = LINES}, .from = "file"};
    (void)state;
    audit_hash(c.lines[LINES - 1], strlen(c.lines[LINES - 1]), p.head.hash);
    assert_int_equal(check(&c, &p, 1), -1);
    c.n--;
    assert_int_equal(check(&c, &p, 1), AUDIT_BAD);
    assert_non_null(strstr(found_text, "the tail is cut off: the log ends with line 39, and file"));
    c.n++;
    p.head.hash[0] ^= 1;
    assert_int_equal(check(&c, &p, 1), AUDIT_BAD);
    assert_int_equal(found_line, LINES);
    p.head.log[0] = 'f';
    assert_int_equal(check(&c, &p, 1), AUDIT_BAD);
    assert_non_null(strstr(found_text, "another log"));
    p.loose = true;
    assert_int_equal(check(&c, &p, 1), -1);
    drop(&c);
}

static void what_the_log_says_itself_is_told(void **state)
{
    static const struct {
        const char *rest;
        int kind;
        const char *text;
    } rows[] = {
        {"\"event\":\"open\",\"log\":\"" LOG "\",\"after\":\"stop\"", -1, ""},
        {"\"event\":\"open\",\"log\":\"" LOG "\",\"after\":\"crash\"", AUDIT_NOTE, "after crash"},
        {"\"event\":\"open\",\"log\":\"ffff2233445566778899aabbccddeeff\",\"after\":\"stop\"",
         AUDIT_LOST, "is called ffff"},
        {"\"event\":\"clock\",\"was\":\"2027\"", AUDIT_NOTE, "set back from 2027"},
        {"\"event\":\"gap\",\"lost\":\"7\",\"reason\":\"no space left\",\"since\":\"t\"",
         AUDIT_LOST, "7 records are missing since t: no space left"},
        {"\"event\":\"head\",\"log\":\"" LOG "\"", AUDIT_BAD, "not well-formed"},
        {"\"event\":\"put\",\"lost\":\"7\"", -1, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct chain c = {.n = 0};
        add(&c, "\"event\":\"begin\",\"log\":\"" LOG "\"");
        add(&c, rows[i].rest);
        assert_int_equal(check(&c, NULL, 0), rows[i].kind);
        assert_non_null(strstr(found_text, rows[i].text));
        drop(&c);
    }
}

static void torn_bytes_are_those_that_are_recorded(void **state)
{
    struct chain c = make();
    uint8_t hash[WIRE_HASH];
    char hex[AUDIT_HEX + 1], rest[256];
    (void)state;
    const char *before = c.lines[c.n - 1];
    c.lines[c.n++] = strdup("{\"time\":\"20\n");
    audit_hash(c.lines[c.n - 1], 11, hash);
    text_hex(hash, sizeof hash, hex);
    snprintf(rest, sizeof rest, "\"event\":\"torn\",\"bytes\":\"11\",\"sha256\":\"%s\"", hex);
    c.lines[c.n++] = line(LINES + 1, before, rest);
    assert_int_equal(check(&c, NULL, 0), AUDIT_LOST);
    assert_int_equal(found_line, LINES + 1);
    c.lines[LINES][3] = 'x';
    assert_bad(&c, LINES + 1, "not a line");
    c.n--;
    c.lines[LINES][11] = '\0';
    assert_bad(&c, LINES + 1, "torn: the log ends inside a line");
    free(c.lines[c.n]);
    drop(&c);
}

/* ---- files ---- */

static bool count(void *arg, const char *file, uint64_t number, struct slice text, bool ended)
{
    uint64_t *seen = arg;
    (void)file;
    seen[0] = number;
    seen[1] += text.n;
    seen[2] += !ended;
    return true;
}

static void files_of_any_shape_are_read(void **state)
{
    char name[] = "/tmp/consign-audit-XXXXXX";
    uint64_t seen[3] = {0};
    (void)state;
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    FILE *f = fdopen(fd, "w");
    assert_non_null(f);
    for (int i = 0; i < 100000; i++)
        fputs("0123456789\n", f);
    for (int i = 0; i < 3 << 20; i++)
        fputc('x', f);
    fputs("\nlast", f);
    fclose(f);
    assert_int_equal(audit_read(name, count, seen), ERR_OK);
    assert_int_equal(seen[0], 100002);
    assert_int_equal(seen[1], 1000000 + AUDIT_LINE_MAX + 4);
    assert_int_equal(seen[2], 2);
    unlink(name);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_taken_apart),
        cmocka_unit_test(what_is_no_line_is_refused),
        cmocka_unit_test(times_go_there_and_back),
        cmocka_unit_test(a_head_is_one_text),
        cmocka_unit_test(base64_is_that_of_rfc_4648),
        cmocka_unit_test(a_whole_chain_is_good),
        cmocka_unit_test(no_byte_can_be_changed),
        cmocka_unit_test(no_line_can_be_taken_out),
        cmocka_unit_test(no_two_lines_can_change_places),
        cmocka_unit_test(no_line_can_be_put_in),
        cmocka_unit_test(a_chain_made_anew_meets_the_next_head),
        cmocka_unit_test(a_head_from_elsewhere_is_held_against_it),
        cmocka_unit_test(what_the_log_says_itself_is_told),
        cmocka_unit_test(torn_bytes_are_those_that_are_recorded),
        cmocka_unit_test(files_of_any_shape_are_read),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
