/* SPDX-License-Identifier: ISC */
/* A keeper lives in a forked child, with keys in files. Its signers are this program started anew. */
#include "../../server/ipc.h"
#include "../../server/keeper.h"
#include "../../server/signer.h"
#include "../../server/spawn.h"
#include "audit.h"
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
#include <sys/socket.h>
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
    size_t n;           /* bytes of the hash */
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
     GNUTLS_SIGN_EDDSA_ED25519, 48, "", "", NULL},
};
enum { P256, P384, RSA, ED25519, IDS };

static uint8_t data[512]; /* what is asked for: transcript hashes begin so */

/* Keys in files are never lost and lack nothing, tokens do. What is wrong with them is said by files in
 * the folder, since it concerns processes that are started anew: "left", so many signatures are made
 * and then none; "lacking", none of this algorithm; "hang", none as long as it is there; "spoilt", wrong ones as long as it is. */
static const char *fault_file(const char *name)
{
    static _Thread_local char path[128];
    snprintf(path, sizeof path, "%s/%s", getenv("KEEPER_TEST_FOLDER"), name);
    return path;
}

static void set_fault(const char *name, unsigned value)
{
    FILE *f = fopen(fault_file(name), "w");
    assert_non_null(f);
    fprintf(f, "%u\n", value);
    assert_int_equal(fclose(f), 0);
}

static unsigned fault(const char *name, unsigned otherwise)
{
    FILE *f = fopen(fault_file(name), "r");
    unsigned value = otherwise;
    if (f && fscanf(f, "%u", &value) != 1)
        value = otherwise;
    if (f)
        fclose(f);
    return value;
}

static void cure(const char *name)
{
    assert_int_equal(unlink(fault_file(name)), 0);
}

int gnutls_privkey_sign_data2(gnutls_privkey_t key, gnutls_sign_algorithm_t algorithm,
                              unsigned flags, const gnutls_datum_t *text, gnutls_datum_t *out)
{
    int (*sign)(gnutls_privkey_t, gnutls_sign_algorithm_t, unsigned, const gnutls_datum_t *,
                gnutls_datum_t *);
    *(void **)&sign = dlsym(RTLD_NEXT, "gnutls_privkey_sign_data2");
    if (text->data[0] != ' ') /* whether key and certificate belong together */
        return sign(key, algorithm, flags, text, out);
    unsigned left = fault("left", UINT_MAX);
    while (access(fault_file("hang"), F_OK) == 0)
        usleep(5000);
    if (left == 0)
        return GNUTLS_E_PKCS11_DEVICE_ERROR;
    if (left != UINT_MAX)
        set_fault("left", left - 1);
    if (algorithm == fault("lacking", GNUTLS_SIGN_UNKNOWN))
        return GNUTLS_E_PK_SIGN_FAILED;
    int rc = sign(key, algorithm, flags, text, out);
    if (rc >= 0 && access(fault_file("spoilt"), F_OK) == 0)
        out->data[out->size - 1] ^= 1;
    return rc;
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

/* The session's side. */
static enum err sign_by(int fd, uint32_t algorithm, const void *p, size_t len, uint8_t *out,
                        size_t *n)
{
    struct keeper_ask ask = {.fd = fd, .timeout_ms = 20000};
    return keeper_sign(&ask, algorithm, slice_of(p, len), out, n);
}

static struct config plain_config(const struct identity *id)
{
    return (struct config){.certificate = (char *)(uintptr_t)id->certificate,
                           .tokens = {{.name = (char *)(uintptr_t) "main",
                                       .key = (char *)(uintptr_t)id->key,
                                       .sessions = 1,
                                       .keep_alive_s = 60}},
                           .n_tokens = 1,
                           .sessions = 2,
                           .handshake_s = 20,
                           .sign_wait_s = 10,
                           .sign_timeout_s = 1,
                           .sign_queue = 16};
}

static struct running start(const struct config *c)
{
    int pair[2], status;
    struct running r = {.log = tmpfile()};
    assert_non_null(r.log);
    assert_int_equal(ipc_pair(pair), ERR_OK);
    r.pid = fork();
    if (r.pid == 0) {
        dup2(fileno(r.log), STDERR_FILENO);
        log_quiet(false);
        status = dup2(pair[1], 3) == 3 ? keeper_main(c, 3) : 99;
        _exit(status);
    }
    assert_true(r.pid > 0);
    close(pair[1]);
    r.control = pair[0];
    return r;
}

static struct running start_up(const struct config *c)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_keeper_up up;
    struct running r = start(c);
    assert_int_equal(ipc_recv(r.control, buffer, sizeof buffer, &in, 20000), ERR_OK);
    assert_int_equal(in.type, IPC_KEEPER_UP);
    assert_true(ipc_get_keeper_up(in.body, in.n, &up));
    r.algorithms = up.algorithms;
    return r;
}

static struct running start_with(const struct identity *id)
{
    struct config c = plain_config(id);
    return start_up(&c);
}

/* Reads what the keeper tells until that token is in that state. */
static void await_event(struct running r, const char *token, const char *state)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_keeper_event m;
    for (bool told = false; !told;) {
        assert_int_equal(ipc_recv(r.control, buffer, sizeof buffer, &in, 20000), ERR_OK);
        told = in.type == IPC_KEEPER_EVENT && ipc_get_keeper_event(in.body, in.n, &m) &&
               slice_eq(m.token, slice_str(token)) && slice_eq(m.state, slice_str(state));
    }
}

/* Each status is of all tokens; of the first one here. */
static struct ipc_status_token await_status(struct running r,
                                            bool (*enough)(const struct ipc_status_keeper *,
                                                           const struct ipc_status_token *))
{
    static uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_keeper_status m;
    struct ipc_status_keeper k = {0};
    struct ipc_status_token t = {0};
    for (;;) {
        assert_int_equal(ipc_recv(r.control, buffer, sizeof buffer, &in, 20000), ERR_OK);
        if (in.type != IPC_KEEPER_STATUS)
            continue;
        assert_true(ipc_get_keeper_status(in.body, in.n, &m));
        size_t n = wire_load_u32(m.messages.p);
        const uint8_t *next = m.messages.p + 5 + n;
        assert_int_equal(m.messages.p[4], IPC_STATUS_KEEPER);
        assert_true(ipc_get_status_keeper(m.messages.p + 5, n, &k));
        assert_int_equal(next[4], IPC_STATUS_TOKEN);
        assert_true(ipc_get_status_token(next + 5, wire_load_u32(next), &t));
        if (enough(&k, &t))
            return t;
    }
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

/* Whether it is a signature of context and a zero with the first n bytes of data behind. */
static bool signs(const struct identity *id, const char *context, uint32_t algorithm, size_t n,
                  uint8_t *signature, size_t len)
{
    uint8_t text[256];
    size_t head = strlen(context) + 1;
    memcpy(text, context, head);
    memcpy(text + head, data, n);
    const gnutls_datum_t d = {text, (unsigned)(head + n)}, s = {signature, (unsigned)len};
    return gnutls_pubkey_verify_data2(id->pub, algorithm, 0, &d, &s) >= 0;
}

static bool verifies(const struct identity *id, uint32_t algorithm, size_t n, uint8_t *signature,
                     size_t len)
{
    return signs(id, CONTEXT("server"), algorithm, n, signature, len);
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
        assert_int_equal(sign_by(fd, id->algorithm, data, id->n, signature, &n), ERR_OK);
        assert_true(verifies(id, id->algorithm, id->n, signature, n));
        signature[n / 2] ^= 1;
        assert_false(verifies(id, id->algorithm, id->n, signature, n));
        assert_int_equal(ipc_recv(fd, buffer, sizeof buffer, &in, 10000), ERR_CONN);
        assert_int_equal(sign_by(fd, id->algorithm, data, id->n, signature, &n), ERR_TOKEN);
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
        {P256, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 48}, /* of a suite with SHA-384 */
        {P384, GNUTLS_SIGN_ECDSA_SECP384R1_SHA384, 32}, {RSA, GNUTLS_SIGN_RSA_PSS_RSAE_SHA384, 48},
        {RSA, GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, 32},     {ED25519, GNUTLS_SIGN_EDDSA_ED25519, 32},
    };
    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        uint8_t signature[2048];
        size_t n = sizeof signature;
        struct running r = start_with(&ids[right[i].id]);
        int fd = attach(r);
        assert_int_equal(sign_by(fd, right[i].algorithm, data, right[i].n, signature, &n), ERR_OK);
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
    {P256, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 47},
    {P256, GNUTLS_SIGN_ECDSA_SHA256, 32}, /* as TLS 1.2 has them */
    {P256, GNUTLS_SIGN_ECDSA_SHA384, 48},
    {P256, GNUTLS_SIGN_ECDSA_SHA1, 20},
    {P256, GNUTLS_SIGN_ECDSA_SECP384R1_SHA384, 48},
    {P256, GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, 32},
    {P256, GNUTLS_SIGN_EDDSA_ED25519, 32},
    {P256, GNUTLS_SIGN_UNKNOWN, 32},
    {P256, UINT32_MAX, 32},
    {P384, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 32},
    {P384, GNUTLS_SIGN_ECDSA_SECP384R1_SHA384, 31},
    {RSA, GNUTLS_SIGN_RSA_RAW, 32},
    {RSA, GNUTLS_SIGN_RSA_SHA256, 32},
    {RSA, GNUTLS_SIGN_RSA_SHA1, 32},
    {RSA, GNUTLS_SIGN_RSA_PSS_SHA256, 32},
    {RSA, GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, 47},
    {ED25519, GNUTLS_SIGN_EDDSA_ED25519, 0},
    {ED25519, GNUTLS_SIGN_EDDSA_ED25519, 31},
    {ED25519, GNUTLS_SIGN_EDDSA_ED25519, 47},
    {ED25519, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 32},
};

static void assert_refused(struct running r, uint32_t algorithm, const void *p, size_t n)
{
    uint8_t signature[2048];
    size_t len = sizeof signature;
    int fd = attach(r);
    assert_int_equal(sign_by(fd, algorithm, p, n, signature, &len), ERR_TOKEN);
    /* Nor does the same socket sign anything better afterwards. */
    len = sizeof signature;
    assert_int_equal(sign_by(fd, ids[P256].algorithm, data, 32, signature, &len), ERR_TOKEN);
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
               {GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, 48}};
    (void)state;
    for (size_t lacks = 0; lacks < 3; lacks++) {
        set_fault("lacking", pss[lacks].algorithm);
        struct running r = start_with(&ids[RSA]);
        cure("lacking");
        assert_refused(r, pss[lacks].algorithm, data, pss[lacks].n);
        for (size_t i = 0; i < 3; i++) {
            uint8_t signature[2048];
            size_t n = sizeof signature;
            assert_int_equal(r.algorithms >> pss[i].algorithm & 1, i != lacks);
            if (i == lacks)
                continue;
            int fd = attach(r);
            assert_int_equal(sign_by(fd, pss[i].algorithm, data, pss[i].n, signature, &n), ERR_OK);
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
    struct config c = plain_config(&ids[RSA]);
    set_fault("left", 0);
    struct running r = start(&c);
    assert_int_equal(ipc_recv(r.control, buffer, sizeof buffer, &in, 20000), ERR_OK);
    cure("left");
    assert_true(in.type == IPC_KEEPER_FAILED && ipc_get_keeper_failed(in.body, in.n, &m));
    assert_int_equal(m.status, ERR_TOKEN);
    assert_int_equal(stop(r, "test signature with", err_exit(ERR_TOKEN)), 1);
}

static int ask_only(struct running r)
{
    int fd = attach(r);
    assert_int_equal(
        IPC_SEND(fd, sign, SIGN, .algorithm = ids[P256].algorithm, .hash = slice_of(data, 32)),
        ERR_OK);
    return fd;
}

/* The answer to ask_only, with its status; *retry is set. */
static enum err answer_to(int fd, unsigned *retry)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_signed m;
    assert_int_equal(ipc_recv(fd, buffer, sizeof buffer, &in, 20000), ERR_OK);
    assert_int_equal(in.type, IPC_SIGNED);
    assert_true(ipc_get_signed(in.body, in.n, &m));
    if (m.status == ERR_OK) {
        uint8_t signature[2048];
        memcpy(signature, m.signature.p, m.signature.n);
        assert_true(verifies(&ids[P256], ids[P256].algorithm, 32, signature, m.signature.n));
    }
    close(fd);
    *retry = m.retry;
    return err_from_wire(m.status);
}

static void assert_signs(struct running r)
{
    unsigned retry;
    assert_int_equal(answer_to(ask_only(r), &retry), ERR_OK);
    assert_int_equal(retry, 0);
}

static bool has_signed(const struct ipc_status_keeper *k, const struct ipc_status_token *t)
{
    return k->signatures > 0 && t->signatures > 0;
}

static bool is_in_use(const struct ipc_status_keeper *k, const struct ipc_status_token *t)
{
    (void)k;
    return slice_eq(t->state, slice_str("in use"));
}

static bool has_hung(const struct ipc_status_keeper *k, const struct ipc_status_token *t)
{
    return k->signatures > 0 && t->hangs == 1 && t->starts >= 2;
}

static bool has_died(const struct ipc_status_keeper *k, const struct ipc_status_token *t)
{
    (void)k;
    return t->deaths == 1 && t->starts >= 2 && t->sessions == 1;
}

/* What worked at start and does no longer is a token that was lost: its request is not. */
static void a_lost_token_is_found_again(void **state)
{
    unsigned retry;
    (void)state;
    set_fault("left", 2);
    struct running r = start_with(&ids[P256]);
    assert_signs(r);
    int fd = ask_only(r);
    await_event(r, "main", "lost");
    cure("left");
    assert_int_equal(answer_to(fd, &retry), ERR_OK);
    assert_signs(r);
    assert_int_equal(stop(r, "token main is lost", 0), 1);
}

static void a_wrong_signature_is_not_given_away(void **state)
{
    unsigned retry;
    (void)state;
    struct running r = start_with(&ids[P256]);
    set_fault("spoilt", 1);
    int fd = ask_only(r);
    await_event(r, "main", "lost");
    cure("spoilt");
    assert_int_equal(answer_to(fd, &retry), ERR_OK);
    assert_true(stop(r, "the token made a wrong signature", 0) >= 1);
}

static void a_signer_that_hangs_is_replaced(void **state)
{
    unsigned retry;
    (void)state;
    struct running r = start_with(&ids[P256]);
    set_fault("hang", 1);
    int fd = ask_only(r);
    await_event(r, "main", "lost");
    cure("hang");
    assert_int_equal(answer_to(fd, &retry), ERR_OK);
    await_status(r, has_hung);
    assert_int_equal(stop(r, "did not sign in time", 0), 1);
}

static void a_signer_that_dies_is_replaced(void **state)
{
    (void)state;
    struct running r = start_with(&ids[P256]);
    assert_signs(r);
    struct ipc_status_token t = await_status(r, has_signed);
    assert_true(slice_eq(t.state, slice_str("in use")));
    assert_int_equal(kill((pid_t)t.pid, SIGKILL), 0);
    await_event(r, "main", "lost");
    assert_signs(r);
    await_status(r, has_died);
    assert_int_equal(stop(r, "its signer has died", 0), 1);
}

static void the_next_token_serves_while_the_first_is_away(void **state)
{
    char first[128], away[160];
    struct config c = plain_config(&ids[P256]);
    (void)state;
    snprintf(first, sizeof first, "%s/first.key", folder);
    snprintf(away, sizeof away, "%s.away", first);
    assert_int_equal(link(ids[P256].key, first), 0);
    c.tokens[1] = c.tokens[0];
    c.tokens[0].key = first;
    c.tokens[1].name = (char *)(uintptr_t) "second";
    c.n_tokens = 2;
    struct running r = start_up(&c);
    /* The second may have been up before it. */
    struct ipc_status_token t = await_status(r, is_in_use);
    assert_signs(r);
    assert_int_equal(rename(first, away), 0);
    assert_int_equal(kill((pid_t)t.pid, SIGKILL), 0);
    await_event(r, "second", "in use");
    assert_signs(r);
    assert_int_equal(rename(away, first), 0);
    await_event(r, "main", "up");
    await_event(r, "main", "in use");
    assert_signs(r);
    assert_int_equal(unlink(first), 0);
    stop(r, "", 0);
}

/* Those for whom there is no room are told at once, the others when their time is over. */
static void without_a_token_all_are_told_to_try_again(void **state)
{
    enum { ROOM = 3, ALL = 5 };
    struct config c = plain_config(&ids[P256]);
    unsigned retry, told = 0;
    int fds[ALL];
    (void)state;
    c.sign_queue = ROOM;
    c.sign_wait_s = 2;
    set_fault("left", 1);
    struct running r = start_up(&c);
    fds[0] = ask_only(r);
    await_event(r, "main", "lost");
    for (size_t i = 1; i < ALL; i++)
        fds[i] = ask_only(r);
    for (size_t i = 0; i < ALL; i++) {
        assert_int_equal(answer_to(fds[i], &retry), ERR_AWAY);
        assert_true(retry >= 1 && retry <= 31);
        told++;
    }
    assert_int_equal(told, ALL);
    cure("left");
    await_event(r, "main", "up");
    assert_signs(r);
    assert_int_equal(stop(r, "no room among those that wait", 0), ALL - ROOM);
}

/* Whatever a session asks for, with a hash of its choice: the text around it says whose it is. */
static void only_the_text_of_a_server_is_signed(void **state)
{
    (void)state;
    for (struct identity *id = ids; id < ids + IDS; id++) {
        uint8_t signature[2048];
        size_t n = sizeof signature;
        struct running r = start_with(id);
        int fd = attach(r);
        assert_int_equal(sign_by(fd, id->algorithm, data, 32, signature, &n), ERR_OK);
        assert_true(signs(id, CONTEXT("server"), id->algorithm, 32, signature, n));
        assert_false(signs(id, CONTEXT("client"), id->algorithm, 32, signature, n));
        const gnutls_datum_t d = {data, 32}, s = {signature, (unsigned)n};
        assert_true(gnutls_pubkey_verify_data2(id->pub, id->algorithm, 0, &d, &s) < 0);
        assert_true(gnutls_pubkey_verify_hash2(id->pub, id->algorithm, 0, &d, &s) < 0);
        close(fd);
        stop(r, "", 0);
    }
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
        IPC_SEND_FDS(fds[2], sign, SIGN, fds, 1, .algorithm = ids[P256].algorithm, .hash = digest),
        ERR_OK);
    struct buf too_long;
    buf_init(&too_long, IPC_MAX);
    wire_put_u32(&too_long, ids[P256].algorithm);
    wire_put_tail(&too_long, slice_of(data, 49), 49);
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
            IPC_SEND(fd, sign, SIGN, .algorithm = ids[P256].algorithm, .hash = slice_of(data, 32)),
            ERR_OK);
    kill(r.pid, SIGCONT);
    while ((rc = ipc_recv(fd, buffer, sizeof buffer, &in, 10000)) == ERR_OK)
        answers++;
    assert_int_equal(rc, ERR_CONN);
    assert_true(answers <= 1);
    close(fd);
    int other = attach(r);
    assert_int_equal(sign_by(other, ids[P256].algorithm, data, 32, signature, &n), ERR_OK);
    close(other);
    assert_int_equal(stop(r, "asked more than once", 0), 1);
}

/* A million requests, or as many as it takes to be cut; others are served meanwhile. */
static void a_session_that_asks_without_end_starves_nobody(void **state)
{
    enum { MANY = 1000000 };
    enum err rc = ERR_OK;
    unsigned sent = 0;
    (void)state;
    struct running r = start_with(&ids[P256]);
    int fd = attach(r);
    for (; rc == ERR_OK && sent < MANY; sent++)
        rc = IPC_SEND(fd, sign, SIGN, .algorithm = ids[P256].algorithm, .hash = slice_of(data, 32));
    assert_int_equal(rc, ERR_CONN);
    close(fd);
    assert_signs(r);
    assert_int_equal(stop(r, "asked more than once", 0), 1);
}

static void arbitrary_bytes_get_nothing(void **state)
{
    enum { ROUNDS = 300 };
    static uint8_t junk[IPC_SMALL + 100], buffer[IPC_SMALL];
    unsigned seed = 1;
    struct ipc_in in;
    struct ipc_signed m;
    (void)state;
    struct running r = start_with(&ids[P256]);
    for (int round = 0; round < ROUNDS; round++) {
        size_t n = 1 + (size_t)rand_r(&seed) % (round % 10 ? 200 : sizeof junk);
        int fd = attach(r);
        for (size_t i = 0; i < n; i++)
            junk[i] = (uint8_t)rand_r(&seed);
        if (round % 3 == 0)
            junk[0] = IPC_SIGN;
        assert_int_equal(send(fd, junk, n, MSG_NOSIGNAL), n);
        enum err rc = ipc_recv(fd, buffer, sizeof buffer, &in, 20000);
        assert_true(rc == ERR_CONN ||
                    (rc == ERR_OK && in.type == IPC_SIGNED && ipc_get_signed(in.body, in.n, &m) &&
                     m.status == ERR_DENIED && m.signature.n == 0));
        close(fd);
    }
    assert_signs(r);
    assert_true(stop(r, "session 7-9, peer 192.0.2.7:1: ", 0) >= ROUNDS);
}

/* ---- statements ---- */

static int attach_service(struct running r)
{
    int pair[2];
    assert_int_equal(ipc_pair(pair), ERR_OK);
    assert_int_equal(IPC_SEND_FDS(r.control, attach, ATTACH, &pair[1], 1, .session = 0,
                                  .peer = slice_str("scribe")),
                     ERR_OK);
    close(pair[1]);
    return pair[0];
}

static struct running start_stating(const struct identity *id)
{
    struct config c = plain_config(&ids[P256]);
    c.sign = (struct config_token){.name = (char *)(uintptr_t) "sign",
                                   .key = (char *)(uintptr_t)id->key,
                                   .sessions = 1,
                                   .keep_alive_s = 60};
    c.sign_certificate = (char *)(uintptr_t)id->certificate;
    return start_up(&c);
}

#define LOG_NAME "00112233445566778899aabbccddeeff"

static enum err ask_head(int fd, const char *log, uint64_t seq)
{
    return IPC_SEND(fd, head_ask, HEAD_ASK, .log = slice_str(log), .seq = seq, .hash = {0xab},
                    .time = 1795626370);
}

/* Whatever the key, what is signed is the keeper's own text of what was asked, and nothing else. */
static void a_statement_is_the_keepers_own_text(void **state)
{
    static uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_statement m;
    char name[65], text[AUDIT_HEAD_TEXT];
    struct audit_head h = {.log = LOG_NAME, .hash = {0xab}, .time = 1795626370};
    (void)state;
    for (int i = P384; i < IDS; i++) {
        struct running r = start_stating(&ids[i]);
        int fd = attach_service(r);
        for (h.seq = 1; h.seq < 4; h.seq++) {
            assert_int_equal(ask_head(fd, LOG_NAME, h.seq), ERR_OK);
            assert_int_equal(ipc_recv(fd, buffer, sizeof buffer, &in, 20000), ERR_OK);
            assert_true(in.type == IPC_STATEMENT && ipc_get_statement(in.body, in.n, &m));
            assert_int_equal(m.status, ERR_OK);
            assert_true(slice_copy(m.algorithm, name, sizeof name));
            const gnutls_datum_t d = {(uint8_t *)text, (unsigned)audit_head_text(&h, text)},
                                 s = {(uint8_t *)(uintptr_t)m.signature.p, (unsigned)m.signature.n};
            assert_true(
                gnutls_pubkey_verify_data2(ids[i].pub, gnutls_sign_get_id(name), 0, &d, &s) >= 0);
            text[d.size - 2] ^= 1;
            assert_true(
                gnutls_pubkey_verify_data2(ids[i].pub, gnutls_sign_get_id(name), 0, &d, &s) < 0);
        }
        close(fd);
        assert_int_equal(stop(r, "no head", 0), 0);
    }
}

/* A session gets no statement, the scribe no handshake, and nobody a text of their own. */
static void statements_are_not_for_sessions_nor_handshakes_for_the_scribe(void **state)
{
    static uint8_t buffer[IPC_SMALL];
    uint8_t signature[2048];
    struct ipc_in in;
    struct ipc_signed m;
    size_t n = sizeof signature;
    static const char *const names[] = {"", "0011", "00112233445566778899AABBCCDDEEFF",
                                        "00112233445566778899aabbccddee\n\n"};
    (void)state;
    struct running r = start_stating(&ids[P384]);
    int fd = attach(r);
    assert_int_equal(ask_head(fd, LOG_NAME, 1), ERR_OK);
    assert_int_equal(ipc_recv(fd, buffer, sizeof buffer, &in, 20000), ERR_OK);
    assert_true(in.type == IPC_SIGNED && ipc_get_signed(in.body, in.n, &m));
    assert_int_equal(m.status, ERR_DENIED);
    assert_int_equal(ipc_recv(fd, buffer, sizeof buffer, &in, 20000), ERR_CONN);
    close(fd);
    fd = attach_service(r);
    assert_int_not_equal(sign_by(fd, ids[P256].algorithm, data, 32, signature, &n), ERR_OK);
    close(fd);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        fd = attach_service(r);
        assert_int_equal(ask_head(fd, names[i], 1), ERR_OK);
        assert_int_equal(ipc_recv(fd, buffer, sizeof buffer, &in, 20000), ERR_CONN);
        close(fd);
    }
    assert_int_equal(stop(r, "what is no head", 0), 5);
}

static void without_a_key_there_are_no_statements(void **state)
{
    static uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_statement m;
    (void)state;
    struct running r = start_with(&ids[P256]);
    int fd = attach_service(r);
    assert_int_equal(ask_head(fd, LOG_NAME, 1), ERR_OK);
    assert_int_equal(ipc_recv(fd, buffer, sizeof buffer, &in, 20000), ERR_OK);
    assert_true(in.type == IPC_STATEMENT && ipc_get_statement(in.body, in.n, &m));
    assert_int_equal(m.status, ERR_CONFIG);
    close(fd);
    assert_int_equal(stop(r, "no head", 0), 0);
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
    assert_int_equal(sign_by(fds[0], ids[P256].algorithm, data, 32, signature, &n), ERR_OK);
    /* Closed without a word: its place is free again. */
    close(fds[1]);
    close(fds[MAX]);
    fds[MAX] = attach(r);
    n = sizeof signature;
    assert_int_equal(sign_by(fds[MAX], ids[P256].algorithm, data, 32, signature, &n), ERR_OK);
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
        {"/nonexistent/key", ids[P256].certificate, NULL, ERR_CONFIG},
        {"pkcs11:token=none", ids[P256].certificate, "/nonexistent/pin", ERR_PIN},
    };
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_keeper_failed m;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct config c = plain_config(&ids[P256]);
        c.certificate = (char *)(uintptr_t)bad[i].certificate;
        c.tokens[0].key = (char *)(uintptr_t)bad[i].key;
        c.tokens[0].pin = (char *)(uintptr_t)bad[i].pin;
        struct running r = start(&c);
        assert_int_equal(ipc_recv(r.control, buffer, sizeof buffer, &in, 20000), ERR_OK);
        assert_int_equal(in.type, IPC_KEEPER_FAILED);
        assert_true(ipc_get_keeper_failed(in.body, in.n, &m));
        assert_int_equal(m.status, bad[i].status);
        assert_true(m.reason.n > 0);
        stop(r, "", err_exit(bad[i].status));
    }
}

/* Whatever is wrong with the others: who starts it again would have the PIN refused again. */
static void a_refused_pin_counts_more_than_what_may_pass(void **state)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_keeper_failed m;
    (void)state;
    for (size_t refused = 0; refused < 2; refused++) {
        struct config c = plain_config(&ids[P256]);
        c.tokens[1] = c.tokens[0];
        c.tokens[1].name = (char *)(uintptr_t) "second";
        c.n_tokens = 2;
        c.tokens[refused].key = (char *)(uintptr_t) "pkcs11:token=none";
        c.tokens[refused].pin = (char *)(uintptr_t) "/nonexistent/pin";
        set_fault("left", 0);
        struct running r = start(&c);
        assert_int_equal(ipc_recv(r.control, buffer, sizeof buffer, &in, 20000), ERR_OK);
        assert_int_equal(in.type, IPC_KEEPER_FAILED);
        assert_true(ipc_get_keeper_failed(in.body, in.n, &m));
        assert_int_equal(m.status, ERR_PIN);
        stop(r, "", err_exit(ERR_PIN));
        cure("left");
    }
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
    assert_int_equal(sign_by(fd, ids[P256].algorithm, data, 32, signature, &n), ERR_OK);
    close(fd);
    stop(r, "", 0);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/consign-keeper-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    setenv("KEEPER_TEST_FOLDER", folder, 1);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(17 * i + 3);
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

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_request_is_signed_once),
        cmocka_unit_test(every_algorithm_of_the_key_is_signed),
        cmocka_unit_test(a_wrong_request_is_refused_and_logged),
        cmocka_unit_test(what_the_token_lacks_is_refused_and_survived),
        cmocka_unit_test(a_token_that_signs_nothing_is_told),
        cmocka_unit_test(a_lost_token_is_found_again),
        cmocka_unit_test(a_wrong_signature_is_not_given_away),
        cmocka_unit_test(a_signer_that_hangs_is_replaced),
        cmocka_unit_test(a_signer_that_dies_is_replaced),
        cmocka_unit_test(the_next_token_serves_while_the_first_is_away),
        cmocka_unit_test(without_a_token_all_are_told_to_try_again),
        cmocka_unit_test(only_the_text_of_a_server_is_signed),
        cmocka_unit_test(a_malformed_request_is_refused),
        cmocka_unit_test(a_flood_gets_one_signature_at_most),
        cmocka_unit_test(a_session_that_asks_without_end_starves_nobody),
        cmocka_unit_test(arbitrary_bytes_get_nothing),
        cmocka_unit_test(a_statement_is_the_keepers_own_text),
        cmocka_unit_test(statements_are_not_for_sessions_nor_handshakes_for_the_scribe),
        cmocka_unit_test(without_a_key_there_are_no_statements),
        cmocka_unit_test(too_many_sessions_are_refused),
        cmocka_unit_test(what_it_can_not_start_with_is_told),
        cmocka_unit_test(a_refused_pin_counts_more_than_what_may_pass),
        cmocka_unit_test(the_terminals_signals_are_not_its_own),
    };
    if (argc > 1 && strcmp(argv[1], "--signer") == 0)
        return signer_main(SPAWN_CONTROL);
    log_quiet(true);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
