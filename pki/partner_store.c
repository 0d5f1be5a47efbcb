/* SPDX-License-Identifier: ISC */
/* A partner's folder appears, is replaced and goes in one step: it is made under another name beside. */
#include "partner_in.h"

#include "buf.h"
#include "cert.h"
#include "file.h"
#include "log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASIDE     ".aside."
#define FILE_MODE 0644

/* Best effort: what stays is removed by the next one who holds the lock. */
static void remove_folder(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    for (const struct dirent *x; d && (x = readdir(d)) != NULL;)
        if (strcmp(x->d_name, ".") != 0 && strcmp(x->d_name, "..") != 0)
            (void)unlinkat(dirfd(d), x->d_name, 0);
    if (d)
        closedir(d);
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        log_warn("%s: can't be removed: %s", name, strerror(errno));
}

enum err partner_lock(const char *dir, bool make, int *fd)
{
    if (make && mkdir(dir, 0755) == 0 && chmod(dir, 0755) != 0)
        return log_fail_errno("%s", dir);
    *fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0 || flock(*fd, LOCK_EX) != 0)
        return log_fail_errno("%s", dir);
    DIR *d = opendir(dir);
    for (const struct dirent *x; d && (x = readdir(d)) != NULL;)
        if (strncmp(x->d_name, ASIDE, strlen(ASIDE)) == 0)
            remove_folder(*fd, x->d_name);
    if (d)
        closedir(d);
    return ERR_OK;
}

/* ---- what is in it ---- */

static enum err put(const char *folder, const char *name, const void *data, size_t n)
{
    gnutls_datum_t content = {(unsigned char *)(uintptr_t)data, (unsigned)n};
    char *path = file_join(folder, name);
    enum err e = path ? file_write(path, &content, FILE_MODE, false) : ERR_INTERNAL;
    free(path);
    return e;
}

__attribute__((format(printf, 2, 3))) static void add(struct buf *b, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->bad = true;
        return;
    }
    buf_put(b, text, (size_t)n);
    free(text);
}

static enum err put_text(const char *folder, const char *name, struct buf *b)
{
    enum err e = b->bad ? log_fail(ERR_INTERNAL, "out of memory for a partner")
                        : put(folder, name, b->data, b->len);
    buf_release(b);
    return e;
}

/* A user of the map is called NAME, the others 2@NAME, 3@NAME: no partner can have the name of another's. */
static enum err put_rules(const struct partner_in *in, const struct partner *say,
                          const char *folder)
{
    struct buf b;
    buf_init(&b, PKI_PEM_MAX);
    add(&b, "# Written by consign-pki partner import, which writes it anew each time.\n");
    for (size_t i = 0; i < in->bundle.users.n; i++) {
        if (i == 0)
            add(&b, "\n[%s]\n", in->name);
        else
            add(&b, "\n[%zu@%s]\n", i + 1, in->name);
        /* A partner's star is one: what it names is one subject, no pattern. */
        char *subject = cert_dn_literal(in->bundle.users.list[i]);
        b.bad |= !subject;
        add(&b, "anchor = %s\nsubject = %s\nroot = %s\nrights = %s\n", in->name,
            subject ? subject : "", say->root, say->rights);
        free(subject);
        if (say->account)
            add(&b, "account = %s\n", say->account);
    }
    return put_text(folder, PARTNER_RULES, &b);
}

static enum err put_conf(const struct partner *say, const char *folder)
{
    struct buf b;
    buf_init(&b, PKI_PEM_MAX);
    add(&b,
        "# Written by consign-pki partner import.\n[partner]\nserial = %" PRIu64 "\nfrom = %" PRIu64
        "\nuntil = %" PRIu64 "\nsigner = %s\nroot = %s\nrights = %s\n",
        say->serial, say->from, say->until, say->signer, say->root, say->rights);
    if (say->account)
        add(&b, "account = %s\n", say->account);
    return put_text(folder, PARTNER_CONF, &b);
}

static enum err put_pems(const struct partner_in *in, const char *folder)
{
    struct buf cas, crls;
    buf_init(&cas, PKI_PEM_MAX);
    buf_init(&crls, PKI_PEM_MAX);
    enum err e = bundle_pems(&in->bundle, &cas, &crls);
    if (!e)
        e = put(folder, PARTNER_CA, cas.data, cas.len);
    if (!e)
        e = put(folder, PARTNER_CRL, crls.data, crls.len);
    buf_release(&cas);
    buf_release(&crls);
    return e;
}

/* By the reading that the server does. */
static enum err try_out(const struct partner_in *in, const char *folder)
{
    struct cert_store *store = NULL;
    char *ca = file_join(folder, PARTNER_CA), *crl = file_join(folder, PARTNER_CRL);
    enum err e = ca && crl ? cert_store_new(&store) : ERR_INTERNAL;
    if (!e)
        e = cert_store_add(store, in->name, ca, crl, CERT_CRL_REQUIRE);
    cert_store_free(store);
    free(ca);
    free(crl);
    return e;
}

static enum err fill(const struct partner_in *in, const struct partner *say, const char *folder)
{
    if (chmod(folder, 0755) != 0)
        return log_fail_errno("%s", folder);
    enum err e = put(folder, PARTNER_BUNDLE, in->pem.data, in->pem.size);
    if (!e)
        e = put_pems(in, folder);
    if (!e)
        e = put_rules(in, say, folder);
    if (!e)
        e = put_conf(say, folder);
    return e ? e : try_out(in, folder);
}

/* ---- into its place, and away ---- */

/* Makes dir/.aside.XXXXXX; the caller frees *path. */
static enum err make_aside(const char *dir, char **path)
{
    if (!(*path = file_join(dir, ASIDE "XXXXXX")))
        return ERR_INTERNAL;
    return mkdtemp(*path) ? ERR_OK : log_fail_errno("%s", dir);
}

static enum err sync_folder(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum err e = fd < 0 || fsync(fd) != 0 ? log_fail_errno("%s", dir) : ERR_OK;
    if (fd >= 0)
        close(fd);
    return e;
}

enum err partner_store(const struct partner_in *in, const struct partner *say)
{
    char *aside = NULL, *path = file_join(in->dir, in->name);
    enum err e = path ? make_aside(in->dir, &aside) : ERR_INTERNAL;
    if (!e) {
        e = fill(in, say, aside);
        if (!e && renameat2(AT_FDCWD, aside, AT_FDCWD, path,
                            in->known ? RENAME_EXCHANGE : RENAME_NOREPLACE) != 0)
            e = log_fail_errno("%s", path);
        if (!e)
            e = sync_folder(in->dir);
        if (e || in->known)
            remove_folder(AT_FDCWD, aside);
    }
    free(aside);
    free(path);
    return e;
}

enum err partner_drop(const char *dir, const char *name)
{
    char *aside = NULL, *path = file_join(dir, name);
    enum err e = path ? make_aside(dir, &aside) : ERR_INTERNAL;
    if (!e && rename(path, aside) != 0)
        e = log_fail_errno("%s", path);
    if (!e)
        e = sync_folder(dir);
    if (aside)
        remove_folder(AT_FDCWD, aside);
    free(aside);
    free(path);
    return e;
}
