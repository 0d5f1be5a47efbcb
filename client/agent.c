/* SPDX-License-Identifier: ISC */
#include "agent.h"

#include "conf.h"
#include "dial.h"
#include "keyring.h"
#include "log.h"
#include "tls_proof.h"
#include "token_wait.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#undef CODEC_DEF
#undef CODEC_NAME
#undef CODEC_NUMBER
#define CODEC_DEF       "../client/agent.def" /* seen from codec.h */
#define CODEC_NAME(x)   agent_##x
#define CODEC_NUMBER(N) AGENT_##N
enum agent_type {
#define CODEC_PASS_NUMBER
#include "codec.h"
#undef CODEC_PASS_NUMBER
};
#define CODEC_PASS_STRUCT
#include "codec.h"
#undef CODEC_PASS_STRUCT
#define CODEC_PASS_PROTO
#include "codec.h"
#undef CODEC_PASS_PROTO
#define CODEC_PASS_PUT
#include "codec.h"
#undef CODEC_PASS_PUT
#define CODEC_PASS_GET
#include "codec.h"
#undef CODEC_PASS_GET

enum { AGENT_SOCKET = 1, AGENT_CA = 2, AGENT_CRL = 4 };
enum { FDS = 3, MESSAGE = 1 + 68 * 1024, CHAIN_MAX = 16 };

struct agent {
    const struct tls *tls; /* what it is to sign for */
    int fd;
    pid_t pid;
    uint8_t buffer[MESSAGE];
};

/* ---- messages ---- */

union control {
    struct cmsghdr head;
    char room[CMSG_SPACE(FDS * sizeof(int))];
};

/* One message that begins with its type. */
static enum err put_out(int fd, const struct buf *b, const int *fds, unsigned n)
{
    union control control = {0};
    struct iovec iov = {b->data, b->len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n > 0) {
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE(n * sizeof(int));
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(h), fds, n * sizeof(int));
    }
    ssize_t rc = -1;
    while (!b->bad && (rc = sendmsg(fd, &m, MSG_NOSIGNAL)) < 0 && errno == EINTR)
        continue;
    return !b->bad && rc == (ssize_t)b->len ? ERR_OK : ERR_CONN;
}

#define SEND(fd, name, NAME, fds, n_fds, ...)                                                      \
    ({                                                                                             \
        struct buf b_;                                                                             \
        struct agent_##name m_ = {__VA_ARGS__};                                                    \
        buf_init(&b_, MESSAGE);                                                                    \
        wire_put_u8(&b_, AGENT_##NAME);                                                            \
        (void)agent_put_##name(&b_, &m_);                                                          \
        enum err rc_ = put_out(fd, &b_, fds, n_fds);                                               \
        buf_release(&b_);                                                                          \
        rc_;                                                                                       \
    })

static void take_fds(struct msghdr *m, int fds[static FDS], unsigned *n)
{
    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        *n = (unsigned)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(h), *n * sizeof(int));
    }
}

/* *type and the rest; ERR_CONN when the other side is gone. */
static enum err take_in(int fd, uint8_t *buffer, struct slice *body, int fds[static FDS],
                        unsigned *n_fds)
{
    union control control;
    struct iovec iov = {buffer, MESSAGE};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
    ssize_t n;
    *n_fds = 0;
    while ((n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        continue;
    if (n <= 0)
        return ERR_CONN;
    take_fds(&m, fds, n_fds);
    *body = slice_of(buffer, (size_t)n);
    return m.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? ERR_PROTO : ERR_OK;
}

static struct slice reason(enum err e)
{
    struct slice s = slice_str(e == ERR_OK ? NULL : log_reason());
    s.n = s.n > 512 ? 512 : s.n;
    return s;
}

/* ---- the agent ---- */

struct serving {
    const struct profile *profile;
    int fd;
    struct keyring keys;
    struct look anchors, warned;
    bool may_sign; /* once for each connection */
    uint8_t buffer[MESSAGE];
};

static void put_chain(struct buf *b, const struct keyring *k)
{
    for (unsigned i = 0; i < k->n; i++)
        wire_put_str(b, slice_of(k->chain[i].cert.data, k->chain[i].cert.size), UINT16_MAX);
}

/* The files of anchors and lists, both of them, where one looks otherwise than the last time. */
static unsigned open_anchors(struct serving *s, int *fds, unsigned *n)
{
    const struct profile *p = s->profile;
    struct look now = look_at(p->ca, p->crl);
    if (look_same(&now, &s->anchors))
        return 0;
    log_quiet(true);
    int ca = conf_open(p->ca, false), crl = ca >= 0 && p->crl ? conf_open(p->crl, false) : -1;
    log_quiet(false);
    if (ca < 0 || (p->crl && crl < 0)) {
        look_warn(&s->warned, &now, "trust anchors or revocation lists");
        if (ca >= 0)
            close(ca);
        return 0;
    }
    s->anchors = now;
    fds[(*n)++] = ca;
    if (crl >= 0)
        fds[(*n)++] = crl;
    return AGENT_CA | (crl >= 0 ? AGENT_CRL : 0);
}

static enum err tell(struct serving *s, enum err e, int socket, bool chain)
{
    int fds[FDS];
    unsigned n = 0, flags = 0;
    struct buf b;
    if (socket >= 0) {
        fds[n++] = socket;
        flags = AGENT_SOCKET | open_anchors(s, fds, &n);
    }
    buf_init(&b, 64 * 1024);
    if (chain)
        put_chain(&b, &s->keys);
    enum err sent =
        SEND(s->fd, connected, CONNECTED, fds, n, .status = (uint16_t)e, .flags = (uint8_t)flags,
             .reason = reason(e), .chain = slice_of(b.data, b.len));
    buf_release(&b);
    while (n > 0)
        close(fds[--n]);
    return sent;
}

static enum err connect_one(struct serving *s)
{
    int fd = -1;
    bool renewed = keyring_renew(&s->keys);
    enum err e = dial(s->profile, &fd);
    s->may_sign = e == ERR_OK;
    return tell(s, e, fd, renewed);
}

/* Nothing but what a client of TLS 1.3 signs, and by its algorithms, whatever the receiver wants. */
static int make(const struct keyring *k, const struct agent_sign *m, gnutls_datum_t *signature)
{
    struct scheme_key kind;
    if (scheme_key_of(&k->chain[0], k->profile->certificate, &kind) != ERR_OK)
        return GNUTLS_E_INVALID_REQUEST;
    const struct scheme *scheme = scheme_find(&kind, m->algorithm);
    return scheme && (m->what == SCHEME_CLIENT || m->what == SCHEME_RESUMED)
               ? scheme_sign(scheme, k->key, (enum scheme_what)m->what, m->hash, signature)
               : GNUTLS_E_INVALID_REQUEST;
}

static enum err sign_one(struct serving *s, const struct agent_sign *m)
{
    gnutls_datum_t signature = {0};
    enum err e = ERR_OK;
    if (!s->may_sign)
        return ERR_PROTO;
    s->may_sign = false;
    token_wait_begin();
    int rc = make(&s->keys, m, &signature);
    token_wait_end();
    if (rc < 0)
        e = token_fail(rc, "signing with %s", s->profile->key);
    enum err sent = SEND(s->fd, signed, SIGNED, NULL, 0, .status = (uint16_t)e, .reason = reason(e),
                         .signature = slice_of(signature.data, signature.size));
    gnutls_free(signature.data);
    return sent;
}

static enum err serve_one(struct serving *s, struct slice in)
{
    struct agent_connect c;
    struct agent_sign m;
    log_clear_reason();
    if (in.p[0] == AGENT_CONNECT && agent_get_connect(in.p + 1, in.n - 1, &c))
        return connect_one(s);
    if (in.p[0] == AGENT_SIGN && agent_get_sign(in.p + 1, in.n - 1, &m))
        return sign_one(s, &m);
    return ERR_PROTO;
}

/* Until the receiver ends. */
static _Noreturn void live(const struct profile *p, int fd)
{
    static struct serving s;
    struct slice in;
    int fds[FDS];
    unsigned n;
    s = (struct serving){.profile = p, .fd = fd, .anchors = look_at(p->ca, p->crl)};
    enum err e = keyring_open(&s.keys, p), told = tell(&s, e, -1, e == ERR_OK);
    if (told != ERR_OK)
        e = told;
    while (e == ERR_OK && take_in(fd, s.buffer, &in, fds, &n) == ERR_OK) {
        while (n > 0)
            close(fds[--n]);
        e = serve_one(&s, in);
    }
    keyring_close(&s.keys);
    _exit(0);
}

/* ---- its receiver ---- */

static enum err lost(void)
{
    return log_fail(ERR_TOKEN, "the process that has the key is gone");
}

static enum err take_chain(struct slice text, struct agent_news *news)
{
    struct wire_rd rd = wire_read(text.p, text.n);
    int rc = 0;
    news->chain = calloc(CHAIN_MAX, sizeof *news->chain);
    while (news->chain && rc >= 0 && rd.p < rd.end && news->n < CHAIN_MAX) {
        struct slice one = wire_get_str(&rd, UINT16_MAX);
        const gnutls_datum_t der = {(uint8_t *)(uintptr_t)one.p, (unsigned)one.n};
        rc = gnutls_pcert_import_x509_raw(&news->chain[news->n], &der, GNUTLS_X509_FMT_DER, 0);
        news->n += rc >= 0;
    }
    return news->n > 0 && rc >= 0 && wire_done(&rd)
               ? ERR_OK
               : log_fail(ERR_CONFIG, "certificates of more than %d, or that can't be read",
                          CHAIN_MAX);
}

/* An answer to CONNECT. */
static enum err take_news(struct agent *a, struct agent_news *news)
{
    struct agent_connected m;
    struct slice in;
    int fds[FDS];
    unsigned n = 0, next = 0;
    *news = (struct agent_news){.socket = -1, .ca = -1, .crl = -1};
    if (take_in(a->fd, a->buffer, &in, fds, &n) != ERR_OK || in.p[0] != AGENT_CONNECTED ||
        !agent_get_connected(in.p + 1, in.n - 1, &m))
        return lost();
    int *to[] = {m.flags & AGENT_SOCKET ? &news->socket : NULL,
                 m.flags & AGENT_CA ? &news->ca : NULL, m.flags & AGENT_CRL ? &news->crl : NULL};
    for (unsigned i = 0; i < FDS; i++)
        if (to[i] && next < n)
            *to[i] = fds[next++];
    while (next < n)
        close(fds[next++]);
    if (m.status != ERR_OK) {
        char text[513];
        log_scrub(text, sizeof text, m.reason.p, m.reason.n);
        log_take_reason(text);
        return err_from_wire(m.status);
    }
    return m.chain.n ? take_chain(m.chain, news) : ERR_OK;
}

void agent_news_release(struct agent_news *n)
{
    int *fds[] = {&n->socket, &n->ca, &n->crl};
    for (int i = 0; i < 3; i++)
        if (*fds[i] >= 0)
            close(*fds[i]);
    token_free_chain(n->chain, n->n);
    *n = (struct agent_news){.socket = -1, .ca = -1, .crl = -1};
}

enum err agent_start(const struct profile *p, struct agent **out, struct agent_news *news)
{
    int pair[2];
    pid_t parent = getpid();
    struct agent *a = *out = calloc(1, sizeof *a);
    *news = (struct agent_news){.socket = -1, .ca = -1, .crl = -1};
    if (!a)
        return log_fail(ERR_INTERNAL, "out of memory");
    a->fd = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return log_fail_errno("socket to the agent");
    a->fd = pair[0];
    if ((a->pid = fork()) == 0) {
        close(pair[0]);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent)
            live(p, pair[1]);
        _exit(1);
    }
    close(pair[1]);
    return a->pid > 0 ? take_news(a, news) : log_fail_errno("starting the agent");
}

enum err agent_connect(struct agent *a, struct agent_news *news)
{
    return SEND(a->fd, connect, CONNECT, NULL, 0, ) == ERR_OK ? take_news(a, news) : lost();
}

void agent_signs_for(struct agent *a, const struct tls *tls)
{
    a->tls = tls;
}

enum err agent_sign(void *agent, uint32_t algorithm, const void *data, size_t n, uint8_t *sig,
                    size_t *sig_n)
{
    struct agent *a = agent;
    struct agent_signed m;
    struct slice in;
    int fds[FDS];
    unsigned n_fds = 0;
    uint8_t hash[SCHEME_HASH];
    size_t hash_n;
    enum err e = a->tls ? tls_signed_hash(a->tls, algorithm, slice_of(data, n), hash, &hash_n)
                        : log_fail(ERR_INTERNAL, "signing for no connection");
    if (e != ERR_OK)
        return e;
    if (SEND(a->fd, sign, SIGN, NULL, 0, .algorithm = algorithm, .what = (uint8_t)tls_signs(a->tls),
             .hash = slice_of(hash, hash_n)) != ERR_OK ||
        take_in(a->fd, a->buffer, &in, fds, &n_fds) != ERR_OK || in.p[0] != AGENT_SIGNED ||
        !agent_get_signed(in.p + 1, in.n - 1, &m) || m.signature.n > *sig_n)
        return lost();
    memcpy(sig, m.signature.p, m.signature.n);
    *sig_n = m.signature.n;
    return err_from_wire(m.status);
}

void agent_end(struct agent *a)
{
    if (!a)
        return;
    if (a->fd >= 0)
        close(a->fd);
    while (a->pid > 0 && waitpid(a->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    free(a);
}
