/* SPDX-License-Identifier: ISC */
/* TLS as consign uses it: version 1.3 only, ALPN consign/1 demanded and checked, certificates on
 * both sides, tickets where both sides want them, no early data. Sockets are non-blocking; sending is gathered to 128 KiB a
 * system call.
 *
 * The peer's certificate is NOT judged here: the caller takes tls_peer_chain to cert_judge (cert.h), a server after
 * tls_handshake, a client by tls_judge and, in a resumed session, after it. One struct tls serves one connection in one process. */
#ifndef CONSIGN_TLS_H
#define CONSIGN_TLS_H

#include "err.h"
#include "tls_policy.h"
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <stddef.h>
#include <stdint.h>

/* What is the same for all connections of a process: the algorithms and who we are. */
struct tls_identity;

/* policy says which algorithms are offered. key moves in (also on failure); chain is copied (n
 * certificates, leaf first). */
enum err tls_identity_new(bool server, const struct tls_policy *policy,
                          const gnutls_pcert_st *chain, unsigned n, gnutls_privkey_t key,
                          struct tls_identity **out) MUST_CHECK;
void tls_identity_free(struct tls_identity *id);

/* A private key that lives elsewhere: sign is called with a gnutls_sign_algorithm_t, the digest
 * (Ed25519: the text) and room for *sig_n bytes, and returns ERR_OK with the signature. The key's
 * kind and size are those of leaf; algorithms is the set that it signs with (bit n:
 * gnutls_sign_algorithm_t n), and no other is used in a handshake. */
typedef enum err tls_sign_fn(void *arg, uint32_t algorithm, const void *data, size_t n,
                             uint8_t *sig, size_t *sig_n);
enum err tls_key_external(const gnutls_pcert_st *leaf, uint64_t algorithms, tls_sign_fn *sign,
                          void *arg, gnutls_privkey_t *out) MUST_CHECK;

struct tls;

/* A connection over the connected socket fd, which moves in (closed by tls_free, also on failure).
 * The client gives the server's host name for SNI (not used for addresses); the server gives NULL.
 */
enum err tls_new(struct tls_identity *id, int fd, const char *host, struct tls **out) MUST_CHECK;
void tls_free(struct tls *t);

/* A client, before its handshake: judge looks at the server's certificates (tls_peer_chain) before this side shows its own or
 * signs. Its error, which it logs, ends the handshake and is that of tls_handshake. Nobody is asked where the session is resumed. NULL: nobody
 * any more. */
typedef enum err tls_judge_fn(void *arg, const struct tls *t);
void tls_judge(struct tls *t, tls_judge_fn *judge, void *arg);

/* Runs the handshake until deadline_ms (tls_now_ms). On failure an alert is sent and the reason is
 * logged. */
enum err tls_handshake(struct tls *t, int64_t deadline_ms) MUST_CHECK;

/* The server's own key is out of reach for now, and may not be after so many seconds (1 to
 * TLS_RETRY_MAX_S): a handshake that fails for want of its signature then ends with the alert
 * TLS_ALERT_RETRY + seconds, of the range that IANA keeps for private use (224 to 255), and is
 * ERR_AWAY at both ends. */
enum { TLS_ALERT_RETRY = 224, TLS_RETRY_MAX_S = 31 };
void tls_retry_after(struct tls *t, unsigned seconds);
/* After ERR_AWAY: the seconds. What the server says so is protected from third parties' eyes, but by
 * no certificate: whoever stands in its place can say it. */
unsigned tls_retry_s(const struct tls *t);

/* The peer's certificates, leaf first; borrowed; NULL and 0 when there are none. */
const gnutls_datum_t *tls_peer_chain(const struct tls *t, unsigned *n);

/* What the handshake agreed on; borrowed. */
const struct tls_agreed *tls_agreed(const struct tls *t);

/* ---- resumption by tickets (RFC 8446, 2.2): a new (EC)DHE exchange each time, no signatures ----
 *
 * A resumed session has the certificates of the first one, which nobody has looked at since: judge
 * them as after any other handshake. */

/* A client's connections keep the tickets that they are sent, and use them for the next ones, each once.
 * The identity must then be for connections to one server. Any number of threads. */
enum err tls_identity_keep_tickets(struct tls_identity *id) MUST_CHECK;

/* A server, before the handshake: takes tickets that were made by this key (copied), and can make such.
 * lifetime_s: of tickets, at most 7 days; all servers that share the key must have the same, as GnuTLS derives what it
 * uses from key, lifetime and time, anew every 3 * lifetime_s seconds since 1970. */
enum { TLS_TICKET_KEY = 64 };
enum err tls_accept_tickets(struct tls *t, const uint8_t key[static TLS_TICKET_KEY],
                            unsigned lifetime_s) MUST_CHECK;

/* A server, after its verdict: sends n of them; nothing to a peer that can't resume. */
enum err tls_send_tickets(struct tls *t, unsigned n, int64_t deadline_ms) MUST_CHECK;

/* After the handshake: whether it was by a ticket. */
bool tls_resumed(const struct tls *t);

/* 32 bytes that both ends of this connection can compute and nobody else: the exporter of RFC 8446, 7.5,
 * with that label and a context of n bytes. */
enum { TLS_EXPORT = 32 };
enum err tls_export(struct tls *t, const char *label, const void *context, size_t n,
                    uint8_t out[static TLS_EXPORT]) MUST_CHECK;

/* Encrypts and gathers n bytes; returns ERR_OK with *done bytes taken (at most 16 KiB a call), or
 * ERR_BUSY (silent) when the socket is full: poll for it, call again with the same arguments. */
enum err tls_write(struct tls *t, const void *p, size_t n, size_t *done) MUST_CHECK;

/* Hands gathered bytes to the socket. ERR_BUSY (silent) when it took only a part. */
enum err tls_flush(struct tls *t) MUST_CHECK;

/* At most n bytes of content. ERR_OK with *got 0: the peer closed in order. ERR_BUSY (silent): nothing
 * there yet. ERR_CONN: the connection was cut. */
enum err tls_read(struct tls *t, void *p, size_t n, size_t *got) MUST_CHECK;

/* Waits until deadline_ms for the socket, after tls_read was ERR_BUSY: what it took in beforehand does not
 * end the wait. events and result as poll's POLLIN and POLLOUT.
 * ERR_TIMEOUT is silent. */
enum err tls_wait(struct tls *t, short events, int64_t deadline_ms, short *ready) MUST_CHECK;

/* The same, and the wait ends with *ready 0 when the descriptor also is readable (-1: there is none). */
enum err tls_wait_also(struct tls *t, short events, int also, int64_t deadline_ms,
                       short *ready) MUST_CHECK;

/* Says close_notify (best effort, never waits). */
void tls_bye(struct tls *t);

/* Payload and handshake bytes that crossed the socket. */
uint64_t tls_bytes_in(const struct tls *t);
uint64_t tls_bytes_out(const struct tls *t);

/* Bytes sent that the peer's kernel acknowledged; 0 where the socket is not TCP. */
uint64_t tls_bytes_acked(const struct tls *t);

/* The kernel's estimate of the round trip; 0 where the socket is not TCP. */
unsigned tls_round_trip_ms(const struct tls *t);

/* Bounds what the kernel keeps of bytes that we did not take yet; as good as the kernel can. */
void tls_receive_room(struct tls *t, int bytes);

/* CLOCK_MONOTONIC in milliseconds and in nanoseconds. */
int64_t tls_now_ms(void);
int64_t tls_now_ns(void);

#endif
