/* SPDX-License-Identifier: ISC */
/* A keeper lives in a forked child, with keys in files. */
#include "../../server/ipc.h"
#include "../../server/keeper.h"
#include "log.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gnutls/abstract.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define CONTEXT(side)                                                                              \
    "                                                                "                             \
    "TLS 1.3, " side " CertificateVerify"

static char folder[64];

/* A key with its certificate, in two files. */
struct identity {
    const char *name;
    gnutls_pk_algorithm_t pk;
    unsigned bits;
    uint32_t algorithm; /* what a session asks for */
    size_t n;           /* bytes that are signed */
    char key[96], certificate[96];
    gnutls_pubkey_t pub;
};

static struct identity ids[] = {
    {"p256", GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
     GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 32, "", "", NULL},
    {"p384", GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1),
     GNUTLS_SIGN_ECDSA_SECP384R1_SHA384, 48, "", "", NULL},
    {"rsa", GNUTLS_PK_RSA, 2048, GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, 32, "", "", NULL},
    {"ed25519", GNUTLS_PK_EDDSA_ED25519, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED25519),
     GNUTLS_SIGN_EDDSA_ED25519, sizeof CONTEXT("server") + 48, "", "", NULL},
};
enum { P256, P384, RSA, ED25519, IDS };

static uint8_t data[512]; /* what is asked to be signed: the server's text, or a digest */

/* Keys in files are never lost and lack nothing, tokens do: this many signatures are made, then
 * none; never one of this algorithm. */
static unsigned signatures_left = UINT_MAX;
static gnutls_sign_algorithm_t lacking = GNUTLS_SIGN_UNKNOWN;

int gnutls_privkey_sign_hash2(gnutls_privkey_t key, gnutls_sign_algorithm_t algorithm,
                              unsigned flags, const gnutls_datum_t *hash, gnutls_datum_t *out)
{
    int (*sign)(gnutls_privkey_t, gnutls_sign_algorithm_t, unsigned, const gnutls_datum_t *,
                gnutls_datum_t *);
    *(void **)&sign = dlsym(RTLD_NEXT, "gnutls_privkey_sign_hash2");
    if (signatures_left == 0)
        return GNUTLS_E_PKCS11_DEVICE_ERROR;
    signatures_left--;
    if (algorithm == lacking)
        return GNUTLS_E_PK_SIGN_FAILED;
    return sign(key, algorithm, flags, hash, out);
}

static void save(const char *file, const gnutls_datum_t *pem)
{
    int fd = open(file, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, pem->data, pem->size), pem->size);
    close(fd);
}

static void make(struct identity *id)
{
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt;
    gnutls_datum_t pem;
    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    assert_int_equal(gnutls_x509_privkey_generate(key, id->pk, id->bits, 0), 0);
    assert_int_equal(
        gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &pem),
        0);
    snprintf(id->key, sizeof id->key, "%s/%s.key", folder, id->name);
    snprintf(id->certificate, sizeof id->certificate, "%s/%s.pem", folder, id->name);
    save(id->key, &pem);
    gnutls_free(pem.data);
    assert_int_equal(gnutls_x509_crt_init(&crt), 0);
    assert_int_equal(gnutls_x509_crt_set_version(crt, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(crt, "\1", 1), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(crt, time(NULL) - 60), 0);
    assert_int_equal(gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 3600), 0);
    assert_int_equal(gnutls_x509_crt_set_dn(crt, "CN=test", NULL), 0);
    assert_int_equal(gnutls_x509_crt_set_key(crt, key), 0);
    assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key,
                                           id->pk == GNUTLS_PK_EDDSA_ED25519 ? GNUTLS_DIG_SHA512
                                                                             : GNUTLS_DIG_SHA256,
                                           0),
                     0);
    assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem), 0);
    save(id->certificate, &pem);
    gnutls_free(pem.data);
    assert_int_equal(gnutls_pubkey_init(&id->pub), 0);
    assert_int_equal(gnutls_pubkey_import_x509(id->pub, crt, 0), 0);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(key);
}

struct running {
    int control;
    pid_t pid;
    uint64_t algorithms; /* as KEEPER_UP says */
    FILE *log;           /* its standard error */
};

static struct running start(const char *key, const char *certificate, const char *pin)
{
    int pair[2], status;
    struct running r = {.log = tmpfile()};
    struct config c = {.key = (char *)(uintptr_t)key,
                       .certificate = (char *)(uintptr_t)certificate,
                       .pin = (char *)(uintptr_t)pin,
                       .sessions = 2};
    assert_non_null(r.log);
    assert_int_equal(ipc_pair(pair), ERR_OK);
    r.pid = fork();
    if (r.pid == 0) {
        dup2(fileno(r.log), STDERR_FILENO);
        log_quiet(false);
        status = dup2(pair[1], 3) == 3 ? keeper_main(&c, 3) : 99;
        _exit(status);
    }
    assert_true(r.pid > 0);
    close(pair[1]);
    r.control = pair[0];
    return r;
}

static struct running start_with(const struct identity *id)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_keeper_up up;
    struct running r = start(id->key, id->certificate, NULL);
    assert_int_equal(ipc_recv(r.control, buffer, sizeof buffer, &in, 10000), ERR_OK);
    assert_int_equal(in.type, IPC_KEEPER_UP);
    assert_true(ipc_get_keeper_up(in.body, in.n, &up));
    r.algorithms = up.algorithms;
    return r;
}

/* Ends the keeper and returns how often its log has text. */
static unsigned stop(struct running r, const char *said, int want)
{
    char line[1024];
    unsigned n = 0;
    int status;
    close(r.control);
    assert_int_equal(waitpid(r.pid, &status, 0), r.pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), want);
    rewind(r.log);
    while (fgets(line, sizeof line, r.log))
        n += strstr(line, said) != NULL;
    fclose(r.log);
    return n;
}

static int attach(struct running r)
{
    int pair[2];
    assert_int_equal(ipc_pair(pair), ERR_OK);
    assert_int_equal(IPC_SEND_FDS(r.control, attach, ATTACH, &pair[1], 1,
                                  .session = (uint64_t)7 << 32 | 9,
                                  .peer = slice_str("192.0.2.7:1")),
                     ERR_OK);
    close(pair[1]);
    return pair[0];
}

static bool verifies(const struct identity *id, uint32_t algorithm, size_t n, uint8_t *signature,
                     size_t len)
{
    const gnutls_datum_t d = {data, (unsigned)n}, s = {signature, (unsigned)len};
    int rc = id->pk == GNUTLS_PK_EDDSA_ED25519
                 ? gnutls_pubkey_verify_data2(id->pub, algorithm, 0, &d, &s)
                 : gnutls_pubkey_verify_hash2(id->pub, algorithm, 0, &d, &s);
    return rc >= 0;
}

static void a_right_request_is_signed_once(void **state)
{
    uint8_t signature[2048], buffer[IPC_SMALL];
    struct ipc_in in;
    (void)state;
    for (struct identity *id = ids; id < ids + IDS; id++) {
        struct running r = start_with(id);
        size_t n = sizeof signature;
        int fd = attach(r);
        assert_int_equal(keeper_sign(fd, id->algorithm, data, id->n, signature, &n), ERR_OK);
        assert_true(verifies(id, id->algorithm, id->n, signature, n));
        signature[n / 2] ^= 1;
        assert_false(verifies(id, id->algorithm, id->n, signature, n));
        assert_int_equal(ipc_recv(fd, buffer, sizeof buffer, &in, 10000), ERR_CONN);
        assert_int_equal(keeper_sign(fd, id->algorithm, data, id->n, signature, &n), ERR_TOKEN);
        close(fd);
        assert_int_equal(stop(r, "will not sign", 0), 0);
    }
}

static void every_algorithm_of_the_key_is_signed(void **state)
{
    static const struct {
        int id;
        uint32_t algorithm;
        size_t n;
    } right[] = {
        {RSA, GNUTLS_SIGN_RSA_PSS_RSAE_SHA384, 48},
        {RSA, GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, 64},
        {ED25519, GNUTLS_SIGN_EDDSA_ED25519, sizeof CONTEXT("server") + 32},
    };
    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        uint8_t signature[2048];
        size_t n = sizeof signature;
        struct running r = start_with(&ids[right[i].id]);
        int fd = attach(r);
        assert_int_equal(keeper_sign(fd, right[i].algorithm, data, right[i].n, signature, &n),
                         ERR_OK);
        assert_true(verifies(&ids[right[i].id], right[i].algorithm, right[i].n, signature, n));
        close(fd);
        stop(r, "", 0);
    }
}

/* What no handshake of this key asks for. */
static const struct {
    int id;
    uint32_t algorithm;
    size_t n;
} wrong[] = {
    {P256, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 0},
    {P256, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 31},
    {P256, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 33},
    {P256, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 48},
    {P256, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 256},
    {P256, GNUTLS_SIGN_ECDSA_SHA256, 32},
    {P256, GNUTLS_SIGN_ECDSA_SHA1, 20},
    {P256, GNUTLS_SIGN_ECDSA_SECP384R1_SHA384, 48},
    {P256, GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, 32},
    {P256, GNUTLS_SIGN_EDDSA_ED25519, sizeof CONTEXT("server") + 32},
    {P256, GNUTLS_SIGN_UNKNOWN, 32},
    {P256, UINT32_MAX, 32},
    {P384, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 32},
    {P384, GNUTLS_SIGN_ECDSA_SECP384R1_SHA384, 32},
    {RSA, GNUTLS_SIGN_RSA_RAW, 51},
    {RSA, GNUTLS_SIGN_RSA_SHA256, 32},
    {RSA, GNUTLS_SIGN_RSA_SHA1, 20},
    {RSA, GNUTLS_SIGN_RSA_PSS_SHA256, 32},
    {RSA, GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, 256},
    {RSA, GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, 32},
    {ED25519, GNUTLS_SIGN_EDDSA_ED25519, 0},
    {ED25519, GNUTLS_SIGN_EDDSA_ED25519, 32},
    {ED25519, GNUTLS_SIGN_EDDSA_ED25519, sizeof CONTEXT("server")},
    {ED25519, GNUTLS_SIGN_EDDSA_ED25519, sizeof CONTEXT("server") + 31},
    {ED25519, GNUTLS_SIGN_EDDSA_ED25519, sizeof CONTEXT("server") + 64},
    {ED25519, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 32},
};

static void assert_refused(struct running r, uint32_t algorithm, const void *p, size_t n)
{
    uint8_t signature[2048];
    size_t len = sizeof signature;
    int fd = attach(r);
    assert_int_equal(keeper_sign(fd, algorithm, p, n, signature, &len), ERR_TOKEN);
    /* Nor does the same socket sign anything better afterwards. */
    len = sizeof signature;
    assert_int_equal(keeper_sign(fd, ids[P256].algorithm, data, 32, signature, &len), ERR_TOKEN);
    close(fd);
}

static void a_wrong_request_is_refused_and_logged(void **state)
{
    (void)state;
    for (int id = 0; id < IDS; id++) {
        unsigned tried = 0;
        struct running r = start_with(&ids[id]);
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            if (wrong[i].id != id)
                continue;
            assert_refused(r, wrong[i].algorithm, data, wrong[i].n);
            tried++;
        }
        assert_int_equal(stop(r, "session 7-9, peer 192.0.2.7:1: will not sign", 0), tried);
    }
}

static void what_the_token_lacks_is_refused_and_survived(void **state)
{
    static const struct {
        uint32_t algorithm;
        size_t n;
    } pss[] = {{GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, 32},
               {GNUTLS_SIGN_RSA_PSS_RSAE_SHA384, 48},
               {GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, 64}};
    (void)state;
    for (size_t lacks = 0; lacks < 3; lacks++) {
        lacking = pss[lacks].algorithm;
        struct running r = start_with(&ids[RSA]);
        lacking = GNUTLS_SIGN_UNKNOWN;
        assert_refused(r, pss[lacks].algorithm, data, pss[lacks].n);
        for (size_t i = 0; i < 3; i++) {
            uint8_t signature[2048];
            size_t n = sizeof signature;
            assert_int_equal(r.algorithms >> pss[i].algorithm & 1, i != lacks);
            if (i == lacks)
                continue;
            int fd = attach(r);
            assert_int_equal(keeper_sign(fd, pss[i].algorithm, data, pss[i].n, signature, &n),
                             ERR_OK);
            close(fd);
        }
        assert_int_equal(stop(r, "will not sign: this token can't make that signature", 0), 1);
    }
}

/* None that fits works: said as ever. */
static void a_token_that_signs_nothing_is_told(void **state)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_keeper_failed m;
    (void)state;
    signatures_left = 0;
    struct running r = start(ids[RSA].key, ids[RSA].certificate, NULL);
    signatures_left = UINT_MAX;
    assert_int_equal(ipc_recv(r.control, buffer, sizeof buffer, &in, 10000), ERR_OK);
    assert_true(in.type == IPC_KEEPER_FAILED && ipc_get_keeper_failed(in.body, in.n, &m));
    assert_int_equal(m.status, ERR_TOKEN);
    assert_int_equal(stop(r, "test signature with", err_exit(ERR_TOKEN)), 1);
}

/* What worked at start and does no longer is a token that was lost. */
static void a_lost_token_ends_the_keeper(void **state)
{
    uint8_t signature[2048], buffer[IPC_SMALL];
    struct ipc_in in;
    size_t n = sizeof signature;
    (void)state;
    signatures_left = 1;
    struct running r = start_with(&ids[P256]);
    signatures_left = UINT_MAX;
    int fd = attach(r);
    assert_int_equal(keeper_sign(fd, ids[P256].algorithm, data, 32, signature, &n), ERR_TOKEN);
    close(fd);
    assert_int_equal(ipc_recv(r.control, buffer, sizeof buffer, &in, 10000), ERR_CONN);
    assert_int_equal(stop(r, "signing for session 7-9", err_exit(ERR_TOKEN)), 1);
}

static void only_the_text_of_a_server_is_signed(void **state)
{
    char client[sizeof CONTEXT("client") + 48] = CONTEXT("client");
    char early[sizeof CONTEXT("server") + 48] = CONTEXT("server");
    uint8_t junk[256];
    (void)state;
    memset(junk, ' ', sizeof junk);
    early[sizeof CONTEXT("server") - 1] = ' ';
    struct running r = start_with(&ids[ED25519]);
    assert_refused(r, GNUTLS_SIGN_EDDSA_ED25519, client, sizeof client);
    assert_refused(r, GNUTLS_SIGN_EDDSA_ED25519, early, sizeof early);
    assert_refused(r, GNUTLS_SIGN_EDDSA_ED25519, junk, sizeof client);
    assert_refused(r, GNUTLS_SIGN_EDDSA_ED25519, junk, sizeof junk);
    assert_int_equal(stop(r, "not what a server signs", 0), 4);
}

static void a_malformed_request_is_refused(void **state)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_signed m;
    (void)state;
    struct running r = start_with(&ids[P256]);
    int fds[] = {attach(r), attach(r), attach(r), attach(r)};
    struct slice digest = slice_of(data, 32);
    assert_int_equal(IPC_SEND(fds[0], reopen, REOPEN, ), ERR_OK);
    assert_int_equal(IPC_SEND_FDS(fds[1], attach, ATTACH, fds, 1, .session = 1), ERR_OK);
    assert_int_equal(
        IPC_SEND_FDS(fds[2], sign, SIGN, fds, 1, .algorithm = ids[P256].algorithm, .data = digest),
        ERR_OK);
    struct buf too_long;
    buf_init(&too_long, IPC_MAX);
    wire_put_u32(&too_long, ids[P256].algorithm);
    wire_put_tail(&too_long, slice_of(data, 257), 257);
    assert_int_equal(ipc_send(fds[3], IPC_SIGN, &too_long, NULL, 0, false), ERR_OK);
    buf_release(&too_long);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(ipc_recv(fds[i], buffer, sizeof buffer, &in, 10000), ERR_OK);
        assert_true(in.type == IPC_SIGNED && ipc_get_signed(in.body, in.n, &m));
        assert_true(m.status == ERR_DENIED && m.signature.n == 0);
        assert_int_equal(ipc_recv(fds[i], buffer, sizeof buffer, &in, 10000), ERR_CONN);
        close(fds[i]);
    }
    assert_int_equal(stop(r, "malformed request", 0), 4);
}

static void a_flood_gets_one_signature_at_most(void **state)
{
    uint8_t buffer[IPC_SMALL], signature[2048];
    struct ipc_in in;
    unsigned answers = 0;
    int status;
    size_t n = sizeof signature;
    enum err rc = ERR_OK;
    (void)state;
    struct running r = start_with(&ids[P256]);
    kill(r.pid, SIGSTOP);
    assert_int_equal(waitpid(r.pid, &status, WUNTRACED), r.pid);
    assert_true(WIFSTOPPED(status));
    int fd = attach(r);
    for (int i = 0; i < 50; i++)
        assert_int_equal(
            IPC_SEND(fd, sign, SIGN, .algorithm = ids[P256].algorithm, .data = slice_of(data, 32)),
            ERR_OK);
    kill(r.pid, SIGCONT);
    while ((rc = ipc_recv(fd, buffer, sizeof buffer, &in, 10000)) == ERR_OK)
        answers++;
    assert_int_equal(rc, ERR_CONN);
    assert_true(answers <= 1);
    close(fd);
    int other = attach(r);
    assert_int_equal(keeper_sign(other, ids[P256].algorithm, data, 32, signature, &n), ERR_OK);
    close(other);
    assert_int_equal(stop(r, "asked more than once", 0), 1);
}

static void too_many_sessions_are_refused(void **state)
{
    enum { MAX = 2 * 2 + 64 };
    uint8_t buffer[IPC_SMALL], signature[2048];
    struct ipc_in in;
    size_t n = sizeof signature;
    int fds[MAX + 1];
    (void)state;
    struct running r = start_with(&ids[P256]);
    for (size_t i = 0; i <= MAX; i++)
        fds[i] = attach(r);
    assert_int_equal(ipc_recv(fds[MAX], buffer, sizeof buffer, &in, 10000), ERR_CONN);
    assert_int_equal(keeper_sign(fds[0], ids[P256].algorithm, data, 32, signature, &n), ERR_OK);
    /* Closed without a word: its place is free again. */
    close(fds[1]);
    close(fds[MAX]);
    fds[MAX] = attach(r);
    n = sizeof signature;
    assert_int_equal(keeper_sign(fds[MAX], ids[P256].algorithm, data, 32, signature, &n), ERR_OK);
    for (size_t i = 0; i <= MAX; i++)
        if (i != 1)
            close(fds[i]);
    assert_int_equal(stop(r, "session 7-9 refused", 0), 1);
}

static void what_it_can_not_start_with_is_told(void **state)
{
    static const struct {
        const char *key, *certificate, *pin;
        enum err status;
    } bad[] = {
        {ids[P256].key, ids[RSA].certificate, NULL, ERR_CONFIG},
        {ids[P256].key, ids[P256].certificate, "fd:3", ERR_CONFIG},
    };
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_keeper_failed m;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct running r = start(bad[i].key, bad[i].certificate, bad[i].pin);
        assert_int_equal(ipc_recv(r.control, buffer, sizeof buffer, &in, 10000), ERR_OK);
        assert_int_equal(in.type, IPC_KEEPER_FAILED);
        assert_true(ipc_get_keeper_failed(in.body, in.n, &m));
        assert_int_equal(m.status, bad[i].status);
        assert_true(m.reason.n > 0);
        stop(r, "", err_exit(bad[i].status));
    }
    struct running r = start("/nonexistent/key", ids[P256].certificate, NULL);
    assert_int_equal(ipc_recv(r.control, buffer, sizeof buffer, &in, 10000), ERR_OK);
    assert_true(in.type == IPC_KEEPER_FAILED && ipc_get_keeper_failed(in.body, in.n, &m) &&
                m.status != ERR_OK);
    stop(r, "", err_exit(err_from_wire(m.status)));
}

static void the_terminals_signals_are_not_its_own(void **state)
{
    uint8_t signature[2048];
    size_t n = sizeof signature;
    (void)state;
    struct running r = start_with(&ids[P256]);
    kill(r.pid, SIGINT);
    kill(r.pid, SIGHUP);
    int fd = attach(r);
    assert_int_equal(keeper_sign(fd, ids[P256].algorithm, data, 32, signature, &n), ERR_OK);
    close(fd);
    stop(r, "", 0);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/consign-keeper-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    memcpy(data, CONTEXT("server"), sizeof CONTEXT("server"));
    for (size_t i = 0; i < IDS; i++)
        make(&ids[i]);
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    for (size_t i = 0; i < IDS; i++)
        gnutls_pubkey_deinit(ids[i].pub);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_request_is_signed_once),
        cmocka_unit_test(every_algorithm_of_the_key_is_signed),
        cmocka_unit_test(a_wrong_request_is_refused_and_logged),
        cmocka_unit_test(what_the_token_lacks_is_refused_and_survived),
        cmocka_unit_test(a_token_that_signs_nothing_is_told),
        cmocka_unit_test(a_lost_token_ends_the_keeper),
        cmocka_unit_test(only_the_text_of_a_server_is_signed),
        cmocka_unit_test(a_malformed_request_is_refused),
        cmocka_unit_test(a_flood_gets_one_signature_at_most),
        cmocka_unit_test(too_many_sessions_are_refused),
        cmocka_unit_test(what_it_can_not_start_with_is_told),
        cmocka_unit_test(the_terminals_signals_are_not_its_own),
    };
    log_quiet(true);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
