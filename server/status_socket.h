/* SPDX-License-Identifier: ISC */
/* The status socket as a file: where it is, who may have it. Paths of any length: the folder is held
 * by a descriptor and the socket reached through it. */
#ifndef CONSIGND_STATUS_SOCKET_H
#define CONSIGND_STATUS_SOCKET_H

#include "err.h"
#include <stdbool.h>

enum { STATUS_SOCKET_NAME = 108 };

/* Makes the folder (0700) where it is missing and a listening socket (0600) at path. The folder must
 * belong to this process's account and nobody else may have any right to it: ERR_CONFIG. A socket
 * at which another server listens is ERR_BUSY; one that nobody does is replaced. All logged. */
enum err status_socket_bind(const char *path, int *folder, int *listener,
                            char name[static STATUS_SOCKET_NAME]) MUST_CHECK;

/* Connects. ERR_CONN (silent) when no server listens there; ERR_DENIED and others logged. */
enum err status_socket_connect(const char *path, int *fd) MUST_CHECK;

/* Whether the other side of fd is root or this process's own account. */
bool status_socket_trusted(int fd);

#endif
