/* SPDX-License-Identifier: ISC */
/* Patterns, against the C library's matching of one name and a plain recursion over names. An input is a pattern, a NUL
 * and a path. */
#include "fuzz.h"

#include "../../client/filter.h"
#include <fnmatch.h>

enum { NAMES = 16 };

struct names {
    char *list[NAMES];
    size_t n;
};

static bool split(char *text, struct names *out)
{
    out->n = 0;
    for (char *at = text; at; out->n++) {
        if (out->n == NAMES)
            return false;
        out->list[out->n] = at;
        if ((at = strchr(at, '/')))
            *at++ = '\0';
    }
    return true;
}

static bool match(const struct names *p, size_t i, const struct names *s, size_t k)
{
    if (i == p->n)
        return k == s->n;
    if (strcmp(p->list[i], "**") == 0) {
        if (i + 1 == p->n)
            return k < s->n;
        for (size_t at = k; at <= s->n; at++)
            if (match(p, i + 1, s, at))
                return true;
        return false;
    }
    return k < s->n && fnmatch(p->list[i], s->list[k], 0) == 0 && match(p, i + 1, s, k + 1);
}

/* The C library tries other characters than those of ASCII as bytes, too. */
static bool known_to_both(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s >= 0x80)
            return false;
    return true;
}

/* What filter.h says of a pattern; *known: as far as the C library says the same of a name. */
static bool expected(const char *pattern, const char *path, bool folder, bool *known)
{
    struct names p, s;
    char *copy = strdup(pattern), *other = strdup(path), *at = copy;
    size_t n = strlen(copy);
    bool anchored = copy[0] == '/', hit = false, only = n > 1 && copy[n - 1] == '/';
    FUZZ_MUST(copy && other);
    if (only)
        copy[n - 1] = '\0';
    at += anchored;
    *known = known_to_both(pattern) && known_to_both(path) && split(at, &p) && split(other, &s);
    for (size_t k = 0; *known && !hit && k < s.n; k++)
        hit = (k == 0 || !anchored) && match(&p, 0, &s, k);
    free(copy);
    free(other);
    return hit && (folder || !only);
}

/* Legal components, as a walk brings them. */
static bool is_path(const char *s)
{
    char absolute[PATH_MAX_BYTES + 2] = "/";
    if (!s[0] || strlen(s) >= PATH_MAX_BYTES)
        return false;
    strcat(absolute, s);
    return path_check(slice_str(absolute)) == ERR_OK;
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct filter f;
    const uint8_t *nul = n ? memchr(data, 0, n) : NULL;
    if (!nul || n > 400)
        return;
    char *pattern = fuzz_text(slice_of(data, (size_t)(nul - data)));
    char *path = fuzz_text(slice_of(nul + 1, n - (size_t)(nul - data) - 1));
    filter_init(&f);
    if (filter_add(&f, false, pattern) == ERR_OK && is_path(path)) {
        for (int folder = 0; folder < 2; folder++) {
            bool known, hit = expected(pattern, path, folder, &known);
            FUZZ_MUST(!known || hit != filter_passes(&f, path, folder));
        }
    }
    filter_release(&f);
    free(pattern);
    free(path);
}

void fuzz_seeds(void)
{
    static const char *const seeds[][2] = {
        {"*.c", "a/b.c"},   {"/a/**/c/", "a/b/b/c"}, {"**", "x"},
        {"a/**", "a/b"},    {"[a-c]?[!x]", "bzy"},   {"[]a-]", "-"},
        {"\\*\\[x", "*[x"}, {"*a*b*", "xxaxxbx"},    {"[^a]/**/[\\]]", "b/]"},
        {"a**b", "acb"},    {"?", "\xc3\xa9"},       {"[\xc3\xa0-\xc3\xbf]", "\xc3\xa9"},
    };
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        struct buf b;
        buf_init(&b, 4096);
        buf_put(&b, seeds[i][0], strlen(seeds[i][0]) + 1);
        buf_put(&b, seeds[i][1], strlen(seeds[i][1]));
        fuzz_seed(b.data, b.len);
        buf_release(&b);
    }
}
