/* SPDX-License-Identifier: ISC */
/* What the fuzz targets share. A target is one file fuzz_X.c for one parser, with two functions: fuzz_one takes an
 * input and ends the process when what the parser made of it can't be; fuzz_seeds gives inputs that the parser
 * takes, for the fuzzer to begin with. Inputs of several parts are read with wire.h. */
#ifndef CONSIGN_FUZZ_H
#define CONSIGN_FUZZ_H

#include "wire.h"
#include <stdlib.h>
#include <string.h>

/* ---- a target's own ---- */

void fuzz_one(const uint8_t *data, size_t n);
void fuzz_seeds(void);

/* ---- for targets ---- */

/* An input to begin with. */
void fuzz_seed(const void *data, size_t n);
/* The same from text, behind some bytes that say how it is taken. */
void fuzz_seed_text(const char *head, const char *text);

/* Ends the process unless it holds: a finding. */
#define FUZZ_MUST(what)                                                                            \
    do {                                                                                           \
        if (!(what))                                                                               \
            fuzz_found(__FILE__, __LINE__, #what);                                                 \
    } while (0)
_Noreturn void fuzz_found(const char *file, int line, const char *what);

/* A copy of exactly n bytes, or of n and a NUL: so a sanitizer sees who reads beyond. Freed by the caller. */
uint8_t *fuzz_copy(const void *p, size_t n);
char *fuzz_text(struct slice s);

/* A copy of n bytes at p with the changes that r tells of: u8 how many, each u16 where, u8 which, u8 a byte. *n is set to
 * its length. For what is signed by keys of this process, which no input can hold. Freed by the caller. */
uint8_t *fuzz_edited(struct wire_rd *r, const void *p, size_t *n);

/* A folder of this process's own, removed when it ends. */
const char *fuzz_folder(void);
/* Makes the bytes what the file of that name in it holds; its path, which lasts until the next call. */
const char *fuzz_file(const char *name, const void *p, size_t n);
/* A file in memory that holds the bytes. */
int fuzz_memory(const void *p, size_t n);

/* Whether all of it may reach a terminal: characters that are seen, and line feeds where they are allowed. */
bool fuzz_shows(const void *p, size_t n, bool lines);

#endif
