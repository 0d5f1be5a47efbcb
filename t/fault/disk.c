/* SPDX-License-Identifier: ISC */
/* Loaded before a server (LD_PRELOAD): one of its system calls fails when it is told to, in whichever of its processes
 * comes to it first.
 *
 * DISK_FAULT names a file that all of them map: what is to fail, with which errno, after how many that do not, how many
 * times; and how many calls there were. t/disk.sh writes and reads it. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct fault {
    char call[16];
    int32_t errnum, skip, times;
    _Atomic int32_t met;
};

static struct fault *fault;

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("DISK_FAULT");
    int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    void *p =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *fault, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED)
        fault = p;
    if (fd >= 0)
        close(fd);
}

static bool fails(const char *call)
{
    if (!fault || strncmp(fault->call, call, sizeof fault->call) != 0)
        return false;
    int32_t before = atomic_fetch_add(&fault->met, 1);
    if (before < fault->skip || before >= fault->skip + fault->times)
        return false;
    errno = fault->errnum;
    return true;
}

/* The C library's own. It is looked for at the first call, which may be a confined process's: dlsym needs no call. */
#define WRAP(type, name, params, args)                                                             \
    __attribute__((visibility("default"))) type name params;                                       \
    type name params                                                                               \
    {                                                                                              \
        static type(*real) params;                                                                 \
        if (!real)                                                                                 \
            *(void **)&real = dlsym(RTLD_NEXT, #name);                                             \
        return fails(#name) ? (type)-1 : real args;                                                \
    }

WRAP(ssize_t, pwrite64, (int fd, const void *p, size_t n, off64_t at), (fd, p, n, at))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, fdatasync, (int fd), (fd))
WRAP(int, syncfs, (int fd), (fd))
WRAP(int, ftruncate64, (int fd, off64_t n), (fd, n))
WRAP(int, fallocate64, (int fd, int mode, off64_t at, off64_t n), (fd, mode, at, n))
WRAP(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
WRAP(int, linkat, (int a, const char *from, int b, const char *to, int flags),
     (a, from, b, to, flags))
WRAP(int, mkdirat, (int at, const char *name, mode_t mode), (at, name, mode))
WRAP(pid_t, fork, (void), ())
WRAP(int, socketpair, (int domain, int type, int protocol, int pair[2]),
     (domain, type, protocol, pair))
