/* SPDX-License-Identifier: ISC */
/* consign doctor: proves that a profile is good, and with its name before a colon that its server lets us
 * in. */
#include "client.h"

#include "checkup.h"
#include "log.h"
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECT_MS = 5000 };

struct patient {
    struct checkup *c;
    struct profile *profile;
    struct checkup_key key;
};

/* ---- here ---- */

static void check_chain(struct patient *p)
{
    checkup_chain(p->c, &p->key);
}

static void check_module(struct patient *p)
{
    checkup_module(p->c, &p->key);
}

static void check_pin(struct patient *p)
{
    checkup_pin(p->c, &p->key);
}

static void check_mechanisms(struct patient *p)
{
    checkup_mechanisms(p->c, &p->key);
}

static void check_rate(struct patient *p)
{
    checkup_rate(p->c, &p->key);
}

static void check_sessions(struct patient *p)
{
    checkup_sessions(p->c, &p->key);
}

static void check_reconnect(struct patient *p)
{
    checkup_reconnect(p->c, &p->key);
}

/* The server's CA may be ours as well; where it is not, the server judges. */
static void check_purpose(struct patient *p)
{
    struct cert_store *store = NULL;
    enum err e = cert_store_new(&store);
    if (e == ERR_OK) {
        cert_store_fips(store, p->profile->tls.fips);
        e = cert_store_add(store, p->profile->name, p->profile->ca, p->profile->crl,
                           CERT_CRL_IF_PRESENT);
    }
    if (e == ERR_OK)
        checkup_say(p->c, CHECKUP_OK, "ca", NULL, "%s: read", p->profile->ca);
    else
        checkup_failed(p->c, "ca", "give the PEM file of the server's CA as ca, its list as crl");
    checkup_purpose(p->c, &p->key, CERT_CLIENT, e == ERR_OK ? store : NULL, NULL);
    cert_store_free(store);
}

static void check_crl(struct patient *p)
{
    checkup_crl(p->c, "of the server's CA", p->profile->crl, p->profile->crl_require);
}

static void check_clock(struct patient *p)
{
    checkup_clock(p->c, &p->key, p->profile->ca, p->profile->crl);
}

static void check_fips(struct patient *p)
{
    checkup_fips(p->c, p->profile->tls.fips);
    if (p->key.chain && cert_chain_fips(p->key.chain, p->key.n_chain, p->profile->tls.fips,
                                        p->profile->certificate) != ERR_OK)
        checkup_failed(p->c, "fips", "have one issued for an approved kind of key");
}

/* ---- the server ---- */

/* 0, or why the address can't be reached (errno). The connection is closed at once. */
static int reach(const struct addrinfo *a, int64_t *ms)
{
    int error = 0, fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    socklen_t n = sizeof error;
    int64_t start = tls_now_ms();
    if (fd < 0)
        return errno;
    if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
        error = errno;
        if (error == EINPROGRESS && poll(&p, 1, CONNECT_MS) == 0)
            error = ETIMEDOUT;
        else if (error == EINPROGRESS)
            (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n);
    }
    *ms = tls_now_ms() - start;
    close(fd);
    return error;
}

/* One family's failure is but a delay as long as another works. */
static void say_address(struct patient *p, const struct addrinfo *a, int error, int64_t ms,
                        bool some)
{
    char host[NI_MAXHOST] = "?";
    const char *family = a->ai_family == AF_INET6 ? "IPv6" : "IPv4";
    (void)getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST);
    if (!error)
        checkup_say(p->c, CHECKUP_OK, "address", NULL, "%s %s port %s answers after %lld ms",
                    family, host, p->profile->port, (long long)ms);
    else
        checkup_say(p->c, some ? CHECKUP_WARN : CHECKUP_FAIL, "address",
                    some ? "take the address out of the DNS, or have it served"
                         : "see whether the server runs, and which firewall stands between",
                    "%s %s port %s: %s", family, host, p->profile->port, strerror(error));
}

static void check_addresses(struct patient *p)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    enum { MOST = 16 };
    int errors[MOST];
    int64_t ms[MOST] = {0};
    size_t n = 0, i = 0;
    bool some = false;
    int rc = getaddrinfo(p->profile->host, p->profile->port, &hints, &list);
    if (rc != 0) {
        checkup_say(p->c, CHECKUP_FAIL, "address", "give the server's name or address as host",
                    "%s port %s: %s", p->profile->host, p->profile->port, gai_strerror(rc));
        return;
    }
    for (const struct addrinfo *a = list; a && n < MOST; a = a->ai_next, n++) {
        errors[n] = reach(a, &ms[n]);
        some |= errors[n] == 0;
    }
    for (const struct addrinfo *a = list; a && i < n; a = a->ai_next, i++)
        say_address(p, a, errors[i], ms[i], some);
    freeaddrinfo(list);
}

static const char *fix_of(enum err e)
{
    switch (e) {
    case ERR_AUTH:
        return "see the reason: of the server's certificate it is ca, crl, server-name or the "
               "clock "
               "here; of ours the server's map (consignd --explain) and audit log";
    case ERR_TLS:
        return "see whether both sides have groups and algorithms in common (fips, groups)";
    case ERR_LIMIT:
    case ERR_CONN:
    case ERR_TIMEOUT:
        return "see the server's log, and try again";
    default:
        return "see the server's log";
    }
}

static void say_session(struct patient *p, const struct link *l)
{
    char text[TLS_AGREED_TEXT];
    tls_agreed_text(&l->agreed, text);
    checkup_say(p->c, CHECKUP_OK, "server", NULL, "%s (%s) takes us for %s: %s", l->server,
                l->agent, l->user, l->rights);
    checkup_say(p->c, CHECKUP_OK, "session", NULL, "%s", text);
    if (l->unapproved[0])
        checkup_say(p->c, CHECKUP_WARN, "fips", "have both sides set fips = require",
                    "not approved: %s", l->unapproved);
}

/* A PIN that was refused must not be tried again. */
static void check_server(struct patient *p)
{
    struct link l = {.chan.failed = true};
    bool usable = p->key.priv != NULL;
    checkup_key_release(&p->key);
    if (!usable) {
        checkup_say(p->c, CHECKUP_WARN, "server", "cure what failed above",
                    "not asked, as the key can't be used");
        return;
    }
    enum err e = link_open(p->profile, &l);
    if (e == ERR_OK)
        say_session(p, &l);
    else
        checkup_failed(p->c, "server", fix_of(e));
    link_close(&l);
}

/* ---- all ---- */

static const struct check {
    bool connects;
    void (*run)(struct patient *p);
} checks[] = {
    {false, check_chain},      {false, check_module},  {false, check_pin},
    {false, check_mechanisms}, {false, check_rate},    {false, check_sessions},
    {false, check_reconnect},  {false, check_purpose}, {false, check_crl},
    {false, check_clock},      {false, check_fips},    {true, check_addresses},
    {true, check_server},
};

struct round {
    struct checkup c;
    bool connect;
    bool refused; /* a PIN: no more logins, since profiles may share a token */
};

static void examine(struct round *round, const char *text)
{
    struct remote r;
    enum err e = remote_parse(text, &r);
    if (e != ERR_OK) {
        checkup_failed(&round->c, "profile", "see consign(1), PROFILES");
        remote_release(&r);
        return;
    }
    struct profile *f = r.profile;
    struct patient p = {.c = &round->c,
                        .profile = f,
                        .key = {.certificate = f->certificate,
                                .key = f->key,
                                .module = f->module,
                                .module_env = f->module_env,
                                .pin = f->pin,
                                .allow_extractable = f->allow_extractable}};
    checkup_say(&round->c, CHECKUP_OK, "profile", NULL, "[%s] for %s port %s", f->name, f->host,
                f->port);
    if (round->refused)
        checkup_say(&round->c, CHECKUP_WARN, "pin", "cure what failed above",
                    "[%s] is not looked at: a PIN was refused before", f->name);
    for (size_t i = 0; !round->refused && i < sizeof checks / sizeof checks[0]; i++)
        if (round->connect || !checks[i].connects)
            checks[i].run(&p);
    round->refused |= p.key.refused;
    checkup_key_release(&p.key);
    remote_release(&r);
}

static void examine_named(void *round, const char *name)
{
    char text[300];
    snprintf(text, sizeof text, "%s:", name);
    examine(round, text);
}

enum err command_doctor(const struct command *self, int argc, const char **argv)
{
    struct round round = {.connect = true};
    const char **args;
    poptContext ctx;
    enum err e = command_parse(self, argc, argv, NULL, 0, 1, &ctx, &args);
    if (e == ERR_OK) {
        round.c.json = options.json;
        round.c.quiet = options.quiet;
        round.connect = args[0] != NULL;
        log_quiet(true);
        if (args[0])
            examine(&round, args[0]);
        else if (profile_each(examine_named, &round) != ERR_OK)
            checkup_failed(&round.c, "profile", "see consign(1), PROFILES");
        e = checkup_end(&round.c);
    }
    poptFreeContext(ctx);
    return e;
}
