/* SPDX-License-Identifier: ISC */
#include "dial.h"

#include "log.h"
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECT_MS = 20 * 1000 };

static enum err wait_connected(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int error = 0, rc;
    socklen_t n = sizeof error;
    while ((rc = poll(&p, 1, CONNECT_MS)) < 0 && errno == EINTR)
        continue;
    if (rc == 0)
        errno = ETIMEDOUT;
    else if (rc > 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0)
        errno = error;
    return rc > 0 && error == 0 ? ERR_OK : ERR_CONN;
}

static int try_address(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0 ||
        (errno == EINPROGRESS && wait_connected(fd) == ERR_OK))
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

enum err dial(const struct profile *p, int *fd)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(p->host, p->port, &hints, &list);
    if (rc != 0)
        return log_fail(ERR_CONN, "%s port %s: %s", p->host, p->port, gai_strerror(rc));
    *fd = -1;
    for (const struct addrinfo *a = list; a && *fd < 0; a = a->ai_next)
        *fd = try_address(a);
    int saved = errno;
    freeaddrinfo(list);
    return *fd >= 0 ? ERR_OK
                    : log_fail(ERR_CONN, "%s port %s: %s", p->host, p->port, strerror(saved));
}
