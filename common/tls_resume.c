/* SPDX-License-Identifier: ISC */
/* Sessions that are resumed by tickets, and secrets that both ends of a connection can compute. */
#include "tls_internal.h"

#include "log.h"
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { TICKETS = 64, TICKET_MAX = 128 * 1024 };

struct tls_tickets {
    pthread_mutex_t lock;
    gnutls_datum_t list[TICKETS]; /* what GnuTLS resumes a session by; the newest is the last */
    unsigned n;
};

/* ---- a client's ---- */

static void wipe(gnutls_datum_t *d)
{
    if (d->data)
        gnutls_memset(d->data, 0, d->size);
    gnutls_free(d->data);
    *d = (gnutls_datum_t){0};
}

static void put(struct tls_tickets *k, gnutls_datum_t ticket)
{
    pthread_mutex_lock(&k->lock);
    if (k->n == TICKETS) {
        wipe(&k->list[0]);
        memmove(k->list, k->list + 1, sizeof k->list - sizeof k->list[0]);
        k->n--;
    }
    k->list[k->n++] = ticket;
    pthread_mutex_unlock(&k->lock);
}

/* Each is used once: who watches could else tell that two connections are one client's (RFC 8446,
 * C.4). */
static bool take(struct tls_tickets *k, gnutls_datum_t *ticket)
{
    pthread_mutex_lock(&k->lock);
    bool found = k->n > 0;
    if (found)
        *ticket = k->list[--k->n];
    pthread_mutex_unlock(&k->lock);
    return found;
}

/* GnuTLS remembers only the last one of a session. */
void tls_ticket_came(const struct tls *t)
{
    gnutls_datum_t ticket = {0};
    if (gnutls_session_get_data2(t->session, &ticket) < 0)
        return;
    if (ticket.size <= TICKET_MAX)
        put(t->tickets, ticket);
    else
        wipe(&ticket);
}

int tls_tickets_use(struct tls *t, struct tls_tickets *k)
{
    gnutls_datum_t ticket;
    t->tickets = k;
    int rc = gnutls_session_ticket_enable_client(t->session);
    if (rc < 0 || !take(k, &ticket))
        return rc;
    /* One that has run out leads to a full handshake. */
    if (gnutls_session_set_data(t->session, ticket.data, ticket.size) < 0)
        log_debug("a ticket can't be used");
    wipe(&ticket);
    return 0;
}

enum err tls_identity_keep_tickets(struct tls_identity *id)
{
    id->tickets = calloc(1, sizeof *id->tickets);
    if (!id->tickets)
        return log_fail(ERR_INTERNAL, "out of memory for tickets");
    pthread_mutex_init(&id->tickets->lock, NULL);
    return ERR_OK;
}

void tls_tickets_free(struct tls_tickets *k)
{
    if (!k)
        return;
    while (k->n > 0)
        wipe(&k->list[--k->n]);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

/* ---- a server's ---- */

enum err tls_accept_tickets(struct tls *t, const uint8_t key[static TLS_TICKET_KEY],
                            unsigned lifetime_s)
{
    /* GnuTLS copies it; its type lacks the const. */
    const gnutls_datum_t d = {(uint8_t *)(uintptr_t)key, TLS_TICKET_KEY};
    /* First, as the keys that it derives go by the lifetime. */
    gnutls_db_set_cache_expiration(t->session, (int)lifetime_s);
    int rc = gnutls_session_ticket_enable_server(t->session, &d);
    return rc < 0 ? log_fail(ERR_TLS, "setting up tickets: %s", gnutls_strerror(rc)) : ERR_OK;
}

enum err tls_send_tickets(struct tls *t, unsigned n, int64_t deadline_ms)
{
    enum err e = ERR_OK;
    short ready;
    int rc;
    while (((rc = gnutls_session_ticket_send(t->session, n, 0)) == GNUTLS_E_AGAIN ||
            rc == GNUTLS_E_INTERRUPTED) &&
           e == ERR_OK)
        e = tls_wait(t, POLLOUT, deadline_ms, &ready);
    if (e == ERR_TIMEOUT)
        return log_fail(e, "the peer does not take tickets");
    return e == ERR_OK && rc < 0 ? log_fail(ERR_TLS, "sending tickets: %s", gnutls_strerror(rc))
                                 : e;
}

/* ---- both ---- */

bool tls_resumed(const struct tls *t)
{
    return gnutls_session_is_resumed(t->session) != 0;
}

enum err tls_export(struct tls *t, const char *label, const void *context, size_t n,
                    uint8_t out[static TLS_EXPORT])
{
    int rc =
        gnutls_prf_rfc5705(t->session, strlen(label), label, n, context, TLS_EXPORT, (char *)out);
    return rc < 0 ? log_fail(ERR_TLS, "a secret of the connection: %s", gnutls_strerror(rc))
                  : ERR_OK;
}
