/* SPDX-License-Identifier: ISC */
/* consign hash: roots of local files. */
#include "client.h"

#include "log.h"
#include "text.h"
#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum err tick(void *show, uint64_t done, uint64_t total)
{
    show_event(show, XFER_HASHING, done, total);
    return ERR_OK;
}

/* Length and root of an open file. */
static enum err root_of(int fd, const char *file, const struct tree_engine *engine,
                        struct xfer_result *out)
{
    struct show show;
    struct stat st;
    struct tree_visitor visitor = {tick, NULL, &show};
    if (fstat(fd, &st) < 0)
        return log_fail_errno("%s", file);
    if (!S_ISREG(st.st_mode))
        return log_fail(ERR_TYPE, "%s: not a regular file", file);
    *out = (struct xfer_result){.length = (uint64_t)st.st_size};
    unsigned chunk_log2 = tree_chunk_log2(out->length);
    if (chunk_log2 == 0)
        return log_fail(ERR_LIMIT, "%s: too long", file);
    show_start(&show, "hash", file, "");
    enum err e = tree_file(fd, file, out->length, chunk_log2, engine, &visitor, out->root);
    show_end(&show);
    return e;
}

/* The plain digest, for who compares with sha256sum. */
static enum err sha256_of(int fd, const char *file, char out[static 65])
{
    uint8_t *piece = malloc(XFER_PIECE), digest[32];
    gnutls_hash_hd_t h = NULL;
    ssize_t n = 0;
    enum err e = ERR_OK;
    if (!piece || gnutls_hash_init(&h, GNUTLS_DIG_SHA256) < 0) {
        free(piece);
        return log_fail(ERR_INTERNAL, "%s: SHA-256 can't be computed", file);
    }
    for (off_t at = 0; (n = pread(fd, piece, XFER_PIECE, at)) != 0; at += n) {
        if (n < 0 && errno == EINTR) {
            n = 0;
            continue;
        }
        if (n < 0 || gnutls_hash(h, piece, (size_t)n) < 0) {
            e = log_fail_errno("%s: reading", file);
            break;
        }
    }
    gnutls_hash_deinit(h, digest);
    text_hex(digest, sizeof digest, out);
    free(piece);
    return e;
}

static enum err hash_one(const char *file, const struct tree_engine *engine, bool sha256)
{
    char hex[2 * TREE_HASH + 1], plain[65] = "", length[32];
    struct xfer_result r;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return log_fail_errno("%s", file);
    enum err e = root_of(fd, file, engine, &r);
    if (e == ERR_OK && sha256)
        e = sha256_of(fd, file, plain);
    close(fd);
    if (e != ERR_OK)
        return e;
    show_hex(r.root, hex);
    snprintf(length, sizeof length, "%llu", (unsigned long long)r.length);
    if (options.json)
        show_json("hash", "file", file, "#length", length, "root", hex, "sha256",
                  sha256 ? plain : NULL, NULL);
    else
        show_line("%s %s %s%s%s", length, hex, plain, sha256 ? " " : "", file);
    return ERR_OK;
}

enum err command_hash(const struct command *self, int argc, const char **argv)
{
    int sha256 = 0;
    char *engine = NULL;
    struct poptOption table[] = {
        {"sha256", '\0', POPT_ARG_NONE, &sha256, 0, "The plain SHA-256 digest too", NULL},
        {"engine", '\0', POPT_ARG_STRING, &engine, 0,
         "How to hash: gnutls or ipsec-mb (default: the fastest)", "NAME"},
        POPT_TABLEEND};
    const char **args;
    poptContext ctx;
    enum err worst = command_parse(self, argc, argv, table, 1, -1, &ctx, &args);
    const struct tree_engine *how = engine ? tree_engine_named(engine) : tree_engine(false);
    if (worst == ERR_OK && !how)
        worst = log_fail(ERR_USAGE, "%s: no such hash engine here", engine);
    for (int i = 0; (worst == ERR_OK || i > 0) && how && args[i]; i++) {
        enum err e = hash_one(args[i], how, sha256);
        if (worst == ERR_OK)
            worst = e;
    }
    free(engine);
    poptFreeContext(ctx);
    return worst;
}
