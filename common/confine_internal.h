/* SPDX-License-Identifier: ISC */
/* What the files of the module confine share. Nobody else includes this. */
#ifndef CONSIGN_CONFINE_INTERNAL_H
#define CONSIGN_CONFINE_INTERNAL_H

#include "confine.h"
#include <sys/resource.h>

/* Lowers a limit for good, to value or what it is already. */
enum err confine_limit(__rlimit_resource_t what, rlim_t value, const char *name) MUST_CHECK;

/* The descriptor of confine_report_to, or -1. */
int confine_reports(void);

#endif
