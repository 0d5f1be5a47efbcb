/* SPDX-License-Identifier: ISC */
/* What the files of the keeper share. Nobody else includes this.
 *
 * A request waits in the queue, or a token's signer has it, or it is answered and gone. A signer that
 * is given up gives what it had back to the queue, in its old place. */
#ifndef CONSIGND_KEEPER_INTERNAL_H
#define CONSIGND_KEEPER_INTERNAL_H

#include "config.h"
#include "hub.h"
#include "scheme.h"
#include "token.h"

/* One signature that a session asked for. */
struct request {
    uint64_t number;           /* in the order of their coming */
    struct hub_client *client; /* NULL: it does not wait for it any more */
    const struct scheme *scheme;
    uint8_t hash[SCHEME_HASH];
    uint8_t text[256]; /* a statement instead */
    size_t n_text;
    size_t n;
    int64_t asked_ns;
    int64_t due_ms;   /* then the session is told to try again later */
    int64_t given_ms; /* when the signer got it */
    unsigned tries;   /* signers that had it */
    struct request *next;
};

struct queue {
    struct request *first;
    size_t n;
};

enum token_state {
    TOKEN_DOWN, /* its signer is started anew when that is due */
    TOKEN_STARTING,
    TOKEN_UP,
    TOKEN_REFUSED, /* PIN or configuration: not tried again */
};

/* A token of the configuration: its signer, as the keeper sees it. */
struct token {
    const struct config_token *config;
    struct token_pin *pin; /* NULL: none; tokens with the same source share it */
    enum token_state state;
    int fd; /* -1: there is no signer */
    pid_t pid;
    int64_t due_ms; /* DOWN: when it is started; STARTING: when it is given up */
    int64_t backoff_ms;
    bool lost;           /* and that was told */
    uint64_t algorithms; /* what it signs with; kept while it is down */
    unsigned sessions;   /* so many at once */
    struct queue given;
    char reason[256]; /* why it is not up */
    enum err status;
    uint64_t signatures, starts, errors, hangs, deaths, failures;
    uint64_t seeds, unhealthy; /* its random bytes went into the pool, or failed a health test */
};

/* The one statement that is asked for; keeper_statement.c. */
struct statement {
    struct hub_client *client; /* NULL: nobody waits */
    uint64_t number;           /* of the request */
    const struct scheme *scheme;
};

enum { LATENCIES = 96 };

struct counts {
    uint64_t signatures, forbidden, shed_full, shed_late;
    size_t waiting_most;
    uint64_t latency[LATENCIES]; /* by size class, see keeper_status.c */
};

struct keeper {
    const struct config *config;
    int control;
    int epoll; /* of the signers' sockets */
    gnutls_pcert_st *chain;
    unsigned n_chain;
    struct scheme_key kind;
    struct token tokens[CONFIG_TOKENS + 1];
    size_t n_tokens;    /* for handshakes; behind them that of statements, where there is one */
    struct token *sign; /* that one; NULL: none */
    gnutls_pcert_st *sign_chain;
    unsigned n_sign_chain;
    struct scheme_key sign_kind;
    struct statement statement;
    const struct token *in_use; /* the first that is up; NULL: none */
    bool served;                /* the master was told that there is one */
    uint64_t told;              /* the algorithms that it was told of */
    struct queue waiting;
    uint64_t next_number;
    struct counts counts;
    bool changed; /* since the last status */
    int64_t status_due_ms;
    unsigned dying; /* children that were killed and not reaped yet */
    enum err end;   /* why it ends */
};

/* ---- keeper_queue.c ---- */

/* Takes a session's request: false when the queue has no room. */
bool queue_take(struct keeper *k, struct hub_client *from, const struct scheme *scheme,
                struct slice hash);
/* Its session is gone. */
void queue_forget(struct keeper *k, const struct hub_client *client);
/* Gives what waits to tokens, and sheds what may not wait longer. Before that, puts back what a signer
 * that is gone had. */
void queue_tend(struct keeper *k, int64_t now_ms);
void queue_put_back(struct keeper *k, struct token *t);
/* A signer's answer to a request that it had; status as in SIGNER_SIGNED. */
void queue_answer(struct keeper *k, struct token *t, const struct ipc_signer_signed *m);
/* When queue_tend has something to do next; INT64_MAX: nothing is known of. */
int64_t queue_next_ms(const struct keeper *k);
/* Gives the signer of t a request that nobody in the queue waits for: its number, 0 when it is lost now. */
uint64_t queue_direct(struct keeper *k, struct token *t, const struct scheme *scheme,
                      struct slice text);
/* Forgets all without a word. */
void queue_release(struct queue *q);
/* Sends an answer of status and closes nothing. */
enum hub_next queue_tell(const struct hub_client *to, enum err status, unsigned retry_s,
                         struct slice signature) MUST_CHECK;
/* In how many seconds a session may try again, 1 to 31. */
unsigned queue_retry_s(const struct keeper *k, int64_t now_ms);

/* ---- keeper_token.c ---- */

/* Reads the PINs, each source once. A token whose PIN can't be had is refused. */
enum err token_init_all(struct keeper *k) MUST_CHECK;
/* Hears signers, starts those that are due, gives up those that hang. */
void token_tend_all(struct keeper *k, int64_t now_ms);
int64_t token_next_ms(const struct keeper *k);
/* The token to give a request for that scheme to; NULL: none is up. */
struct token *token_for(struct keeper *k, const struct scheme *s);
/* Whether a token can sign by it, be it up or down. */
bool token_knows(const struct keeper *k, const struct scheme *s);
/* Hands it to the signer; false when that is lost now. */
bool token_give(struct keeper *k, struct token *t, struct request *r, int64_t now_ms);
/* Gives its signer up: kills it and starts another later. */
void token_lose(struct keeper *k, struct token *t, enum err status, const char *reason);
void token_release_all(struct keeper *k);

/* ---- keeper_statement.c: what the other key signs ---- */

/* A request of one of the server's own processes, over a socket of its own. */
enum hub_next statement_take(struct keeper *k, struct hub_client *from,
                             const struct ipc_in *in) MUST_CHECK;
/* What the signer says to a request, and that it is lost with all that it had. */
void statement_signed(struct keeper *k, const struct ipc_signer_signed *m);
void statement_lost(struct keeper *k);
void statement_forget(struct keeper *k, const struct hub_client *client);

/* ---- keeper_ticket.c ---- */

/* Has the first token's signer make a key of tickets; false when the master asked for nonsense. */
bool ticket_ask(struct keeper *k, const struct ipc_in *in) MUST_CHECK;
/* Its answer goes to the master and is erased here; false when it is none. */
bool ticket_forward(const struct keeper *k, const struct ipc_in *in) MUST_CHECK;

/* ---- keeper_status.c ---- */

void count_latency(struct keeper *k, int64_t asked_ns);
/* The microseconds that a share (per thousand) of all signatures took at most. */
uint64_t count_percentile(const struct counts *c, unsigned per_thousand);
/* Tells the master what has changed: which tokens sign and with what; now and then, the counts. */
void status_tend(struct keeper *k, int64_t now_ms);
/* What was not signed, for the audit log. */
void status_refused(const struct keeper *k, const struct hub_client *from, const char *why);
/* A token's change, for the audit log. */
void status_event(const struct keeper *k, const struct token *t, const char *state,
                  const char *reason);

#endif
