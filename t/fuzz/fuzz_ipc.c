/* SPDX-License-Identifier: ISC */
/* What consignd's processes say to each other, and so what one that was taken over can: each message, and bundles of
 * them, which bring what a plain look at their lengths finds. */
#include "fuzz.h"

#include "../../server/ipc.h"

enum fuzz_size { FUZZ_LEAST, FUZZ_MARKED, FUZZ_MOST, FUZZ_SIZES };
bool ipc_fuzz_one(const uint8_t *data, size_t n);
bool ipc_fuzz_seed(size_t i, enum fuzz_size size, struct buf *out);

#include "../unit/lib/codec_fuzz.h"

/* Every message of the bundle, and the same bytes when they are bundled again. */
static void look_into(const uint8_t *data, size_t n)
{
    const struct ipc_in in = {.type = IPC_BUNDLE, .body = data, .n = n};
    struct slice rest = {0};
    struct ipc_in one;
    struct buf again;
    buf_init(&again, n);
    while (ipc_next(&in, &rest, &one)) {
        FUZZ_MUST(one.n_fds == 0 && one.body == data + again.len + 5);
        size_t at = ipc_begin(&again, one.type);
        buf_put(&again, one.body, one.n);
        FUZZ_MUST(ipc_end(&again, at));
        if (one.n > 0)
            (void)ipc_fuzz_one(one.body - 1, one.n + 1);
    }
    FUZZ_MUST(again.len + rest.n == n);
    FUZZ_MUST(again.len == 0 || memcmp(again.data, data, again.len) == 0);
    buf_release(&again);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    uint8_t *copy = fuzz_copy(data, n);
    if (n > 0 && copy[0] == IPC_BUNDLE)
        look_into(copy + 1, n - 1);
    else
        (void)ipc_fuzz_one(copy, n);
    free(copy);
}

void fuzz_seeds(void)
{
    struct buf b, bundle;
    buf_init(&b, IPC_MAX);
    buf_init(&bundle, IPC_MAX);
    wire_put_u8(&bundle, IPC_BUNDLE);
    for (enum fuzz_size size = FUZZ_LEAST; size < FUZZ_SIZES; size++)
        for (size_t i = 0; ipc_fuzz_seed(i, size, &b); i++, buf_clear(&b)) {
            fuzz_seed(b.data, b.len);
            if (b.len > 256)
                continue;
            size_t at = ipc_begin(&bundle, b.data[0]);
            buf_put(&bundle, b.data + 1, b.len - 1);
            FUZZ_MUST(ipc_end(&bundle, at));
        }
    fuzz_seed(bundle.data, bundle.len);
    buf_release(&b);
    buf_release(&bundle);
}
