/* SPDX-License-Identifier: ISC */
/* A status as it comes over the status socket, with texts of peers in it: shown to people nothing in it reaches the
 * terminal but what can be seen; and as JSON it is one object, where the messages come in a server's order. */
#include "fuzz.h"

#include "../../server/ask_show.h"
#include "../../server/ipc.h"
#include <jansson.h>
#include <regex.h>
#include <stdio.h>

/* The types of the messages as letters, against what status.c sends. */
static bool in_order(const struct buf *status, bool scrub)
{
    static const uint8_t types[] = {IPC_STATUS_SERVER,
                                    IPC_STATUS_SESSION,
                                    IPC_STATUS_KEEPER,
                                    IPC_STATUS_TOKEN,
                                    IPC_STATUS_SWEEP,
                                    IPC_STATUS_CRLS,
                                    IPC_STATUS_CRL,
                                    IPC_STATUS_GATE,
                                    IPC_STATUS_PENALTY,
                                    IPC_STATUS_RELOAD,
                                    IPC_STATUS_SCRUB,
                                    IPC_SCRUBBED,
                                    IPC_ROT};
    const struct ipc_in in = {.type = IPC_BUNDLE, .body = status->data, .n = status->len};
    struct ipc_in one;
    struct slice rest = {0};
    static regex_t order[2];
    static const char *const patterns[] = {"^ab*cd*efg*hi*jklm*$", "^[a-j]*klm*$"};
    char letters[4096] = "";
    for (size_t n = 0; n + 1 < sizeof letters && ipc_next(&in, &rest, &one); n++) {
        const uint8_t *at = memchr(types, one.type, sizeof types);
        letters[n] = at ? (char)('a' + (at - types)) : 'z';
    }
    if (!order[scrub].buffer)
        FUZZ_MUST(regcomp(&order[scrub], patterns[scrub], REG_EXTENDED) == 0);
    return rest.n == 0 && regexec(&order[scrub], letters, 0, NULL, 0) == 0;
}

/* What is printed goes to memory meanwhile. */
static enum err show(const struct buf *status, bool json, bool scrub, char **text, size_t *n)
{
    FILE *terminal = stdout;
    stdout = open_memstream(text, n);
    FUZZ_MUST(stdout != NULL);
    enum err e = scrub ? ask_show_scrub(status, json) : ask_show(status, json);
    FUZZ_MUST(fclose(stdout) == 0);
    stdout = terminal;
    return e;
}

static void check(const struct buf *status, bool json, bool scrub)
{
    char *text = NULL;
    size_t n = 0;
    enum err e = show(status, json, scrub, &text, &n);
    FUZZ_MUST(e == ERR_OK || e == ERR_PROTO);
    FUZZ_MUST(fuzz_shows(text, n, true));
    if (e == ERR_OK && json && in_order(status, scrub)) {
        json_t *o = json_loadb(
            text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL);
        FUZZ_MUST(json_is_object(o));
        json_decref(o);
    }
    free(text);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct ask_scrub found;
    struct buf status;
    buf_init(&status, n);
    buf_put(&status, data, n);
    for (int way = 0; way < 4; way++)
        check(&status, way & 1, way & 2);
    (void)!ask_find_scrub(&status, &found);
    buf_release(&status);
}

#define ADD(b, name, NAME, ...)                                                                    \
    do {                                                                                           \
        const struct ipc_##name m_ = {__VA_ARGS__};                                                \
        FUZZ_MUST(IPC_ADD(b, name, NAME, &m_));                                                    \
    } while (0)

void fuzz_seeds(void)
{
    const struct slice text = slice_str("a\x1b\"\xc3\xa9"), path = slice_str("/a/b");
    struct buf b;
    buf_init(&b, 1 << 16);
    ADD(&b, status_server, STATUS_SERVER, .version = slice_str("0.1"), .address = text,
        .started = 1);
    fuzz_seed(b.data, b.len);
    ADD(&b, status_session, STATUS_SESSION, .session = slice_str("1-2"), .peer = text, .user = text,
        .agreed = text, .unapproved = text, .op = slice_str("put"), .phase = text, .path = path,
        .done = 1, .total = 2, .moved = 1, .ms = 1000);
    ADD(&b, status_session, STATUS_SESSION, .session = slice_str("1-3"), .peer = text);
    ADD(&b, status_keeper, STATUS_KEEPER, .in_use = text, .signatures = 9);
    ADD(&b, status_token, STATUS_TOKEN, .name = text, .key = text, .state = text, .reason = text);
    ADD(&b, status_sweep, STATUS_SWEEP, .began = 1, .ended = 2, .removed = 3);
    ADD(&b, status_crls, STATUS_CRLS, .count = 2);
    ADD(&b, status_crl, STATUS_CRL, .anchor = text, .issuer = text, .number = text,
        .next_update = 5);
    ADD(&b, status_crl, STATUS_CRL, .next_update = INT64_MAX, .now = UINT64_MAX);
    ADD(&b, status_gate, STATUS_GATE, .handshakes = 1, .peers = 2);
    ADD(&b, status_penalty, STATUS_PENALTY, .address = text, .reason = text);
    ADD(&b, status_reload, STATUS_RELOAD, .loaded = 5, .reason = text);
    ADD(&b, status_scrub, STATUS_SCRUB, .run = 1, .began = 2, .user = text);
    ADD(&b, scrubbed, SCRUBBED, .files = 3, .rotten = 1);
    ADD(&b, rot, ROT, .kind = 0, .user = text, .path = path);
    ADD(&b, rot, ROT, .kind = 1, .user = text, .path = text);
    fuzz_seed(b.data, b.len);
    buf_release(&b);
}
