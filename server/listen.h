/* SPDX-License-Identifier: ISC */
/* The listening socket and the addresses of peers. */
#ifndef CONSIGND_LISTEN_H
#define CONSIGND_LISTEN_H

#include "err.h"
#include <sys/socket.h>

enum { LISTEN_NAME = 64 };

/* Binds and listens at "ADDRESS:PORT", "[V6]:PORT" or "*:PORT" (all addresses of both families);
 * numeric only. The socket is non-blocking and close-on-exec. name gets the bound address. */
enum err listen_open(const char *where, int *fd, char name[static LISTEN_NAME]) MUST_CHECK;

/* "192.0.2.7:50312" or "[2001:db8::1]:50312"; a mapped IPv4 address shows as IPv4. */
void listen_peer(const struct sockaddr_storage *a, char name[static LISTEN_NAME]);

#endif
