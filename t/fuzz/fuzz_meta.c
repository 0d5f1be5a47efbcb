/* SPDX-License-Identifier: ISC */
/* Attributes from a peer: a set that is taken is within the bounds, of the kinds that were granted, and the same bytes
 * when it is put together again. */
#include "fuzz.h"

#include "meta.h"

/* Names that begin so may be nobody's but consign's. */
#define OWN "user.consign"

static unsigned kind_of(const char *name)
{
    if (strncmp(name, "user.", 5) == 0 && name[5])
        return META_XATTRS;
    return strcmp(name, "system.posix_acl_access") == 0 ||
                   strcmp(name, "system.posix_acl_default") == 0
               ? META_ACLS
               : 0;
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct slice left, name, value;
    struct buf again;
    size_t count = 0;
    if (n == 0)
        return;
    uint8_t *copy = fuzz_copy(data, n);
    const struct meta m = {.kinds = copy[0] & META_ALL, .set = slice_of(copy + 1, n - 1)};
    bool good = meta_check(&m, "x") == ERR_OK, whole = true;
    buf_init(&again, META_SET_MAX);
    for (left = m.set; meta_take(&left, &name, &value); count++) {
        char *text = fuzz_text(name);
        unsigned kind = strlen(text) == name.n ? kind_of(text) : 0;
        FUZZ_MUST(meta_kind(name) == kind ||
                  (strncmp(text, OWN, strlen(OWN)) == 0 && !meta_kind(name)));
        FUZZ_MUST(!good || kind & m.kinds);
        whole = meta_add(&again, name, value) && whole;
        free(text);
    }
    FUZZ_MUST(!good || (count <= META_MAX && left.n == 0 && whole));
    if (whole)
        FUZZ_MUST(again.len == m.set.n - left.n &&
                  (again.len == 0 || memcmp(again.data, m.set.p, again.len) == 0));
    buf_release(&again);
    free(copy);
}

void fuzz_seeds(void)
{
    struct buf b, set;
    buf_init(&b, 1 << 17);
    buf_init(&set, META_SET_MAX);
    FUZZ_MUST(meta_add(&set, slice_str("user.a"), slice_str("value")));
    FUZZ_MUST(meta_add(&set, slice_str("user.empty"), slice_str("")));
    FUZZ_MUST(
        meta_add(&set, slice_str("system.posix_acl_access"), slice_of("\2\0\0\0\1\0\6\0", 8)));
    FUZZ_MUST(meta_add(&set, slice_str("system.posix_acl_default"), slice_str("x")));
    for (uint8_t kinds = META_XATTRS; kinds <= META_ALL; kinds++) {
        buf_clear(&b);
        wire_put_u8(&b, kinds);
        buf_put(&b, set.data, set.len);
        fuzz_seed(b.data, b.len);
    }
    wire_put_u8(&b, 6);
    buf_put(&b, "xuser.", 6);
    fuzz_seed(b.data, b.len);
    buf_clear(&b);
    wire_put_u8(&b, META_XATTRS);
    for (int i = 0; i <= META_MAX; i++) /* one more than there may be */
        buf_put(&b, "\6user.x\0\0", 9);
    fuzz_seed(b.data, b.len);
    buf_release(&b);
    buf_release(&set);
}
