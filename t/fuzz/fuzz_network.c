/* SPDX-License-Identifier: ISC */
/* Networks as they are written: a list that is taken is written again as one that is taken, and is the same; and an
 * address is in a network when a look at it bit by bit says so. An input: u8 4 or 6, 16 bytes of an address, text. */
#include "fuzz.h"

#include "../../server/network.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

/* The address as a socket tells it, and in the one form that networks are held in. */
static void make_address(bool v4, const uint8_t bytes[static 16], struct sockaddr_storage *out,
                         uint8_t whole[static 16])
{
    struct sockaddr_in *in = (void *)out;
    struct sockaddr_in6 *in6 = (void *)out;
    memset(out, 0, sizeof *out);
    memset(whole, 0, 16);
    if (v4) {
        in->sin_family = AF_INET;
        memcpy(&in->sin_addr, bytes, 4);
        whole[10] = whole[11] = 0xff;
        memcpy(whole + 12, bytes, 4);
    } else {
        in6->sin6_family = AF_INET6;
        memcpy(&in6->sin6_addr, bytes, 16);
        memcpy(whole, bytes, 16);
    }
}

static bool bit(const uint8_t *bytes, unsigned i)
{
    return bytes[i / 8] >> (7 - i % 8) & 1;
}

static bool is_mapped(const uint8_t *bytes)
{
    static const uint8_t front[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(bytes, front, sizeof front) == 0;
}

static bool expected(const struct network *n, const uint8_t *whole)
{
    for (unsigned i = 0; i < n->bits; i++)
        if (bit(n->bytes, i) != bit(whole, i))
            return false;
    return n->bits >= 96 || !is_mapped(whole);
}

static void check_one(const struct network *n, const struct sockaddr_storage *address,
                      const uint8_t *whole)
{
    char text[NETWORK_TEXT];
    struct network again;
    FUZZ_MUST(n->bits <= 128);
    for (unsigned i = n->bits; i < 128; i++)
        FUZZ_MUST(!bit(n->bytes, i));
    network_text(n, text);
    FUZZ_MUST(network_parse(text, &again) && network_eq(n, &again));
    FUZZ_MUST(network_has(n, address) == expected(n, whole));
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct sockaddr_storage address;
    struct networks all = {0};
    struct network peer;
    uint8_t whole[16];
    char bad[NETWORK_TEXT];
    if (n < 17)
        return;
    make_address(data[0] == 4, data + 1, &address, whole);
    char *text = fuzz_text(slice_of(data + 17, n - 17));
    bool any = false;
    if (networks_parse(&all, text, bad)) {
        for (size_t i = 0; i < all.n; i++) {
            check_one(&all.list[i], &address, whole);
            any |= expected(&all.list[i], whole);
        }
        FUZZ_MUST(networks_have(&all, &address) == any);
    } else {
        FUZZ_MUST(all.n == 0);
    }
    network_of_peer(&address, &peer);
    check_one(&peer, &address, whole);
    FUZZ_MUST(network_has(&peer, &address));
    networks_release(&all);
    free(text);
}

static void seed(uint8_t family, const char *address, const char *text)
{
    uint8_t raw[16] = {0};
    struct buf b;
    FUZZ_MUST(inet_pton(family == 4 ? AF_INET : AF_INET6, address, raw) == 1);
    buf_init(&b, 4096);
    wire_put_u8(&b, family);
    buf_put(&b, raw, sizeof raw);
    buf_put(&b, text, strlen(text));
    fuzz_seed(b.data, b.len);
    buf_release(&b);
}

void fuzz_seeds(void)
{
    seed(4, "192.0.2.7", "192.0.2.0/24, 10.0.0.0/8 127.0.0.1 0.0.0.0/0");
    seed(6, "2001:db8::1", "2001:db8::/32 ::1 ::/0 none");
    seed(6, "::ffff:192.0.2.7", "192.0.2.0/25 ::ffff:0:0/96 ::ffff:c000:200/120 ::/0");
    seed(4, "10.1.2.3", "::/0 10.0.0.0/7 10.1.2.3/32");
}
