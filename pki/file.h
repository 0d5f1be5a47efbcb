/* SPDX-License-Identifier: ISC */
/* Whole small files: written so that a reader sees the old or the new one, and so that what was
 * acknowledged survives a power cut. */
#ifndef CONSIGN_PKI_FILE_H
#define CONSIGN_PKI_FILE_H

#include "err.h"
#include <gnutls/gnutls.h>
#include <sys/types.h>

/* Reads a regular file of 1 to PKI_PEM_MAX bytes; out->data (free it) is followed by a NUL.
 * ERR_NOENT and others, logged. */
enum err file_read(const char *path, gnutls_datum_t *out) MUST_CHECK;

/* Temporary file, fsync, rename, fsync of the folder. Without replace an existing file is
 * ERR_EXISTS (link() instead of rename()). */
enum err file_write(const char *path, const gnutls_datum_t *content, mode_t mode,
                    bool replace) MUST_CHECK;

/* Removes what file_write left in dir where it was killed. Only for one who keeps others from
 * writing there: theirs would be removed as well. Best effort. */
void file_sweep(const char *dir);

/* ERR_EXISTS, logged, when something stands at path. */
enum err file_free(const char *path) MUST_CHECK;

bool file_exists(const char *path);

/* dir + "/" + name; the caller frees. NULL, logged, without memory. */
char *file_join(const char *dir, const char *name);

/* The path from the root folder, of a file that need not be there yet; the caller frees. NULL,
 * logged. */
char *file_absolute(const char *path);

#endif
