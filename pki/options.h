/* SPDX-License-Identifier: ISC */
/* The command line (popt): one table of all options, of which each command shows and takes its own.
 */
#ifndef CONSIGN_PKI_OPTIONS_H
#define CONSIGN_PKI_OPTIONS_H

#include "pki.h"

/* Reads argv (argv[0]: the name in messages, "consign-pki init") for the command. *args gets what
 * is left, borrowed until options_release. ERR_USAGE, logged. --help prints and ends the process.
 */
struct parsed;
enum err options_parse(const struct command *c, int argc, const char **argv,
                       struct parsed **out) MUST_CHECK;
const struct options *options_of(const struct parsed *p);
const char *const *options_args(const struct parsed *p, int *n);
/* The module to use where nothing but the command line says so. */
const char *options_module(const struct options *o);
void options_release(struct parsed *p);

#endif
