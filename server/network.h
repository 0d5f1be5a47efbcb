/* SPDX-License-Identifier: ISC */
/* Networks of IPv4 and IPv6: written in a configuration, and what counts as one peer for admission.
 *
 * All are held as IPv6, an IPv4 address as the mapped one (RFC 4291, 2.5.5.2), which is also how a
 * socket of both families shows it: so a peer is the same whatever the listening socket is. */
#ifndef CONSIGND_NETWORK_H
#define CONSIGND_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct network {
    uint8_t bytes[16]; /* zero beyond bits */
    uint8_t bits;      /* of the IPv6 form: 96 more than an IPv4 prefix has */
};

enum { NETWORK_TEXT = 50 };

/* "192.0.2.0/24", "2001:db8::/32", or an address alone, which is the network of itself. False for
 * anything else, and where bits are set beyond the prefix: that is more often a mistake than meant. */
bool network_parse(const char *text, struct network *out);

/* Whether the address is in n. IPv4 is in no network that is written as IPv6, ::/0 among them. */
bool network_has(const struct network *n, const struct sockaddr_storage *address);

/* What counts as one peer: the IPv4 address, or the /64 of IPv6, which is what a host gets at least
 * (RFC 6177). An address of any other family is all zero. */
void network_of_peer(const struct sockaddr_storage *address, struct network *out);

bool network_eq(const struct network *a, const struct network *b);

/* As network_parse takes it; a network that is one address without its prefix. */
void network_text(const struct network *n, char out[static NETWORK_TEXT]);

/* ---- lists ---- */

struct networks {
    struct network *list;
    size_t n;
};

/* Adds those of text, separated by blanks or commas; "none" adds none. False when a word of it is no
 * network, or memory ran out: then the list is as it was, and bad is that word (cut). */
bool networks_parse(struct networks *all, const char *text, char bad[static NETWORK_TEXT]);
bool networks_have(const struct networks *all, const struct sockaddr_storage *address);
void networks_release(struct networks *all);

#endif
