/* SPDX-License-Identifier: ISC */
#include "scrub.h"

#include "chore.h"
#include "ipc.h"
#include "log.h"
#include "scribe.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DECIMAL = 24 };

void scrub_init(struct scrub *s)
{
    *s = (struct scrub){.fd = -1};
}

void scrub_release(struct scrub *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    free(s->users);
    s->users = NULL;
    s->n_users = s->next = 0;
}

const char *scrub_kind_text(enum fs_rot_kind kind)
{
    return kind == FS_ROT_DATA   ? "does not match the uploader's hash"
           : kind == FS_ROT_READ ? "can't be read"
                                 : "stored tree is damaged";
}

/* ---- counts ---- */

static void add(struct fs_scrub_counts *to, const struct fs_scrub_counts *c)
{
    to->files += c->files;
    to->bytes += c->bytes;
    to->proven += c->proven;
    to->rotten += c->rotten;
    to->chunks += c->chunks;
    to->damaged += c->damaged;
    to->plain += c->plain;
    to->changed += c->changed;
    to->moving += c->moving;
    to->orphans += c->orphans;
    to->errors += c->errors;
}

void scrub_counts(const struct scrub *s, struct fs_scrub_counts *out)
{
    *out = s->before;
    add(out, &s->now);
}

/* ---- the audit log ---- */

static void record_finding(const struct scrub *s, const struct fs_rot *rot, int scribe)
{
    char chunk[DECIMAL], offset[DECIMAL], size[DECIMAL];
    bool data = rot->kind != FS_ROT_TREE;
    snprintf(chunk, sizeof chunk, "%llu", (unsigned long long)rot->chunk);
    snprintf(offset, sizeof offset, "%llu", (unsigned long long)rot->offset);
    snprintf(size, sizeof size, "%llu", (unsigned long long)rot->size);
    if (scribe >= 0 && scribe_record(scribe, "rot", "status", err_name(ERR_CORRUPT), "user",
                                     s->user, "path", rot->path, "chunk", data ? chunk : NULL,
                                     "offset", data ? offset : NULL, "size", data ? size : NULL,
                                     "reason", scrub_kind_text(rot->kind), NULL) != ERR_OK)
        log_warn("a finding of the scrub is not in the audit log");
}

static void record_run(const struct scrub *s, const struct fs_scrub_counts *c, int scribe)
{
    const uint64_t values[] = {c->files, c->bytes,   c->proven, c->rotten,  c->chunks, c->damaged,
                               c->plain, c->changed, c->moving, c->orphans, c->errors};
    char t[sizeof values / sizeof values[0]][DECIMAL];
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        snprintf(t[i], DECIMAL, "%llu", (unsigned long long)values[i]);
    if (scribe >= 0 &&
        scribe_record(scribe, "scrub", "status", err_name(s->status), "user",
                      s->only[0] ? s->only : NULL, "files", t[0], "bytes", t[1], "proven", t[2],
                      "rotten", t[3], "chunks", t[4], "damaged", t[5], "plain", t[6], "changed",
                      t[7], "moving", t[8], "orphans", t[9], "errors", t[10], NULL) != ERR_OK)
        log_warn("the end of the scrub is not in the audit log");
}

/* ---- a run ---- */

static bool has_user(const struct map *map, const char *name)
{
    struct map_user *user = map_user_named(map, name);
    map_user_free(user);
    return user != NULL;
}

/* By name: the map may be loaded anew during a run. */
static enum err list_users(struct scrub *s, const struct map *map)
{
    if (!s->only[0])
        return map_users(map, &s->users, &s->n_users);
    s->users = calloc(1, sizeof *s->users);
    if (!s->users)
        return log_fail(ERR_INTERNAL, "out of memory for a scrub");
    memcpy(s->users[s->n_users++], s->only, sizeof s->only);
    return ERR_OK;
}

enum err scrub_begin(struct scrub *s, const struct map *map, const char *only, int scribe)
{
    uint64_t run = s->run + 1;
    if (s->run && !s->ended)
        return log_fail(ERR_BUSY, "a scrub runs already");
    if (only[0] && !has_user(map, only))
        return log_fail(ERR_NOENT, "the map has no user %s", only);
    scrub_release(s);
    scrub_init(s);
    s->run = run;
    s->began = (int64_t)time(NULL);
    snprintf(s->only, sizeof s->only, "%s", only);
    enum err e = list_users(s, map);
    if (e == ERR_OK) {
        log_info("scrub %llu begins: %zu users", (unsigned long long)run, s->n_users);
        return ERR_OK;
    }
    s->ended = s->began;
    s->status = e;
    record_run(s, &s->before, scribe);
    return e;
}

static enum err start(struct scrub *s, const struct policy *policy, const struct map_user *user)
{
    int pair[2];
    enum err e = ipc_pair(pair);
    if (e != ERR_OK)
        return e;
    s->pid = fork();
    if (s->pid == 0) {
        close(pair[0]);
        _exit(chore_scrub(policy, user, s->users, s->next - 1, pair[1]));
    }
    close(pair[1]);
    if (s->pid > 0) {
        s->fd = pair[0];
        return ERR_OK;
    }
    s->pid = 0;
    e = log_fail_errno("starting a scrub");
    close(pair[0]);
    return e;
}

static void end(struct scrub *s, int scribe)
{
    struct fs_scrub_counts c;
    scrub_counts(s, &c);
    s->user[0] = '\0';
    s->ended = (int64_t)time(NULL);
    if (c.chunks || c.damaged)
        s->status = ERR_CORRUPT;
    else if (s->status == ERR_OK && c.errors)
        s->status = ERR_IO;
    record_run(s, &c, scribe);
    if (s->status == ERR_CORRUPT)
        log_error("scrub %llu: %llu rotten chunks in %llu files, %llu damaged trees",
                  (unsigned long long)s->run, (unsigned long long)c.chunks,
                  (unsigned long long)c.rotten, (unsigned long long)c.damaged);
    else
        log_info("scrub %llu ends: %s; %llu files proven", (unsigned long long)s->run,
                 err_text(s->status), (unsigned long long)c.proven);
}

bool scrub_next(struct scrub *s, const struct policy *policy, int scribe)
{
    while (s->status != ERR_LIMIT && s->next < s->n_users) {
        struct map_user *user = map_user_named(policy->map, s->users[s->next++]);
        if (!user)
            continue;
        snprintf(s->user, sizeof s->user, "%s", user->name);
        enum err e = start(s, policy, user);
        map_user_free(user);
        if (e == ERR_OK)
            return true;
        s->status = e;
    }
    end(s, scribe);
    return false;
}

void scrub_stop(struct scrub *s)
{
    s->status = ERR_LIMIT;
    if (s->pid > 0)
        kill(s->pid, SIGTERM);
}

/* ---- what a process says ---- */

static bool take_counts(struct scrub *s, const struct ipc_in *in)
{
    struct ipc_scrubbed m;
    if (!ipc_get_scrubbed(in->body, in->n, &m))
        return false;
    s->now = (struct fs_scrub_counts){m.files, m.bytes,   m.proven, m.rotten,  m.chunks, m.damaged,
                                      m.plain, m.changed, m.moving, m.orphans, m.errors};
    return true;
}

static bool take_finding(struct scrub *s, const struct ipc_in *in, int scribe)
{
    struct ipc_rot m;
    char path[PATH_MAX_BYTES + 1];
    if (!ipc_get_rot(in->body, in->n, &m) || m.kind >= FS_ROT_KINDS ||
        !slice_copy(m.path, path, sizeof path))
        return false;
    struct fs_rot rot = {m.kind, path, m.chunk, m.offset, m.size};
    record_finding(s, &rot, scribe);
    if (s->n_found == SCRUB_KEPT)
        return true;
    struct scrub_finding *f = &s->found[s->n_found++];
    *f = (struct scrub_finding){
        .kind = m.kind, .chunk = m.chunk, .offset = m.offset, .size = m.size};
    snprintf(f->user, sizeof f->user, "%s", s->user);
    memcpy(f->path, path, strnlen(path, sizeof f->path - 1));
    return true;
}

enum err scrub_take(struct scrub *s, int scribe, int timeout_ms)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    if (s->fd < 0)
        return ERR_CONN;
    enum err e = ipc_recv(s->fd, buffer, sizeof buffer, &in, timeout_ms);
    if (e != ERR_OK)
        return e;
    ipc_drop(&in);
    if ((in.type == IPC_SCRUBBED && take_counts(s, &in)) ||
        (in.type == IPC_ROT && take_finding(s, &in, scribe)))
        return ERR_OK;
    return log_fail(ERR_PROTO, "scrub user=%s sent a malformed %s", s->user, ipc_name(in.type));
}

void scrub_ended(struct scrub *s, int wait_status, int scribe)
{
    while (scrub_take(s, scribe, 0) == ERR_OK)
        continue;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    s->pid = 0;
    add(&s->before, &s->now);
    s->now = (struct fs_scrub_counts){0};
    if (s->status == ERR_OK && (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0)) {
        log_warn("scrub user=%s: not all could be looked at", s->user);
        s->status = ERR_IO;
    }
}

/* ---- without a server ---- */

static enum err run(const struct policy *policy, const char *only, struct scrub *s, int scribe,
                    void (*each)(const struct scrub *s))
{
    int status = 0;
    enum err e = scrub_begin(s, policy->map, only, scribe);
    if (e != ERR_OK)
        return e;
    while (scrub_next(s, policy, scribe)) {
        while ((e = scrub_take(s, scribe, -1)) == ERR_OK)
            each(s);
        if (e != ERR_CONN)
            kill(s->pid, SIGKILL);
        while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
            continue;
        scrub_ended(s, status, scribe);
        each(s);
    }
    return s->status;
}

enum err scrub_run(const struct policy *policy, const char *only, struct scrub *s,
                   void (*each)(const struct scrub *s))
{
    struct scribe_how how;
    int scribe = -1, status;
    pid_t pid = 0;
    scribe_how(policy->config, &how);
    how.sign = false; /* there is no keeper */
    scribe_require(!how.best);
    enum err e = how.file ? scribe_start(&how, &scribe, &pid) : ERR_OK;
    if (e != ERR_OK)
        return e;
    e = run(policy, only, s, scribe, each);
    if (scribe >= 0) {
        close(scribe);
        (void)waitpid(pid, &status, 0);
    }
    return e;
}
