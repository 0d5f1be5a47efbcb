/* SPDX-License-Identifier: ISC */
/* What the commands of consign share: options, profiles, the connection, the ways of showing. */
#ifndef CONSIGN_CLIENT_H
#define CONSIGN_CLIENT_H

#include "cert.h"
#include "chan.h"
#include "fs.h"
#include "xfer.h"
#include <popt.h>

/* Options that every command takes, before or after its name. */
struct options {
    char *config;
    int json, quiet, verbose, nice;
};
extern struct options options;
extern struct poptOption option_table[];

/* A command: its name, what its arguments are called, one line of help, and what it does with its
 * arguments (argv[0] is its name). */
struct command {
    const char *name;
    const char *arguments;
    const char *help;
    enum err (*run)(const struct command *self, int argc, const char **argv);
};
extern const struct command commands[];

/* Parses a command's own table (may be NULL) and the common options; *args gets what is left, at
 * least min and at most max words (max < 0: any number), ended by NULL. ERR_USAGE, logged. args
 * live as long as *ctx. --help is printed and ends the process. */
enum err command_parse(const struct command *self, int argc, const char **argv,
                       struct poptOption *table, int min, int max, poptContext *ctx,
                       const char ***args) MUST_CHECK;

/* ---- profiles: consign.conf(5) is part of consign(1) ---- */

struct profile {
    char *name;
    char *host, *port;
    bool addressed; /* host and port are not the profile's own: consign://HOST[:PORT] gave them */
    char *ca, *crl;
    bool crl_require;
    struct cert_staleness crl_stale;
    char *certificate, *key;
    char *module, *module_env, *pin;
    char *server_name; /* checked against the certificate; default: host */
    bool allow_extractable;
    struct tls_policy tls; /* fips, groups */
    uint64_t retry_s;      /* a server whose token is unavailable is asked again for so long */
    bool tickets;          /* of the server are used for further connections */
    uint64_t stall_s;      /* a connection on which nothing moves for so long is given up */
    bool confine_require;  /* confine = require | best */
    uint64_t rate;         /* bytes a second of all connections together, both ways; 0: no limit */
    struct pace *pace;     /* what they share it by; NULL: no limit */
    enum xfer_compress compress;
};

/* Sets p->compress by its name: "auto", "on", "off"; NULL leaves it. ERR_USAGE, logged. */
enum err profile_compress(struct profile *p, const char *name) MUST_CHECK;

/* Calls each with the name of every profile, in the file's order. ERR_CONFIG, logged. */
typedef void profile_fn(void *arg, const char *name);
enum err profile_each(profile_fn *each, void *arg) MUST_CHECK;

/* A thing at a server: a profile and a virtual path. */
struct remote {
    struct profile *profile;
    char path[PATH_MAX_BYTES + 1];
    bool folder; /* the text ended in "/" */
};

/* Whether text names something at a server: NAME:/PATH or consign://HOST[:PORT]/PATH. */
bool remote_is(const char *text);

/* Parses it and reads its profile. ERR_USAGE or ERR_CONFIG, logged. */
enum err remote_parse(const char *text, struct remote *out) MUST_CHECK;
void remote_release(struct remote *r);

/* What --rate says (NULL: nothing) goes before the profile's own rate; before any link_open.
 * ERR_USAGE, logged. */
enum err profile_rate(struct profile *p, const char *text) MUST_CHECK;

/* path at r's server as the user would write it: "NAME:/PATH". */
void remote_text(const struct remote *r, const char *path, char *out, size_t cap);

/* The path of one more text of a command, which must name the same server in the same way. What the
 * profile says is not read again: it may have been replaced meanwhile. ERR_USAGE or ERR_NAME,
 * logged. */
enum err remote_also(const struct remote *first, const char *text,
                     char path[static PATH_MAX_BYTES + 1]) MUST_CHECK;

/* ---- the connection ---- */

struct link {
    struct chan chan;
    struct papers *papers;
    bool borrowed; /* the papers are another link's */
    const struct tree_engine *engine;
    enum xfer_compress compress;
    uint32_t next_id;
    uint8_t server_key[WIRE_HASH]; /* fingerprint of the public key that the server was judged by */
    char user[65], session[33], agent[65], rights[257], server[513];
    struct tls_agreed agreed;
    char unapproved[FIPS_NOTE]; /* "" with fips = off */
    uint64_t quota;
    bool resumed;    /* by a ticket of an earlier connection */
    int64_t idle_ms; /* without a request for so long, the server ends the connection */
};

/* Connects, authenticates both ways, reads the server's verdict. */
enum err link_open(const struct profile *p, struct link *out) MUST_CHECK;
/* The same, after which this process can touch nothing but what is below the one root of fs: receiver.h, agent.h.
 * Before there is a thread. */
enum err link_open_confined(const struct profile *p, const struct fs *fs, bool links,
                            struct link *out) MUST_CHECK;
/* One more connection like first, which must outlive it. */
enum err link_open_like(const struct link *first, const struct profile *p,
                        struct link *out) MUST_CHECK;
void link_close(struct link *l);

/* Waits for the frames of request id: each goes to take (which may be NULL) until DONE, whose
 * status is the result; ERR_NOENT and so on with the server's reason, logged with what. */
typedef enum err link_take(void *arg, const struct frame *f);
enum err link_await(struct link *l, uint32_t id, const char *what, link_take *take,
                    void *arg) MUST_CHECK;

/* STAT: *out, with the root when asked. quiet: a missing thing is not logged. */
enum err link_stat(struct link *l, const char *path, bool root, bool quiet,
                   struct fs_info *out) MUST_CHECK;

/* Takes the INFO of an answer to STAT into a struct fs_info, all 0 before. */
link_take link_take_info;

/* LIST into an array sorted by name; the caller frees it. Names a server may not send end it with
 * ERR_PROTO. */
struct link_entry {
    char name[PATH_NAME_MAX + 1];
    struct fs_info info;
};
enum err link_list(struct link *l, const char *path, struct link_entry **out, size_t *n) MUST_CHECK;

/* MKDIR with parents; success when it exists. */
enum err link_mkdir(struct link *l, const char *path) MUST_CHECK;

/* ---- several files ---- */

struct batch {
    uint64_t good, failed;
    uint64_t same;    /* files that needed no moving */
    uint64_t deleted; /* things that stood at the destination only */
    uint64_t bytes, moved;
    uint64_t unkept; /* files and folders with attributes that were not kept */
    enum err first;  /* the first file's error */
};

/* Logs a transfer's error where that has not been done yet (the peer's words, a connection that
 * just ended). */
enum err batch_reason(const struct link *l, const char *what, enum err e,
                      const struct xfer_result *r) MUST_CHECK;
/* Counts a file that could not even be tried; ERR_OK: go on. */
enum err batch_fail(struct batch *b, enum err e);
/* Counts a transfer's outcome: ERR_OK to go on, else what ends all. */
enum err batch_count(struct batch *b, enum err e, const struct xfer_result *r) MUST_CHECK;
/* Counts a file or folder that stands, but not all of its attributes do; warns of the first one. */
void batch_unkept(struct batch *b, const char *what, const char *reason);
/* What has been moved so far, for a rate: bytes, and a fixed number of them for each file. */
uint64_t batch_amount(const struct batch *b);
/* Prints the sum of a tree, or of more than one file; the command's result is e, or the first file's
 * error. */
enum err batch_end(const struct batch *b, const char *op, bool tree, enum err e) MUST_CHECK;

/* ---- showing ---- */

/* One transfer as the user sees it: a bar on a terminal, JSON lines with --json (one a second at
 * most), a line when a signal asks for it, one line at its end. Transfers of several threads may run at
 * once. Between show_start and show_result or show_end it must stay where it is. */
struct show {
    const char *op; /* "put", "get", "verify", "hash" */
    const char *from, *to;
    int64_t started_ms, drawn_ms;
    uint64_t done, total; /* as of the last event, ... */
    int64_t done_ms;      /* ... which was then */
    uint64_t mark_done;   /* for the rate of the running phase: done when it began, ... */
    int64_t mark_ms;      /* ... which was then */
    enum xfer_phase phase;
    bool begun; /* there was an event */
    bool drawn;
    struct show *next; /* that runs */
};
void show_start(struct show *s, const char *op, const char *from, const char *to);
/* An xfer_event_fn with the show as its argument. */
void show_event(void *show, enum xfer_phase phase, uint64_t done, uint64_t total);
/* The last line. wire: bytes that crossed the socket for it. */
void show_result(struct show *s, enum err e, const struct xfer_result *r, uint64_t wire);
/* The end without a line, which is for the caller to say. */
void show_end(struct show *s);

/* A line on standard error about each transfer that runs, whatever the output is; with --json also its
 * event. From any thread. */
void show_status(void);

/* SIGUSR1, and SIGINFO where there is one, ask for show_status. Block: before there is any other
 * thread, so that they end no command. Watch: from the first transfer on they are answered. */
void signal_block(void);
void signal_watch(void);

/* One JSON object on standard output: pairs of key and value (C strings) ended by NULL. With a "#" before
 * the key, which is not part of it, the value is written as it is: a number, true or false. Never
 * for a value from outside. */
void show_json(const char *event, ...) __attribute__((sentinel));

/* printf to standard output with every control character escaped, unless quiet. */
void show_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void show_hex(const uint8_t hash[static TREE_HASH], char out[static 2 * TREE_HASH + 1]);

/* "2026-11-24 13:37:05" in local time. */
enum { SHOW_TIME = 24 };
void show_time(int64_t seconds, char out[static SHOW_TIME]);

/* ---- commands ---- */

enum err command_put(const struct command *self, int argc, const char **argv) MUST_CHECK;
enum err command_get(const struct command *self, int argc, const char **argv) MUST_CHECK;
enum err command_sync(const struct command *self, int argc, const char **argv) MUST_CHECK;
enum err command_ls(const struct command *self, int argc, const char **argv) MUST_CHECK;
enum err command_stat(const struct command *self, int argc, const char **argv) MUST_CHECK;
enum err command_mkdir(const struct command *self, int argc, const char **argv) MUST_CHECK;
enum err command_rm(const struct command *self, int argc, const char **argv) MUST_CHECK;
enum err command_mv(const struct command *self, int argc, const char **argv) MUST_CHECK;
enum err command_verify(const struct command *self, int argc, const char **argv) MUST_CHECK;
enum err command_hash(const struct command *self, int argc, const char **argv) MUST_CHECK;
enum err command_whoami(const struct command *self, int argc, const char **argv) MUST_CHECK;
enum err command_ping(const struct command *self, int argc, const char **argv) MUST_CHECK;
enum err command_doctor(const struct command *self, int argc, const char **argv) MUST_CHECK;

#endif
