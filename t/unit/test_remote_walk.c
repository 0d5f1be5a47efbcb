/* SPDX-License-Identifier: ISC */
/* The client's walk against servers that keep to the protocol, and such that do not. */
#include "../../client/lookup.h"
#include "../../client/remote_walk.h"
#include "log.h"
#include "test_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The command line of the program, which a test has none of. */
struct options options;

enum { WAIT = 10000 };

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
    return chan_recv(c, &f, WAIT) == ERR_CONN ? 0 : 2;
}

/* The client says why it ends the connection, and nothing else: but for the page that it asks for before
 * it has looked at this one. */
static int until_rejected(struct chan *c)
{
    struct frame f;
    enum err e;
    while ((e = chan_recv(c, &f, WAIT)) == ERR_OK && f.type == MSG_NEXT)
        continue;
    return e == ERR_PROTO && c->peer_ended ? 0 : 2;
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
    struct client c;
    unsigned n = 0;
    (void)state;
    client_open(&c, serve_pages);
    assert_int_equal(remote_walk_open(&c.pipeline, "/", 0, &w), ERR_OK);
    while (remote_walk_next(w, &item) == ERR_OK)
        assert_int_equal(strtoul(item.path, NULL, 10), n++);
    assert_int_equal(n, PAGES * ENTRIES);
    assert_int_equal(remote_walk_next(w, &item), ERR_NOENT);
    remote_walk_close(w);
    assert_int_equal(client_close(&c), 0);
}

static int empty_folder(struct chan *c)
{
    struct buf none;
    uint32_t id = next_request(c, MSG_WALK);
    buf_init(&none, MSG_ITEMS_MAX);
    return answer(c, id, false, &none) == ERR_OK ? until_closed(c) : 1;
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

static enum err on_pong(struct request *q, const struct frame *f, enum err status,
                        const char *reason)
{
    unsigned *pongs = q->arg;
    (void)reason;
    assert_null(f);
    assert_int_equal(status, ERR_OK);
    ++*pongs;
    return ERR_OK;
}

static enum err ping(struct pipeline *p, unsigned *pongs)
{
    uint32_t id;
    enum err e = pipeline_enter(p, on_pong, pongs, 0, &id);
    return e == ERR_OK ? pipeline_sent(p, CHAN_SEND(&p->link->chan, ping, PING, .id = id)) : e;
}

static void other_requests_come_between(void **state)
{
    struct remote_walk *w;
    struct remote_item item;
    struct client c;
    unsigned n = 0, pongs = 0;
    (void)state;
    client_open(&c, serve_and_pong);
    assert_int_equal(remote_walk_open(&c.pipeline, "/", 0, &w), ERR_OK);
    for (; remote_walk_next(w, &item) == ERR_OK; n++) {
        assert_string_equal(item.path, "x");
        assert_int_equal(ping(&c.pipeline, &pongs), ERR_OK);
    }
    assert_int_equal(n, 4);
    remote_walk_close(w);
    assert_int_equal(pipeline_wait(&c.pipeline, 0), ERR_OK);
    assert_int_equal(pongs, 4);
    assert_int_equal(client_close(&c), 0);
}

static void closed_early_it_leaves_the_connection_in_order(void **state)
{
    struct remote_walk *w;
    struct remote_item item;
    struct client c;
    unsigned pongs = 0;
    (void)state;
    client_open(&c, serve_and_pong);
    assert_int_equal(remote_walk_open(&c.pipeline, "/", 0, &w), ERR_OK);
    assert_int_equal(remote_walk_next(w, &item), ERR_OK);
    remote_walk_close(w);
    assert_int_equal(ping(&c.pipeline, &pongs), ERR_OK);
    assert_int_equal(pipeline_wait(&c.pipeline, 0), ERR_OK);
    assert_int_equal(pongs, 1);
    assert_int_equal(client_close(&c), 2); /* it was not asked for all */
}

/* ---- servers that break the rules ---- */

static int refuse_it(struct chan *c)
{
    uint32_t id = next_request(c, MSG_WALK);
    return CHAN_SEND(c, done, DONE, .id = id, .status = ERR_DENIED,
                     .reason = slice_str("closed to you")) == ERR_OK
               ? until_closed(c)
               : 1;
}

static int no_page(struct chan *c)
{
    uint32_t id = next_request(c, MSG_WALK);
    return CHAN_SEND(c, done, DONE, .id = id) == ERR_OK ? until_rejected(c) : 1;
}

static int two_pages(struct chan *c)
{
    struct buf b;
    uint32_t id = next_request(c, MSG_WALK);
    buf_init(&b, MSG_ITEMS_MAX);
    add(&b, MSG_FILE, "x");
    return send_page(c, id, true, &b) == ERR_OK && answer(c, id, true, &b) == ERR_OK
               ? until_rejected(c)
               : 1;
}

static int an_empty_page(struct chan *c)
{
    struct buf b;
    uint32_t id = next_request(c, MSG_WALK);
    buf_init(&b, MSG_ITEMS_MAX);
    return answer(c, id, true, &b) == ERR_OK ? until_rejected(c) : 1;
}

static int another_id(struct chan *c)
{
    struct buf b;
    uint32_t id = next_request(c, MSG_WALK);
    buf_init(&b, MSG_ITEMS_MAX);
    add(&b, MSG_FILE, "x");
    return answer(c, id + 1, true, &b) == ERR_OK ? until_rejected(c) : 1;
}

static int another_message(struct chan *c)
{
    uint32_t id = next_request(c, MSG_WALK);
    return CHAN_SEND(c, entry, ENTRY, .id = id, .name = slice_str("x")) == ERR_OK
               ? until_rejected(c)
               : 1;
}

static int garbage(struct chan *c)
{
    struct buf b;
    uint32_t id = next_request(c, MSG_WALK);
    buf_init(&b, MSG_ITEMS_MAX);
    buf_put(&b, "\xff\xff\x01", 3);
    return answer(c, id, false, &b) == ERR_OK ? until_rejected(c) : 1;
}

static int outside(struct chan *c)
{
    struct buf b;
    uint32_t id = next_request(c, MSG_WALK);
    buf_init(&b, MSG_ITEMS_MAX);
    add(&b, MSG_FILE, "../x");
    return answer(c, id, false, &b) == ERR_OK ? until_rejected(c) : 1;
}

static int two_ends(struct chan *c)
{
    struct buf b;
    uint32_t id = next_request(c, MSG_WALK);
    buf_init(&b, MSG_ITEMS_MAX);
    add(&b, MSG_FILE, "x");
    return answer(c, id, true, &b) == ERR_OK && CHAN_SEND(c, done, DONE, .id = id) == ERR_OK
               ? until_rejected(c)
               : 1;
}

static int an_end_inside(struct chan *c)
{
    struct buf b;
    uint32_t id = next_request(c, MSG_WALK);
    buf_init(&b, MSG_ITEMS_MAX);
    add(&b, MSG_FOLDER, "d");
    return answer(c, id, false, &b) == ERR_OK ? until_rejected(c) : 1;
}

/* The walk ends with this error after so many items, and again. */
static void ends(int (*server)(struct chan *c), unsigned after, enum err expect)
{
    struct remote_walk *w;
    struct remote_item item;
    struct client c;
    enum err e;
    unsigned n = 0;
    client_open(&c, server);
    assert_int_equal(remote_walk_open(&c.pipeline, "/", 0, &w), ERR_OK);
    while ((e = remote_walk_next(w, &item)) == ERR_OK)
        n++;
    assert_int_equal(e, expect);
    assert_int_equal(n, after);
    assert_int_equal(remote_walk_next(w, &item), expect);
    assert_int_equal(c.link.chan.failed, expect == ERR_PROTO);
    assert_int_equal(c.pipeline.n, 0);
    remote_walk_close(w);
    assert_int_equal(client_close(&c), 0);
}

static void an_empty_folder_has_an_end(void **state)
{
    (void)state;
    ends(empty_folder, 0, ERR_NOENT);
}

static void a_refusal_is_told(void **state)
{
    (void)state;
    ends(refuse_it, 0, ERR_DENIED);
    assert_non_null(strstr(log_reason(), "closed to you"));
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
    ends(two_ends, 1, ERR_PROTO);
    ends(an_end_inside, 1, ERR_PROTO);
}

/* ---- names ---- */

static enum {
    HONEST,
    BREAKS_OFF,
    OTHER_NAME,
    OTHER_ORDER,
    TOO_FEW,
    TOO_MANY,
    LEAVES,
    NO_FAULT,
    HAS_MORE,
    EMPTY_PART,
    NO_ITEMS,
    DENIES
} manner;

/* The item of a name of length n: of even length it is a file, any other is missing. */
static void tell_name(struct buf *b, struct slice name, bool last)
{
    struct msg_item item = {.type = name.n % 2 ? MSG_MISSING : MSG_FILE, .name = name};
    if (manner == OTHER_NAME)
        item.name = slice_str("other");
    if (manner == LEAVES)
        item.type = MSG_LEAVE;
    if (manner == NO_FAULT)
        item.type = MSG_FAULT; /* without the status that says why */
    if (manner == TOO_FEW && last)
        return;
    for (int i = 0; i < 1 + (manner == TOO_MANY && last); i++)
        if (!msg_add_item(b, &item))
            abort();
}

/* Answers STATS. */
static enum err tell(struct chan *c, uint32_t id, const struct slice *names, size_t n)
{
    struct buf b;
    enum err e = ERR_OK;
    buf_init(&b, MSG_ITEMS_MAX);
    for (size_t i = 0; e == ERR_OK && i < n; i++) {
        tell_name(&b, names[manner == OTHER_ORDER ? n - 1 - i : i], i + 1 == n);
        if (b.len > 50000 || manner == EMPTY_PART) {
            e = send_page(c, id, true, &b);
            buf_clear(&b);
            if (manner == EMPTY_PART && e == ERR_OK)
                e = send_page(c, id, true, &b);
        }
    }
    if (e == ERR_OK && manner == BREAKS_OFF)
        e = CHAN_SEND(c, done, DONE, .id = id, .status = ERR_IO, .reason = slice_str("words"));
    else if (e == ERR_OK)
        e = answer(c, id, manner == HAS_MORE, &b);
    buf_release(&b);
    return e;
}

static enum err answer_stats(struct chan *c, const struct msg_stats *m)
{
    static uint8_t bytes[MSG_NAMES_MAX];
    struct slice names[LOOKUP_MAX];
    size_t n = 0;
    if (!slice_eq(m->path, slice_str("/d")))
        return ERR_USAGE;
    if (manner == DENIES || manner == NO_ITEMS)
        return CHAN_SEND(c, done, DONE, .id = m->id,
                         .status = manner == DENIES ? ERR_DENIED : ERR_OK,
                         .reason = slice_str("words"));
    memcpy(bytes, m->names.p, m->names.n);
    struct wire_rd r = wire_read(bytes, m->names.n);
    while (r.p < r.end && n < LOOKUP_MAX)
        names[n++] = wire_get_str(&r, PATH_MAX_BYTES);
    return r.bad || r.p < r.end ? ERR_USAGE : tell(c, m->id, names, n);
}

/* 0: the client went in order; 3: it said that this side did not. */
static int serve_stats(struct chan *c)
{
    struct frame f;
    struct msg_stats m;
    enum err e, sent = ERR_OK;
    while (sent == ERR_OK && (e = chan_recv(c, &f, WAIT)) == ERR_OK) {
        if (f.type != MSG_STATS || !CHAN_GET(&f, stats, &m))
            return 1;
        sent = answer_stats(c, &m);
    }
    if (sent != ERR_OK)
        return 2;
    return e == ERR_CONN ? 0 : e == ERR_PROTO && c->peer_ended ? 3 : 4;
}

/* Asks about n names, in as many batches as they take; *known: so many of them the server knew. */
static enum err look_up(struct client *c, char (*names)[PATH_NAME_MAX + 1], size_t n, size_t *known)
{
    static struct lookup l;
    struct stat st = {0};
    enum err e = ERR_OK;
    *known = 0;
    for (size_t at = 0; e == ERR_OK && at < n; lookup_clear(&l)) {
        while (at < n && !lookup_full(&l))
            assert_int_equal(lookup_add(&l, names[at++], &st, false), ERR_OK);
        e = lookup_ask(&l, &c->pipeline, "/d", 0);
        if (e == ERR_OK)
            e = lookup_wait(&l, &c->pipeline);
        for (size_t i = 0; i < l.n; i++) {
            const struct looked_up *u = &l.list[i];
            *known += u->known;
            if (u->known)
                assert_int_equal(u->there.type, strlen(u->rel) % 2 ? MSG_MISSING : MSG_FILE);
        }
    }
    return e;
}

enum { NAMES = 3000 };

static char names[NAMES][PATH_NAME_MAX + 1];

static void names_differ(void)
{
    for (size_t i = 0; i < NAMES; i++) {
        size_t n = 8 + i % (PATH_NAME_MAX - 8);
        memset(names[i], 'n', n);
        snprintf(names[i], sizeof names[i], "%07zu", i);
        names[i][7] = 'n';
    }
}

static void many_names_in_several_requests(void **state)
{
    struct client c;
    size_t known;
    (void)state;
    manner = HONEST;
    client_open(&c, serve_stats);
    assert_int_equal(look_up(&c, names, NAMES, &known), ERR_OK);
    assert_int_equal(known, NAMES);
    assert_int_equal(look_up(&c, names, 0, &known), ERR_OK);
    assert_int_equal(client_close(&c), 0);
}

static void what_a_server_refuses_to_say_is_not_known(void **state)
{
    struct client c;
    size_t known;
    (void)state;
    manner = DENIES;
    client_open(&c, serve_stats);
    assert_int_equal(look_up(&c, names, NAMES, &known), ERR_OK);
    assert_int_equal(known, 0);
    assert_int_equal(client_close(&c), 0);
    manner = BREAKS_OFF;
    client_open(&c, serve_stats);
    assert_int_equal(look_up(&c, names, NAMES, &known), ERR_OK);
    assert_in_range(known, 1, NAMES - 1);
    assert_int_equal(client_close(&c), 0);
}

static void answers_about_names_are_held_to_the_question(void **state)
{
    (void)state;
    for (int i = OTHER_NAME; i < DENIES; i++) {
        struct client c;
        size_t known;
        manner = i;
        client_open(&c, serve_stats);
        assert_int_equal(look_up(&c, names, 3, &known), ERR_PROTO);
        assert_true(c.link.chan.failed);
        assert_int_equal(client_close(&c), 3);
    }
}

static int set_up(void **state)
{
    (void)state;
    pair_set_up();
    names_differ();
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
        cmocka_unit_test(closed_early_it_leaves_the_connection_in_order),
        cmocka_unit_test(an_empty_folder_has_an_end),
        cmocka_unit_test(a_refusal_is_told),
        cmocka_unit_test(what_a_server_may_not_say_ends_it),
        cmocka_unit_test(many_names_in_several_requests),
        cmocka_unit_test(what_a_server_refuses_to_say_is_not_known),
        cmocka_unit_test(answers_about_names_are_held_to_the_question),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
