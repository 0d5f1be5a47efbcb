/* SPDX-License-Identifier: ISC */
/* Sessions that run are judged again: what of a rule counts, what of the bytes that a session handed over, and what
 * the master makes of a judge that dies. */
#include "../../server/ipc.h"
#include "../../server/judge.h"
#include "lib/certs.h"
#include "log.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/consign-judge-XXXXXX";
static char map_file[64], ca_file[64], crl_file[64];
static struct certs_cert root;

/* ---- what a rule grants ---- */

#define ROOT(at, folder, granted)                                                                  \
    (struct map_root)                                                                              \
    {                                                                                              \
        .prefix = (char[]){at}, .dir = (char[]){folder}, .rights = granted                         \
    }

static struct map_user user_of(struct map_root *roots, size_t n)
{
    struct map_user u = {.roots = roots, .n_roots = n, .sessions = 16};
    snprintf(u.name, sizeof u.name, "alice");
    return u;
}

static void lost(const struct map_user *now, const struct map_user *then, const char *why)
{
    struct map_user *copy = map_user_copy(then);
    assert_non_null(copy);
    const char *got = map_user_lost(now, copy);
    if (!got != !why || (why && !strstr(got, why)))
        fail_msg("got \"%s\", wanted \"%s\"", got ? got : "(nothing)", why ? why : "(nothing)");
    map_user_free(copy);
}

static void what_counts(void **state)
{
    struct map_root some[] = {ROOT("/in", "/srv/a", 7), ROOT("/out", "/srv/b", 1)};
    struct map_root turned[] = {ROOT("/out", "/srv/b", 1), ROOT("/in", "/srv/a", 7)};
    struct map_root less[] = {ROOT("/in", "/srv/a", 5), ROOT("/out", "/srv/b", 1)};
    struct map_root more[] = {ROOT("/in", "/srv/a", 15), ROOT("/out", "/srv/b", 3),
                              ROOT("/inner", "/srv/c", 7)};
    struct map_root within[] = {ROOT("/in", "/srv/a", 7), ROOT("/out", "/srv/b", 1),
                                ROOT("/in/x", "/srv/c", 7)};
    struct map_root elsewhere[] = {ROOT("/in", "/srv/c", 7), ROOT("/out", "/srv/b", 1)};
    struct map_root whole[] = {ROOT("/", "/srv", 7)};
    struct map_root over[] = {ROOT("/", "/srv", 7), ROOT("/x", "/srv/x", 7)};
    struct map_user then = user_of(some, 2), now = user_of(turned, 2);
    (void)state;
    lost(&then, &then, NULL);
    lost(&now, &then, NULL);
    now.quota = 1;
    now.rate = 1 << 20;
    now.sessions = 1;
    lost(&now, &then, NULL);
    now = user_of(less, 2);
    lost(&now, &then, "fewer rights");
    lost(&then, &now, NULL);
    now = user_of(more, 3);
    lost(&now, &then, NULL);
    lost(&then, &now, "fewer rights");
    now = user_of(some, 1);
    lost(&now, &then, "folders");
    now = user_of(elsewhere, 2);
    lost(&now, &then, "folders");
    now = user_of(within, 3);
    lost(&now, &then, "folders");
    struct map_user all = user_of(whole, 1), shadowed = user_of(over, 2);
    lost(&shadowed, &all, "folders");
    now = user_of(some, 2);
    snprintf(now.name, sizeof now.name, "bob");
    lost(&now, &then, "another user");
}

static void accounts_count(void **state)
{
    struct map_root roots[] = {ROOT("/", "/srv", 7)};
    gid_t groups[] = {5, 6}, others[] = {5, 7};
    struct map_user then = user_of(roots, 1), now;
    (void)state;
    then.has_account = true;
    then.uid = 1000;
    then.gid = 100;
    then.groups = groups;
    then.n_groups = 2;
    lost(&then, &then, NULL);
    now = then;
    now.uid = 1001;
    lost(&now, &then, "account");
    now = then;
    now.gid = 101;
    lost(&now, &then, "account");
    now = then;
    now.groups = others;
    lost(&now, &then, "account");
    now.n_groups = 1;
    lost(&now, &then, "account");
    now = then;
    now.has_account = false;
    lost(&now, &then, "account");
}

/* ---- what a session handed over ---- */

struct site {
    struct config config;
    struct policy policy;
};

static void open_site(struct site *s, const char *map)
{
    const struct certs_cert *ca = &root;
    struct certs_crl crl = {.issuer = &root};
    *s = (struct site){.policy.config = &s->config};
    certs_write(ca_file, &ca, 1);
    certs_write_crls(crl_file, &crl, 1);
    assert_int_equal(cert_store_new(&s->policy.anchors), ERR_OK);
    assert_int_equal(cert_store_add(s->policy.anchors, "acme", ca_file, crl_file, CERT_CRL_REQUIRE),
                     ERR_OK);
    FILE *out = fopen(map_file, "w");
    assert_non_null(out);
    assert_true(fputs(map, out) >= 0);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(map_load(map_file, s->policy.anchors, false, &s->policy.map), ERR_OK);
}

static void close_site(struct site *s)
{
    map_free(s->policy.map);
    cert_store_free(s->policy.anchors);
}

#define MAP "[alice]\nanchor = acme\nsubject = CN=alice\nroot = /srv\nrights = read\n"

static enum err judged(const struct site *s, const struct map_user *granted, const void *chain,
                       size_t n, time_t now, time_t *until)
{
    uint8_t *copy = malloc(n ? n : 1); /* so that a sanitizer sees a byte too many being read */
    assert_non_null(copy);
    memcpy(copy, chain, n);
    struct sessions_entry e = {
        .granted = (struct map_user *)(uintptr_t)granted, .chain = copy, .chain_n = n};
    log_clear_reason();
    enum err rc = judge_session(&s->policy, &e, now, until);
    free(copy);
    return rc;
}

static void put(struct buf *b, const struct certs_cert *c)
{
    wire_put_str(b, slice_of(c->der.data, c->der.size), UINT16_MAX);
}

static void true_bytes(void **state)
{
    struct certs_cert leaf = certs_client("alice", &root), bob = certs_client("bob", &root);
    struct site s;
    struct buf b;
    time_t until = 0;
    (void)state;
    open_site(&s, MAP);
    const struct map_user *alice = map_user(s.policy.map, 0);
    buf_init(&b, 65536);
    put(&b, &leaf);
    assert_int_equal(judged(&s, alice, b.data, b.len, CERTS_NOW, &until), ERR_OK);
    assert_true(until > CERTS_NOW && until <= CERTS_NOW + 30 * CERTS_DAY);
    /* The list runs out before the certificate. */
    assert_int_equal(judged(&s, alice, b.data, b.len, until, &until), ERR_OK);
    assert_int_equal(judged(&s, alice, b.data, b.len, until + 1, &until), ERR_AUTH);
    assert_non_null(strstr(log_reason(), "ran out"));
    struct map_user more = *alice;
    struct map_root root_more = alice->roots[0];
    root_more.rights |= ~0u >> 1;
    more.roots = &root_more;
    assert_int_equal(judged(&s, &more, b.data, b.len, CERTS_NOW, &until), ERR_CONN);
    assert_non_null(strstr(log_reason(), "fewer rights now: connect again"));
    buf_clear(&b);
    put(&b, &bob);
    assert_int_equal(judged(&s, alice, b.data, b.len, CERTS_NOW, &until), ERR_AUTH);
    assert_non_null(strstr(log_reason(), "no rule of the map"));
    buf_release(&b);
    close_site(&s);
    certs_release(&bob);
    certs_release(&leaf);
}

static void lies(void **state)
{
    struct certs_cert leaf = certs_client("alice", &root);
    static const uint8_t zeros[4096], ones[] = {0xff, 0xff, 0xff, 0xff};
    struct site s;
    struct buf b;
    time_t until;
    (void)state;
    open_site(&s, MAP);
    const struct map_user *alice = map_user(s.policy.map, 0);
    assert_int_equal(judged(&s, alice, "", 0, CERTS_NOW, &until), ERR_AUTH);
    assert_int_equal(judged(&s, alice, zeros, sizeof zeros, CERTS_NOW, &until), ERR_AUTH);
    assert_int_equal(judged(&s, alice, ones, sizeof ones, CERTS_NOW, &until), ERR_AUTH);
    buf_init(&b, 65536);
    put(&b, &leaf);
    for (size_t n = 0; n < b.len; n++)
        assert_int_equal(judged(&s, alice, b.data, n, CERTS_NOW, &until), ERR_AUTH);
    for (size_t at = 2; at < b.len; at++) { /* any bit of it */
        b.data[at] ^= (uint8_t)(1 << at % 8);
        (void)!judged(&s, alice, b.data, b.len, CERTS_NOW, &until);
        b.data[at] ^= (uint8_t)(1 << at % 8);
    }
    wire_put_u8(&b, 0);
    assert_int_equal(judged(&s, alice, b.data, b.len, CERTS_NOW, &until), ERR_AUTH);
    buf_clear(&b);
    for (int i = 0; i < 40; i++)
        put(&b, &leaf);
    assert_int_equal(judged(&s, alice, b.data, b.len, CERTS_NOW, &until), ERR_AUTH);
    buf_release(&b);
    close_site(&s);
    certs_release(&leaf);
}

/* ---- a judge that dies ---- */

struct table {
    struct sessions t;
    struct sessions_entry entries[3];
    int ends[3];
};

static void fill(struct table *x)
{
    *x = (struct table){0};
    for (int i = 2; i >= 0; i--) {
        struct sessions_entry *s = &x->entries[i];
        int pair[2];
        assert_int_equal(ipc_pair(pair), ERR_OK);
        *s =
            (struct sessions_entry){.fd = pair[0], .number = (uint64_t)i + 1, .asked = 5, .due = 1};
        snprintf(s->user, sizeof s->user, "alice");
        x->ends[i] = pair[1];
        s->next = x->t.head;
        x->t.head = s;
        x->t.n++;
    }
}

static bool was_cut(const struct table *x, int i)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_cut m;
    if (ipc_recv(x->ends[i], buffer, sizeof buffer, &in, 0) != ERR_OK)
        return false;
    assert_int_equal(in.type, IPC_CUT);
    assert_true(ipc_get_cut(in.body, in.n, &m));
    assert_int_equal(m.status, ERR_INTERNAL);
    return true;
}

static void release(struct table *x)
{
    for (int i = 0; i < 3; i++) {
        close(x->entries[i].fd);
        close(x->ends[i]);
    }
}

/* A judge that said these things, and is gone. */
static void dead_judge(struct judge *j, struct table *x, uint64_t fit, uint64_t at)
{
    int pair[2];
    fill(x);
    judge_init(j, NULL);
    assert_int_equal(ipc_pair(pair), ERR_OK);
    j->epoll = epoll_create1(EPOLL_CLOEXEC);
    j->fd = pair[0];
    j->number = 5;
    if (fit) {
        assert_int_equal(IPC_SEND(pair[1], judging, JUDGING, .session = fit), ERR_OK);
        assert_int_equal(IPC_SEND(pair[1], verdict, VERDICT, .session = fit, .until = INT64_MAX),
                         ERR_OK);
    }
    if (at)
        assert_int_equal(IPC_SEND(pair[1], judging, JUDGING, .session = at), ERR_OK);
    close(pair[1]);
    j->pid = fork();
    if (j->pid == 0)
        _exit(0);
    assert_int_equal(waitpid(j->pid, NULL, 0), j->pid);
    assert_true(judge_reaped(j, &x->t, j->pid, -1));
    close(j->epoll);
}

static void whoever_it_was_at(void **state)
{
    struct table x;
    struct judge j;
    (void)state;
    dead_judge(&j, &x, 1, 2);
    assert_false(was_cut(&x, 0));
    assert_true(was_cut(&x, 1));
    assert_false(was_cut(&x, 2));
    assert_int_equal(j.cut, 1);
    assert_int_equal(j.due, 1); /* of the third */
    assert_true(x.entries[0].due > 1);
    assert_int_equal(j.pid, 0);
    release(&x);
}

static void nobody_for_one_that_is_gone(void **state)
{
    struct table x;
    struct judge j;
    (void)state;
    dead_judge(&j, &x, 0, 99);
    dead_judge(&j, &x, 2, 0);
    for (int i = 0; i < 3; i++)
        assert_false(was_cut(&x, i));
    assert_int_equal(j.due, 1);
    release(&x);
}

static void not_for_a_judge_that_could_not_begin(void **state)
{
    struct table x;
    struct judge j;
    (void)state;
    dead_judge(&j, &x, 0, 0);
    for (int i = 0; i < 3; i++)
        assert_false(was_cut(&x, i));
    assert_true(j.wait_ms > 0);
    release(&x);
}

static int begin(void **state)
{
    (void)state;
    log_quiet(getenv("V") == NULL);
    log_init("test", LOG_LVL_ERROR, true);
    if (!mkdtemp(dir))
        return -1;
    snprintf(map_file, sizeof map_file, "%s/map", dir);
    snprintf(ca_file, sizeof ca_file, "%s/ca.pem", dir);
    snprintf(crl_file, sizeof crl_file, "%s/crl.pem", dir);
    root = certs_ca("root", NULL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    certs_release(&root);
    unlink(map_file);
    unlink(ca_file);
    unlink(crl_file);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_counts),
        cmocka_unit_test(accounts_count),
        cmocka_unit_test(true_bytes),
        cmocka_unit_test(lies),
        cmocka_unit_test(whoever_it_was_at),
        cmocka_unit_test(nobody_for_one_that_is_gone),
        cmocka_unit_test(not_for_a_judge_that_could_not_begin),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, begin, end);
}
