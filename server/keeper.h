/* SPDX-License-Identifier: ISC */
/* The keeper: what stands between sessions and tokens. It has the PINs and says what may be signed,
 * and it loads no PKCS#11 module: for each token of the configuration it starts a signer (signer.h)
 * that does. Started by fork and exec (consignd --keeper).
 *
 * A session asks over a socket of its own, once, and only for the server's CertificateVerify of TLS 1.3: it
 * names an algorithm and the transcript hash, and the text that is signed is put together around that by the
 * signer (scheme.h), so nothing else can even be asked for. An algorithm that does not fit the key or
 * that no token proved, a hash of another length, and a second request are logged with the session's
 * peer, refused, and the socket closed. Before a session has its signature, the master is told of it (VOUCH), so
 * that it can be known later which handshake was this session's.
 *
 * Requests wait in one queue, in the order of their coming: sign-queue of them, each for sign-wait.
 * They go to the first token of the list that is up, as many at once as it has sessions; a later one
 * serves while those before it are down, and no longer. A signer that dies, reports an error or takes
 * longer than sign-timeout is killed and started again, at once and then with a delay that grows to
 * 2 s; what it had is given to the next, up to three times. A PIN is read from its source once, and a
 * token that refused it is left alone until the next keeper.
 *
 * A request that finds no room in the queue, or that was not signed in its time, is answered AWAY with
 * the seconds after which to try again (1 to 31): the session says so in a TLS alert. */
#ifndef CONSIGND_KEEPER_H
#define CONSIGND_KEEPER_H

#include "config.h"
#include "err.h"
#include "wire.h"

/* Starts a keeper for config (which it reads anew from config_file). *control is the master's end
 * of the control socket, *pid the process. The keeper answers KEEPER_UP there once a token signs, or
 * KEEPER_FAILED when none does; later KEEPER_UP when the algorithms change, KEEPER_EVENT and
 * KEEPER_STATUS. */
enum err keeper_start(const char *config_file, int *control, pid_t *pid) MUST_CHECK;

/* The keeper's life: serves until control closes, with tokens or without once there was one. Returns
 * the exit status. */
int keeper_main(const struct config *config, int control);

/* The session's side: a socket to the keeper, which is asked once. */
struct keeper_ask {
    int fd;
    int timeout_ms;
    unsigned retry_s; /* with ERR_AWAY: after how many seconds to try again, 1 to 31 */
};

/* Asks for the server's CertificateVerify over a transcript hash. out gets up to *n bytes; *n is set. ERR_AWAY when no token signs now; ERR_TOKEN
 * when the keeper refuses, is gone or does not answer. */
enum err keeper_sign(struct keeper_ask *ask, uint32_t algorithm, struct slice hash, uint8_t *out,
                     size_t *n) MUST_CHECK;

#endif
