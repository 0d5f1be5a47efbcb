/* SPDX-License-Identifier: ISC */
/* Text from outside on its way to terminals, logs and JSON: what comes out can be shown, is the same when it goes through
 * again, and says what went in. */
#include "fuzz.h"

#include "log.h"
#include "text.h"
#include <jansson.h>

/* What of s a reader of its JSON finds: UTF-8, with bytes that are none as the code points of their numbers. */
static void as_text(struct slice s, struct buf *out)
{
    for (size_t i = 0, len; i < s.n; i += len ? len : 1) {
        uint32_t point;
        len = text_char(s.p + i, s.n - i, &point);
        uint8_t two[] = {(uint8_t)(0xc0 | point >> 6), (uint8_t)(0x80 | (point & 0x3f))};
        buf_put(out, len ? s.p + i : two, len ? len : 2);
    }
}

static void check_json(struct slice s)
{
    struct buf b, wanted;
    buf_init(&b, 6 * s.n + 2);
    buf_init(&wanted, 2 * s.n + 1);
    text_json(&b, s);
    FUZZ_MUST(!b.bad && fuzz_shows(b.data, b.len, false));
    json_t *v = json_loadb((const char *)b.data, b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    FUZZ_MUST(v && json_is_string(v));
    as_text(s, &wanted);
    FUZZ_MUST(json_string_length(v) == wanted.len);
    FUZZ_MUST(wanted.len == 0 || memcmp(json_string_value(v), wanted.data, wanted.len) == 0);
    json_decref(v);
    buf_release(&b);
    buf_release(&wanted);
}

static void check_scrub(struct slice s, size_t cap)
{
    char *once = malloc(cap), *twice = malloc(cap);
    FUZZ_MUST(once && twice);
    size_t n = log_scrub(once, cap, s.p, s.n);
    FUZZ_MUST(n < cap && strlen(once) == n && fuzz_shows(once, n, false));
    FUZZ_MUST(log_scrub(twice, cap, once, n) == n && strcmp(once, twice) == 0);
    free(once);
    free(twice);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    if (n < 2)
        return;
    size_t cap = 1 + ((size_t)data[0] << 8 | data[1]);
    uint8_t *copy = fuzz_copy(data + 2, n - 2);
    check_scrub(slice_of(copy, n - 2), cap);
    check_json(slice_of(copy, n - 2));
    free(copy);
}

void fuzz_seeds(void)
{
    fuzz_seed_text("\x10\x01",
                   "plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x93\xa6 \"quoted\\\" \xff\xfe");
    fuzz_seed_text("\x01\x08",
                   "\x1b[31mred\r\n\x7f\xc2\x85 \xe2\x80\xae \xe2\x80\xa8 \xed\xa0\x80 \xc0\x80");
}
