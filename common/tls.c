/* SPDX-License-Identifier: ISC */
#include "tls_internal.h"

#include "log.h"
#include "msg.h"
#include "tls_proof.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HANDSHAKE_MAX = 64 * 1024 }; /* one handshake message, the certificates' */

int64_t tls_now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t tls_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static enum err fail_tls(enum err e, int rc, const char *what)
{
    return log_fail(e, "%s: %s", what, gnutls_strerror(rc));
}

/* ---- identity ---- */

enum err tls_identity_new(bool server, const struct tls_policy *policy,
                          const gnutls_pcert_st *chain, unsigned n, gnutls_privkey_t key,
                          struct tls_identity **out)
{
    char priority[TLS_PRIORITY];
    struct tls_identity *id = calloc(1, sizeof *id);
    gnutls_pcert_st *copies = calloc(n ? n : 1, sizeof *copies);
    unsigned copied = 0;
    bool taken = false;
    int rc = GNUTLS_E_MEMORY_ERROR;
    *out = NULL;
    if (!id || !copies)
        goto out;
    id->server = server;
    tls_policy_priority(policy, priority);
    if ((rc = gnutls_priority_init(&id->priority, priority, NULL)) < 0 ||
        (rc = gnutls_certificate_allocate_credentials(&id->cred)) < 0)
        goto out;
    for (; copied < n; copied++)
        if ((rc = gnutls_pcert_import_x509_raw(&copies[copied], &chain[copied].cert,
                                               GNUTLS_X509_FMT_DER, 0)) < 0)
            goto out;
    /* The check would cost a test signature; the owner of the key has made it (token_match). */
    gnutls_certificate_set_flags(id->cred, GNUTLS_CERTIFICATE_SKIP_KEY_CERT_MATCH);
    rc = gnutls_certificate_set_key(id->cred, NULL, 0, copies, (int)n, key);
    if (rc >= 0) {
        taken = true;
        copied = 0;
        id->key = key;
    }
out:
    if (rc < 0) {
        while (copied > 0)
            gnutls_pcert_deinit(&copies[--copied]);
        if (!taken)
            gnutls_privkey_deinit(key);
        tls_identity_free(id);
        id = NULL;
    }
    free(copies); /* GnuTLS copied the array and owns what it points to */
    *out = id;
    return rc < 0 ? fail_tls(ERR_CONFIG, rc, "setting up TLS") : ERR_OK;
}

void tls_identity_free(struct tls_identity *id)
{
    if (!id)
        return;
    if (id->cred)
        gnutls_certificate_free_credentials(id->cred);
    if (id->priority)
        gnutls_priority_deinit(id->priority);
    tls_tickets_free(id->tickets);
    free(id);
}

/* ---- a key that lives elsewhere ---- */

struct external {
    tls_sign_fn *sign;
    void *arg;
    gnutls_pk_algorithm_t pk;
    unsigned bits;
    uint64_t algorithms; /* bit n: gnutls_sign_algorithm_t n */
};

static int external_sign(gnutls_privkey_t key, gnutls_sign_algorithm_t algorithm, void *userdata,
                         unsigned flags, const gnutls_datum_t *data, gnutls_datum_t *signature)
{
    struct external *x = userdata;
    uint8_t sig[2048];
    size_t n = sizeof sig;
    (void)key;
    (void)flags;
    if (x->sign(x->arg, (uint32_t)algorithm, data->data, data->size, sig, &n) != ERR_OK)
        return GNUTLS_E_PK_SIGN_FAILED;
    signature->data = gnutls_malloc(n);
    if (!signature->data)
        return GNUTLS_E_MEMORY_ERROR;
    memcpy(signature->data, sig, n);
    signature->size = (unsigned)n;
    return 0;
}

static int external_info(gnutls_privkey_t key, unsigned flags, void *userdata)
{
    struct external *x = userdata;
    (void)key;
    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO)
        return (int)x->pk;
    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO_BITS)
        return (int)x->bits;
    if (flags & GNUTLS_PRIVKEY_INFO_HAVE_SIGN_ALGO)
        return x->algorithms >> GNUTLS_FLAGS_TO_SIGN_ALGO(flags) % 64 & 1;
    return -1;
}

static void external_deinit(gnutls_privkey_t key, void *userdata)
{
    (void)key;
    free(userdata);
}

enum err tls_key_external(const gnutls_pcert_st *leaf, uint64_t algorithms, tls_sign_fn *sign,
                          void *arg, gnutls_privkey_t *out)
{
    struct external *x = calloc(1, sizeof *x);
    int pk, rc = GNUTLS_E_MEMORY_ERROR;
    *out = NULL;
    if (!x)
        goto out;
    x->sign = sign;
    x->arg = arg;
    x->algorithms = algorithms;
    pk = gnutls_pubkey_get_pk_algorithm(leaf->pubkey, &x->bits);
    if (pk < 0) {
        rc = pk;
        goto out;
    }
    x->pk = (gnutls_pk_algorithm_t)pk;
    if ((rc = gnutls_privkey_init(out)) < 0)
        goto out;
    rc = gnutls_privkey_import_ext4(*out, x, external_sign, external_sign, NULL, external_deinit,
                                    external_info, 0);
    if (rc >= 0)
        x = NULL;
out:
    free(x);
    if (rc >= 0)
        return ERR_OK;
    if (*out)
        gnutls_privkey_deinit(*out);
    *out = NULL;
    return fail_tls(ERR_TLS, rc, "setting up the server's key");
}

/* ---- connection ---- */

static bool is_address(const char *host)
{
    unsigned char a[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, a) == 1 || inet_pton(AF_INET6, host, a) == 1;
}

static int set_up(struct tls *t, struct tls_identity *id, const char *host)
{
    gnutls_datum_t alpn = {(unsigned char *)CONSIGN_ALPN, sizeof CONSIGN_ALPN - 1};
    int rc;
    if ((rc = gnutls_init(&t->session, (id->server ? GNUTLS_SERVER : GNUTLS_CLIENT) |
                                           GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS |
                                           GNUTLS_NO_AUTO_SEND_TICKET)) < 0 ||
        (rc = gnutls_priority_set(t->session, id->priority)) < 0 ||
        (rc = gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, id->cred)) < 0 ||
        (rc = gnutls_alpn_set_protocols(t->session, &alpn, 1, GNUTLS_ALPN_MANDATORY)) < 0)
        return rc;
    if (id->server) {
        gnutls_certificate_server_set_request(t->session, GNUTLS_CERT_REQUIRE);
    } else if (host && !is_address(host) &&
               (rc = gnutls_server_name_set(t->session, GNUTLS_NAME_DNS, host, strlen(host))) < 0) {
        return rc;
    }
    tls_keep_messages(t);
    gnutls_handshake_set_max_packet_length(t->session, HANDSHAKE_MAX);
    gnutls_transport_set_ptr(t->session, t);
    gnutls_transport_set_push_function(t->session, tls_push);
    gnutls_transport_set_pull_function(t->session, tls_pull);
    gnutls_transport_set_pull_timeout_function(t->session, tls_pull_timeout);
    return id->tickets ? tls_tickets_use(t, id->tickets) : 0;
}

enum err tls_new(struct tls_identity *id, int fd, const char *host, struct tls **out)
{
    struct tls *t = calloc(1, sizeof *t);
    int rc, one = 1;
    *out = NULL;
    if (!t) {
        close(fd);
        return log_fail(ERR_INTERNAL, "out of memory for a connection");
    }
    t->fd = fd;
    t->server = id->server;
    t->identity = id;
    /* Requests and their answers are small: without this each waits for the peer's delayed ACK. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if ((rc = set_up(t, id, host)) < 0) {
        tls_free(t);
        return fail_tls(ERR_TLS, rc, "setting up TLS");
    }
    *out = t;
    return ERR_OK;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    if (t->session)
        gnutls_deinit(t->session);
    close(t->fd);
    buf_release(&t->messages);
    free(t);
}

static int on_server(gnutls_session_t session)
{
    struct tls *t = gnutls_session_get_ptr(session);
    t->judged = t->judge(t->judge_arg, t);
    return t->judged == ERR_OK ? 0 : -1;
}

void tls_judge(struct tls *t, tls_judge_fn *judge, void *arg)
{
    t->judge = judge;
    t->judge_arg = arg;
    gnutls_session_set_verify_function(t->session, judge ? on_server : NULL);
}

void tls_retry_after(struct tls *t, unsigned seconds)
{
    t->retry_s = seconds;
}

unsigned tls_retry_s(const struct tls *t)
{
    return t->retry_s;
}

static bool hear_retry(struct tls *t)
{
    unsigned alert = (unsigned)gnutls_alert_get(t->session);
    bool says = !t->server && alert > TLS_ALERT_RETRY && alert <= TLS_ALERT_RETRY + TLS_RETRY_MAX_S;
    t->retry_s = says ? alert - TLS_ALERT_RETRY : 0;
    return says;
}

static void send_alert(struct tls *t, int rc)
{
    if (rc == GNUTLS_E_PK_SIGN_FAILED && t->retry_s)
        gnutls_alert_send(t->session, GNUTLS_AL_FATAL,
                          (gnutls_alert_description_t)(TLS_ALERT_RETRY + t->retry_s));
    else
        gnutls_alert_send_appropriate(t->session, rc);
    (void)tls_drain(t);
}

/* Says why a handshake failed, in words that help. */
static enum err handshake_failed(struct tls *t, int rc)
{
    if (t->judged != ERR_OK)
        return t->judged;
    if (t->eof && rc != GNUTLS_E_FATAL_ALERT_RECEIVED)
        return log_fail(ERR_CONN, "TLS handshake: the peer closed the connection");
    if (t->shaken >= TLS_HANDSHAKE_MAX)
        return log_fail(ERR_TLS, "TLS handshake: the peer sent more than %d bytes",
                        TLS_HANDSHAKE_MAX);
    switch (rc) {
    case GNUTLS_E_FATAL_ALERT_RECEIVED:
        /* A server whose token is away for a moment can say no more than this. */
        if (hear_retry(t))
            return log_fail(ERR_AWAY,
                            "the server's token is unavailable; it asks to retry after %u s",
                            t->retry_s);
        if (gnutls_alert_get(t->session) == GNUTLS_A_INTERNAL_ERROR)
            return log_fail(ERR_CONN, "TLS handshake: the peer can't complete it now; try again");
        return log_fail(ERR_TLS, "TLS handshake: the peer refused it with alert \"%s\"",
                        gnutls_alert_get_strname(gnutls_alert_get(t->session)));
    case GNUTLS_E_CERTIFICATE_REQUIRED:
    case GNUTLS_E_NO_CERTIFICATE_FOUND:
        return log_fail(ERR_AUTH, "TLS handshake: the peer showed no certificate");
    case GNUTLS_E_PREMATURE_TERMINATION:
    case GNUTLS_E_PULL_ERROR:
    case GNUTLS_E_PUSH_ERROR:
        return log_fail(ERR_CONN, "TLS handshake: the peer closed the connection");
    case GNUTLS_E_UNEXPECTED_PACKET:
    case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
    case GNUTLS_E_RECORD_OVERFLOW:
        return log_fail(ERR_TLS, "TLS handshake: the peer does not speak TLS 1.3 (%s)",
                        gnutls_strerror(rc));
    case GNUTLS_E_PK_SIGN_FAILED:
        return t->retry_s ? ERR_AWAY : ERR_TOKEN; /* logged where it failed */
    default:
        return fail_tls(ERR_TLS, rc, "TLS handshake");
    }
}

static enum err handshake_step(struct tls *t, int64_t deadline_ms, int *rc)
{
    short ready;
    *rc = gnutls_handshake(t->session);
    if (tls_drain(t) < 0) {
        if (errno != EAGAIN)
            return *rc < 0 && gnutls_error_is_fatal(*rc) ? ERR_OK : log_fail_errno("TLS handshake");
        return tls_wait(t, POLLOUT, deadline_ms, &ready);
    }
    if (*rc != GNUTLS_E_AGAIN && *rc != GNUTLS_E_INTERRUPTED)
        return ERR_OK;
    if (gnutls_record_get_direction(t->session))
        return tls_wait(t, POLLOUT, deadline_ms, &ready);
    /* GnuTLS says "again" after a record of a long message though the next one may have been taken in. */
    if (t->pulled_from < t->pulled_to)
        return tls_now_ms() < deadline_ms ? ERR_OK : ERR_TIMEOUT;
    return tls_wait(t, POLLIN, deadline_ms, &ready);
}

static enum err handshake_steps(struct tls *t, int64_t deadline_ms, int *rc)
{
    do {
        enum err e = handshake_step(t, deadline_ms, rc);
        if (e == ERR_TIMEOUT)
            return log_fail(e, "TLS handshake: not finished in time");
        if (e != ERR_OK)
            return e;
    } while (*rc < 0 && !gnutls_error_is_fatal(*rc));
    return ERR_OK;
}

enum err tls_handshake(struct tls *t, int64_t deadline_ms)
{
    gnutls_datum_t alpn = {0};
    struct fips_watch watch;
    int rc;
    fips_watch_begin(&watch);
    t->shaking = true;
    enum err e = handshake_steps(t, deadline_ms, &rc);
    t->shaking = false;
    if (!t->server)
        tls_forget_messages(t);
    t->agreed.indicator = fips_watch_end(&watch);
    if (e != ERR_OK)
        return e;
    if (rc < 0) {
        send_alert(t, rc);
        return handshake_failed(t, rc);
    }
    /* GnuTLS lets a peer without ALPN pass, "mandatory" or not. */
    if (gnutls_alpn_get_selected_protocol(t->session, &alpn) < 0) {
        gnutls_alert_send(t->session, GNUTLS_AL_FATAL, GNUTLS_A_NO_APPLICATION_PROTOCOL);
        (void)tls_drain(t);
        return log_fail(ERR_PROTO, "TLS handshake: the peer does not speak " CONSIGN_ALPN
                                   " (no such ALPN protocol)");
    }
    tls_agreed_read(t->session, &t->agreed);
    return ERR_OK;
}

const gnutls_datum_t *tls_peer_chain(const struct tls *t, unsigned *n)
{
    *n = 0;
    return gnutls_certificate_get_peers(t->session, n);
}

const struct tls_agreed *tls_agreed(const struct tls *t)
{
    return &t->agreed;
}

/* ---- content ---- */

static enum err lost(const char *what)
{
    if (errno == ECONNRESET || errno == EPIPE)
        return log_fail(ERR_CONN, "%s: the peer closed the connection", what);
    return log_fail_errno("%s", what);
}

enum err tls_write(struct tls *t, const void *p, size_t n, size_t *done)
{
    ssize_t rc;
    *done = 0;
    do {
        /* A record that was refused once is kept encrypted by GnuTLS and must be offered as (NULL,
         * 0). */
        rc = t->in_record ? gnutls_record_send(t->session, NULL, 0)
                          : gnutls_record_send(t->session, p, n);
    } while (rc == GNUTLS_E_INTERRUPTED);
    t->in_record = rc == GNUTLS_E_AGAIN;
    if (rc >= 0) {
        *done = (size_t)rc;
        return ERR_OK;
    }
    if (rc == GNUTLS_E_AGAIN)
        return ERR_BUSY;
    if (rc == GNUTLS_E_PUSH_ERROR)
        return lost("sending");
    if (t->eof)
        return log_fail(ERR_CONN, "connection lost (cut without a TLS close)");
    return fail_tls(ERR_CONN, (int)rc, "sending");
}

enum err tls_flush(struct tls *t)
{
    if (tls_drain(t) == 0)
        return ERR_OK;
    return errno == EAGAIN ? ERR_BUSY : lost("sending");
}

enum err tls_read(struct tls *t, void *p, size_t n, size_t *got)
{
    ssize_t rc;
    *got = 0;
    /* GnuTLS says "again" after a ticket though more may have been taken in behind it. */
    do {
        rc = gnutls_record_recv(t->session, p, n);
    } while (rc == GNUTLS_E_INTERRUPTED || (rc == GNUTLS_E_AGAIN && t->pulled_from < t->pulled_to));
    if (rc >= 0) {
        *got = (size_t)rc;
        return ERR_OK;
    }
    switch (rc) {
    case GNUTLS_E_AGAIN:
        return ERR_BUSY;
    case GNUTLS_E_PULL_ERROR:
        return lost("receiving");
    case GNUTLS_E_FATAL_ALERT_RECEIVED:
        return log_fail(ERR_CONN, "the peer ended the connection with alert \"%s\"",
                        gnutls_alert_get_strname(gnutls_alert_get(t->session)));
    case GNUTLS_E_REHANDSHAKE:
    case GNUTLS_E_REAUTH_REQUEST:
        return log_fail(ERR_PROTO, "the peer asked for a renegotiation");
    default:
        if (t->eof)
            return log_fail(ERR_CONN, "connection lost (cut without a TLS close)");
        return fail_tls(ERR_CONN, (int)rc, "receiving");
    }
}

void tls_bye(struct tls *t)
{
    if (!t->in_record && tls_drain(t) == 0) {
        (void)gnutls_bye(t->session, GNUTLS_SHUT_WR);
        (void)tls_drain(t);
    }
}
