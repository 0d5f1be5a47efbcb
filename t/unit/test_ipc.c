/* SPDX-License-Identifier: ISC */
#include "../../server/ipc.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* Three readings of the table: fill_x() gives every field a value, same_x() compares every field,
 * open_x() says whether the message ends with a tail. */
static uint8_t pool[IPC_MAX];

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 11;
}

static struct slice some(size_t max, bool full, uint64_t *seed)
{
    return slice_of(pool, full ? max : next(seed) % 9);
}

#define MSG(name, NAME, number)                                                                    \
    static void fill_##name(struct ipc_##name *m, bool full, uint64_t seed)                        \
    {                                                                                              \
        (void)m, (void)full, (void)next(&seed);
#define U8(f)        m->f = (uint8_t)next(&seed);
#define U16(f)       m->f = (uint16_t)next(&seed);
#define U32(f)       m->f = (uint32_t)next(&seed);
#define U64(f)       m->f = next(&seed) << 16 ^ next(&seed);
#define HASH(f)      memcpy(m->f, pool + next(&seed) % 100, WIRE_HASH);
#define STR(f, max)  m->f = some(max, full, &seed);
#define TAIL(f, max) m->f = some(max, full, &seed);
#define END          }
#include "../../server/ipc.def"
#undef MSG
#undef U8
#undef U16
#undef U32
#undef U64
#undef HASH
#undef STR
#undef TAIL

#define MSG(name, NAME, number)                                                                    \
    static void same_##name(const struct ipc_##name *a, const struct ipc_##name *b)                \
    {                                                                                              \
        (void)a, (void)b;
#define U8(f)        assert_int_equal(a->f, b->f);
#define U16(f)       assert_int_equal(a->f, b->f);
#define U32(f)       assert_int_equal(a->f, b->f);
#define U64(f)       assert_true(a->f == b->f);
#define HASH(f)      assert_memory_equal(a->f, b->f, WIRE_HASH);
#define STR(f, max)  assert_true(slice_eq(a->f, b->f));
#define TAIL(f, max) assert_true(slice_eq(a->f, b->f));
#include "../../server/ipc.def"

#include "codec_undef.h"

#define MSG(name, NAME, number)                                                                    \
    static bool open_##name(void)                                                                  \
    {                                                                                              \
        bool open = false;
#define U8(f)
#define U16(f)
#define U32(f)
#define U64(f)
#define HASH(f)
#define STR(f, max)
#define TAIL(f, max) open = true;
#define END                                                                                        \
    return open;                                                                                   \
    }
#include "../../server/ipc.def"
#undef MSG
#undef TAIL
#undef END

/* Sent and received whole, empty and at full length; cut anywhere it is refused, or is what a
 * shorter tail would be; one byte more is refused but in a tail. */
#define TAIL(f, max)
#define END
#define MSG(name, NAME, number)                                                                    \
    static void trip_##name(void **state)                                                          \
    {                                                                                              \
        int pair[2];                                                                               \
        uint8_t buffer[IPC_MAX];                                                                   \
        struct ipc_in in;                                                                          \
        struct buf b, again;                                                                       \
        struct ipc_##name m, got;                                                                  \
        (void)state;                                                                               \
        memset(&m, 0, sizeof m);                                                                   \
        memset(&got, 0, sizeof got);                                                               \
        buf_init(&b, IPC_MAX);                                                                     \
        buf_init(&again, IPC_MAX);                                                                 \
        assert_int_equal(ipc_pair(pair), ERR_OK);                                                  \
        for (uint64_t seed = 0; seed < 20; seed++) {                                               \
            buf_clear(&b);                                                                         \
            fill_##name(&m, seed == 0, seed);                                                      \
            assert_true(ipc_put_##name(&b, &m));                                                   \
            assert_int_equal(ipc_send(pair[0], IPC_##NAME, &b, NULL, 0, true), ERR_OK);            \
            assert_int_equal(ipc_recv(pair[1], buffer, sizeof buffer, &in, 0), ERR_OK);            \
            assert_int_equal(in.type, IPC_##NAME);                                                 \
            assert_true(ipc_get_##name(in.body, in.n, &got));                                      \
            same_##name(&m, &got);                                                                 \
            for (size_t n = 0; n < b.len; n++) {                                                   \
                if (!ipc_get_##name(b.data, n, &got))                                              \
                    continue;                                                                      \
                assert_true(open_##name());                                                        \
                buf_clear(&again);                                                                 \
                assert_true(ipc_put_##name(&again, &got) && again.len == n);                       \
            }                                                                                      \
            buf_put(&b, "", 1);                                                                    \
            assert_true(!ipc_get_##name(b.data, b.len, &got) || (open_##name() && seed != 0));     \
        }                                                                                          \
        assert_string_equal(ipc_name(number), #NAME);                                              \
        close(pair[0]);                                                                            \
        close(pair[1]);                                                                            \
        buf_release(&b);                                                                           \
        buf_release(&again);                                                                       \
    }
#include "../../server/ipc.def"
#undef MSG

static void open_pair(int pair[2])
{
    assert_int_equal(ipc_pair(pair), ERR_OK);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* How many descriptors the process has. */
static unsigned count_descriptors(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += is_open(fd);
    return n;
}

static void descriptors_travel(void **state)
{
    int pair[2], pipe_fds[2];
    uint8_t buffer[IPC_MAX];
    struct ipc_in in;
    char c = 0;
    (void)state;
    open_pair(pair);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    assert_int_equal(IPC_SEND_FDS(pair[0], granted, GRANTED, pipe_fds, 2, .status = 7), ERR_OK);
    assert_int_equal(ipc_recv(pair[1], buffer, sizeof buffer, &in, 0), ERR_OK);
    assert_int_equal(in.n_fds, 2);
    assert_true(fcntl(in.fds[0], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    assert_int_equal(read(in.fds[0], &c, 1), 1);
    assert_int_equal(c, 'x');
    int came[2] = {in.fds[0], in.fds[1]};
    ipc_drop(&in);
    assert_false(is_open(came[0]) || is_open(came[1]));
    ipc_drop(&in);
    for (int i = 0; i < 2; i++) {
        close(pair[i]);
        close(pipe_fds[i]);
    }
}

/* The kernel's own call, with what ipc_send would never send. */
static void send_raw(int fd, const void *p, size_t n, const int *fds, unsigned n_fds)
{
    char room[CMSG_SPACE(8 * sizeof(int))] __attribute__((aligned(16))) = {0};
    struct iovec part = {(void *)(uintptr_t)p, n};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
    if (n_fds) {
        msg.msg_control = room;
        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT), (ssize_t)n);
}

static void too_many_descriptors_are_refused_and_none_leaks(void **state)
{
    int pair[2], fds[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    uint8_t buffer[IPC_MAX];
    struct ipc_in in;
    (void)state;
    open_pair(pair);
    unsigned before = count_descriptors();
    for (unsigned n = IPC_FDS + 1; n <= 8; n++) {
        send_raw(pair[0], "\x01", 1, fds, n);
        assert_int_equal(ipc_recv(pair[1], buffer, sizeof buffer, &in, 0), ERR_PROTO);
        assert_int_equal(in.n_fds, 0);
        assert_int_equal(count_descriptors(), before);
    }
    close(pair[0]);
    close(pair[1]);
}

static void oversized_is_refused_with_its_descriptors(void **state)
{
    int pair[2], fds[2] = {0, 0};
    uint8_t buffer[IPC_MAX];
    struct ipc_in in;
    (void)state;
    uint8_t *big = calloc(1, IPC_MAX + 1);
    assert_non_null(big);
    open_pair(pair);
    unsigned before = count_descriptors();
    send_raw(pair[0], big, IPC_MAX + 1, fds, 2);
    assert_int_equal(ipc_recv(pair[1], buffer, sizeof buffer, &in, 0), ERR_PROTO);
    assert_int_equal(count_descriptors(), before);
    send_raw(pair[0], big, IPC_MAX, NULL, 0);
    assert_int_equal(ipc_recv(pair[1], buffer, sizeof buffer, &in, 0), ERR_OK);
    assert_int_equal(in.n, IPC_MAX - 1);
    send_raw(pair[0], big, IPC_SMALL + 1, fds, 2);
    assert_int_equal(ipc_recv(pair[1], buffer, IPC_SMALL, &in, 0), ERR_PROTO);
    assert_int_equal(count_descriptors(), before);
    send_raw(pair[0], big, IPC_SMALL, NULL, 0);
    assert_int_equal(ipc_recv(pair[1], buffer, IPC_SMALL, &in, 0), ERR_OK);
    free(big);
    close(pair[0]);
    close(pair[1]);
}

static void an_oversized_body_is_not_sent(void **state)
{
    int pair[2];
    struct buf b;
    (void)state;
    open_pair(pair);
    buf_init(&b, 2 * IPC_MAX);
    buf_put(&b, pool, IPC_MAX);
    assert_int_equal(ipc_send(pair[0], 1, &b, NULL, 0, true), ERR_LIMIT);
    buf_release(&b);
    buf_init(&b, 1);
    buf_put(&b, "ab", 2);
    assert_int_equal(ipc_send(pair[0], 1, &b, NULL, 0, true), ERR_LIMIT);
    buf_release(&b);
    close(pair[0]);
    close(pair[1]);
}

static void empty_is_not_the_end(void **state)
{
    int pair[2];
    uint8_t buffer[IPC_MAX];
    struct ipc_in in;
    (void)state;
    open_pair(pair);
    send_raw(pair[0], "", 0, NULL, 0);
    assert_int_equal(ipc_recv(pair[1], buffer, sizeof buffer, &in, 0), ERR_PROTO);
    close(pair[0]);
    assert_int_equal(ipc_recv(pair[1], buffer, sizeof buffer, &in, -1), ERR_CONN);
    close(pair[1]);
}

static void the_other_side_gone(void **state)
{
    int pair[2];
    uint8_t buffer[IPC_MAX];
    struct ipc_in in;
    (void)state;
    open_pair(pair);
    assert_int_equal(ipc_recv(pair[1], buffer, sizeof buffer, &in, 0), ERR_TIMEOUT);
    assert_int_equal(ipc_recv(pair[1], buffer, sizeof buffer, &in, 5), ERR_TIMEOUT);
    assert_int_equal(IPC_SEND(pair[0], st_release, ST_RELEASE, ), ERR_OK);
    close(pair[0]);
    assert_int_equal(ipc_recv(pair[1], buffer, sizeof buffer, &in, 0), ERR_OK);
    assert_int_equal(in.type, IPC_ST_RELEASE);
    assert_int_equal(ipc_recv(pair[1], buffer, sizeof buffer, &in, 0), ERR_CONN);
    assert_int_equal(IPC_SEND(pair[1], st_release, ST_RELEASE, ), ERR_CONN);
    close(pair[1]);
}

static void a_full_socket_is_busy(void **state)
{
    int pair[2];
    struct buf b;
    enum err rc = ERR_OK;
    (void)state;
    open_pair(pair);
    buf_init(&b, IPC_MAX);
    for (int i = 0; i < 100000 && rc == ERR_OK; i++)
        rc = ipc_send(pair[0], IPC_REOPEN, &b, NULL, 0, true);
    assert_int_equal(rc, ERR_BUSY);
    buf_release(&b);
    close(pair[0]);
    close(pair[1]);
}

/* Adds messages until there is no room, and finds as many, in order. */
static void a_bundle_holds_what_was_added(void **state)
{
    int pair[2];
    uint8_t buffer[IPC_MAX];
    struct ipc_in in, one;
    struct slice rest = {0};
    struct ipc_signed m = {.signature = slice_of(pool, 200)}, got;
    struct buf b;
    uint32_t n = 0;
    (void)state;
    open_pair(pair);
    buf_init(&b, IPC_SMALL - 1);
    while (IPC_ADD(&b, signed, SIGNED, &m))
        m.retry = (uint16_t)++n;
    assert_true(n > 70 && n < 82 && !b.bad);
    assert_int_equal(ipc_send_bundle(pair[0], &b), ERR_OK);
    assert_int_equal(b.len, 0);
    assert_int_equal(ipc_send_bundle(pair[0], &b), ERR_OK);
    assert_int_equal(ipc_recv(pair[1], buffer, IPC_SMALL, &in, 0), ERR_OK);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(ipc_next(&in, &rest, &one) && one.type == IPC_SIGNED);
        assert_true(ipc_get_signed(one.body, one.n, &got) && got.retry == i);
        assert_true(slice_eq(got.signature, m.signature));
    }
    assert_true(!ipc_next(&in, &rest, &one) && rest.n == 0);
    assert_int_equal(ipc_recv(pair[1], buffer, IPC_SMALL, &in, 0), ERR_TIMEOUT);
    buf_release(&b);
    close(pair[0]);
    close(pair[1]);
}

static void a_single_message_is_its_own_bundle(void **state)
{
    struct ipc_in in = {.type = IPC_REOPEN, .body = pool, .n = 3}, one;
    struct slice rest = {0};
    (void)state;
    assert_true(ipc_next(&in, &rest, &one));
    assert_true(one.type == IPC_REOPEN && one.body == pool && one.n == 3);
    assert_true(!ipc_next(&in, &rest, &one) && rest.n == 0);
}

static void a_bundle_that_is_cut_shows(void **state)
{
    static const uint8_t two[] = {0, 0, 0, 1, IPC_REOPEN, 'x', 0, 0, 0, 2, IPC_REOPEN, 'y', 'z'};
    (void)state;
    for (size_t n = 0; n <= sizeof two; n++) {
        struct ipc_in in = {.type = IPC_BUNDLE, .body = two, .n = n}, one;
        struct slice rest = {0};
        unsigned found = 0;
        while (ipc_next(&in, &rest, &one))
            found++;
        assert_int_equal(found, n == sizeof two ? 2 : n >= 6);
        assert_int_equal(rest.n == 0, n == 0 || n == 6 || n == sizeof two);
    }
}

static void names_and_numbers(void **state)
{
    char text[IPC_SESSION_TEXT];
    (void)state;
    assert_string_equal(ipc_name(255), "?");
    ipc_session_text((uint64_t)0x1f3a << 32 | 42, text);
    assert_string_equal(text, "1f3a-42");
    ipc_session_text(UINT64_MAX, text);
    assert_string_equal(text, "ffffffff-4294967295");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define MSG(name, NAME, number) cmocka_unit_test(trip_##name),
#include "../../server/ipc.def"
#undef MSG
        cmocka_unit_test(descriptors_travel),
        cmocka_unit_test(too_many_descriptors_are_refused_and_none_leaks),
        cmocka_unit_test(oversized_is_refused_with_its_descriptors),
        cmocka_unit_test(an_oversized_body_is_not_sent),
        cmocka_unit_test(empty_is_not_the_end),
        cmocka_unit_test(the_other_side_gone),
        cmocka_unit_test(a_full_socket_is_busy),
        cmocka_unit_test(a_bundle_holds_what_was_added),
        cmocka_unit_test(a_single_message_is_its_own_bundle),
        cmocka_unit_test(a_bundle_that_is_cut_shows),
        cmocka_unit_test(names_and_numbers),
    };
    for (size_t i = 0; i < sizeof pool; i++)
        pool[i] = (uint8_t)(i * 7 + i / 251);
    log_quiet(true);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
