/* SPDX-License-Identifier: ISC */
/* The form of every file of the configuration. What was read is written down again and read a second time: it is the
 * same. Values against another way to read a number. */
#include "fuzz.h"

#include "conf.h"
#include <errno.h>
#include <stdio.h>

struct told {
    struct buf text; /* as a file would have it */
    unsigned line;
};

/* No value holds what would make another line of it. */
static bool in_one_line(const char *s)
{
    return !strchr(s, '\n') && s[0] != ' ' && s[0] != '\t';
}

static enum err take(void *arg, const struct conf_at *at, const char *value)
{
    struct told *t = arg;
    char line[16384];
    FUZZ_MUST(at->line > t->line && at->section[0] && (at->key != NULL) == (value != NULL));
    t->line = at->line;
    if (at->key) {
        FUZZ_MUST(at->key[0] && !strchr(at->key, '=') && !strchr("#;[ \t", at->key[0]));
        FUZZ_MUST(in_one_line(value));
        snprintf(line, sizeof line, "%s = %s\n", at->key, value);
    } else {
        FUZZ_MUST(in_one_line(at->section));
        snprintf(line, sizeof line, "[%s]\n", at->section);
    }
    buf_put(&t->text, line, strlen(line));
    return ERR_OK;
}

static enum err read_all(const void *p, size_t n, struct told *t)
{
    buf_init(&t->text, 1 << 24);
    t->line = 0;
    enum err e = conf_read(fuzz_file("input", p, n), take, t);
    FUZZ_MUST(e == ERR_OK || e == ERR_CONFIG);
    return e;
}

/* strtoull takes signs and blanks, which are no numbers here. */
static bool number(const char *s, const char *units, const uint64_t *factors, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(s, &end, 10);
    if (s[0] < '0' || s[0] > '9' || errno)
        return false;
    const char *unit = *end ? strchr(units, *end) : NULL;
    if (*end && (!unit || end[1]))
        return false;
    __uint128_t whole = (__uint128_t)v * (unit ? factors[unit - units] : 1);
    *out = (uint64_t)whole;
    return whole <= UINT64_MAX;
}

static void check_numbers(const char *text)
{
    static const uint64_t sizes[] = {1 << 10, 1 << 20, 1 << 30, UINT64_C(1) << 40};
    static const uint64_t times[] = {1, 60, 3600, 86400};
    const struct conf_at at = {"file", 1, "section", "key"};
    uint64_t v = 0, w = 0;
    bool good = number(text, "KMGT", sizes, &w);
    FUZZ_MUST((conf_size(&at, text, &v) == ERR_OK) == good && (!good || v == w));
    good = number(text, "smhd", times, &w) && w >= 3 && w <= 1000000;
    FUZZ_MUST((conf_seconds(&at, text, 3, 1000000, &v) == ERR_OK) == good && (!good || v == w));
    good = number(text, "", NULL, &w) && w >= 3;
    FUZZ_MUST((conf_u64(&at, text, 3, UINT64_MAX, &v) == ERR_OK) == good && (!good || v == w));
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct told first, second;
    char *text = fuzz_text(slice_of(data, n < 64 ? n : 64));
    check_numbers(text);
    free(text);
    if (read_all(data, n, &first) == ERR_OK && !first.text.bad) {
        FUZZ_MUST(read_all(first.text.data, first.text.len, &second) == ERR_OK);
        FUZZ_MUST(first.text.len == second.text.len);
        FUZZ_MUST(first.text.len == 0 ||
                  memcmp(first.text.data, second.text.data, first.text.len) == 0);
        buf_release(&second.text);
    }
    buf_release(&first.text);
}

void fuzz_seeds(void)
{
    fuzz_seed_text("", "# comment\n[one]\nkey = value\n; other\n\nkey=\n[ two ]\nroot /a = /b c\n");
    fuzz_seed_text("", "[a]\r\nb\t=\tc=d\r\n[a]\nb = #x\nb = ;x\n");
    fuzz_seed_text("", "[a]\n[b\n");
    fuzz_seed_text("", "18014398509481984K");
    fuzz_seed_text("", "12h");
    fuzz_seed_text("", "18446744073709551615");
}
