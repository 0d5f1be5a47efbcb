/* SPDX-License-Identifier: ISC */
/* The client's walk against servers that keep to the protocol, and such that do not. */
#include "../../client/remote_walk.h"
#include "lib/pair.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WAIT = 10000 };

static struct link link_of(struct chan c)
{
    return (struct link){.chan = c, .next_id = 1};
}

static void add(struct buf *b, uint8_t type, const char *name)
{
    struct msg_item m = {.type = type, .mode = 7, .name = slice_str(name)};
    if (!msg_add_item(b, &m))
        abort();
}

static enum err send_page(struct chan *c, uint32_t id, bool more, const struct buf *b)
{
    return CHAN_SEND(c, items, ITEMS, .id = id, .more = more, .items = slice_of(b->data, b->len));
}

static enum err answer(struct chan *c, uint32_t id, bool more, const struct buf *b)
{
    enum err e = send_page(c, id, more, b);
    return e == ERR_OK ? CHAN_SEND(c, done, DONE, .id = id) : e;
}

/* The id of the next request, 0 for none. */
static uint32_t next_request(struct chan *c, uint8_t type)
{
    struct frame f;
    struct msg_walk w;
    struct msg_next n;
    if (chan_recv(c, &f, WAIT) != ERR_OK || f.type != type)
        return 0;
    if (type == MSG_WALK)
        return CHAN_GET(&f, walk, &w) ? w.id : 0;
    return CHAN_GET(&f, next, &n) ? n.id : 0;
}

static int until_closed(struct chan *c)
{
    struct frame f;
    enum err e = chan_recv(c, &f, WAIT);
    return e == ERR_CONN || e == ERR_PROTO ? 0 : 2;
}

/* ---- pages ---- */

enum { PAGES = 20, ENTRIES = 500 };

/* Sends pages when they are asked for; between them comes a PING, answered like any request. */
static int serve_pages(struct chan *c)
{
    struct buf b;
    char name[32];
    uint32_t id = next_request(c, MSG_WALK);
    buf_init(&b, MSG_ITEMS_MAX);
    for (unsigned page = 0; page < PAGES; page++) {
        if (page > 0)
            id = next_request(c, MSG_NEXT);
        buf_clear(&b);
        for (unsigned i = 0; i < ENTRIES; i++) {
            snprintf(name, sizeof name, "%u", page * ENTRIES + i);
            add(&b, MSG_FILE, name);
        }
        if (!id || answer(c, id, page + 1 < PAGES, &b) != ERR_OK)
            return 1;
    }
    buf_release(&b);
    return until_closed(c);
}

static void pages_follow_each_other(void **state)
{
    struct remote_walk *w;
    struct remote_item item;
    struct chan c;
    unsigned n = 0;
    (void)state;
    int pid = pair_start(serve_pages, &c);
    struct link l = link_of(c);
    assert_int_equal(remote_walk_open(&l, "/", 0, &w), ERR_OK);
    while (remote_walk_next(w, &item) == ERR_OK && item.path)
        assert_int_equal(strtoul(item.path, NULL, 10), n++);
    assert_int_equal(n, PAGES * ENTRIES);
    assert_int_equal(remote_walk_next(w, &item), ERR_OK);
    assert_null(item.path);
    remote_walk_close(w);
    chan_bye(&l.chan);
    chan_release(&l.chan);
    assert_int_equal(pair_end(pid), 0);
}

static int serve_and_pong(struct chan *c)
{
    struct buf b;
    struct frame f;
    struct msg_ping ping;
    struct msg_next next;
    uint32_t id = next_request(c, MSG_WALK);
    unsigned pages = 0;
    buf_init(&b, MSG_ITEMS_MAX);
    add(&b, MSG_FILE, "x");
    if (!id || answer(c, id, true, &b) != ERR_OK)
        return 1;
    while (chan_recv(c, &f, WAIT) == ERR_OK) {
        if (CHAN_GET(&f, ping, &ping) && f.type == MSG_PING)
            id = CHAN_SEND(c, done, DONE, .id = ping.id);
        else if (f.type == MSG_NEXT && CHAN_GET(&f, next, &next))
            id = answer(c, next.id, ++pages < 3, &b);
        if (id != ERR_OK)
            return 1;
    }
    buf_release(&b);
    return pages == 3 ? 0 : 2;
}

static void other_requests_come_between(void **state)
{
    struct remote_walk *w;
    struct remote_item item;
    struct chan c;
    unsigned n = 0;
    (void)state;
    int pid = pair_start(serve_and_pong, &c);
    struct link l = link_of(c);
    assert_int_equal(remote_walk_open(&l, "/", 0, &w), ERR_OK);
    for (; remote_walk_next(w, &item) == ERR_OK && item.path; n++) {
        uint32_t id = l.next_id++;
        assert_int_equal(remote_walk_settle(w), ERR_OK);
        assert_string_equal(item.path, "x");
        assert_int_equal(CHAN_SEND(&l.chan, ping, PING, .id = id), ERR_OK);
        assert_int_equal(link_await(&l, id, "ping", NULL, NULL), ERR_OK);
    }
    assert_int_equal(n, 4);
    remote_walk_close(w);
    chan_bye(&l.chan);
    chan_release(&l.chan);
    assert_int_equal(pair_end(pid), 0);
}

static void closed_early_it_leaves_the_link_in_order(void **state)
{
    struct remote_walk *w;
    struct remote_item item;
    struct chan c;
    (void)state;
    int pid = pair_start(serve_and_pong, &c);
    struct link l = link_of(c);
    assert_int_equal(remote_walk_open(&l, "/", 0, &w), ERR_OK);
    assert_int_equal(remote_walk_next(w, &item), ERR_OK);
    remote_walk_close(w);
    assert_int_equal(CHAN_SEND(&l.chan, ping, PING, .id = 99), ERR_OK);
    assert_int_equal(link_await(&l, 99, "ping", NULL, NULL), ERR_OK);
    chan_bye(&l.chan);
    chan_release(&l.chan);
    assert_int_equal(pair_end(pid), 2); /* it was not asked for all */
}

/* ---- servers that break the rules ---- */

static int refuse_it(struct chan *c)
{
    uint32_t id = next_request(c, MSG_WALK);
    return CHAN_SEND(c, done, DONE, .id = id, .status = ERR_NOENT, .reason = slice_str("gone")) ==
                   ERR_OK
               ? until_closed(c)
               : 1;
}

static int no_page(struct chan *c)
{
    uint32_t id = next_request(c, MSG_WALK);
    return CHAN_SEND(c, done, DONE, .id = id) == ERR_OK ? until_closed(c) : 1;
}

static int two_pages(struct chan *c)
{
    struct buf b;
    uint32_t id = next_request(c, MSG_WALK);
    buf_init(&b, MSG_ITEMS_MAX);
    add(&b, MSG_FILE, "x");
    return send_page(c, id, true, &b) == ERR_OK && answer(c, id, true, &b) == ERR_OK
               ? until_closed(c)
               : 1;
}

static int an_empty_page(struct chan *c)
{
    struct buf b;
    uint32_t id = next_request(c, MSG_WALK);
    buf_init(&b, MSG_ITEMS_MAX);
    return answer(c, id, true, &b) == ERR_OK ? until_closed(c) : 1;
}

static int another_id(struct chan *c)
{
    struct buf b;
    uint32_t id = next_request(c, MSG_WALK);
    buf_init(&b, MSG_ITEMS_MAX);
    add(&b, MSG_FILE, "x");
    return answer(c, id + 1, true, &b) == ERR_OK ? until_closed(c) : 1;
}

static int another_message(struct chan *c)
{
    uint32_t id = next_request(c, MSG_WALK);
    return CHAN_SEND(c, entry, ENTRY, .id = id, .name = slice_str("x")) == ERR_OK ? until_closed(c)
                                                                                  : 1;
}

static int garbage(struct chan *c)
{
    struct buf b;
    uint32_t id = next_request(c, MSG_WALK);
    buf_init(&b, MSG_ITEMS_MAX);
    buf_put(&b, "\xff\xff\x01", 3);
    return answer(c, id, false, &b) == ERR_OK ? until_closed(c) : 1;
}

static int outside(struct chan *c)
{
    struct buf b;
    uint32_t id = next_request(c, MSG_WALK);
    buf_init(&b, MSG_ITEMS_MAX);
    add(&b, MSG_FILE, "../x");
    return answer(c, id, false, &b) == ERR_OK ? until_closed(c) : 1;
}

static int an_end_inside(struct chan *c)
{
    struct buf b;
    uint32_t id = next_request(c, MSG_WALK);
    buf_init(&b, MSG_ITEMS_MAX);
    add(&b, MSG_FOLDER, "d");
    return answer(c, id, false, &b) == ERR_OK ? until_closed(c) : 1;
}

/* The walk ends with this error after so many items, and again. */
static void ends(int (*server)(struct chan *c), unsigned after, enum err expect)
{
    struct remote_walk *w;
    struct remote_item item;
    struct chan c;
    enum err e;
    unsigned n = 0;
    int pid = pair_start(server, &c);
    struct link l = link_of(c);
    assert_int_equal(remote_walk_open(&l, "/", 0, &w), ERR_OK);
    while ((e = remote_walk_next(w, &item)) == ERR_OK && item.path)
        n++;
    assert_int_equal(e, expect);
    assert_int_equal(n, after);
    assert_int_equal(remote_walk_next(w, &item), expect);
    assert_int_equal(remote_walk_settle(w), expect);
    remote_walk_close(w);
    chan_bye(&l.chan);
    chan_release(&l.chan);
    assert_int_equal(pair_end(pid), 0);
}

static void a_refusal_is_told(void **state)
{
    (void)state;
    ends(refuse_it, 0, ERR_NOENT);
    assert_non_null(strstr(log_reason(), "gone"));
}

static void what_a_server_may_not_say_ends_it(void **state)
{
    (void)state;
    ends(no_page, 0, ERR_PROTO);
    ends(two_pages, 0, ERR_PROTO);
    ends(an_empty_page, 0, ERR_PROTO);
    ends(another_id, 0, ERR_PROTO);
    ends(another_message, 0, ERR_PROTO);
    ends(garbage, 0, ERR_PROTO);
    ends(outside, 0, ERR_PROTO);
    ends(an_end_inside, 1, ERR_PROTO);
}

/* ---- names ---- */

static enum { HONEST, MISSING_FOLDER, OTHER_NAME, TOO_FEW, TOO_MANY, LEAVES, DENIES } manner;

/* Answers STATS: a name of even length is a file, any other is missing. */
static enum err tell(struct chan *c, const struct msg_stats *m)
{
    struct buf b;
    struct slice left = m->names;
    enum err e = ERR_OK;
    uint32_t id = m->id;
    buf_init(&b, MSG_ITEMS_MAX);
    uint8_t *names = malloc(left.n);
    if (!names)
        abort();
    memcpy(names, left.p, left.n);
    for (size_t at = 0; e == ERR_OK && at < left.n; at += 1u + names[at]) {
        size_t n = names[at];
        struct msg_item item = {.type = n % 2 ? MSG_MISSING : MSG_FILE,
                                .name = slice_of(names + at + 1, n)};
        if (manner == OTHER_NAME)
            item.name = slice_str("other");
        if (manner == LEAVES)
            item.type = MSG_LEAVE;
        if (manner == TOO_FEW && at + 1 + n == left.n)
            break;
        for (int i = 0; i < 1 + (manner == TOO_MANY); i++)
            if (!msg_add_item(&b, &item))
                abort();
        if (b.len > 50000) {
            e = send_page(c, id, true, &b);
            buf_clear(&b);
        }
    }
    free(names);
    if (e == ERR_OK)
        e = answer(c, id, false, &b);
    buf_release(&b);
    return e;
}

static int serve_stats(struct chan *c)
{
    struct frame f;
    struct msg_stats m;
    enum err e, sent = ERR_OK;
    while (sent == ERR_OK && (e = chan_recv(c, &f, WAIT)) == ERR_OK) {
        if (f.type != MSG_STATS || !CHAN_GET(&f, stats, &m))
            return 1;
        sent = manner == MISSING_FOLDER || manner == DENIES
                   ? CHAN_SEND(c, done, DONE, .id = m.id,
                               .status = manner == DENIES ? ERR_DENIED : ERR_NOENT,
                               .reason = slice_str("words"))
                   : tell(c, &m);
    }
    return sent == ERR_OK && e == ERR_CONN ? 0 : 2;
}

enum { NAMES = 3000 };

static enum err ask(struct fs_info *out, const char *const *names, size_t n)
{
    struct chan c;
    int pid = pair_start(serve_stats, &c);
    struct link l = link_of(c);
    enum err e = link_stats(&l, "/d", false, names, n, out);
    chan_bye(&l.chan);
    chan_release(&l.chan);
    assert_int_equal(pair_end(pid), 0);
    return e;
}

static void many_names_in_several_requests(void **state)
{
    static struct fs_info out[NAMES];
    static char text[NAMES][PATH_NAME_MAX + 1];
    const char *names[NAMES];
    (void)state;
    for (size_t i = 0; i < NAMES; i++) {
        memset(text[i], 'n', 1 + i % PATH_NAME_MAX);
        names[i] = text[i];
    }
    manner = HONEST;
    assert_int_equal(ask(out, names, NAMES), ERR_OK);
    for (size_t i = 0; i < NAMES; i++)
        assert_int_equal(out[i].type, strlen(names[i]) % 2 ? MSG_MISSING : MSG_FILE);
    assert_int_equal(ask(out, names, 0), ERR_OK);
    manner = MISSING_FOLDER;
    assert_int_equal(ask(out, names, NAMES), ERR_OK);
    for (size_t i = 0; i < NAMES; i++)
        assert_int_equal(out[i].type, MSG_MISSING);
}

static void answers_about_names_are_held_to_the_question(void **state)
{
    static const char *const names[] = {"ab", "cd", "ef"};
    struct fs_info out[3];
    (void)state;
    manner = DENIES;
    assert_int_equal(ask(out, names, 3), ERR_DENIED);
    assert_non_null(strstr(log_reason(), "words"));
    manner = OTHER_NAME;
    assert_int_equal(ask(out, names, 3), ERR_PROTO);
    manner = TOO_FEW;
    assert_int_equal(ask(out, names, 3), ERR_PROTO);
    manner = TOO_MANY;
    assert_int_equal(ask(out, names, 3), ERR_PROTO);
    manner = LEAVES;
    assert_int_equal(ask(out, names, 3), ERR_PROTO);
}

static int set_up(void **state)
{
    (void)state;
    pair_set_up();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pair_tear_down();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_follow_each_other),
        cmocka_unit_test(other_requests_come_between),
        cmocka_unit_test(closed_early_it_leaves_the_link_in_order),
        cmocka_unit_test(a_refusal_is_told),
        cmocka_unit_test(what_a_server_may_not_say_ends_it),
        cmocka_unit_test(many_names_in_several_requests),
        cmocka_unit_test(answers_about_names_are_held_to_the_question),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
