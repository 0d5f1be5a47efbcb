/* SPDX-License-Identifier: ISC */
#include "filter.h"

#include "log.h"
#include "text.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A byte that is not part of a UTF-8 character is told from the code point of the same number. */
enum { BYTE_POINTS = 0x110000 };

/* ---- one component ---- */

static const char *next_char(const char *s, const char *end, uint32_t *point)
{
    size_t n = text_char((const uint8_t *)s, (size_t)(end - s), point);
    if (n > 0)
        return s + n;
    *point += BYTE_POINTS;
    return s + 1;
}

/* A character of a pattern that may follow a backslash; NULL when nothing follows it. */
static const char *literal(const char *p, const char *end, uint32_t *point)
{
    if (*p == '\\' && ++p == end)
        return NULL;
    return next_char(p, end, point);
}

/* What follows a class whose "[" was just before p, and whether c is in it; NULL when it is not
 * well formed. */
static const char *class_end(const char *p, const char *end, uint32_t c, bool *hit)
{
    bool negated = p < end && (*p == '!' || *p == '^'), within = false;
    const char *first = p += negated;
    while (p && p < end) {
        uint32_t low, high;
        if (*p == ']' && p != first) {
            *hit = within != negated;
            return p + 1;
        }
        if (end - p > 1 && *p == '[' && (p[1] == ':' || p[1] == '.' || p[1] == '='))
            return NULL;
        if (!(p = literal(p, end, &low)))
            return NULL;
        high = low;
        if (end - p > 1 && p[0] == '-' && p[1] != ']')
            p = literal(p + 1, end, &high);
        if (high < low)
            return NULL;
        within = within || (low <= c && c <= high);
    }
    return NULL;
}

/* What follows the first element of p (not a star) when it matches c, else NULL. */
static const char *match_char(const char *p, const char *end, uint32_t c)
{
    uint32_t point;
    bool hit = false;
    if (*p == '?')
        return p + 1;
    if (*p == '[') {
        p = class_end(p + 1, end, c, &hit);
        return hit ? p : NULL;
    }
    p = literal(p, end, &point);
    return point == c ? p : NULL;
}

/* A star takes as little as it can. Only the last star met is ever given more: what an earlier one
 * could change, that one can make good. Hence the bound on the steps. */
static bool match_name(const char *p, const char *p_end, const char *s, const char *s_end)
{
    const char *star = NULL, *resume = NULL, *then;
    uint32_t c;
    while (s < s_end) {
        const char *next = next_char(s, s_end, &c);
        if (p < p_end && *p == '*') {
            star = ++p;
            resume = s;
        } else if (p < p_end && (then = match_char(p, p_end, c))) {
            p = then;
            s = next;
        } else if (star) {
            p = star;
            s = resume = next_char(resume, s_end, &c);
        } else {
            return false;
        }
    }
    while (p < p_end && *p == '*')
        p++;
    return p == p_end;
}

/* ---- a path ---- */

static const char *component_end(const char *s)
{
    return s + strcspn(s, "/");
}

/* The component after the one that ends at end; "" when there is none. */
static const char *component_next(const char *end)
{
    return *end ? end + 1 : end;
}

/* The same game with components for characters and "**" for the star; a pattern that is not
 * anchored begins with one. */
static bool match_path(const char *p, bool anchored, const char *s)
{
    const char *star = anchored ? NULL : p, *resume = s;
    while (*s) {
        const char *p_end = component_end(p), *s_end = component_end(s);
        if (p_end - p == 2 && memcmp(p, "**", 2) == 0) {
            p = star = component_next(p_end);
            resume = s;
            if (!*p)
                return true;
        } else if (*p && match_name(p, p_end, s, s_end)) {
            p = component_next(p_end);
            s = component_next(s_end);
        } else if (star) {
            p = star;
            s = resume = component_next(component_end(resume));
        } else {
            return false;
        }
    }
    return !*p;
}

static bool rule_matches(const struct filter_rule *r, const char *path, bool is_folder)
{
    if (r->folder_only && !is_folder)
        return false;
    if (!r->anchored && !strchr(r->pattern, '/'))
        path = path_base(path);
    return match_path(r->pattern, r->anchored, path);
}

bool filter_passes(const struct filter *f, const char *path, bool is_folder)
{
    for (size_t i = 0; f && i < f->n; i++)
        if (rule_matches(&f->rules[i], path, is_folder))
            return f->rules[i].include;
    return true;
}

/* ---- rules ---- */

/* What is wrong with a component of a pattern; NULL when nothing is. */
static const char *component_fault(const char *p, const char *end)
{
    uint32_t point;
    bool hit;
    if (p == end)
        return "an empty component";
    if (*p == '.' && (end - p == 1 || (end - p == 2 && p[1] == '.')))
        return "a component \".\" or \"..\"";
    while (p < end) {
        if (*p == '[') {
            if (!(p = class_end(p + 1, end, 0, &hit)))
                return "a [ that begins no valid [...]";
        } else if (!(p = literal(p, end, &point))) {
            return "a \\ with nothing after it";
        }
    }
    return NULL;
}

/* The same for a pattern of n bytes without its outer slashes. */
static const char *pattern_fault(const char *p, size_t n)
{
    const char *why = NULL;
    if (n == 0)
        return "nothing in it";
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
            return "a control character";
    for (const char *at = p, *end; !why; at = end + 1) {
        const char *slash = memchr(at, '/', (size_t)(p + n - at));
        end = slash ? slash : p + n;
        why = component_fault(at, end);
        if (end == p + n)
            break;
    }
    return why;
}

/* Adds a pattern of n bytes; *why is set when it is refused. */
static enum err add(struct filter *f, bool include, const char *pattern, size_t n, const char **why)
{
    struct filter_rule rule = {.include = include};
    *why = n > FILTER_PATTERN_MAX ? "more than 4096 bytes" : NULL;
    if (*why)
        return ERR_USAGE;
    rule.anchored = n > 0 && pattern[0] == '/';
    pattern += rule.anchored;
    n -= rule.anchored;
    rule.folder_only = n > 0 && pattern[n - 1] == '/';
    n -= rule.folder_only;
    if ((*why = pattern_fault(pattern, n)))
        return ERR_USAGE;
    struct filter_rule *more = realloc(f->rules, (f->n + 1) * sizeof *more);
    if (more)
        f->rules = more;
    if (!more || !(rule.pattern = strndup(pattern, n))) {
        *why = "out of memory";
        return ERR_LIMIT;
    }
    f->rules[f->n++] = rule;
    return ERR_OK;
}

void filter_init(struct filter *f)
{
    *f = (struct filter){0};
}

void filter_release(struct filter *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->rules[i].pattern);
    free(f->rules);
    filter_init(f);
}

enum err filter_add(struct filter *f, bool include, const char *pattern)
{
    const char *why;
    enum err e = add(f, include, pattern, strlen(pattern), &why);
    return e == ERR_OK ? e : log_fail(e, "pattern \"%.200s\": %s", pattern, why);
}

/* One line without its end; *n is its length, FILTER_PATTERN_MAX + 1 for any longer one. False when
 * there is none. */
static bool read_line(FILE *in, char line[static FILTER_PATTERN_MAX + 1], size_t *n)
{
    int c = getc(in);
    if (c == EOF)
        return false;
    for (*n = 0; c != EOF && c != '\n' && *n <= FILTER_PATTERN_MAX; c = getc(in))
        line[(*n)++] = (char)c;
    return true;
}

enum err filter_load(struct filter *f, const char *file)
{
    char line[FILTER_PATTERN_MAX + 1] = "";
    const char *why;
    enum err e = ERR_OK;
    size_t n;
    FILE *in = fopen(file, "re");
    if (!in)
        return log_fail_errno("%s", file);
    errno = 0;
    for (unsigned at = 1; e == ERR_OK && read_line(in, line, &n); at++)
        if (n > 0 && line[0] != '#' && (e = add(f, false, line, n, &why)) != ERR_OK)
            e = log_fail(e, "%s:%u: %s", file, at, why);
    if (e == ERR_OK && ferror(in))
        e = log_fail_errno("%s", file);
    fclose(in);
    return e;
}
