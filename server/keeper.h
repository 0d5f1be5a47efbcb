/* SPDX-License-Identifier: ISC */
/* The keeper: the only process of consignd that loads the PKCS#11 module and has the PIN. Started
 * by fork and exec (consignd --keeper), since PKCS#11 modules break across fork.
 *
 * It signs for a session over that session's own socket, and only what it recognises as the
 * server's CertificateVerify of TLS 1.3: an algorithm of TLS 1.3 that fits the key and
 * worked when the keeper started, a digest of exactly that algorithm's length (for Ed25519 the
 * whole text, whose context must be the server's), one signature a session. Anything else is logged with the session's peer, refused, and the socket
 * closed. */
#ifndef CONSIGND_KEEPER_H
#define CONSIGND_KEEPER_H

#include "config.h"
#include "err.h"

enum { KEEPER_CONTROL = 3 }; /* the descriptor that a keeper is started with */

/* Starts a keeper for config (which it reads anew from config_file). *control is the master's end
 * of the control socket, *pid the process. The keeper answers KEEPER_UP or KEEPER_FAILED there when
 * it knows. */
enum err keeper_start(const char *config_file, int *control, pid_t *pid) MUST_CHECK;

/* The keeper's life: loads module, PIN and key as config says, checks that the key fits the
 * certificate, makes a test signature with every algorithm that fits (one must work) and reports
 * which work; then serves until control closes. Returns the exit status. control is descriptor 3. */
int keeper_main(const struct config *config, int control);

/* The session's side: asks over fd for a signature. out gets up to *n bytes; *n is set. ERR_TOKEN
 * when the keeper refuses, fails or does not answer within 10 s. */
enum err keeper_sign(int fd, uint32_t algorithm, const void *data, size_t len, uint8_t *out,
                     size_t *n) MUST_CHECK;

#endif
