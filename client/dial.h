/* SPDX-License-Identifier: ISC */
/* From a host's name to a connected socket. */
#ifndef CONSIGN_DIAL_H
#define CONSIGN_DIAL_H

#include "client.h"

/* Tries the addresses of the profile's host, one after the other. ERR_CONN, logged. */
enum err dial(const struct profile *p, int *fd) MUST_CHECK;

#endif
