/* SPDX-License-Identifier: ISC */
/* The master's side of the usher: what of a rule counts for sessions that run, whom it asks about and in which order, what
 * it makes of the answers, and of an usher that dies. What is asked of the usher itself is in test_usher_proof.c. */
#include "../../server/ipc.h"
#include "../../server/usher.h"
#include "../../server/usher_proof.h"
#include "lib/certs.h"
#include "log.h"
#include "tls.h"

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

static char dir[] = "/tmp/consign-usher-XXXXXX";
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

/* ---- a server, and sessions ---- */

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

enum { SESSIONS = 3 };

struct table {
    struct site site;
    struct usher u;
    struct sessions t;
    struct sessions_entry *entries[SESSIONS];
    int ends[SESSIONS]; /* the sessions' own */
    int usher;          /* the usher's own */
};

/* Sessions that run and are due, asked about by nobody. */
static void fill(struct table *x)
{
    int pair[2];
    *x = (struct table){0};
    open_site(&x->site, MAP);
    for (int i = SESSIONS - 1; i >= 0; i--) {
        struct sessions_entry *s = calloc(1, sizeof *s);
        assert_non_null(s);
        assert_int_equal(ipc_pair(pair), ERR_OK);
        *s = (struct sessions_entry){.fd = pair[0],
                                     .epoll = -1,
                                     .number = (uint64_t)i + 1,
                                     .due = 1,
                                     .proof = calloc(1, 3),
                                     .proof_n = 3,
                                     .granted = map_user_copy(map_user(x->site.policy.map, 0))};
        memcpy(s->proof, "abc", 3);
        buf_init(&s->vouch, IPC_SMALL);
        snprintf(s->user, sizeof s->user, "alice");
        x->ends[i] = pair[1];
        x->entries[i] = s;
        s->next = x->t.head;
        x->t.head = s;
        x->t.n++;
    }
    usher_init(&x->u, NULL);
    usher_wants(&x->u);
    assert_int_equal(ipc_pair(pair), ERR_OK);
    x->u.epoll = epoll_create1(EPOLL_CLOEXEC);
    x->u.fd = pair[0];
    x->u.pid = 1 << 29; /* none that could be */
    x->u.number = 5;
    x->usher = pair[1];
}

static void release(struct table *x)
{
    for (int i = 0; i < SESSIONS; i++) {
        sessions_close(x->entries[i]);
        close(x->ends[i]);
        sessions_free(x->entries[i]);
    }
    usher_stop(&x->u);
    close(x->usher);
    close(x->u.epoll);
    close_site(&x->site);
}

static void tick(struct table *x)
{
    usher_tick(&x->u, &x->t, &x->site.policy, tls_now_ms());
}

/* The next question's session, or 0. */
static uint64_t asked(struct table *x, enum usher_kind kind)
{
    static uint8_t buffer[IPC_MAX];
    struct ipc_in in;
    struct ipc_usher_ask m;
    if (ipc_recv(x->usher, buffer, sizeof buffer, &in, 0) != ERR_OK)
        return 0;
    assert_int_equal(in.type, IPC_USHER_ASK);
    assert_true(ipc_get_usher_ask(in.body, in.n, &m));
    assert_int_equal(m.kind, kind);
    return m.session;
}

static void says(struct table *x, uint64_t session, enum err status, uint32_t rule)
{
    assert_int_equal(IPC_SEND(x->usher, judging, JUDGING, .session = session), ERR_OK);
    assert_int_equal(IPC_SEND(x->usher, verdict, VERDICT, .session = session,
                              .status = (uint16_t)status, .reason = slice_str("a reason"),
                              .rule = rule, .user = slice_str("alice"), .until = INT64_MAX),
                     ERR_OK);
    usher_event(&x->u, &x->t, &x->site.policy, -1);
}

/* Its end: as what is left of it is reaped. */
static void ends(struct table *x)
{
    close(x->usher);
    x->u.pid = fork();
    if (x->u.pid == 0)
        _exit(0);
    assert_int_equal(waitpid(x->u.pid, NULL, 0), x->u.pid);
    assert_true(usher_reaped(&x->u, &x->t, &x->site.policy, x->u.pid, -1));
    x->usher = dup(x->ends[0]);
}

static bool was_cut(const struct table *x, int i, enum err status)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_cut m;
    if (ipc_recv(x->ends[i], buffer, sizeof buffer, &in, 0) != ERR_OK)
        return false;
    assert_int_equal(in.type, IPC_CUT);
    assert_true(ipc_get_cut(in.body, in.n, &m));
    assert_int_equal(m.status, status);
    return true;
}

static bool was_refused(const struct table *x, int i, enum err status)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_granted m;
    if (ipc_recv(x->ends[i], buffer, sizeof buffer, &in, 0) != ERR_OK)
        return false;
    assert_int_equal(in.type, IPC_GRANTED);
    assert_true(ipc_get_granted(in.body, in.n, &m));
    assert_int_equal(m.status, status);
    assert_int_equal(in.n_fds, 0);
    return true;
}

/* ---- who is asked about ---- */

static void each_that_is_due_once(void **state)
{
    struct table x;
    (void)state;
    fill(&x);
    x.entries[1]->due = INT64_MAX;
    tick(&x);
    assert_int_equal(asked(&x, USHER_AGAIN), 1);
    assert_int_equal(asked(&x, USHER_AGAIN), 3);
    assert_int_equal(asked(&x, USHER_AGAIN), 0);
    tick(&x);
    assert_int_equal(asked(&x, USHER_AGAIN), 0);
    says(&x, 1, ERR_OK, 0);
    says(&x, 3, ERR_OK, 0);
    tick(&x);
    assert_int_equal(asked(&x, USHER_AGAIN), 0);
    assert_int_equal(x.u.judged, 2);
    for (int i = 0; i < SESSIONS; i++)
        assert_false(was_cut(&x, i, ERR_OK));
    release(&x);
}

static void who_waits_to_be_let_in_goes_first(void **state)
{
    struct table x;
    (void)state;
    fill(&x);
    x.entries[2]->user[0] = '\0';
    tick(&x);
    assert_int_equal(asked(&x, USHER_FULL), 3);
    assert_int_equal(asked(&x, USHER_AGAIN), 1);
    assert_int_equal(asked(&x, USHER_AGAIN), 2);
    says(&x, 3, ERR_AUTH, 0);
    assert_true(was_refused(&x, 2, ERR_AUTH));
    tick(&x);
    assert_int_equal(asked(&x, USHER_FULL), 0);
    release(&x);
}

static void a_flood_of_them_leaves_room(void **state)
{
    struct table x;
    (void)state;
    fill(&x);
    x.entries[2]->user[0] = '\0';
    x.u.asked = 6;
    tick(&x);
    assert_int_equal(asked(&x, USHER_AGAIN), 1);
    assert_int_equal(asked(&x, USHER_AGAIN), 2);
    assert_int_equal(asked(&x, USHER_AGAIN), 0);
    says(&x, 1, ERR_OK, 0);
    says(&x, 2, ERR_OK, 0);
    x.u.asked--;
    tick(&x);
    assert_int_equal(asked(&x, USHER_FULL), 3);
    release(&x);
}

static void what_has_changed_is_cut(void **state)
{
    struct table x;
    (void)state;
    fill(&x);
    x.entries[1]->granted->roots[0].rights |= FS_MKDIR;
    tick(&x);
    says(&x, 1, ERR_AUTH, 0);
    says(&x, 2, ERR_OK, 0);
    says(&x, 3, ERR_OK, 77);
    assert_true(was_cut(&x, 0, ERR_AUTH));
    assert_true(was_cut(&x, 1, ERR_CONN));
    assert_true(was_cut(&x, 2, ERR_CONN));
    assert_int_equal(x.u.cut, 3);
    release(&x);
}

static void answers_that_nobody_waits_for(void **state)
{
    struct table x;
    (void)state;
    fill(&x);
    says(&x, 1, ERR_AUTH, 0);
    tick(&x);
    says(&x, 99, ERR_AUTH, 0);
    says(&x, 2, ERR_OK, 0);
    says(&x, 2, ERR_AUTH, 0);
    assert_false(was_cut(&x, 0, ERR_AUTH));
    assert_false(was_cut(&x, 1, ERR_AUTH));
    release(&x);
}

/* One of another policy than the one that the session was forked with names a rule that the session does not know. */
static void a_grant_by_another_policy(void **state)
{
    struct table x;
    (void)state;
    fill(&x);
    x.entries[0]->user[0] = '\0';
    x.entries[0]->generation = 1;
    tick(&x);
    says(&x, 1, ERR_OK, 0);
    assert_true(was_refused(&x, 0, ERR_LIMIT));
    release(&x);
}

/* The first session, with a process of its own, waits to be let in, and the usher says that its proof is a lie. */
static void lies(struct table *x)
{
    struct sessions_entry *s = x->entries[0];
    s->user[0] = '\0';
    s->pid = fork();
    if (s->pid == 0) {
        pause();
        _exit(0);
    }
    tick(x);
    assert_int_equal(asked(x, USHER_FULL), 1);
    assert_int_equal(IPC_SEND(x->usher, verdict, VERDICT, .session = 1, .status = ERR_AUTH,
                              .lied = 1, .reason = slice_str("a lie")),
                     ERR_OK);
    usher_event(&x->u, &x->t, &x->site.policy, -1);
}

static void a_liar_is_killed(void **state)
{
    struct table x;
    int status;
    (void)state;
    fill(&x);
    struct sessions_entry *s = x.entries[0];
    lies(&x);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    release(&x);
}

/* What shows another certificate of the server than the new policy has is none's fault. */
static void no_liar_of_another_policy(void **state)
{
    struct table x;
    int status;
    (void)state;
    fill(&x);
    struct sessions_entry *s = x.entries[0];
    s->generation = 1;
    lies(&x);
    assert_true(was_refused(&x, 0, ERR_LIMIT));
    assert_int_equal(kill(s->pid, SIGTERM), 0);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    release(&x);
}

/* ---- an usher that dies ---- */

static void whoever_it_was_at(void **state)
{
    struct table x;
    (void)state;
    fill(&x);
    tick(&x);
    says(&x, 1, ERR_OK, 0);
    assert_int_equal(IPC_SEND(x.usher, judging, JUDGING, .session = 2), ERR_OK);
    ends(&x);
    assert_false(was_cut(&x, 0, ERR_OK));
    assert_true(was_cut(&x, 1, ERR_INTERNAL));
    assert_false(was_cut(&x, 2, ERR_OK));
    assert_int_equal(x.u.pid, 0);
    assert_int_equal(x.u.wait_ms, 0);
    assert_int_equal(x.entries[2]->due, 1); /* of which the next one is asked */
    assert_int_equal(x.entries[2]->asked, 0);
    release(&x);
}

static void who_was_not_let_in_yet_is_refused(void **state)
{
    struct table x;
    (void)state;
    fill(&x);
    x.entries[0]->user[0] = x.entries[1]->user[0] = '\0';
    tick(&x);
    assert_int_equal(IPC_SEND(x.usher, judging, JUDGING, .session = 1), ERR_OK);
    ends(&x);
    assert_true(was_refused(&x, 0, ERR_INTERNAL));
    assert_false(was_refused(&x, 1, ERR_INTERNAL));
    assert_non_null(x.entries[1]->proof);
    release(&x);
}

static void nobody_for_one_that_is_gone(void **state)
{
    struct table x;
    (void)state;
    fill(&x);
    tick(&x);
    assert_int_equal(IPC_SEND(x.usher, judging, JUDGING, .session = 99), ERR_OK);
    ends(&x);
    for (int i = 0; i < SESSIONS; i++)
        assert_false(was_cut(&x, i, ERR_OK));
    release(&x);
}

static void not_for_one_that_could_not_begin(void **state)
{
    struct table x;
    (void)state;
    fill(&x);
    tick(&x);
    ends(&x);
    for (int i = 0; i < SESSIONS; i++)
        assert_false(was_cut(&x, i, ERR_OK));
    assert_true(x.u.wait_ms > 0);
    release(&x);
}

/* What one of the policy before says does not count. */
static void not_after_a_reload(void **state)
{
    struct table x;
    (void)state;
    fill(&x);
    tick(&x);
    assert_int_equal(IPC_SEND(x.usher, judging, JUDGING, .session = 1), ERR_OK);
    usher_event(&x.u, &x.t, &x.site.policy, -1);
    usher_reload(&x.u, &x.t);
    assert_int_equal(IPC_SEND(x.usher, verdict, VERDICT, .session = 1, .status = ERR_AUTH),
                     ERR_CONN);
    ends(&x);
    for (int i = 0; i < SESSIONS; i++)
        assert_false(was_cut(&x, i, ERR_OK));
    assert_int_equal(x.u.wait_ms, 0);
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
        cmocka_unit_test(each_that_is_due_once),
        cmocka_unit_test(who_waits_to_be_let_in_goes_first),
        cmocka_unit_test(a_flood_of_them_leaves_room),
        cmocka_unit_test(what_has_changed_is_cut),
        cmocka_unit_test(answers_that_nobody_waits_for),
        cmocka_unit_test(a_grant_by_another_policy),
        cmocka_unit_test(a_liar_is_killed),
        cmocka_unit_test(no_liar_of_another_policy),
        cmocka_unit_test(whoever_it_was_at),
        cmocka_unit_test(who_was_not_let_in_yet_is_refused),
        cmocka_unit_test(nobody_for_one_that_is_gone),
        cmocka_unit_test(not_for_one_that_could_not_begin),
        cmocka_unit_test(not_after_a_reload),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, begin, end);
}
