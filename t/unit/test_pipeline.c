/* SPDX-License-Identifier: ISC */
/* Requests under way: answered in order, and each of them once, whatever becomes of the connection. */
#include "../../client/pipeline.h"
#include "log.h"
#include "test_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { WAIT = 10000, MANY = 3 * PIPELINE_MAX + 7 };

/* ---- what is heard ---- */

struct heard {
    unsigned good, failed, lost; /* requests so far */
    unsigned frames;
    enum err status;
    char reason[80];
    unsigned most; /* under way when one was answered */
    struct pipeline *pipeline;
    uint32_t last; /* id */
    enum err result;
};

static enum err on_answer(struct request *q, const struct frame *f, enum err status,
                          const char *reason)
{
    struct heard *h = q->arg;
    if (f) {
        h->frames++;
        return ERR_OK;
    }
    assert_true(q->id > h->last);
    h->last = q->id;
    h->most = h->pipeline->n + 1 > h->most ? (unsigned)h->pipeline->n + 1 : h->most;
    h->lost += q->lost;
    h->failed += !q->lost && status != ERR_OK;
    h->good += !q->lost && status == ERR_OK;
    h->status = status;
    snprintf(h->reason, sizeof h->reason, "%s", reason);
    return h->result;
}

static enum err ask(struct client *c, struct heard *h, uint64_t bytes, uint32_t *id)
{
    h->pipeline = &c->pipeline;
    enum err e = pipeline_enter(&c->pipeline, on_answer, h, bytes, id);
    return e == ERR_OK
               ? pipeline_sent(&c->pipeline, CHAN_SEND(&c->link.chan, ping, PING, .id = *id))
               : e;
}

static enum err ask_many(struct client *c, struct heard *h, unsigned n)
{
    uint32_t id;
    enum err e = ERR_OK;
    for (unsigned i = 0; e == ERR_OK && i < n; i++)
        e = ask(c, h, 10, &id);
    return e;
}

/* ---- servers ---- */

/* The id of the next PING; 0 at the end. */
static uint32_t next_ping(struct chan *c)
{
    struct frame f;
    struct msg_ping m;
    return chan_recv(c, &f, WAIT) == ERR_OK && f.type == MSG_PING && CHAN_GET(&f, ping, &m) ? m.id
                                                                                            : 0;
}

static int answer_all(struct chan *c)
{
    uint32_t id;
    while ((id = next_ping(c)))
        if (CHAN_SEND(c, done, DONE, .id = id, .status = id % 5 == 0 ? ERR_NOENT : ERR_OK,
                      .reason = slice_str(id % 5 == 0 ? "fifth" : "")) != ERR_OK)
            return 1;
    return 0;
}

static int answer_ten_and_go(struct chan *c)
{
    for (int i = 0; i < 10; i++)
        if (CHAN_SEND(c, done, DONE, .id = next_ping(c)) != ERR_OK)
            return 1;
    return chan_flush(c) == ERR_OK ? 0 : 1;
}

/* The client says why it ends the connection. */
static int until_rejected(struct chan *c)
{
    struct frame f;
    enum err e;
    while ((e = chan_recv(c, &f, WAIT)) == ERR_OK)
        continue;
    return e == ERR_PROTO && c->peer_ended ? 0 : 2;
}

static enum { FUTURE_ID, PAST_ID, OTHER_FRAME_ID, UNASKED, NO_BODY, TWICE } manner;

static int break_rules(struct chan *c)
{
    uint32_t id = manner == UNASKED ? 0 : next_ping(c);
    enum err e = ERR_OK;
    switch (manner) {
    case FUTURE_ID:
        e = CHAN_SEND(c, done, DONE, .id = id + 1);
        break;
    case PAST_ID:
    case UNASKED:
        e = CHAN_SEND(c, done, DONE, .id = 0);
        break;
    case OTHER_FRAME_ID:
        e = CHAN_SEND(c, info, INFO, .id = id + 1);
        break;
    case NO_BODY:
        e = chan_end(c, chan_begin(c, MSG_DONE));
        break;
    case TWICE:
        e = CHAN_SEND(c, done, DONE, .id = id);
        if (e == ERR_OK)
            e = CHAN_SEND(c, done, DONE, .id = id);
        break;
    }
    return e == ERR_OK ? until_rejected(c) : 1;
}

/* ---- tests ---- */

static void answers_come_in_order(void **state)
{
    struct client c;
    struct heard h = {0};
    (void)state;
    client_open(&c, answer_all);
    assert_int_equal(ask_many(&c, &h, MANY), ERR_OK);
    assert_int_equal(pipeline_wait(&c.pipeline, 0), ERR_OK);
    assert_int_equal(h.good + h.failed, MANY);
    assert_int_equal(h.failed, MANY / 5);
    assert_in_range(h.most, 2, PIPELINE_MAX);
    assert_int_equal(h.frames + h.lost, 0);
    assert_int_equal(c.pipeline.n + c.pipeline.bytes, 0);
    assert_int_equal(client_close(&c), 0);
}

static void a_reason_comes_along(void **state)
{
    struct client c;
    struct heard h = {0};
    uint32_t id;
    (void)state;
    client_open(&c, answer_all);
    assert_int_equal(ask_many(&c, &h, 4), ERR_OK);
    assert_int_equal(ask(&c, &h, 0, &id), ERR_OK);
    assert_int_equal(pipeline_until(&c.pipeline, id), ERR_OK);
    assert_int_equal(h.status, ERR_NOENT);
    assert_string_equal(h.reason, "fifth");
    assert_int_equal(client_close(&c), 0);
}

static void one_may_be_waited_for(void **state)
{
    struct client c;
    struct heard h = {0};
    uint32_t third, last;
    (void)state;
    client_open(&c, answer_all);
    assert_int_equal(ask_many(&c, &h, 2), ERR_OK);
    assert_int_equal(ask(&c, &h, 0, &third), ERR_OK);
    assert_int_equal(ask(&c, &h, 0, &last), ERR_OK);
    assert_int_equal(pipeline_until(&c.pipeline, third), ERR_OK);
    assert_true(h.last == third || h.last == last);
    assert_int_equal(pipeline_until(&c.pipeline, third), ERR_OK);
    assert_int_equal(pipeline_until(&c.pipeline, last), ERR_OK);
    assert_int_equal(h.last, last);
    assert_int_equal(c.pipeline.n, 0);
    assert_int_equal(client_close(&c), 0);
}

static void what_it_carries_is_bounded(void **state)
{
    struct client c;
    struct heard h = {0};
    uint32_t id;
    (void)state;
    client_open(&c, answer_all);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(ask(&c, &h, PIPELINE_BYTES / 3, &id), ERR_OK);
        assert_in_range(c.pipeline.bytes, 0, PIPELINE_BYTES);
        assert_in_range(c.pipeline.n, 0, 3);
    }
    /* one alone may be longer */
    assert_int_equal(pipeline_wait(&c.pipeline, 0), ERR_OK);
    assert_int_equal(ask(&c, &h, 2 * (uint64_t)PIPELINE_BYTES, &id), ERR_OK);
    assert_int_equal(pipeline_wait(&c.pipeline, 0), ERR_OK);
    assert_int_equal(h.good + h.failed, 101);
    assert_int_equal(client_close(&c), 0);
}

static void a_lost_connection_tells_each_once(void **state)
{
    struct client c;
    struct heard h = {0};
    uint32_t id;
    (void)state;
    client_open(&c, answer_ten_and_go);
    enum err e = ask_many(&c, &h, 500);
    unsigned asked = c.link.next_id - 1;
    if (e == ERR_OK)
        e = pipeline_wait(&c.pipeline, 0);
    assert_int_equal(e, ERR_CONN);
    assert_int_equal(h.good, 10);
    assert_int_equal(h.good + h.lost, asked);
    assert_int_equal(h.status, ERR_CONN);
    assert_true(h.reason[0]);
    assert_true(c.link.chan.failed);
    /* nothing more goes over it, and that is told too */
    h.lost = 0;
    assert_int_equal(ask(&c, &h, 0, &id), ERR_CONN);
    assert_int_equal(h.lost, 1);
    assert_int_equal(pipeline_wait(&c.pipeline, 0), ERR_OK);
    assert_int_equal(client_close(&c), 0);
}

static void what_a_server_may_not_say_ends_it(void **state)
{
    (void)state;
    for (int i = FUTURE_ID; i <= TWICE; i++) {
        struct client c;
        struct heard h = {0};
        manner = i;
        client_open(&c, break_rules);
        enum err e = ask_many(&c, &h, 3);
        if (e == ERR_OK)
            e = pipeline_wait(&c.pipeline, 0);
        assert_int_equal(e, ERR_PROTO);
        assert_int_equal(h.good, manner == TWICE);
        assert_int_equal(h.good + h.lost, 3);
        assert_int_equal(h.frames, 0);
        assert_int_equal(h.status, ERR_PROTO);
        assert_true(c.link.chan.failed);
        assert_int_equal(client_close(&c), 0);
    }
}

/* An answer that the request's own function does not like is the last one, and the request is not told
 * once more. */
static void who_answers_may_end_it(void **state)
{
    struct client c;
    struct heard first = {.result = ERR_PROTO}, others = {0};
    uint32_t id;
    (void)state;
    client_open(&c, answer_all);
    assert_int_equal(ask(&c, &first, 0, &id), ERR_OK);
    assert_int_equal(ask_many(&c, &others, 3), ERR_OK);
    log_clear_reason();
    (void)!log_fail(ERR_PROTO, "not liked");
    assert_int_equal(pipeline_wait(&c.pipeline, 0), ERR_PROTO);
    assert_int_equal(first.good, 1);
    assert_int_equal(first.lost, 0);
    assert_int_equal(others.lost, 3);
    chan_release(&c.link.chan);
    (void)pair_end(c.pid);
}

/* Without a request of one's own for a third of its patience, the server hears a PING. */
static void who_rests_is_not_idle(void **state)
{
    struct client c;
    (void)state;
    client_open(&c, answer_all);
    assert_int_equal(pipeline_poll(&c.pipeline), ERR_OK);
    assert_int_equal(c.link.next_id, 1); /* it did not say how patient it is */
    c.link.idle_ms = 3600 * 1000;
    assert_int_equal(pipeline_poll(&c.pipeline), ERR_OK);
    assert_int_equal(c.link.next_id, 2);
    assert_int_equal(pipeline_poll(&c.pipeline), ERR_OK);
    assert_int_equal(c.link.next_id, 2);
    c.pipeline.said_ms -= 1201 * 1000;
    assert_int_equal(pipeline_poll(&c.pipeline), ERR_OK);
    assert_int_equal(c.link.next_id, 3);
    assert_int_equal(pipeline_wait(&c.pipeline, 0), ERR_OK);
    assert_int_equal(client_close(&c), 0);
}

static int set_up(void **state)
{
    (void)state;
    log_quiet(true);
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
        cmocka_unit_test(answers_come_in_order),
        cmocka_unit_test(a_reason_comes_along),
        cmocka_unit_test(one_may_be_waited_for),
        cmocka_unit_test(what_it_carries_is_bounded),
        cmocka_unit_test(a_lost_connection_tells_each_once),
        cmocka_unit_test(what_a_server_may_not_say_ends_it),
        cmocka_unit_test(who_answers_may_end_it),
        cmocka_unit_test(who_rests_is_not_idle),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
