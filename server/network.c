/* SPDX-License-Identifier: ISC */
#include "network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAPPED_BITS = 96, ALL_BITS = 128, HOST_BITS_V6 = 64 };

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool is_mapped(const struct network *n)
{
    return n->bits >= MAPPED_BITS && memcmp(n->bytes, mapped, sizeof mapped) == 0;
}

/* Clears what is beyond the prefix; whether all of it was clear. */
static bool trim(struct network *n)
{
    bool clear = true;
    for (unsigned i = 0; i < sizeof n->bytes; i++) {
        unsigned keep = n->bits >= 8 * (i + 1) ? 8 : n->bits > 8 * i ? n->bits - 8 * i : 0;
        uint8_t mask = (uint8_t)(0xff00u >> keep);
        clear &= (n->bytes[i] & ~mask) == 0;
        n->bytes[i] &= mask;
    }
    return clear;
}

static bool parse_address(const char *text, struct network *out)
{
    *out = (struct network){.bits = ALL_BITS};
    if (inet_pton(AF_INET6, text, out->bytes) == 1)
        return true;
    memcpy(out->bytes, mapped, sizeof mapped);
    return inet_pton(AF_INET, text, out->bytes + sizeof mapped) == 1;
}

static bool parse_bits(const char *text, unsigned most, unsigned *out)
{
    size_t n = strlen(text);
    *out = 0;
    if (n == 0 || n > 3 || strspn(text, "0123456789") != n || (n > 1 && text[0] == '0'))
        return false;
    *out = (unsigned)atoi(text);
    return *out <= most;
}

bool network_parse(const char *text, struct network *out)
{
    char address[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    unsigned bits = ALL_BITS;
    if (n >= sizeof address)
        return false;
    memcpy(address, text, n);
    address[n] = '\0';
    if (!parse_address(address, out))
        return false;
    unsigned before = strchr(address, ':') ? 0 : MAPPED_BITS;
    if (slash && !parse_bits(slash + 1, ALL_BITS - before, &bits))
        return false;
    out->bits = (uint8_t)(slash ? before + bits : ALL_BITS);
    return trim(out);
}

static void of_address(const struct sockaddr_storage *address, struct network *out)
{
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;
    *out = (struct network){.bits = ALL_BITS};
    if (address->ss_family == AF_INET6) {
        memcpy(out->bytes, &v6->sin6_addr, sizeof out->bytes);
    } else if (address->ss_family == AF_INET) {
        memcpy(out->bytes, mapped, sizeof mapped);
        memcpy(out->bytes + sizeof mapped, &v4->sin_addr, sizeof v4->sin_addr);
    }
}

bool network_has(const struct network *n, const struct sockaddr_storage *address)
{
    struct network one;
    of_address(address, &one);
    if (is_mapped(&one) && n->bits < MAPPED_BITS)
        return false;
    one.bits = n->bits;
    (void)trim(&one);
    return network_eq(n, &one);
}

void network_of_peer(const struct sockaddr_storage *address, struct network *out)
{
    of_address(address, out);
    if (is_mapped(out))
        return;
    out->bits = HOST_BITS_V6;
    (void)trim(out);
}

bool network_eq(const struct network *a, const struct network *b)
{
    return a->bits == b->bits && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

void network_text(const struct network *n, char out[static NETWORK_TEXT])
{
    char address[INET6_ADDRSTRLEN] = "?";
    bool v4 = is_mapped(n);
    unsigned bits = v4 ? n->bits - MAPPED_BITS : n->bits;
    if (v4)
        (void)inet_ntop(AF_INET, n->bytes + sizeof mapped, address, sizeof address);
    else
        (void)inet_ntop(AF_INET6, n->bytes, address, sizeof address);
    if (n->bits == ALL_BITS)
        snprintf(out, NETWORK_TEXT, "%s", address);
    else
        snprintf(out, NETWORK_TEXT, "%s/%u", address, bits);
}

/* ---- lists ---- */

static bool add(struct networks *all, const struct network *one)
{
    struct network *grown = realloc(all->list, (all->n + 1) * sizeof *grown);
    if (!grown)
        return false;
    all->list = grown;
    grown[all->n++] = *one;
    return true;
}

bool networks_parse(struct networks *all, const char *text, char bad[static NETWORK_TEXT])
{
    size_t before = all->n;
    char *copy = strdup(text), *rest = copy, *word = NULL;
    bool good = copy != NULL;
    while (good && (word = strsep(&rest, " \t,"))) {
        struct network one;
        if (*word && strcmp(word, "none") != 0)
            good = network_parse(word, &one) && add(all, &one);
    }
    if (!good) {
        all->n = before;
        snprintf(bad, NETWORK_TEXT, "%s", word ? word : text);
    }
    free(copy);
    return good;
}

bool networks_have(const struct networks *all, const struct sockaddr_storage *address)
{
    for (size_t i = 0; i < all->n; i++)
        if (network_has(&all->list[i], address))
            return true;
    return false;
}

void networks_release(struct networks *all)
{
    free(all->list);
    *all = (struct networks){0};
}
