/* SPDX-License-Identifier: ISC */
#include "../../server/ipc.h"
#include "../../server/scribe.h"
#include "../../server/scribe_line.h"
#include "confine.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], path[96], aside[96], head[104];
static char text[256 * 1024]; /* what the log holds, by read_log */

struct running {
    int control;
    pid_t pid;
};

static struct running start(const char *file)
{
    struct running r;
    struct scribe_how how = {.file = file};
    assert_int_equal(scribe_start(&how, &r.control, &r.pid), ERR_OK);
    return r;
}

static void stop(struct running r)
{
    int status;
    close(r.control);
    assert_int_equal(waitpid(r.pid, &status, 0), r.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int attach(struct running r, uint64_t session, const char *peer)
{
    int pair[2];
    assert_int_equal(ipc_pair(pair), ERR_OK);
    assert_int_equal(IPC_SEND_FDS(r.control, attach, ATTACH, &pair[1], 1, .session = session,
                                  .peer = slice_str(peer)),
                     ERR_OK);
    close(pair[1]);
    return pair[0];
}

/* Leaves out what the scribe says of itself when nothing is wrong, and the hashes. */
static void strip(char *s)
{
    static const char *const own[] = {"begin", "open", "close", "head", "rotate", "continue"};
    char *out = s;
    for (char *end; (end = strchr(s, '\n')) != NULL; s = end + 1) {
        char event[32];
        bool skip = false;
        for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
            snprintf(event, sizeof event, "\"event\":\"%s\"", own[i]);
            const char *at = strstr(s, event);
            skip |= at && at < end;
        }
        char *prev = strstr(s, "\"prev\":\"");
        if (!skip && prev && prev < end)
            memmove(prev, prev + 74, strlen(prev + 74) + 1), end -= 74;
        if (!skip)
            memmove(out, s, (size_t)(end + 1 - s)), out += end + 1 - s;
    }
    memmove(out, s, strlen(s) + 1);
}

static const char *read_log(const char *file)
{
    int fd = open(file, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, text, sizeof text - 1);
    assert_true(n >= 0);
    text[n] = '\0';
    close(fd);
    strip(text);
    return text;
}

static unsigned count_lines(const char *s)
{
    unsigned n = 0;
    for (; *s; s++)
        n += *s == '\n';
    return n;
}

/* Another implementation must read every line, and see no key twice where ours wrote it once. */
static void assert_json(const char *file)
{
    char command[256];
    snprintf(command, sizeof command, "perl -MJSON::PP -ne 'decode_json($_)' %s", file);
    assert_int_equal(system(command), 0);
}

static void fresh(void)
{
    unlink(path);
    unlink(aside);
    unlink(head);
}

static void a_line_has_the_scribes_facts_and_the_sessions_words(void **state)
{
    (void)state;
    fresh();
    struct running r = start(path);
    int fd = attach(r, (uint64_t)0x1f3a << 32 | 42, "192.0.2.7:50312");
    assert_int_equal(scribe_record(r.control, "start", "version", "0.1", NULL), ERR_OK);
    assert_int_equal(
        scribe_record(fd, "commit", "user", "alice", "none", (char *)NULL, "path", "/a.bin", NULL),
        ERR_OK);
    const char *second = strchr(read_log(path), '\n') + 1;
    assert_non_null(strstr(text, "Z\",\"seq\":2,\"event\":\"start\",\"version\":\"0.1\"}\n"));
    assert_non_null(strstr(second,
                           "Z\",\"seq\":3,\"session\":\"1f3a-42\",\"peer\":\"192.0.2.7:50312\","
                           "\"event\":\"commit\",\"user\":\"alice\",\"path\":\"/a.bin\"}\n"));
    assert_int_equal(strspn(second + strlen("{\"time\":\""), "0123456789-T:.Z"), 27);
    assert_json(path);
    close(fd);
    stop(r);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07137, 0);
}

static void no_value_breaks_a_line(void **state)
{
    char every[256], wide[] = "\xc3\xa9 \xe2\x82\xac \xc2\x85 \xe2\x80\xae \xff \xc0\xaf";
    (void)state;
    fresh();
    for (int i = 0; i < 255; i++)
        every[i] = (char)(i + 1);
    every[255] = '\0';
    struct running r = start(path);
    assert_int_equal(scribe_record(r.control, "x", "every", every, "wide", wide, NULL), ERR_OK);
    assert_int_equal(
        scribe_record(r.control, "x", "v", "\"}\n{\"event\":\"forged\",\"x\":\"\\", NULL), ERR_OK);
    stop(r);
    assert_int_equal(count_lines(read_log(path)), 2);
    assert_json(path);
    assert_non_null(strstr(text, "\xc3\xa9 \xe2\x82\xac \\u0085 \\u202e \\u00ff \\u00c0\\u00af"));
    assert_non_null(strstr(text, "\\u0001\\u0002"));
    assert_non_null(strstr(text, "\\u007f"));
    assert_null(strstr(text, "\n{\"event\""));
}

/* Sends a record as no scribe_record would. */
static enum err record_raw(int fd, const char *event, struct slice fields)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_recorded m;
    assert_int_equal(IPC_SEND(fd, record, RECORD, .event = slice_str(event), .fields = fields),
                     ERR_OK);
    enum err rc = ipc_recv(fd, buffer, sizeof buffer, &in, 10000);
    if (rc)
        return rc;
    assert_true(in.type == IPC_RECORDED && ipc_get_recorded(in.body, in.n, &m));
    return err_from_wire(m.status);
}

#define FIELDS(literal) slice_of(literal, sizeof literal - 1)

static void words_that_are_not_allowed_are_refused(void **state)
{
    char many[33 * 6], *at = many;
    (void)state;
    fresh();
    struct running r = start(path);
    int fd = attach(r, 1, "p");
    static const char *const events[] = {"", "a b", "a\"", "A", "a\n"};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        assert_int_equal(record_raw(fd, events[i], FIELDS("")), ERR_IO);
    assert_int_equal(record_raw(fd, "x", FIELDS("session\0other\0")), ERR_IO);
    assert_int_equal(record_raw(fd, "x", FIELDS("seq\0001\0")), ERR_IO);
    assert_int_equal(record_raw(fd, "x", FIELDS("a\0001\0a\0002\0")), ERR_IO);
    assert_int_equal(record_raw(fd, "x", FIELDS("a\":\"b\0c\0")), ERR_IO);
    assert_int_equal(record_raw(fd, "x", FIELDS("\0c\0")), ERR_IO);
    assert_int_equal(record_raw(fd, "x", FIELDS("a\0")), ERR_IO);
    assert_int_equal(record_raw(fd, "x", FIELDS("a\0b")), ERR_IO);
    for (int i = 0; i < 33; i++)
        at += sprintf(at, "k%02d", i) + 1, *at++ = '\0';
    assert_int_equal(record_raw(fd, "x", slice_of(many, (size_t)(at - many))), ERR_IO);
    assert_int_equal(record_raw(fd, "x", FIELDS("a\0\0")), ERR_OK);
    close(fd);
    stop(r);
    assert_int_equal(count_lines(read_log(path)), 1);
    assert_non_null(
        strstr(text, "\"seq\":2,\"session\":\"0-1\",\"peer\":\"p\",\"event\":\"x\",\"a\":\"\"}"));
}

static void the_longest_record_is_written_whole(void **state)
{
    (void)state;
    fresh();
    char *value = calloc(1, 10001);
    assert_non_null(value);
    /* Each byte becomes six: nobody may act unrecorded by the choice of a name. */
    memset(value, '\1', 10000);
    struct running r = start(path);
    assert_int_equal(scribe_record(r.control, "x", "v", value, NULL), ERR_OK);
    stop(r);
    assert_int_equal(count_lines(read_log(path)), 1);
    assert_non_null(strstr(text, "\"seq\":2,"));
    assert_true(strlen(text) > 60000);
    free(value);
}

static void only_the_master_attaches(void **state)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    (void)state;
    fresh();
    struct running r = start(path);
    int fd = attach(r, 1, "p"), other = attach(r, 2, "\x1b[2J\n");
    assert_int_equal(IPC_SEND_FDS(fd, attach, ATTACH, &fd, 1, .session = 9), ERR_OK);
    assert_int_equal(ipc_recv(fd, buffer, sizeof buffer, &in, 10000), ERR_CONN);
    int again = attach(r, 3, "p");
    assert_int_equal(IPC_SEND(again, reopen, REOPEN, ), ERR_OK);
    assert_int_equal(ipc_recv(again, buffer, sizeof buffer, &in, 10000), ERR_CONN);
    assert_int_equal(scribe_record(other, "x", NULL), ERR_OK);
    close(fd);
    close(again);
    close(other);
    stop(r);
    assert_non_null(strstr(read_log(path), "\"peer\":\"\\\\x1b[2J\\\\x0a\""));
}

static void who_does_not_read_answers_is_closed_alone(void **state)
{
    enum err rc = ERR_OK;
    (void)state;
    fresh();
    struct running r = start(path);
    int fd = attach(r, 1, "p"), other = attach(r, 2, "q");
    for (int i = 0; i < 100000 && rc == ERR_OK; i++)
        rc = IPC_SEND(fd, record, RECORD, .event = slice_str("x"));
    assert_int_equal(rc, ERR_CONN);
    assert_int_equal(scribe_record(other, "x", NULL), ERR_OK);
    close(fd);
    close(other);
    stop(r);
    assert_json(path);
}

static void a_full_disk_is_an_error_and_leaves_no_part_of_a_line(void **state)
{
    struct rlimit old, small;
    (void)state;
    fresh();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){600, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct running r = start(path);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(scribe_record(r.control, "first", "a", "b", NULL), ERR_OK);
    assert_int_equal(scribe_record(r.control, "second", "a", "b", NULL), ERR_OK);
    assert_int_equal(scribe_record(r.control, "third", "a", "b", NULL), ERR_AUDIT);
    assert_int_equal(count_lines(read_log(path)), 2);
    size_t n = strlen(text);
    assert_true(text[n - 1] == '\n' && n < 200 && n > 130);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(scribe_record(r.control, "fourth", NULL), ERR_OK);
    stop(r);
    assert_json(path);
    assert_non_null(
        strstr(read_log(path), "\"seq\":4,\"event\":\"gap\",\"lost\":\"1\",\"reason\""));
    assert_non_null(strstr(read_log(path), "\"seq\":5,\"event\":\"fourth\""));
}

static void many_records_are_written_in_order(void **state)
{
    enum { MANY = 20000 };
    struct scribe_batch b;
    char number[16], wide[1001];
    (void)state;
    fresh();
    memset(wide, 1, 1000); /* six times as long in the log */
    wide[1000] = '\0';
    struct running r = start(path);
    int fd = attach(r, 1, "p");
    scribe_batch_init(&b, fd);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(number, sizeof number, "%u", i + 1);
        assert_int_equal(scribe_add(&b, "x", "n", number, "wide", i % 100 ? NULL : wide, NULL),
                         ERR_OK);
    }
    assert_int_equal(scribe_wait(&b), ERR_OK);
    assert_int_equal(scribe_record(fd, "last", NULL), ERR_OK);
    scribe_batch_release(&b);
    close(fd);
    stop(r);
    assert_json(path);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof text, f));
    for (unsigned i = 0; i < MANY; i++) {
        assert_non_null(fgets(text, sizeof text, f));
        strip(text);
        snprintf(wide, sizeof wide,
                 "\"seq\":%u,\"session\":\"0-1\",\"peer\":\"p\",\"event\":\"x\",\"n\":\"%u\"",
                 i + 2, i + 1);
        assert_non_null(strstr(text, wide));
    }
    assert_non_null(fgets(text, sizeof text, f));
    assert_non_null(strstr(text, "\"event\":\"last\"}\n"));
    assert_non_null(fgets(text, sizeof text, f));
    assert_non_null(strstr(text, "\"event\":\"close\""));
    assert_non_null(fgets(text, sizeof text, f));
    assert_non_null(strstr(text, "\"event\":\"head\""));
    assert_null(fgets(text, sizeof text, f));
    fclose(f);
}

/* What can't be written together is not there at all; a bad one among good ones is missed alone. */
static void a_batch_that_fails_is_heard_of(void **state)
{
    struct rlimit old, small;
    struct scribe_batch b;
    (void)state;
    fresh();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){900, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct running r = start(path);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    scribe_batch_init(&b, r.control);
    assert_int_equal(scribe_add(&b, "first", NULL), ERR_OK);
    assert_int_equal(scribe_add(&b, "Bad", NULL), ERR_OK);
    assert_int_equal(scribe_add(&b, "second", NULL), ERR_OK);
    assert_int_equal(scribe_wait(&b), ERR_AUDIT);
    assert_int_equal(count_lines(read_log(path)), 2);
    for (int i = 0; i < 5; i++)
        assert_int_equal(scribe_add(&b, "much", NULL), ERR_OK);
    assert_int_equal(scribe_wait(&b), ERR_AUDIT);
    assert_int_equal(count_lines(read_log(path)), 2);
    assert_int_equal(scribe_add(&b, "third", NULL), ERR_OK);
    assert_int_equal(scribe_wait(&b), ERR_OK);
    assert_int_equal(scribe_wait(&b), ERR_OK);
    scribe_batch_release(&b);
    stop(r);
    assert_json(path);
    assert_non_null(strstr(read_log(path), "\"seq\":5,\"event\":\"third\""));
}

/* Starts a scribe whose log is standard output, which is to. */
static struct running start_on_stdout(int to)
{
    int saved = dup(STDOUT_FILENO);
    assert_true(saved >= 0 && to >= 0);
    fflush(stdout);
    assert_true(dup2(to, STDOUT_FILENO) >= 0);
    struct running r = start(NULL);
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    close(saved);
    close(to);
    return r;
}

static void standard_output_is_a_log_too(void **state)
{
    int fds[2];
    char line[512];
    (void)state;
    struct running full = start_on_stdout(open("/dev/full", O_WRONLY));
    assert_int_equal(scribe_record(full.control, "x", NULL), ERR_AUDIT);
    stop(full);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct running r = start_on_stdout(fds[1]);
    assert_int_equal(scribe_record(r.control, "piped", NULL), ERR_OK);
    ssize_t n = read(fds[0], line, sizeof line - 1);
    assert_true(n > 0);
    line[n] = '\0';
    assert_non_null(strstr(line, "\"event\":\"piped\"}\n"));
    assert_int_equal(IPC_SEND(r.control, reopen, REOPEN, ), ERR_OK);
    assert_int_equal(scribe_record(r.control, "again", NULL), ERR_OK);
    stop(r);
    close(fds[0]);
}

static void a_torn_last_line_does_not_swallow_the_next(void **state)
{
    (void)state;
    fresh();
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "{\"time\":\"20", 11), 11);
    close(fd);
    struct running r = start(path);
    assert_int_equal(scribe_record(r.control, "after", NULL), ERR_OK);
    assert_int_equal(scribe_record(r.control, "later", NULL), ERR_OK);
    stop(r);
    assert_memory_equal(read_log(path), "{\"time\":\"20\n{\"time\":\"2", 22);
    assert_non_null(strstr(text, "\"seq\":1,\"event\":\"torn\",\"bytes\":\"11\",\"sha256\":\""));
    assert_int_equal(count_lines(text), 4);
}

static void rotation(void **state)
{
    (void)state;
    fresh();
    struct running r = start(path);
    assert_int_equal(scribe_record(r.control, "one", NULL), ERR_OK);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(scribe_record(r.control, "two", NULL), ERR_OK);
    assert_int_equal(IPC_SEND(r.control, reopen, REOPEN, ), ERR_OK);
    assert_int_equal(scribe_record(r.control, "three", NULL), ERR_OK);
    assert_int_equal(count_lines(read_log(aside)), 2);
    assert_non_null(strstr(read_log(path), "\"seq\":7,\"event\":\"three\""));
    /* What can't be reopened leaves the log where it is. */
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(symlink(aside, path), 0);
    assert_int_equal(IPC_SEND(r.control, reopen, REOPEN, ), ERR_OK);
    assert_int_equal(scribe_record(r.control, "four", NULL), ERR_OK);
    assert_non_null(strstr(read_log(aside), "\"seq\":8,\"event\":\"four\""));
    stop(r);
}

static void set_limit(rlim_t size, struct rlimit *old)
{
    assert_int_equal(getrlimit(RLIMIT_FSIZE, old), 0);
    struct rlimit small = {size, old->rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
}

/* Before it does anything, and after it can do it again. */
static void a_session_hears_that_records_can_not_be_written(void **state)
{
    struct rlimit old;
    (void)state;
    fresh();
    set_limit(600, &old);
    struct running r = start(path);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    int fd = attach(r, 1, "p"), other = attach(r, 2, "q");
    assert_int_equal(scribe_record(other, "x", NULL), ERR_OK);
    assert_int_equal(scribe_ready(other), ERR_OK);
    while (scribe_record(fd, "y", NULL) == ERR_OK)
        continue;
    assert_int_equal(scribe_ready(fd), ERR_AUDIT);
    assert_int_equal(scribe_ready(other), ERR_AUDIT);
    assert_int_equal(truncate(path, 0), 0);
    for (int i = 0; i < 500 && scribe_ready(other) != ERR_OK; i++)
        usleep(20000);
    assert_int_equal(scribe_ready(other), ERR_OK);
    assert_int_equal(scribe_record(other, "z", NULL), ERR_OK);
    stop(r);
    assert_int_equal(scribe_ready(other), ERR_AUDIT);
    close(fd);
    close(other);
    assert_json(path);
    assert_non_null(strstr(read_log(path), "\"event\":\"gap\",\"lost\":\"1\""));
}

static void with_best_a_record_that_is_lost_is_no_error(void **state)
{
    struct rlimit old;
    struct scribe_how how = {.file = path, .best = true, .sync = true};
    struct running r;
    (void)state;
    fresh();
    set_limit(600, &old);
    assert_int_equal(scribe_start(&how, &r.control, &r.pid), ERR_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(scribe_record(r.control, "x", NULL), ERR_OK);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(scribe_record(r.control, "y", NULL), ERR_OK);
    stop(r);
    assert_json(path);
    assert_non_null(strstr(read_log(path), "\"event\":\"gap\",\"lost\":\"1"));
    assert_non_null(strstr(text, "\"event\":\"y\""));
    scribe_require(false);
    assert_int_equal(scribe_record(r.control, "z", NULL), ERR_OK);
    scribe_require(true);
    assert_int_equal(scribe_record(r.control, "z", NULL), ERR_AUDIT);
}

/* As if the clock had been set back since the last line was written. */
static void a_clock_that_was_set_back_is_recorded(void **state)
{
    (void)state;
    fresh();
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f,
            "{\"time\":\"2099-01-01T00:00:00.000000Z\",\"seq\":7,\"prev\":\"%064d\","
            "\"event\":\"x\"}\n",
            0);
    assert_int_equal(fclose(f), 0);
    struct running r = start(path);
    assert_int_equal(scribe_record(r.control, "after", NULL), ERR_OK);
    stop(r);
    assert_non_null(strstr(read_log(path), "\"seq\":8,\"event\":\"clock\",\"was\":\"2099-01-01T"));
    assert_non_null(strstr(text, "\"seq\":10,\"event\":\"after\""));
    assert_int_equal(count_lines(text), 3);
}

static enum err start_on(const char *file, int *control, pid_t *pid)
{
    struct scribe_how how = {.file = file};
    return scribe_start(&how, control, pid);
}

static void only_a_regular_file_is_a_log(void **state)
{
    int control;
    pid_t pid;
    char name[128];
    (void)state;
    fresh();
    close(open(aside, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(symlink(aside, path), 0);
    assert_int_not_equal(start_on(path, &control, &pid), ERR_OK);
    fresh();
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_not_equal(start_on(path, &control, &pid), ERR_OK);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_int_equal(start_on(path, &control, &pid), ERR_CONFIG);
    close(reader);
    assert_int_not_equal(start_on(folder, &control, &pid), ERR_OK);
    assert_int_equal(start_on("/dev/null", &control, &pid), ERR_CONFIG);
    snprintf(name, sizeof name, "%s/", folder);
    assert_int_equal(start_on(name, &control, &pid), ERR_CONFIG);
    snprintf(name, sizeof name, "%s/missing/log", folder);
    assert_int_equal(start_on(name, &control, &pid), ERR_NOENT);
    assert_int_equal(control, -1);
}

static void the_end_drains_what_sessions_sent(void **state)
{
    (void)state;
    fresh();
    struct running r = start(path);
    int fds[20];
    for (size_t i = 0; i < 20; i++) {
        fds[i] = attach(r, i, "p");
        assert_int_equal(IPC_SEND(fds[i], record, RECORD, .event = slice_str("last")), ERR_OK);
        assert_int_equal(IPC_SEND(fds[i], record, RECORD, .event = slice_str("very-last")), ERR_OK);
    }
    stop(r);
    assert_int_equal(count_lines(read_log(path)), 40);
    for (size_t i = 0; i < 20; i++) {
        for (int n = 0; n < 2; n++)
            assert_int_not_equal(scribe_record(fds[i], "x", NULL), ERR_INTERNAL);
        close(fds[i]);
    }
    assert_int_equal(count_lines(read_log(path)), 40);
}

static void it_is_confined_and_no_signal_of_a_stop_ends_it(void **state)
{
    char name[64];
    (void)state;
    fresh();
    struct running r = start(path);
    snprintf(name, sizeof name, "/proc/%d/status", (int)r.pid);
    assert_non_null(strstr(read_log(name), "NoNewPrivs:\t1\n"));
    assert_non_null(strstr(text, "Seccomp:\t2\n"));
    kill(r.pid, SIGTERM);
    kill(r.pid, SIGINT);
    kill(r.pid, SIGHUP);
    assert_int_equal(scribe_record(r.control, "x", NULL), ERR_OK);
    stop(r);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/consign-scribe-XXXXXX");
    if (!mkdtemp(folder) || confine_prepare() != ERR_OK)
        return -1;
    snprintf(path, sizeof path, "%s/audit.log", folder);
    snprintf(aside, sizeof aside, "%s/audit.log.1", folder);
    snprintf(head, sizeof head, "%s/audit.log.head", folder);
    umask(022);
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_the_scribes_facts_and_the_sessions_words),
        cmocka_unit_test(no_value_breaks_a_line),
        cmocka_unit_test(words_that_are_not_allowed_are_refused),
        cmocka_unit_test(the_longest_record_is_written_whole),
        cmocka_unit_test(only_the_master_attaches),
        cmocka_unit_test(who_does_not_read_answers_is_closed_alone),
        cmocka_unit_test(a_full_disk_is_an_error_and_leaves_no_part_of_a_line),
        cmocka_unit_test(many_records_are_written_in_order),
        cmocka_unit_test(a_batch_that_fails_is_heard_of),
        cmocka_unit_test(standard_output_is_a_log_too),
        cmocka_unit_test(a_torn_last_line_does_not_swallow_the_next),
        cmocka_unit_test(rotation),
        cmocka_unit_test(a_session_hears_that_records_can_not_be_written),
        cmocka_unit_test(with_best_a_record_that_is_lost_is_no_error),
        cmocka_unit_test(a_clock_that_was_set_back_is_recorded),
        cmocka_unit_test(only_a_regular_file_is_a_log),
        cmocka_unit_test(the_end_drains_what_sessions_sent),
        cmocka_unit_test(it_is_confined_and_no_signal_of_a_stop_ends_it),
    };
    log_quiet(true);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
