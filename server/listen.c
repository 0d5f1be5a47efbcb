/* SPDX-License-Identifier: ISC */
#include "listen.h"

#include "log.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

/* Splits where into host ("" for "*") and port. */
static enum err split(const char *where, char *host, size_t cap, char *port, size_t port_cap)
{
    const char *colon = strrchr(where, ':');
    size_t n = colon ? (size_t)(colon - where) : 0;
    if (!colon || !colon[1] || strlen(colon + 1) >= port_cap || n >= cap)
        return log_fail(ERR_CONFIG, "listen: \"%s\" is not ADDRESS:PORT, [V6]:PORT or *:PORT",
                        where);
    if (n >= 2 && where[0] == '[' && where[n - 1] == ']') {
        where++;
        n -= 2;
    }
    memcpy(host, where, n);
    host[n] = '\0';
    if (strcmp(host, "*") == 0)
        host[0] = '\0';
    snprintf(port, port_cap, "%s", colon + 1);
    return ERR_OK;
}

static enum err bind_to(const struct addrinfo *a, const char *where, int *out)
{
    int one = 1, zero = 0;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return log_fail_errno("listen: socket");
    if (a->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        enum err e = log_fail_errno("listening at %s", where);
        close(fd);
        return e == ERR_INTERNAL ? e : ERR_CONFIG;
    }
    *out = fd;
    return ERR_OK;
}

enum err listen_open(const char *where, int *fd, char name[static LISTEN_NAME])
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    struct sockaddr_storage bound = {0};
    socklen_t n = sizeof bound;
    char host[128], port[16];
    enum err e = split(where, host, sizeof host, port, sizeof port);
    if (e != ERR_OK)
        return e;
    if (!host[0])
        hints.ai_family = AF_INET6; /* takes IPv4 too */
    int rc = getaddrinfo(host[0] ? host : NULL, port, &hints, &list);
    if (rc != 0)
        return log_fail(ERR_CONFIG, "listen: \"%s\": %s", where, gai_strerror(rc));
    e = bind_to(list, where, fd);
    if (e != ERR_OK && !host[0]) {
        /* No IPv6 on this host. */
        freeaddrinfo(list);
        list = NULL;
        hints.ai_family = AF_INET;
        if (getaddrinfo(NULL, port, &hints, &list) == 0)
            e = bind_to(list, where, fd);
    }
    if (list)
        freeaddrinfo(list);
    if (e != ERR_OK)
        return e;
    if (getsockname(*fd, (struct sockaddr *)&bound, &n) < 0) {
        e = log_fail_errno("listen: getsockname");
        close(*fd);
        return e;
    }
    listen_peer(&bound, name);
    return ERR_OK;
}

void listen_peer(const struct sockaddr_storage *a, char name[static LISTEN_NAME])
{
    char text[INET6_ADDRSTRLEN] = "?";
    const struct sockaddr_in *v4 = (const void *)a;
    const struct sockaddr_in6 *v6 = (const void *)a;
    if (a->ss_family == AF_INET) {
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        snprintf(name, LISTEN_NAME, "%s:%u", text, ntohs(v4->sin_port));
    } else if (a->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, text, sizeof text);
        snprintf(name, LISTEN_NAME, "%s:%u", text, ntohs(v6->sin6_port));
    } else if (a->ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        snprintf(name, LISTEN_NAME, "[%s]:%u", text, ntohs(v6->sin6_port));
    } else {
        snprintf(name, LISTEN_NAME, "?");
    }
}
