/* SPDX-License-Identifier: ISC */
#include "seed.h"

#include "log.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static enum err draw_tested(struct seed *s, seed_draw *draw, const char *source, uint8_t *to,
                            size_t n)
{
    enum err e = draw(source, to, n);
    const char *fault = e ? NULL : health_feed(&s->health, to, n);
    if (fault)
        e = log_fail(ERR_CORRUPT,
                     "random generator of %s: failed the %s test; its bytes are not used", source,
                     fault);
    return e;
}

static enum err write_pool(const char *pool, const uint8_t *bytes, size_t n)
{
    enum err e = ERR_OK;
    int fd = open(pool, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return log_fail_errno("%s", pool);
    if (write(fd, bytes, n) != (ssize_t)n)
        e = log_fail_errno("%s", pool);
    close(fd);
    return e;
}

enum err seed_round(struct seed *s, seed_draw *draw, const char *source, const char *pool)
{
    uint8_t bytes[HEALTH_START];
    enum err e = ERR_OK;
    if (!s->tested)
        e = draw_tested(s, draw, source, bytes, HEALTH_START);
    s->tested |= e == ERR_OK;
    if (!e)
        e = draw_tested(s, draw, source, bytes, SEED_BYTES);
    if (!e)
        e = write_pool(pool, bytes, SEED_BYTES);
    explicit_bzero(bytes, sizeof bytes);
    return e;
}
