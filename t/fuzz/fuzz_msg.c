/* SPDX-License-Identifier: ISC */
/* The decoder of every message, for libFuzzer: `make fuzz` builds build/t/fuzz/msg (clang), and
 * `build/t/fuzz/msg -max_total_time=3600 FOLDER` runs it. Its first inputs come from the message
 * table. */
#include "../unit/lib/msg_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t cap, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t cap);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    (void)msg_fuzz_one(data, n);
    return 0;
}

/* Now and then a mutation starts from a well-formed message. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t cap, unsigned seed)
{
    struct buf b;
    buf_init(&b, cap);
    if (seed % 8 == 0 && msg_fuzz_seed(seed / 8 % 32, &b) && b.len <= cap) {
        n = b.len;
        for (size_t i = 0; i < n; i++)
            data[i] = b.data[i];
    }
    buf_release(&b);
    return LLVMFuzzerMutate(data, n, cap);
}
