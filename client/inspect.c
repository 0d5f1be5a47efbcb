/* SPDX-License-Identifier: ISC */
/* consign ls, stat, whoami, ping: what only looks. */
#include "client.h"

#include "log.h"
#include "text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *type_name(uint8_t type)
{
    return type == MSG_FILE     ? "file"
           : type == MSG_FOLDER ? "folder"
           : type == MSG_LINK   ? "link"
                                : "other";
}

/* A number with nine decimals. Nanoseconds count upwards before 1970, too: half a second before it is
 * -1 s and 500000000 ns. */
static void json_time(int64_t s, uint32_t ns, char *out, size_t cap)
{
    if (s < 0 && ns > 0 && ns < 1000000000)
        snprintf(out, cap, "-%lld.%09u", -(long long)(s + 1), 1000000000 - ns);
    else
        snprintf(out, cap, "%lld.%09u", (long long)s, ns);
}

static void show_entry(const char *name, const struct fs_info *i, bool with_details)
{
    char when[SHOW_TIME], size[32], mtime[40], mode[16], root[2 * TREE_HASH + 1] = "";
    show_time(i->mtime_s, when);
    snprintf(mode, sizeof mode, "%04o", i->mode & 07777);
    if (i->has_root)
        show_hex(i->root, root);
    if (options.json) {
        snprintf(size, sizeof size, "%llu", (unsigned long long)i->size);
        json_time(i->mtime_s, i->mtime_ns, mtime, sizeof mtime);
        show_json("entry", "name", name, "type", type_name(i->type), "mode", mode, "#size", size,
                  "#mtime", mtime, "root", root[0] ? root : NULL, NULL);
    } else if (with_details) {
        show_line("%-6s %s %14llu %s %s", type_name(i->type), mode, (unsigned long long)i->size,
                  when, name);
    } else {
        show_line("%s%s", name, i->type == MSG_FOLDER ? "/" : "");
    }
}

static enum err take_part(void *arg, const struct frame *f)
{
    struct msg_part m;
    char path[3 * PATH_MAX_BYTES], when[SHOW_TIME], have[TEXT_SIZE], length[TEXT_SIZE], n[32],
        h[32];
    const struct remote *r = arg;
    char shown[4 * PATH_MAX_BYTES];
    if (f->type != MSG_PART)
        return chan_unexpected(f, "in answer to PENDING");
    if (!CHAN_GET(f, part, &m))
        return chan_malformed(f);
    log_scrub(path, sizeof path, m.path.p, m.path.n);
    remote_text(r, path, shown, sizeof shown);
    show_time((int64_t)m.mtime_s, when);
    text_size(m.have, have);
    text_size(m.length, length);
    if (options.json) {
        snprintf(n, sizeof n, "%llu", (unsigned long long)m.length);
        snprintf(h, sizeof h, "%llu", (unsigned long long)m.have);
        show_json("part", "path", path, "#length", n, "#have", h, "changed", when, "#active",
                  m.active ? "true" : "false", NULL);
    } else {
        show_line("%s: %s of %s, last changed %s%s", shown, have, length, when,
                  m.active ? ", in transfer now" : "");
    }
    return ERR_OK;
}

static enum err list_pending(struct link *l, const struct remote *r)
{
    uint32_t id = l->next_id++;
    enum err e = CHAN_SEND(&l->chan, pending, PENDING, .id = id, .path = slice_str(r->path));
    return e == ERR_OK ? link_await(l, id, r->path, take_part, (void *)(uintptr_t)r) : e;
}

static enum err list_folder(struct link *l, const char *path, bool with_details)
{
    struct link_entry *list;
    size_t n;
    enum err e = link_list(l, path, &list, &n);
    for (size_t i = 0; i < n; i++)
        show_entry(list[i].name, &list[i].info, with_details);
    free(list);
    return e;
}

/* Opens what a command's one remote argument names. */
static enum err open_remote(const struct command *self, int argc, const char **argv,
                            struct poptOption *table, poptContext *ctx, struct remote *r,
                            struct link *l)
{
    const char **args;
    *l = (struct link){.chan.failed = true};
    *r = (struct remote){0};
    enum err e = command_parse(self, argc, argv, table, 1, 1, ctx, &args);
    if (e == ERR_OK)
        e = remote_parse(args[0], r);
    return e == ERR_OK ? link_open(r->profile, l) : e;
}

static enum err close_remote(poptContext ctx, struct remote *r, struct link *l, enum err e)
{
    link_close(l);
    remote_release(r);
    poptFreeContext(ctx);
    return e;
}

enum err command_ls(const struct command *self, int argc, const char **argv)
{
    int with_details = 0, pending = 0;
    struct poptOption table[] = {
        {"long", 'l', POPT_ARG_NONE, &with_details, 0, "Type, mode, size, time and name", NULL},
        {"pending", '\0', POPT_ARG_NONE, &pending, 0,
         "List unfinished uploads below the path instead", NULL},
        POPT_TABLEEND};
    struct remote r;
    struct link l;
    poptContext ctx;
    enum err e = open_remote(self, argc, argv, table, &ctx, &r, &l);
    if (e == ERR_OK)
        e = pending ? list_pending(&l, &r) : list_folder(&l, r.path, with_details);
    return close_remote(ctx, &r, &l, e);
}

enum err command_stat(const struct command *self, int argc, const char **argv)
{
    int root = 0;
    struct poptOption table[] = {
        {"root", '\0', POPT_ARG_NONE, &root, 0,
         "The content's root too, hashed by the server where it has none stored", NULL},
        POPT_TABLEEND};
    struct remote r;
    struct link l;
    struct fs_info info;
    poptContext ctx;
    enum err e = open_remote(self, argc, argv, table, &ctx, &r, &l);
    if (e == ERR_OK && (e = link_stat(&l, r.path, root, false, &info)) == ERR_OK) {
        show_entry(r.path, &info, true);
        if (info.has_root && !options.json) {
            char hex[2 * TREE_HASH + 1];
            show_hex(info.root, hex);
            show_line("root %s", hex);
        }
    }
    return close_remote(ctx, &r, &l, e);
}

enum err command_whoami(const struct command *self, int argc, const char **argv)
{
    struct remote r;
    struct link l;
    poptContext ctx;
    char quota[32], agreed[TLS_AGREED_TEXT];
    enum err e = open_remote(self, argc, argv, NULL, &ctx, &r, &l);
    if (e == ERR_OK) {
        snprintf(quota, sizeof quota, "%llu", (unsigned long long)l.quota);
        if (options.json) {
            show_json("whoami", "user", l.user, "rights", l.rights, "session", l.session, "server",
                      l.server, "agent", l.agent, "handshake", l.resumed ? "resumed" : "full",
                      "cipher", l.agreed.suite, "group", l.agreed.group, "signature",
                      l.agreed.signature, "client_signature", l.agreed.client_signature, "fips",
                      fips_mode_name(r.profile->tls.fips), "not_approved", l.unapproved,
                      "fips_indicator", l.agreed.indicator, "#quota", quota, NULL);
        } else {
            show_line("user %s at %s (%s)", l.user, l.server, l.agent);
            show_line("rights %s", l.rights);
            tls_agreed_text(&l.agreed, agreed);
            show_line("session %s, %s", l.session, agreed);
            if (r.profile->tls.fips != FIPS_OFF)
                show_line("fips = %s, %s; not approved: %s", fips_mode_name(r.profile->tls.fips),
                          l.agreed.indicator, l.unapproved[0] ? l.unapproved : "nothing");
        }
    }
    return close_remote(ctx, &r, &l, e);
}

static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

enum err command_ping(const struct command *self, int argc, const char **argv)
{
    int count = 3;
    struct poptOption table[] = {
        {"count", 'n', POPT_ARG_INT, &count, 0, "How many requests (default 3)", "N"},
        POPT_TABLEEND};
    struct remote r;
    struct link l;
    poptContext ctx;
    enum err e = open_remote(self, argc, argv, table, &ctx, &r, &l);
    if (e == ERR_OK && (count < 1 || count > 1000000))
        e = log_fail(ERR_USAGE, "--count is 1 to 1000000");
    for (int i = 0; i < count && e == ERR_OK; i++) {
        double start = now_s();
        uint32_t id = l.next_id++;
        e = CHAN_SEND(&l.chan, ping, PING, .id = id);
        if (e == ERR_OK)
            e = link_await(&l, id, "ping", NULL, NULL);
        char took[32];
        snprintf(took, sizeof took, "%.3f", (now_s() - start) * 1000);
        if (e == ERR_OK && options.json)
            show_json("ping", "#ms", took, NULL);
        else if (e == ERR_OK)
            show_line("%s ms", took);
    }
    return close_remote(ctx, &r, &l, e);
}
