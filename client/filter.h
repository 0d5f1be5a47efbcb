/* SPDX-License-Identifier: ISC */
/* Which entries of a tree are taken: rules in the order they were given, as --include PATTERN,
 * --exclude PATTERN and --exclude-from FILE give them. The first rule that matches decides; what
 * none matches is included.
 *
 * A pattern is compared with the path of an entry relative to the root of the transfer ("a/b/c"),
 * component by component:
 *
 *   ?        one character
 *   *        any characters, none too; a leading dot is like any other
 *   [a-z_]   one of these; [!a-z_] and [^a-z_] one of all others. "]" first, "-" first or last
 *            stand for themselves. Classes by name ([:alpha:]) are refused
 *   \x       x itself, whatever it is
 *   **       as a whole component: any number of folders, none too; at the end all that is below.
 *            Within a component it is "*"
 *   /a/b     a leading "/": from the root of the transfer on
 *   a/b      without it: the last components of the path, as many as the pattern has, at any depth.
 *            So a pattern of one component matches a name anywhere
 *   a/       a trailing "/": folders only
 *
 * A character is one of UTF-8, and where the bytes are none, a byte; ranges go by code point. Case
 * counts. A folder that is excluded is not looked into: no rule brings back what is below it. To
 * take C sources only: include "*" "/", include "*.c", exclude "*".
 *
 * A comparison takes at most (length of the pattern) * (length of the path) steps, and no memory.
 */
#ifndef CONSIGN_FILTER_H
#define CONSIGN_FILTER_H

#include "path.h"
#include <stddef.h>

enum { FILTER_PATTERN_MAX = PATH_MAX_BYTES };

struct filter_rule {
    bool include;
    bool anchored;    /* began with "/" */
    bool folder_only; /* ended in "/" */
    char *pattern;    /* without these two */
};

struct filter {
    struct filter_rule *rules;
    size_t n;
};

/* No rules: all passes. */
void filter_init(struct filter *f);
void filter_release(struct filter *f);

/* Adds a rule after the others; pattern is copied. ERR_USAGE, logged, for one that can't match any
 * name: empty, of more than FILTER_PATTERN_MAX bytes, with a control character, an empty component,
 * "." or "..", a [ that is not well formed, a \ at its end. */
enum err filter_add(struct filter *f, bool include, const char *pattern) MUST_CHECK;

/* Adds an exclude rule for each line of file, in order. A line is a pattern to its last byte, blanks
 * too; empty lines and those that begin with # are passed over (\# begins a pattern with #). What
 * filter_add refuses is ERR_USAGE, logged with file and line; a file that can't be read is its own
 * error. Rules before the bad line stay. */
enum err filter_load(struct filter *f, const char *file) MUST_CHECK;

/* Whether the entry at path ("a/b/c": legal components, no "/" at either end) is taken. Judges this
 * entry alone: who walks does not enter a folder that did not pass. f may be NULL: all passes. */
bool filter_passes(const struct filter *f, const char *path, bool is_folder);

#endif
