/* SPDX-License-Identifier: ISC */
/* Networks as they are written and matched; places and the processor as they are shared. */
#include "../../server/admission.h"
#include "../../server/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage s = {0};
    struct sockaddr_in *v4 = (void *)&s;
    struct sockaddr_in6 *v6 = (void *)&s;
    s.ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
    assert_int_equal(
        inet_pton(s.ss_family, text,
                  s.ss_family == AF_INET ? (void *)&v4->sin_addr : (void *)&v6->sin6_addr),
        1);
    return s;
}

static void networks_are_read_and_written(void **state)
{
    static const char *const good[] = {"192.0.2.0/24", "192.0.2.7",     "10.0.0.0/8",
                                       "0.0.0.0/0",    "2001:db8::/32", "2001:db8::1",
                                       "::1",          "::/0",          "192.0.2.128/25"};
    static const char *const bad[] = {"",
                                      "192.0.2",
                                      "192.0.2.7/24",
                                      "192.0.2.0/33",
                                      "192.0.2.0/",
                                      "192.0.2.0/08",
                                      "192.0.2.0/-1",
                                      "192.0.2.0/24x",
                                      "2001:db8::1/32",
                                      "::/129",
                                      "::/1000",
                                      "localhost",
                                      "/24",
                                      "192.0.2.0/24/24",
                                      "::::::::::::::::::::::::::::::::::::::::::::::::::::/1"};
    struct network n;
    char text[NETWORK_TEXT];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!network_parse(good[i], &n))
            fail_msg("refused: %s", good[i]);
        network_text(&n, text);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (network_parse(bad[i], &n))
            fail_msg("taken: %s", bad[i]);
    assert_true(network_parse("192.0.2.7/32", &n));
    network_text(&n, text);
    assert_string_equal(text, "192.0.2.7");
}

static void addresses_are_matched(void **state)
{
    static const struct {
        const char *network, *address;
        bool in;
    } rows[] = {
        {"192.0.2.0/24", "192.0.2.255", true},       {"192.0.2.0/24", "192.0.3.0", false},
        {"192.0.2.0/24", "::ffff:192.0.2.1", true},  {"::ffff:192.0.2.0/120", "192.0.2.1", true},
        {"192.0.2.0/25", "192.0.2.128", false},      {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.6", false},           {"0.0.0.0/0", "2001:db8::1", false},
        {"0.0.0.0/0", "255.255.255.255", true},      {"::/0", "192.0.2.1", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true}, {"2001:db8::/33", "2001:db8:8000::1", false},
    };
    struct network n;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sockaddr_storage a = address(rows[i].address);
        assert_true(network_parse(rows[i].network, &n));
        if (network_has(&n, &a) != rows[i].in)
            fail_msg("%s, %s", rows[i].network, rows[i].address);
    }
}

static void lists(void **state)
{
    struct networks all = {0};
    char bad[NETWORK_TEXT];
    struct sockaddr_storage in = address("10.1.2.3"), out = address("11.1.2.3");
    (void)state;
    assert_true(networks_parse(&all, "none", bad));
    assert_int_equal(all.n, 0);
    assert_true(networks_parse(&all, " 127.0.0.0/8,::1 ,\t10.0.0.0/8", bad));
    assert_int_equal(all.n, 3);
    assert_true(networks_have(&all, &in));
    assert_false(networks_have(&all, &out));
    assert_false(networks_parse(&all, "11.0.0.0/8 nonsense 12.0.0.0/8", bad));
    assert_string_equal(bad, "nonsense");
    assert_int_equal(all.n, 3);
    networks_release(&all);
}

static void same_peer(const char *a, const char *b, bool same)
{
    struct sockaddr_storage sa = address(a), sb = address(b);
    struct network na, nb;
    network_of_peer(&sa, &na);
    network_of_peer(&sb, &nb);
    if (network_eq(&na, &nb) != same)
        fail_msg("%s, %s", a, b);
}

static void what_counts_as_one_peer(void **state)
{
    (void)state;
    same_peer("192.0.2.1", "192.0.2.1", true);
    same_peer("192.0.2.1", "192.0.2.2", false);
    same_peer("192.0.2.1", "::ffff:192.0.2.1", true);
    same_peer("::ffff:192.0.2.1", "::ffff:192.0.2.2", false);
    same_peer("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true);
    same_peer("2001:db8:0:1::1", "2001:db8::1", false);
    same_peer("::1", "192.0.2.1", false);
}

/* Users take in turn what they can get, from the first on. */
static void share_out(uint64_t places, unsigned users, uint64_t *held)
{
    uint64_t taken = 0;
    for (unsigned u = 0; u < users; u++)
        for (held[u] = 0; admission_share(held[u], taken, places); held[u]++)
            taken++;
    assert_true(taken <= places);
}

static void nobody_takes_it_all(void **state)
{
    uint64_t held[3];
    (void)state;
    share_out(256, 1, held);
    assert_int_equal(held[0], 192);
    share_out(256, 3, held);
    assert_int_equal(held[1], 48);
    assert_true(held[2] > 0);
    /* A server of few places serves all the same. */
    share_out(1, 1, held);
    assert_int_equal(held[0], 1);
    share_out(2, 1, held);
    assert_int_equal(held[0], 2);
    assert_false(admission_share(0, 2, 2));
    assert_false(admission_share(0, 3, 2)); /* fewer since a reload */
}

static void weights(void **state)
{
    (void)state;
    assert_int_equal(admission_nice(0), 0);
    for (uint64_t n = 1; n <= ADMISSION_FULL; n++)
        assert_int_equal(admission_nice(n), 0);
    assert_int_equal(admission_nice(5), 1);
    assert_int_equal(admission_nice(8), 3);
    assert_int_equal(admission_nice(64), 12);
    assert_int_equal(admission_nice(100000), ADMISSION_NICE_MAX);
    for (uint64_t n = 1; n < 1000; n++)
        assert_true(admission_nice(n) <= admission_nice(n + 1));
}

static void time_and_descriptors(void **state)
{
    (void)state;
    assert_int_equal(admission_patience_ms(10), 2500);
    assert_int_equal(admission_patience_ms(1), 1000);
    assert_int_equal(admission_places(10), 0);
    assert_int_equal(admission_places(64), 16);
    assert_true(admission_places(1024) > 900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_are_read_and_written),
        cmocka_unit_test(addresses_are_matched),
        cmocka_unit_test(lists),
        cmocka_unit_test(what_counts_as_one_peer),
        cmocka_unit_test(nobody_takes_it_all),
        cmocka_unit_test(weights),
        cmocka_unit_test(time_and_descriptors),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
