/* SPDX-License-Identifier: ISC */
/* PKCS#11 tokens through GnuTLS: modules, PINs, keys by URL (RFC 7512). The only includer of
 * gnutls/pkcs11.h beside pki/. Not to be used in a process that forks afterwards, nor after a
 * fork. */
#ifndef CONSIGN_TOKEN_H
#define CONSIGN_TOKEN_H

#include "err.h"
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <stddef.h>
#include <stdint.h>

/* Where a PIN comes from. Text forms: "file:PATH" (or just a path), "fd:N", "credential:NAME" (a
 * file of that name in $CREDENTIALS_DIRECTORY), "prompt" (the terminal, without echo). A trailing
 * newline is cut. Never the command line, never an environment variable. The file must be private
 * (conf_open). */
struct token_pin;
enum err token_pin_new(const char *source, struct token_pin **out) MUST_CHECK;
void token_pin_free(struct token_pin *p);
/* A PIN that was read elsewhere, n bytes at text, which may be wiped afterwards. */
enum err token_pin_given(const void *text, size_t n, struct token_pin **out) MUST_CHECK;
/* What a prompt asks for; default "PIN". Copied, cut at 63 bytes. */
void token_pin_label(struct token_pin *p, const char *label);
/* Reads the PIN into locked memory and returns it (borrowed until token_pin_forget; read once, then
 * remembered); NULL, logged, when it can't be had: empty, over 255 bytes, more than one line, no
 * terminal. */
const char *token_pin_get(struct token_pin *p);
/* Overwrites what token_pin_get read. */
void token_pin_forget(struct token_pin *p);

/* Sets NAME=VALUE for a module that is configured by its environment (SoftHSM by SOFTHSM2_CONF), before
 * token_start. ERR_CONFIG, logged, for a name that is not capital letters, digits and _, or that the
 * dynamic linker would listen to (LD_...). NULL does nothing. */
enum err token_environment(const char *assignment) MUST_CHECK;

/* Starts PKCS#11 in this process with exactly one module (a path; NULL: the modules p11-kit is
 * configured with) and pin (may be NULL; both borrowed until token_stop) as the one answer to PIN questions. A wrong PIN
 * is given once and never again: the second question, or a token that says this is the final try,
 * is answered with a refusal, so that no token is locked by us. A token that only reports an
 * earlier wrong PIN is warned of and answered, or else one mistake would shut out the right PIN for
 * good. */
enum err token_start(const char *module, struct token_pin *pin) MUST_CHECK;
void token_stop(void);

/* Keys of the token are in use from now on: token_load_key does not start it anew to have another look for one that
 * does not show. */
void token_hold(void);

/* The private key at ref: a pkcs11: URL, or a PEM file (private, see conf_open). ERR_PIN for a
 * refused PIN, ERR_TOKEN for a token or key that is not there; the message says which, and what to
 * do. A key in a token that is extractable is refused unless allow_extractable. The caller frees
 * with gnutls_privkey_deinit. */
enum err token_load_key(const char *ref, bool allow_extractable, gnutls_privkey_t *out) MUST_CHECK;

/* One more handle of a key that token_load_key gave: in a token, one more session. Nothing is logged
 * when it can't be had, as a token may have no more of them. */
enum err token_load_another(const char *ref, gnutls_privkey_t *out) MUST_CHECK;

/* The certificate chain at ref, leaf first: a PEM file, one certificate as DER, or a pkcs11: URL (one certificate). The
 * caller frees each pcert and the array by token_free_chain. */
enum err token_load_chain(const char *ref, gnutls_pcert_st **out, unsigned *n) MUST_CHECK;
void token_free_chain(gnutls_pcert_st *chain, unsigned n);

/* The signature that is made with a key of this kind for a test; GNUTLS_SIGN_UNKNOWN for kinds that
 * are not supported. */
gnutls_sign_algorithm_t token_algorithm(gnutls_pubkey_t pub);

/* Whether key's public half is the chain's leaf's: ERR_CONFIG, logged, when not. */
enum err token_match(gnutls_privkey_t key, const gnutls_pcert_st *leaf,
                     const char *what) MUST_CHECK;

/* The log text for a GnuTLS error of a token operation, and the matching enum err. */
enum err token_fail(int rc, const char *fmt, ...) __attribute__((format(printf, 2, 3))) MUST_CHECK;

/* HMAC-SHA512 (RFC 2104) of n bytes by the secret key at url, in its token. ERR_CONFIG for a key that is
 * extractable (unless allowed), none, or that the token can't use so; else as token_load_key. */
enum { TOKEN_HMAC = 64 };
enum err token_hmac(const char *url, bool allow_extractable, const void *data, size_t n,
                    uint8_t out[static TOKEN_HMAC]) MUST_CHECK;

/* n bytes of the generator of the token that url is in. */
enum err token_random(const char *url, void *out, size_t n) MUST_CHECK;

bool token_is_url(const char *ref);

#endif
