/* SPDX-License-Identifier: ISC */
/* The connection to a server, and the small requests over it. */
#include "client.h"

#include "cert.h"
#include "log.h"
#include "papers.h"
#include "patience.h"
#include "receiver.h"
#include "tls_proof.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    HANDSHAKE_MS = 30 * 1000,
    VERDICT_MS = 60 * 1000,
    LIST_MAX = 1 << 20, /* entries of one folder: they are held in memory */
};

/* ---- who the server is ---- */

struct judging {
    const struct profile *profile;
    struct link *link;
    bool done;
    char unapproved[FIPS_NOTE]; /* of its certificates */
};

/* A tls_judge_fn: what is not who we want to talk to gets no signature of ours, which it might pass on. */
static enum err judge_server(void *arg, const struct tls *tls)
{
    struct judging *j = arg;
    const struct profile *p = j->profile;
    struct link *l = j->link;
    struct cert_id id = {0};
    unsigned n;
    const gnutls_datum_t *chain = tls_peer_chain(tls, &n);
    enum err e = cert_judge(papers_anchors(l->papers), chain, n, CERT_SERVER,
                            p->server_name ? p->server_name : p->host, time(NULL), &id);
    if (e == ERR_OK) {
        snprintf(l->server, sizeof l->server, "%s", id.subject_text);
        memcpy(l->server_key, id.spki_sha256, sizeof l->server_key);
        snprintf(j->unapproved, sizeof j->unapproved, "%s", id.unapproved);
        j->done = true;
    }
    if (e == ERR_OK && id.stale)
        log_warn("profile %s: a revocation list has run out; it is obeyed all the same (crl-stale)",
                 p->name);
    cert_id_release(&id);
    return e;
}

/* ---- what the server says ---- */

static void copy(struct slice s, char *dst, size_t cap)
{
    log_scrub(dst, cap, s.p, s.n);
}

static enum err on_welcome(struct link *l, const struct frame *f)
{
    struct msg_welcome m;
    if (!CHAN_GET(f, welcome, &m))
        return chan_malformed(f);
    if (m.version_min > MSG_VERSION || m.version_max < MSG_VERSION)
        return log_fail(ERR_PROTO,
                        "the server speaks versions %u to %u of the protocol, we speak %d",
                        m.version_min, m.version_max, MSG_VERSION);
    copy(m.user, l->user, sizeof l->user);
    copy(m.session, l->session, sizeof l->session);
    copy(m.agent, l->agent, sizeof l->agent);
    copy(m.rights, l->rights, sizeof l->rights);
    l->quota = m.quota;
    l->idle_ms = (int64_t)m.idle * 1000;
    enum err e = CHAN_SEND(&l->chan, hello, HELLO, .version = MSG_VERSION, .features = 0,
                           .agent = slice_str("consign/" CONSIGN_VERSION));
    if (e == ERR_OK)
        chan_allow_data(&l->chan);
    return e;
}

static enum err on_refused(const struct frame *f)
{
    struct msg_refused m;
    char reason[513], session[33];
    if (!CHAN_GET(f, refused, &m))
        return chan_malformed(f);
    copy(m.reason, reason, sizeof reason);
    copy(m.session, session, sizeof session);
    enum err e = err_from_wire(m.status);
    if (m.retry_after)
        return log_fail(e, "the server refused us: %s (session %s; try again after %lu s)", reason,
                        session, (unsigned long)m.retry_after);
    return log_fail(e == ERR_OK ? ERR_AUTH : e, "the server refused us: %s (session %s)", reason,
                    session);
}

/* The session is resumed: the server wants to see that we still have the key. */
static enum err on_challenge(struct link *l, const struct frame *f)
{
    struct msg_challenge m;
    struct tls_proof proof;
    if (!l->resumed)
        return chan_unexpected(f, "after a full handshake");
    if (!CHAN_GET(f, challenge, &m))
        return chan_malformed(f);
    papers_sign_for(l->papers, l->chan.tls);
    enum err e = tls_prove(l->chan.tls, m.nonce, l->server_key, &proof);
    papers_sign_for(l->papers, NULL);
    return e == ERR_OK ? CHAN_SEND(&l->chan, proof, PROOF, .scheme = proof.scheme,
                                   .signature = slice_of(proof.signature, proof.n))
                       : e;
}

static enum err hear_verdict(struct link *l)
{
    struct frame f;
    enum err e = chan_recv(&l->chan, &f, VERDICT_MS);
    if (e == ERR_OK && f.type == MSG_CHALLENGE && (e = on_challenge(l, &f)) == ERR_OK)
        e = chan_recv(&l->chan, &f, VERDICT_MS);
    if (e == ERR_TIMEOUT || (e == ERR_CONN && !log_reason()[0]))
        return log_fail(e, "the server gave no verdict");
    if (e != ERR_OK)
        return e;
    if (f.type == MSG_WELCOME)
        return on_welcome(l, &f);
    if (f.type == MSG_REFUSED)
        return on_refused(&f);
    return chan_unexpected(&f, "instead of its verdict");
}

/* *retry_s is set with ERR_AWAY. */
static enum err shake_hands(const struct profile *p, struct link *l, struct tls **out,
                            unsigned *retry_s)
{
    const char *name = p->server_name ? p->server_name : p->host;
    struct judging j = {.profile = p, .link = l};
    struct tls *tls;
    int fd;
    enum err e = papers_connect(l->papers, &fd);
    if (e == ERR_OK)
        e = tls_new(papers_identity(l->papers), fd, name, &tls);
    if (e != ERR_OK)
        return e;
    tls_judge(tls, judge_server, &j);
    papers_sign_for(l->papers, tls);
    e = tls_handshake(tls, tls_now_ms() + HANDSHAKE_MS);
    if (e == ERR_OK && !j.done) /* it is resumed */
        e = judge_server(&j, tls);
    tls_judge(tls, NULL, NULL);
    papers_sign_for(l->papers, NULL);
    if (e != ERR_OK) {
        *retry_s = tls_retry_s(tls);
        tls_free(tls);
        return e;
    }
    l->agreed = *tls_agreed(tls);
    if (p->tls.fips != FIPS_OFF)
        tls_agreed_note(&l->agreed, l->engine->name, j.unapproved, l->unapproved);
    *out = tls;
    return ERR_OK;
}

/* As often as the server asks for it, until patience_s have passed. The part of a second keeps clients
 * that were sent away together from coming back together. */
static enum err shake_hands_again(const struct profile *p, struct link *l, int64_t patience_s,
                                  struct tls **out)
{
    int64_t end_ms = tls_now_ms() + patience_s * 1000;
    unsigned retry_s = 0;
    enum err e;
    while ((e = shake_hands(p, l, out, &retry_s)) == ERR_AWAY) {
        int64_t ms = (int64_t)retry_s * 1000 + tls_now_ns() / 1000 % 500;
        struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
        if (tls_now_ms() + ms > end_ms)
            break;
        while (nanosleep(&pause, &pause) != 0 && errno == EINTR)
            continue;
    }
    return e;
}

static enum err open_with(const struct profile *p, struct link *l, uint64_t patience_s)
{
    struct chan_limits limits = {(int64_t)p->stall_s * 1000, 1};
    struct tls *tls;
    enum err e = shake_hands_again(p, l, (int64_t)patience_s, &tls);
    if (e != ERR_OK)
        return e;
    if ((e = chan_init(&l->chan, tls, &limits)) != ERR_OK)
        return e;
    chan_pace(&l->chan, p->pace);
    l->resumed = tls_resumed(tls);
    if ((e = hear_verdict(l)) == ERR_OK) {
        char text[TLS_AGREED_TEXT];
        tls_agreed_text(&l->agreed, text);
        log_debug("session %s: %s, %s", l->session, l->resumed ? "resumed" : "full handshake",
                  text);
    }
    return e;
}

/* Once for all connections of a command, which are alike. */
static void tell(const struct profile *p, const struct link *l)
{
    if (l->unapproved[0])
        log_warn("session %s: not approved: %s (fips = %s, %s)", l->session, l->unapproved,
                 fips_mode_name(p->tls.fips), l->agreed.indicator);
}

static enum err open_papers(const struct profile *p, bool apart, struct link *l)
{
    *l = (struct link){.next_id = 1,
                       .chan.failed = true,
                       .engine = tree_engine(p->tls.fips == FIPS_REQUIRE),
                       .compress = p->compress};
    return papers_new(p, apart, &l->papers);
}

static enum err open_first(const struct profile *p, struct link *l)
{
    enum err e = open_with(p, l, p->retry_s);
    if (e == ERR_OK)
        tell(p, l);
    return e;
}

enum err link_open(const struct profile *p, struct link *l)
{
    enum err e = open_papers(p, false, l);
    return e == ERR_OK ? open_first(p, l) : e;
}

enum err link_open_confined(const struct profile *p, const struct fs *fs, bool links,
                            struct link *l)
{
    enum err e = open_papers(p, true, l);
    if (e == ERR_OK)
        e = receiver_confine(p, fs, links);
    return e == ERR_OK ? open_first(p, l) : e;
}

enum err link_open_like(const struct link *first, const struct profile *p, struct link *l)
{
    *l = (struct link){.next_id = 1,
                       .chan.failed = true,
                       .engine = first->engine,
                       .compress = first->compress,
                       .papers = first->papers,
                       .borrowed = true};
    return open_with(p, l, 0);
}

void link_close(struct link *l)
{
    if (l->chan.tls && !l->chan.failed)
        chan_bye(&l->chan);
    chan_release(&l->chan);
    if (!l->borrowed)
        papers_free(l->papers);
    l->papers = NULL;
}

/* ---- requests ---- */

/* An answer to request id before its DONE. */
static enum err take_answer(const struct frame *f, uint32_t id, link_take *take, void *arg)
{
    if (!take)
        return chan_unexpected(f, "in answer to a request");
    if (f->n < 4 || wire_load_u32(f->body) != id)
        return chan_malformed(f);
    return take(arg, f);
}

enum err link_await(struct link *l, uint32_t id, const char *what, link_take *take, void *arg)
{
    struct frame f;
    struct msg_done m;
    struct patience patience;
    enum err e;
    patience_begin(&patience, &l->chan);
    while ((e = patience_recv(&patience, &f)) == ERR_OK) {
        if (f.type == MSG_DONE)
            break;
        if (f.type == MSG_PROGRESS)
            continue;
        if ((e = take_answer(&f, id, take, arg)) != ERR_OK) {
            /* What else is on its way answers nothing that would be asked now. */
            chan_reject(&l->chan, e, log_reason());
            return e;
        }
    }
    if (e == ERR_TIMEOUT)
        return log_fail(e, "%s: the server does not answer", what);
    if (e != ERR_OK)
        return e == ERR_CONN && !log_reason()[0] ? log_fail(e, "the server closed the connection")
                                                 : e;
    if (!CHAN_GET(&f, done, &m) || m.id != id) {
        e = chan_malformed(&f);
        chan_reject(&l->chan, e, log_reason());
        return e;
    }
    e = err_from_wire(m.status);
    return e == ERR_OK ? e : log_fail(e, "%.*s", (int)m.reason.n, (const char *)m.reason.p);
}

enum err link_take_info(void *arg, const struct frame *f)
{
    struct fs_info *out = arg;
    struct msg_info m;
    if (f->type != MSG_INFO)
        return chan_unexpected(f, "in answer to STAT");
    if (!CHAN_GET(f, info, &m))
        return chan_malformed(f);
    if (out->type)
        return chan_unexpected(f, "twice in answer to STAT");
    if (m.type < MSG_FILE || m.type > MSG_OTHER)
        return chan_malformed(f);
    *out = (struct fs_info){.type = m.type,
                            .mode = m.mode & 07777,
                            .size = m.size,
                            .mtime_s = (int64_t)m.mtime_s,
                            .mtime_ns = m.mtime_ns,
                            .has_root = m.has_root};
    memcpy(out->root, m.root, TREE_HASH);
    return ERR_OK;
}

enum err link_stat(struct link *l, const char *path, bool root, bool quiet, struct fs_info *out)
{
    uint32_t id = l->next_id++;
    *out = (struct fs_info){0};
    enum err e = CHAN_SEND(&l->chan, stat, STAT, .id = id, .flags = root ? MSG_STAT_ROOT : 0,
                           .path = slice_str(path));
    log_quiet(quiet);
    if (e == ERR_OK)
        e = link_await(l, id, path, link_take_info, out);
    log_quiet(false);
    if (e == ERR_OK && !out->type) {
        e = log_fail(ERR_PROTO, "%s: the server says that it exists, but not what it is", path);
        chan_reject(&l->chan, e, log_reason());
    }
    return e;
}

struct listing {
    struct link_entry *list;
    size_t n, cap;
};

static enum err take_entry(void *arg, const struct frame *f)
{
    struct listing *l = arg;
    struct msg_entry m;
    if (f->type != MSG_ENTRY)
        return chan_unexpected(f, "in answer to LIST");
    if (!CHAN_GET(f, entry, &m))
        return chan_malformed(f);
    if (!path_name_ok((const char *)m.name.p, m.name.n))
        return log_fail(ERR_PROTO, "the server lists a name that is not allowed: \"%.*s\"",
                        (int)m.name.n, (const char *)m.name.p);
    if (m.type < MSG_FILE || m.type > MSG_OTHER)
        return chan_malformed(f);
    if (l->n == LIST_MAX)
        return log_fail(ERR_LIMIT, "the server lists more than %d entries of one folder", LIST_MAX);
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct link_entry *grown = realloc(l->list, cap * sizeof *grown);
        if (!grown)
            return log_fail(ERR_LIMIT, "out of memory for a listing");
        l->list = grown;
        l->cap = cap;
    }
    struct link_entry *e = &l->list[l->n++];
    *e = (struct link_entry){.info = {.type = m.type,
                                      .mode = m.mode & 07777,
                                      .size = m.size,
                                      .mtime_s = (int64_t)m.mtime_s,
                                      .mtime_ns = m.mtime_ns}};
    memcpy(e->name, m.name.p, m.name.n);
    return ERR_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct link_entry *)a)->name, ((const struct link_entry *)b)->name);
}

enum err link_list(struct link *l, const char *path, struct link_entry **out, size_t *n)
{
    struct listing listing = {0};
    uint32_t id = l->next_id++;
    enum err e = CHAN_SEND(&l->chan, list, LIST, .id = id, .path = slice_str(path));
    if (e == ERR_OK)
        e = link_await(l, id, path, take_entry, &listing);
    if (listing.n > 0)
        qsort(listing.list, listing.n, sizeof listing.list[0], by_name);
    for (size_t i = 1; e == ERR_OK && i < listing.n; i++)
        if (by_name(&listing.list[i - 1], &listing.list[i]) == 0)
            e = log_fail(ERR_PROTO, "the server lists \"%s\" twice", listing.list[i].name);
    if (e != ERR_OK) {
        free(listing.list);
        listing = (struct listing){0};
    }
    *out = listing.list;
    *n = listing.n;
    return e;
}

enum err link_mkdir(struct link *l, const char *path)
{
    uint32_t id = l->next_id++;
    enum err e = CHAN_SEND(&l->chan, mkdir, MKDIR, .id = id, .flags = MSG_MKDIR_PARENTS,
                           .mode = 0755, .path = slice_str(path));
    return e == ERR_OK ? link_await(l, id, path, NULL, NULL) : e;
}
