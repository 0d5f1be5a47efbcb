/* SPDX-License-Identifier: ISC */
#include "file.h"
#include "log.h"
#include "pki.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMP ".consign-pki."

static enum err read_fd(int fd, const char *path, gnutls_datum_t *out)
{
    unsigned char *data = malloc(PKI_PEM_MAX + 1);
    size_t n = 0;
    ssize_t r = 1;
    if (!data)
        return log_fail(ERR_INTERNAL, "%s: out of memory", path);
    while (r != 0 && n <= PKI_PEM_MAX) {
        r = read(fd, data + n, PKI_PEM_MAX + 1 - n);
        if (r < 0 && errno != EINTR) {
            free(data);
            return log_fail_errno("%s", path);
        }
        n += r > 0 ? (size_t)r : 0;
    }
    if (n == 0 || n > PKI_PEM_MAX) {
        free(data);
        return log_fail(ERR_TYPE, "%s: %s", path, n ? "too large" : "empty");
    }
    data[n] = '\0';
    *out = (gnutls_datum_t){data, (unsigned)n};
    return ERR_OK;
}

enum err file_read(const char *path, gnutls_datum_t *out)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return log_fail_errno("%s", path);
    enum err e = fstat(fd, &st)         ? log_fail_errno("%s", path)
                 : !S_ISREG(st.st_mode) ? log_fail(ERR_TYPE, "%s: not a regular file", path)
                                        : read_fd(fd, path, out);
    close(fd);
    return e;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return !slash          ? strdup(".")
           : slash == path ? strdup("/")
                           : strndup(path, (size_t)(slash - path));
}

static bool put_all(int fd, const gnutls_datum_t *content)
{
    for (size_t n = 0; n < content->size;) {
        ssize_t w = write(fd, content->data + n, content->size - n);
        if (w < 0 && errno != EINTR)
            return false;
        n += w > 0 ? (size_t)w : 0;
    }
    return true;
}

static bool sync_folder(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool place(const char *temp, const char *path, bool replace)
{
    if (replace)
        return rename(temp, path) == 0;
    return link(temp, path) == 0 && unlink(temp) == 0;
}

enum err file_write(const char *path, const gnutls_datum_t *content, mode_t mode, bool replace)
{
    enum err e = ERR_OK;
    char *temp = NULL, *dir = folder_of(path);
    int fd = -1;
    if (!dir || asprintf(&temp, "%s/" TEMP "XXXXXX", dir) < 0) {
        e = log_fail(ERR_INTERNAL, "%s: out of memory", path);
        temp = NULL;
        goto out;
    }
    fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0 || fchmod(fd, mode) || !put_all(fd, content) || fsync(fd) ||
        !place(temp, path, replace) || !sync_folder(dir))
        e = log_fail_errno("%s", path);
    if (fd >= 0)
        close(fd);
    if (e && fd >= 0)
        unlink(temp);
out:
    free(temp);
    free(dir);
    return e;
}

void file_sweep(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        if (strncmp(e->d_name, TEMP, strlen(TEMP)) == 0 && unlinkat(dirfd(d), e->d_name, 0) != 0)
            log_warn("%s/%s: what a killed command left can't be removed: %s", dir, e->d_name,
                     strerror(errno));
    closedir(d);
}

bool file_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

enum err file_free(const char *path)
{
    return file_exists(path) ? log_fail(ERR_EXISTS, "%s: stands there already", path) : ERR_OK;
}

char *file_join(const char *dir, const char *name)
{
    char *path;
    if (asprintf(&path, "%s/%s", dir, name) < 0 && log_fail(ERR_INTERNAL, "out of memory"))
        return NULL;
    return path;
}

char *file_absolute(const char *path)
{
    char *dir = folder_of(path);
    char *real = dir ? realpath(dir, NULL) : NULL;
    const char *slash = strrchr(path, '/');
    char *whole = NULL;
    if (!real && log_fail_errno("%s", path)) {
        free(dir);
        return NULL;
    }
    whole = file_join(strcmp(real, "/") ? real : "", slash ? slash + 1 : path);
    free(real);
    free(dir);
    return whole;
}
