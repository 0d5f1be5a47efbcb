/* SPDX-License-Identifier: ISC */
/* A server whose key lives elsewhere, and GnuTLS's own client in a forked child. */
#include "lib/certs.h"
#include "log.h"
#include "tls.h"
#include "tls_proof.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PSS(hash)   "+SIGN-RSA-PSS-RSAE-SHA" #hash ":"
#define ONLY(signs) "NORMAL:-VERS-ALL:+VERS-TLS1.3:-SIGN-ALL:" signs "+SIGN-ECDSA-SECP256R1-SHA256"

static struct certs_cert ca, server, client;

static uint64_t bit(gnutls_sign_algorithm_t algorithm)
{
    return UINT64_C(1) << algorithm;
}

/* What lives elsewhere: signs, and notes with which algorithm. */
static enum err sign(void *arg, uint32_t algorithm, const void *data, size_t n, uint8_t *sig,
                     size_t *sig_n)
{
    gnutls_datum_t hash = {(uint8_t *)(uintptr_t)data, (unsigned)n}, out;
    *(uint32_t *)arg = algorithm;
    if (gnutls_privkey_sign_hash2(server.key, algorithm, 0, &hash, &out) < 0 || out.size > *sig_n)
        return ERR_TOKEN;
    memcpy(sig, out.data, out.size);
    *sig_n = out.size;
    gnutls_free(out.data);
    return ERR_OK;
}

static int be_client(int fd, const char *priority)
{
    gnutls_session_t s;
    gnutls_certificate_credentials_t cred;
    gnutls_pcert_st own;
    gnutls_datum_t alpn = {(uint8_t[]){"consign/1"}, sizeof "consign/1" - 1};
    if (gnutls_init(&s, GNUTLS_CLIENT) < 0 || gnutls_certificate_allocate_credentials(&cred) < 0 ||
        gnutls_pcert_import_x509_raw(&own, &client.der, GNUTLS_X509_FMT_DER, 0) < 0 ||
        gnutls_certificate_set_key(cred, NULL, 0, &own, 1, client.key) < 0 ||
        gnutls_priority_set_direct(s, priority, NULL) < 0 ||
        gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, cred) < 0 ||
        gnutls_alpn_set_protocols(s, &alpn, 1, GNUTLS_ALPN_MANDATORY) < 0)
        return 99;
    gnutls_transport_set_int(s, fd);
    return gnutls_handshake(s) < 0;
}

/* One handshake with a key that makes only the signatures of algorithms. Returns the one that the
 * key was asked for, 0 for none; then, and only then, the handshake must fail. */
static uint32_t shake_hands(uint64_t algorithms, const char *priority)
{
    gnutls_pcert_st leaf;
    gnutls_privkey_t key;
    struct tls_identity *id;
    struct tls *t;
    uint32_t asked = 0;
    int pair[2], status;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        _exit(be_client(pair[1], priority));
    }
    assert_true(pid > 0);
    close(pair[1]);
    assert_int_equal(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(gnutls_pcert_import_x509_raw(&leaf, &server.der, GNUTLS_X509_FMT_DER, 0), 0);
    assert_int_equal(tls_key_external(&leaf, algorithms, sign, &asked, &key), ERR_OK);
    assert_int_equal(tls_identity_new(true, &(struct tls_policy){0}, &leaf, 1, key, &id), ERR_OK);
    assert_int_equal(tls_new(id, pair[0], NULL, &t), ERR_OK);
    enum err e = tls_handshake(t, tls_now_ms() + 60 * 1000);
    tls_free(t);
    tls_identity_free(id);
    gnutls_pcert_deinit(&leaf);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), asked == 0);
    assert_int_equal(e == ERR_OK, asked != 0);
    return asked;
}

static void a_signature_that_the_key_lacks_is_not_chosen(void **state)
{
    static const gnutls_sign_algorithm_t pss[] = {GNUTLS_SIGN_RSA_PSS_RSAE_SHA256,
                                                  GNUTLS_SIGN_RSA_PSS_RSAE_SHA384,
                                                  GNUTLS_SIGN_RSA_PSS_RSAE_SHA512};
    static const char *const only[] = {ONLY(PSS(256)), ONLY(PSS(384)), ONLY(PSS(512))};
    static const char *const first[] = {ONLY(PSS(256) PSS(384) PSS(512)),
                                        ONLY(PSS(384) PSS(512) PSS(256)),
                                        ONLY(PSS(512) PSS(256) PSS(384))};
    uint64_t all = bit(pss[0]) | bit(pss[1]) | bit(pss[2]);
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(shake_hands(all, only[i]), pss[i]);
        assert_int_equal(shake_hands(all & ~bit(pss[i]), only[i]), 0);
        assert_int_equal(shake_hands(bit(pss[i]), first[(i + 1) % 3]), pss[i]);
        uint32_t asked = shake_hands(all & ~bit(pss[i]), first[i]);
        assert_true(asked != 0 && asked != pss[i]);
    }
}

/* What lives elsewhere is away. */
struct absence {
    struct tls *tls;
    unsigned retry_s;
};

static enum err refuse(void *arg, uint32_t algorithm, const void *data, size_t n, uint8_t *sig,
                       size_t *sig_n)
{
    const struct absence *a = arg;
    (void)algorithm, (void)data, (void)n, (void)sig, (void)sig_n;
    tls_retry_after(a->tls, a->retry_s);
    return ERR_AWAY;
}

/* The seconds that a client of ours is told, or 99. */
static int be_told(int fd)
{
    gnutls_pcert_st leaf;
    struct tls_identity *id;
    struct tls *t;
    log_quiet(true);
    if (gnutls_pcert_import_x509_raw(&leaf, &client.der, GNUTLS_X509_FMT_DER, 0) < 0 ||
        tls_identity_new(false, &(struct tls_policy){0}, &leaf, 1, client.key, &id) != ERR_OK ||
        tls_new(id, fd, "localhost", &t) != ERR_OK ||
        tls_handshake(t, tls_now_ms() + 60 * 1000) != ERR_AWAY)
        return 99;
    return (int)tls_retry_s(t);
}

static void who_comes_while_the_key_is_away_is_told_when_to_come_again(void **state)
{
    (void)state;
    for (unsigned retry_s = 1; retry_s <= TLS_RETRY_MAX_S; retry_s += 15) {
        struct absence absence = {NULL, retry_s};
        gnutls_pcert_st leaf;
        gnutls_privkey_t key;
        struct tls_identity *id;
        int pair[2], status;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        pid_t pid = fork();
        if (pid == 0) {
            close(pair[0]);
            _exit(be_told(pair[1]));
        }
        close(pair[1]);
        assert_int_equal(gnutls_pcert_import_x509_raw(&leaf, &server.der, GNUTLS_X509_FMT_DER, 0),
                         0);
        assert_int_equal(
            tls_key_external(&leaf, bit(GNUTLS_SIGN_RSA_PSS_RSAE_SHA256), refuse, &absence, &key),
            ERR_OK);
        assert_int_equal(tls_identity_new(true, &(struct tls_policy){0}, &leaf, 1, key, &id),
                         ERR_OK);
        assert_int_equal(tls_new(id, pair[0], NULL, &absence.tls), ERR_OK);
        assert_int_equal(tls_handshake(absence.tls, tls_now_ms() + 60 * 1000), ERR_AWAY);
        tls_free(absence.tls);
        tls_identity_free(id);
        gnutls_pcert_deinit(&leaf);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), retry_s);
    }
}

/* A server of ours with the certificate server: whether the client has finished with it. */
static int be_server(int fd, const struct tls_policy *policy)
{
    gnutls_pcert_st leaf;
    gnutls_privkey_t key;
    struct tls_identity *id;
    struct tls *t;
    uint32_t asked;
    log_quiet(true);
    if (gnutls_pcert_import_x509_raw(&leaf, &server.der, GNUTLS_X509_FMT_DER, 0) < 0 ||
        tls_key_external(&leaf, UINT64_MAX, sign, &asked, &key) != ERR_OK ||
        tls_identity_new(true, policy, &leaf, 1, key, &id) != ERR_OK ||
        tls_new(id, fd, NULL, &t) != ERR_OK)
        return 99;
    return tls_handshake(t, tls_now_ms() + 60 * 1000) != ERR_OK;
}

/* What a client of ours does, in order. */
struct doing {
    const struct tls *tls;
    bool again; /* it had to send another ClientHello */
    enum err verdict;
    char steps[8];
};

static enum err judge(void *arg, const struct tls *t)
{
    struct doing *d = arg;
    unsigned n;
    const gnutls_datum_t *chain = tls_peer_chain(t, &n);
    assert_int_equal(n, 1);
    assert_int_equal(chain->size, server.der.size);
    assert_memory_equal(chain->data, server.der.data, chain->size);
    strcat(d->steps, "j");
    return d->verdict;
}

static enum err sign_as_client(void *arg, uint32_t algorithm, const void *data, size_t n,
                               uint8_t *sig, size_t *sig_n)
{
    struct doing *d = arg;
    gnutls_datum_t hash = {(uint8_t *)(uintptr_t)data, (unsigned)n}, out;
    uint8_t hash_it_is[SCHEME_HASH];
    size_t hash_n;
    strcat(d->steps, "s");
    assert_int_equal(tls_messages(d->tls).p[0] == 254, d->again);
    assert_int_equal(tls_signs(d->tls), SCHEME_CLIENT);
    assert_int_equal(tls_signed_hash(d->tls, algorithm, slice_of(data, n), hash_it_is, &hash_n),
                     ERR_OK);
    assert_int_equal(
        tls_signed_hash(d->tls, algorithm, slice_of(client.der.data, n), hash_it_is, &hash_n),
        ERR_INTERNAL);
    assert_true(gnutls_privkey_sign_hash2(client.key, algorithm, 0, &hash, &out) >= 0);
    memcpy(sig, out.data, out.size);
    *sig_n = out.size;
    gnutls_free(out.data);
    return ERR_OK;
}

static void who_is_not_believed_gets_no_signature(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        /* The last server asks for another ClientHello. */
        const struct tls_policy policy = {.groups = {i == 2, {GNUTLS_GROUP_SECP384R1}}};
        const int refuses = i == 1;
        struct doing d = {.verdict = refuses ? ERR_AUTH : ERR_OK};
        gnutls_pcert_st leaf;
        gnutls_privkey_t key;
        struct tls_identity *id;
        struct tls *t;
        int pair[2], status;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        pid_t pid = fork();
        if (pid == 0) {
            close(pair[0]);
            _exit(be_server(pair[1], &policy));
        }
        close(pair[1]);
        assert_int_equal(gnutls_pcert_import_x509_raw(&leaf, &client.der, GNUTLS_X509_FMT_DER, 0),
                         0);
        assert_int_equal(tls_key_external(&leaf, UINT64_MAX, sign_as_client, &d, &key), ERR_OK);
        assert_int_equal(tls_identity_new(false, &(struct tls_policy){0}, &leaf, 1, key, &id),
                         ERR_OK);
        assert_int_equal(tls_new(id, pair[0], "localhost", &t), ERR_OK);
        d.tls = t;
        d.again = i == 2;
        tls_judge(t, judge, &d);
        assert_int_equal(tls_handshake(t, tls_now_ms() + 60 * 1000), d.verdict);
        assert_string_equal(d.steps, refuses ? "j" : "js");
        tls_free(t);
        tls_identity_free(id);
        gnutls_pcert_deinit(&leaf);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), refuses);
    }
}

static int set_up(void **state)
{
    const struct certs_spec spec = {.cn = "server",
                                    .ca = CERTS_LEAF,
                                    .usage = GNUTLS_KEY_DIGITAL_SIGNATURE,
                                    .dns = "localhost",
                                    .rsa_bits = 2048};
    (void)state;
    ca = certs_ca("ca", NULL);
    server = certs_issue(&spec, &ca);
    client = certs_client("client", &ca);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    certs_release(&ca);
    certs_release(&server);
    certs_release(&client);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signature_that_the_key_lacks_is_not_chosen),
        cmocka_unit_test(who_comes_while_the_key_is_away_is_told_when_to_come_again),
        cmocka_unit_test(who_is_not_believed_gets_no_signature),
    };
    log_quiet(true);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
