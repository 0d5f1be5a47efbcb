/* SPDX-License-Identifier: ISC */
/* consign-pki random: bytes of a token's generator, tested. */
#include "health.h"
#include "log.h"
#include "options.h"
#include "p11.h"
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT = 32, BLOCK = 1024 };

_Static_assert((int)BLOCK == (int)HEALTH_START, "the first block is only tested");

struct source {
    struct p11 m;
    struct p11_token t;
    struct p11_session s;
    struct health health;
    uint8_t block[BLOCK];
};

/* The token that is meant where none is named: the only one there is. */
static enum err only_token(const struct p11 *m, struct p11_token *out)
{
    struct p11_token *all;
    unsigned n, found = 0;
    enum err e = p11_tokens(m, &all, &n);
    for (unsigned i = 0; i < n; i++)
        if ((all[i].info.flags & CKF_TOKEN_INITIALIZED) && ++found == 1)
            *out = all[i];
    free(all);
    if (!e && found != 1)
        e = log_fail(ERR_USAGE, "the module has %u tokens: name one with --token", found);
    return e;
}

static enum err draw(struct source *r)
{
    enum err e = p11_random(&r->s, r->block, sizeof r->block);
    const char *fault = e ? NULL : health_feed(&r->health, r->block, sizeof r->block);
    if (fault)
        e = log_fail(ERR_TOKEN,
                     "the random generator of token \"%s\" failed the %s test: its bytes are not "
                     "random, don't use it",
                     r->t.label, fault);
    return e;
}

static enum err open_source(struct source *r, const struct options *o)
{
    enum err e = p11_open(options_module(o), &r->m);
    if (!e)
        e = o->token ? p11_find_token(&r->m, o->token, &r->t) : only_token(&r->m, &r->t);
    if (!e)
        e = p11_session_open(&r->m, &r->t, false, &r->s);
    return e ? e : draw(r);
}

static void close_source(struct source *r)
{
    explicit_bzero(r->block, sizeof r->block);
    p11_session_close(&r->s);
    p11_close(&r->m);
}

static void print_hex(const uint8_t *p, size_t n)
{
    char hex[2 * BLOCK + 1];
    text_hex(p, n, hex);
    fputs(hex, stdout);
    explicit_bzero(hex, sizeof hex);
}

static enum err print(struct source *r, uint64_t left, bool raw)
{
    enum err e = ERR_OK;
    while (left && !(e = draw(r))) {
        size_t n = left < BLOCK ? (size_t)left : BLOCK;
        if (raw)
            fwrite(r->block, 1, n, stdout);
        else
            print_hex(r->block, n);
        if (ferror(stdout))
            return log_fail(ERR_IO, "standard output can't be written");
        left -= n;
    }
    if (!e && !raw)
        putchar('\n');
    return e;
}

static enum err parse_count(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || *out == 0)
        return log_fail(ERR_USAGE, "random: \"%s\" is not a number of bytes", text);
    return ERR_OK;
}

enum err random_run(const struct options *o, const char *const *args, int n)
{
    struct source r = {.s.handle = CK_INVALID_HANDLE};
    uint64_t count = DEFAULT;
    enum err e = n ? parse_count(args[0], &count) : ERR_OK;
    if (!e)
        e = open_source(&r, o);
    if (!e)
        e = print(&r, count, o->raw);
    close_source(&r);
    return e;
}
