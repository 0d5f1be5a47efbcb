/* SPDX-License-Identifier: ISC */
#include "status_socket.h"

#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 16, CONNECT_S = 10 };

/* Splits path into its folder, which is opened, and the socket's name. */
static int open_folder(const char *path, bool make, char name[static STATUS_SOCKET_NAME])
{
    const char *slash = strrchr(path, '/');
    char *folder =
        slash && slash > path ? strndup(path, (size_t)(slash - path)) : strdup(slash ? "/" : ".");
    int n = snprintf(name, STATUS_SOCKET_NAME, "%s", slash ? slash + 1 : path);
    int fd = -1;
    if (n <= 0 || n >= STATUS_SOCKET_NAME - 40) /* for the folder's descriptor before it */
        errno = ENAMETOOLONG;
    else if (folder && (!make || mkdir(folder, 0700) == 0 || errno == EEXIST))
        fd = open(folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    free(folder);
    return fd;
}

/* Names of such a length fit: open_folder sees to it. */
static void address_of(int folder, const char *name, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d/", folder);
    memcpy(out->sun_path + n, name, strnlen(name, sizeof out->sun_path - (size_t)n - 1));
}

bool status_socket_trusted(int fd)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

/* Whether the process that made the socket is still there. A socket that answers is no proof: a
 * child of a killed server may not have closed its copy yet. */
static bool listens(int folder, const char *name)
{
    struct sockaddr_un address;
    struct ucred peer;
    socklen_t n = sizeof peer;
    bool there = false;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    address_of(folder, name, &address);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        there = errno == EAGAIN; /* its queue is full */
    else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0)
        there = kill(peer.pid, 0) == 0 || errno == EPERM;
    close(fd);
    return there;
}

static enum err check_folder(const char *path, int folder)
{
    struct stat st;
    if (fstat(folder, &st) < 0)
        return log_fail_errno("folder of the status socket %s", path);
    if (st.st_uid == geteuid() && (st.st_mode & 077) == 0)
        return ERR_OK;
    return log_fail(ERR_CONFIG,
                    "folder of the status socket %s: must belong to the server's account and be "
                    "closed to all others (0700)",
                    path);
}

static enum err bind_in(const char *path, int folder, const char *name, int *out)
{
    struct sockaddr_un address;
    address_of(folder, name, &address);
    if (listens(folder, name))
        return log_fail(ERR_BUSY, "status socket %s: another server has it", path);
    if (unlinkat(folder, name, 0) < 0 && errno != ENOENT)
        return log_fail_errno("status socket %s: removing the old one", path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0177);
    bool good = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
                listen(fd, BACKLOG) == 0;
    enum err e = good ? ERR_OK : log_fail_errno("status socket %s", path);
    umask(before);
    if (good)
        *out = fd;
    else if (fd >= 0)
        close(fd);
    return e;
}

enum err status_socket_bind(const char *path, int *folder, int *listener,
                            char name[static STATUS_SOCKET_NAME])
{
    *listener = -1;
    *folder = open_folder(path, true, name);
    enum err e =
        *folder >= 0 ? check_folder(path, *folder) : log_fail_errno("status socket %s", path);
    if (e == ERR_OK)
        e = bind_in(path, *folder, name, listener);
    if (e != ERR_OK && *folder >= 0) {
        close(*folder);
        *folder = -1;
    }
    return e;
}

enum err status_socket_connect(const char *path, int *fd)
{
    char name[STATUS_SOCKET_NAME];
    struct sockaddr_un address;
    const struct timeval patience = {.tv_sec = CONNECT_S};
    int folder = open_folder(path, false, name);
    *fd = folder >= 0 ? socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0) : -1;
    if (*fd >= 0) {
        (void)setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        address_of(folder, name, &address);
    }
    bool good = *fd >= 0 && connect(*fd, (struct sockaddr *)&address, sizeof address) == 0;
    bool nobody = errno == ENOENT || errno == ECONNREFUSED;
    enum err e = good ? ERR_OK : nobody ? ERR_CONN : log_fail_errno("status socket %s", path);
    if (folder >= 0)
        close(folder);
    if (e != ERR_OK && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return e;
}
