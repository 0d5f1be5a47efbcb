/* SPDX-License-Identifier: ISC */
/* A bounded run of the fuzz target: each row's seed, and many damaged copies of it, the same at
 * each run. */
#include "lib/msg_fuzz.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { COPIES = 20000 };

static uint64_t state = 1;

static uint32_t number(uint32_t below)
{
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(state >> 33) % below;
}

/* Flips, overwrites, cuts off or appends. */
static size_t damage(uint8_t *p, size_t n, size_t cap)
{
    for (uint32_t left = 1 + number(4); left > 0; left--) {
        uint32_t at = n > 1 ? 1 + number((uint32_t)n - 1) : 0;
        switch (number(5)) {
        case 0:
            p[at] ^= (uint8_t)(1u << number(8));
            break;
        case 1:
            p[at] = (uint8_t)number(256);
            break;
        case 2:
            p[at] = number(2) ? 0xff : 0;
            break;
        case 3:
            n = at ? at : n;
            break;
        default:
            if (n < cap)
                p[n++] = (uint8_t)number(256);
        }
    }
    return n;
}

static void every_seed_decodes(void **unused)
{
    struct buf seed;
    size_t rows = 0;
    (void)unused;
    buf_init(&seed, MSG_FRAME_MAX + 1);
    for (; msg_fuzz_seed(rows, FUZZ_LEAST, &seed); rows++) {
        assert_true(msg_fuzz_one(seed.data, seed.len));
        buf_clear(&seed);
        assert_true(msg_fuzz_seed(rows, FUZZ_MOST, &seed));
        assert_true(msg_fuzz_one(seed.data, seed.len));
        wire_put_u8(&seed, 0); /* one byte more than there may be */
        assert_false(seed.bad || msg_fuzz_one(seed.data, seed.len));
        buf_clear(&seed);
    }
    assert_true(rows > 20);
    buf_release(&seed);
}

static void damaged_copies_decode_to_themselves_or_not_at_all(void **unused)
{
    struct buf seed;
    size_t decoded = 0, refused = 0;
    (void)unused;
    buf_init(&seed, MSG_FRAME_MAX);
    for (size_t i = 0; msg_fuzz_seed(i, FUZZ_MARKED, &seed); i++, buf_clear(&seed)) {
        for (int k = 0; k < COPIES; k++) {
            /* Of its very size, so that a sanitizer sees a read beyond it. */
            uint8_t scratch[4096], *copy;
            memcpy(scratch, seed.data, seed.len);
            size_t n = damage(scratch, seed.len, sizeof scratch);
            copy = malloc(n);
            assert_non_null(copy);
            memcpy(copy, scratch, n);
            if (msg_fuzz_one(copy, n))
                decoded++;
            else
                refused++;
            free(copy);
        }
    }
    assert_true(decoded > 0 && refused > 0);
    buf_release(&seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_seed_decodes),
        cmocka_unit_test(damaged_copies_decode_to_themselves_or_not_at_all),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
