/* SPDX-License-Identifier: ISC */
/* Names. A path on the wire is absolute and virtual: "/" or "/" followed by components joined by
 * "/".
 *
 * The legal set, in every request alike: components of 1 to 255 bytes, any bytes but "/", NUL,
 * control characters (0-31, 127); not "." or ".."; not ".consign" (consign's own folder); the whole
 * at most 4096 bytes. Names are bytes: neither case nor Unicode form is changed or compared
 * loosely. */
#ifndef CONSIGN_PATH_H
#define CONSIGN_PATH_H

#include "err.h"
#include "wire.h"

enum { PATH_MAX_BYTES = 4096, PATH_NAME_MAX = 255 };

/* consign's own folder below a root (staging, stored trees). */
#define PATH_SERVICE ".consign"

/* Checks that s is a legal path. ERR_NAME, logged with why. */
enum err path_check(struct slice s) MUST_CHECK;

/* The same, and copies it to path (ended by NUL). */
enum err path_parse(struct slice s, char path[static PATH_MAX_BYTES + 1]) MUST_CHECK;

/* Whether name (n bytes) is one legal component. */
bool path_name_ok(const char *name, size_t n);

/* What it has that a component may not: "a control character"; NULL when it is legal. Static
 * storage. */
const char *path_name_fault(const char *name, size_t n);

/* The last component of a legal path; "" for "/". Borrowed. */
const char *path_base(const char *path);

/* dir + "/" + name, legal as a whole, to out. ERR_NAME, logged, when it is not. */
enum err path_join(const char *dir, const char *name,
                   char out[static PATH_MAX_BYTES + 1]) MUST_CHECK;

#endif
