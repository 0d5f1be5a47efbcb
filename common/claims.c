/* SPDX-License-Identifier: ISC */
#include "claims.h"

#include "log.h"
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ALIGN = 65536 }; /* the largest page of any kernel */

enum { NONE, ONE, SEVERAL };

static uint64_t begin_of(uint64_t at)
{
    return (at + ALIGN - 1) / ALIGN * ALIGN;
}

enum err claims_open(struct claims *c, int journal, uint64_t at, uint64_t n)
{
    struct stat st;
    uint64_t begin = begin_of(at);
    *c = (struct claims){.n = (size_t)n};
    if (n == 0)
        return ERR_OK;
    if (fstat(journal, &st) < 0 || (uint64_t)st.st_size < begin + n)
        return log_fail(ERR_CHANGED, "a journal that nobody shares");
    void *map = mmap(NULL, c->n, PROT_READ | PROT_WRITE, MAP_SHARED, journal, (off_t)begin);
    if (map == MAP_FAILED)
        return log_fail_errno("mapping a journal");
    c->map = map;
    return ERR_OK;
}

/* Written, not only made long: no room for them would otherwise end the process when it claims. */
enum err claims_make(struct claims *c, int journal, uint64_t at, uint64_t n)
{
    static const uint8_t none[4096];
    uint64_t begin = begin_of(at);
    if (ftruncate(journal, (off_t)begin) < 0)
        return log_fail_errno("writing a journal");
    for (uint64_t done = 0; done < n;) {
        size_t want = n - done < sizeof none ? (size_t)(n - done) : sizeof none;
        ssize_t r = pwrite(journal, none, want, (off_t)(begin + done));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return log_fail_errno("writing a journal");
        done += (uint64_t)r;
    }
    return claims_open(c, journal, at, n);
}

void claims_close(struct claims *c)
{
    if (c->map)
        munmap(c->map, c->n);
    *c = (struct claims){0};
}

void claims_take(struct claims *c, uint64_t chunk)
{
    uint8_t *p = c->map + chunk;
    if (__atomic_load_n(p, __ATOMIC_SEQ_CST) != NONE ||
        __atomic_exchange_n(p, ONE, __ATOMIC_SEQ_CST) != NONE)
        __atomic_store_n(p, SEVERAL, __ATOMIC_SEQ_CST);
}

bool claims_several(const struct claims *c, uint64_t chunk)
{
    return c->map && __atomic_load_n(c->map + chunk, __ATOMIC_SEQ_CST) == SEVERAL;
}
