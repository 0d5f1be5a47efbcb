/* SPDX-License-Identifier: ISC */
/* A signer: the process that loads the PKCS#11 module of one token, and the only one that does. The
 * keeper starts it (consignd --signer), tells it key, module and PIN, and then gives it transcript hashes;
 * around each it puts the text of a server's CertificateVerify, and signs nothing else (scheme.h).
 *
 * It logs in at its start and never out, and holds a pool of sessions: as many threads with a handle
 * of the key each, since GnuTLS has one session and one mutex a key. The first is there when it says
 * that it is up; the others follow, and where the token allows no more of them it does with what it
 * has, and asks again every minute. A session that had nothing to do for the keep-alive time makes a
 * test signature, so that the token does not drop it and a loss is found before somebody needs it.
 *
 * Each signature is verified before it is given away: a faulty one may tell of the key (an RSA
 * signature by remainders, for one), and a token that makes such is as good as lost.
 *
 * It knows no deadlines, since a call into a module can't be broken off: whoever finds that it takes
 * too long kills it. Nor does it find a lost token again, as GnuTLS does not (gnutls_pkcs11_reinit
 * returns 0 and cures nothing): it says what failed, and is replaced. */
#ifndef CONSIGND_SIGNER_H
#define CONSIGND_SIGNER_H

enum { SIGNER_SESSIONS = 64 }; /* at most */

/* The signer's life; control is its end of the keeper's socket. Returns the exit status. */
int signer_main(int control);

#endif
