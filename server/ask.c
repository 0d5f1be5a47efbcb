/* SPDX-License-Identifier: ISC */
#include "ask.h"

#include "ask_show.h"
#include "ipc.h"
#include "log.h"
#include "status.h"
#include "status_socket.h"
#include "text.h"
#include "tls.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ANSWER_MS = 30 * 1000, POLL_US = 200 * 1000, TELL_MS = 1000, STATUS_MAX = 256 << 20 };

/* ---- the socket ---- */

/* A connection to the server that runs; ERR_CONN (silent) when none does. */
static enum err reach(const struct config *config, int *fd)
{
    char *path = status_path(config);
    enum err e = path ? status_socket_connect(path, fd) : ERR_CONN;
    free(path);
    return e;
}

/* The answer to a request that was sent with the result sent: its error is returned, logged. *file:
 * what came along, or -1. */
static enum err reply(int fd, enum err sent, uint64_t *run, int *file)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_reply m;
    *file = -1;
    enum err e = sent == ERR_OK ? ipc_recv(fd, buffer, sizeof buffer, &in, ANSWER_MS) : sent;
    if (e != ERR_OK)
        return log_fail(e == ERR_TIMEOUT ? e : ERR_CONN, "the server does not answer");
    if (in.type != IPC_REPLY || !ipc_get_reply(in.body, in.n, &m))
        e = log_fail(ERR_PROTO, "the server sent %s as its answer", ipc_name(in.type));
    else if (m.status != ERR_OK)
        e = log_fail(err_from_wire(m.status), "%.*s", (int)m.reason.n, (const char *)m.reason.p);
    if (e == ERR_OK && in.n_fds == 1) {
        *file = in.fds[0];
        in.n_fds = 0;
    }
    ipc_drop(&in);
    *run = e == ERR_OK ? m.run : 0;
    return e;
}

static enum err read_all(int file, struct buf *out)
{
    struct stat st;
    if (fstat(file, &st) < 0)
        return log_fail_errno("reading the status");
    while (out->len < (size_t)st.st_size) {
        size_t left = (size_t)st.st_size - out->len;
        uint8_t *room = buf_room(out, left);
        ssize_t n = room ? pread(file, room, left, (off_t)out->len) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return log_fail(ERR_IO, "the status can't be read");
        out->len += (size_t)n;
    }
    return ERR_OK;
}

static enum err no_server(const struct config *config)
{
    if (config->status || config->audit)
        return log_fail(ERR_CONN, "no server runs with %s", config->file);
    return log_fail(ERR_CONN,
                    "%s: neither status nor audit is configured, so there is no status socket",
                    config->file);
}

/* Replaces what is in out. */
static enum err fetch(const struct config *config, struct buf *out)
{
    uint64_t run;
    int fd, file = -1;
    enum err e = reach(config, &fd);
    if (e != ERR_OK)
        return e == ERR_CONN ? no_server(config) : e;
    buf_clear(out);
    e = reply(fd, IPC_SEND(fd, status_ask, STATUS_ASK, ), &run, &file);
    if (e == ERR_OK)
        e = file >= 0 ? read_all(file, out) : log_fail(ERR_PROTO, "the server sent no status");
    if (file >= 0)
        close(file);
    close(fd);
    return e;
}

enum err ask_status(const struct config *config, const struct ask_options *o)
{
    struct buf status;
    buf_init(&status, STATUS_MAX);
    enum err e = fetch(config, &status);
    if (e == ERR_OK)
        e = ask_show(&status, o->json);
    buf_release(&status);
    return e;
}

/* ---- scrub ---- */

static void tell(const char *user, uint64_t files, uint64_t bytes, uint64_t chunks)
{
    static int64_t told_ms;
    char size[TEXT_SIZE];
    int64_t now = tls_now_ms();
    if (now - told_ms < TELL_MS)
        return;
    told_ms = now;
    text_size(bytes, size);
    fprintf(stderr, "scrub %s: %llu files, %s read, %llu rotten chunks\n", user,
            (unsigned long long)files, size, (unsigned long long)chunks);
}

/* Waits for the end of the run; status then holds it. */
static enum err wait_for(const struct config *config, uint64_t run, bool silent, struct buf *status)
{
    struct ask_scrub s;
    for (;;) {
        enum err e = fetch(config, status);
        if (e == ERR_CONN)
            log_error("the server ended before the scrub did");
        if (e == ERR_OK)
            e = ask_find_scrub(status, &s);
        if (e != ERR_OK)
            return e;
        if (s.run != run)
            return log_fail(ERR_BUSY,
                            "another scrub has begun since; the audit log has the result");
        if (s.ended)
            return s.status;
        if (!silent)
            tell(s.user, s.files, s.bytes, s.chunks);
        (void)usleep(POLL_US);
    }
}

/* fd is connected to the server. */
static enum err have_scrubbed(const struct config *config, int fd, const char *user,
                              const struct ask_options *o)
{
    struct buf status;
    uint64_t run = 0;
    int file;
    enum err e =
        reply(fd, IPC_SEND(fd, scrub_ask, SCRUB_ASK, .user = slice_str(user)), &run, &file);
    if (e != ERR_OK)
        return e;
    buf_init(&status, STATUS_MAX);
    e = wait_for(config, run, o->json || o->quiet, &status);
    if (status.len && ask_show_scrub(&status, o->json) != ERR_OK)
        e = ERR_INTERNAL;
    buf_release(&status);
    return e;
}

static void tell_own(const struct scrub *s)
{
    struct fs_scrub_counts c;
    scrub_counts(s, &c);
    tell(s->user, c.files, c.bytes, c.chunks);
}

static void tell_nothing(const struct scrub *s)
{
    (void)s;
}

static enum err scrub_alone(const struct policy *policy, const char *user,
                            const struct ask_options *o)
{
    struct scrub *s = malloc(sizeof *s);
    struct buf status;
    if (!s)
        return log_fail(ERR_INTERNAL, "out of memory for a scrub");
    scrub_init(s);
    buf_init(&status, STATUS_MAX);
    enum err e = scrub_run(policy, user, s, o->json || o->quiet ? tell_nothing : tell_own);
    status_put_scrub(&status, s, 0);
    if (s->ended && ask_show_scrub(&status, o->json) != ERR_OK)
        e = ERR_INTERNAL;
    buf_release(&status);
    scrub_release(s);
    free(s);
    return e;
}

enum err ask_scrub(const struct policy *policy, const char *user, const struct ask_options *o)
{
    int fd;
    enum err e = reach(policy->config, &fd);
    if (e == ERR_CONN)
        return scrub_alone(policy, user, o);
    if (e != ERR_OK)
        return e;
    e = have_scrubbed(policy->config, fd, user, o);
    close(fd);
    return e;
}
