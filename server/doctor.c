/* SPDX-License-Identifier: ISC */
#include "doctor.h"

#include "confine.h"
#include "listen.h"
#include "log.h"
#include "policy.h"
#include "status.h"
#include "status_socket.h"
#include "text.h"
#include <errno.h>
#include <libgen.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

struct patient {
    struct checkup *c;
    const char *file;
    struct config *config;
    struct cert_store *anchors;
    struct map *map;
    struct checkup_key key;
    bool running; /* a server, with this file */
};

/* ---- files ---- */

/* The keys of the configuration are looked at one after the other. */
static void take_token(struct patient *p, size_t i)
{
    const struct config_token *t = &p->config->tokens[i];
    p->key = (struct checkup_key){.certificate = p->config->certificate,
                                  .key = t->key,
                                  .module = t->module,
                                  .module_env = t->module_env,
                                  .pin = t->pin,
                                  .allow_extractable = p->config->allow_extractable,
                                  .gentle = p->running};
}

static void check_config(struct patient *p)
{
    if (config_load(p->file, &p->config) != ERR_OK) {
        checkup_failed(p->c, "config", "see consignd.conf(5)");
        return;
    }
    take_token(p, 0);
    checkup_say(p->c, CHECKUP_OK, "config", NULL, "%s: read", p->file);
}

static void check_running(struct patient *p)
{
    char *path = status_path(p->config);
    int fd = -1;
    enum err e = path ? status_socket_connect(path, &fd) : ERR_CONN;
    free(path);
    p->running = e == ERR_OK;
    p->key.gentle = p->running;
    if (fd >= 0)
        close(fd);
    if (e != ERR_OK && e != ERR_CONN)
        checkup_failed(p->c, "server", "call this as root, or as the server's account");
    else
        checkup_say(p->c, CHECKUP_OK, "server", NULL, "%s",
                    p->running ? "one runs, and its keeper has the token; nothing is taken from it"
                               : "none runs with this file");
}

static void check_anchors(struct patient *p)
{
    const struct config *f = p->config;
    if (cert_store_new(&p->anchors) != ERR_OK)
        return;
    cert_store_fips(p->anchors, f->tls.fips);
    for (size_t i = 0; i < f->n_anchors; i++) {
        const struct config_anchor *a = &f->anchors[i];
        if (cert_store_add(p->anchors, a->name, a->ca, a->crl, a->crl_policy) == ERR_OK)
            checkup_say(p->c, CHECKUP_OK, "anchor", NULL, "%s: %s read", a->name, a->ca);
        else
            checkup_failed(p->c, "anchor", "give the CA's PEM file as ca, its list as crl");
        checkup_crl(p->c, a->name, a->crl, a->crl_policy == CERT_CRL_REQUIRE);
    }
}

static void check_map(struct patient *p)
{
    if (map_load(p->config->map, p->anchors, geteuid() == 0, &p->map) != ERR_OK)
        checkup_failed(p->c, "map", "see consignd.conf(5), THE MAP");
    else if (map_count(p->map) == 0)
        checkup_say(p->c, CHECKUP_WARN, "map", "add a rule", "%s: no rule: nobody is let in",
                    p->config->map);
    else
        checkup_say(p->c, CHECKUP_OK, "map", NULL, "%s: %zu rules", p->config->map,
                    map_count(p->map));
}

static void check_partners(struct patient *p)
{
    time_t now = time(NULL);
    for (size_t i = 0; p->map && i < p->config->n_partners; i++) {
        const struct config_partner *x = &p->config->partners_list[i];
        bool ended = (uint64_t)now > x->until;
        if (policy_partner(x, p->anchors, p->map) != ERR_OK) {
            checkup_failed(p->c, "partner",
                           "import the partner's file again, or remove the partner");
            return;
        }
        checkup_crl(p->c, x->name, x->crl, true);
        checkup_say(p->c, ended ? CHECKUP_FAIL : CHECKUP_OK, "partner",
                    ended ? "import a new file of the partner's" : NULL, "%s: %s read%s", x->name,
                    x->ca, ended ? "; what the partner signed has run out" : "");
    }
}

static void check_audit(struct patient *p)
{
    struct statvfs v;
    char size[TEXT_SIZE], *copy;
    if (!p->config->audit || !(copy = strdup(p->config->audit)))
        return;
    const char *folder = dirname(copy);
    bool there = access(p->config->audit, F_OK) == 0;
    const char *needed = there ? p->config->audit : folder;
    if (access(needed, W_OK) != 0) {
        checkup_say(p->c, CHECKUP_FAIL, "audit", "let the server's account write there", "%s: %s",
                    needed, strerror(errno));
    } else if (statvfs(folder, &v) == 0) {
        text_size((uint64_t)v.f_bavail * v.f_frsize, size);
        checkup_say(p->c, v.f_bavail ? CHECKUP_OK : CHECKUP_FAIL, "audit",
                    v.f_bavail ? NULL : "make room: what can't be recorded is not done",
                    "%s: can be written, %s free", p->config->audit, size);
    }
    free(copy);
}

static void check_confinement(struct patient *p)
{
    char text[CONFINE_TEXT];
    confine_statement(text);
    checkup_say(p->c, confine_demand() == ERR_OK ? CHECKUP_OK : CHECKUP_WARN, "confinement",
                confine_demand() == ERR_OK ? NULL : "use a kernel of 5.19 or later with Landlock",
                "%s", text);
}

static void check_roots(struct patient *p)
{
    if (p->map)
        doctor_roots(p->c, p->map);
}

/* ---- address ---- */

/* The part before the port, without brackets; "" for any. */
static void host_of(const char *listen, char *out, size_t cap)
{
    size_t n = (size_t)(strrchr(listen, ':') - listen);
    bool v6 = listen[0] == '[';
    snprintf(out, cap, "%.*s", (int)(v6 ? n - 2 : n), listen + v6);
    if (strcmp(out, "*") == 0)
        out[0] = '\0';
}

/* Whether our own listener can be reached by the family's loopback or by the address itself. */
static bool reaches(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *a = NULL;
    if (getaddrinfo(host, port, &hints, &a) != 0)
        return false;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0;
    if (fd >= 0)
        close(fd);
    freeaddrinfo(a);
    return good;
}

static void check_families(struct patient *p, const char *host, const char *port)
{
    static const char *const loopback[][2] = {{"IPv4", "127.0.0.1"}, {"IPv6", "::1"}};
    if (host[0]) {
        checkup_say(p->c, reaches(host, port) ? CHECKUP_OK : CHECKUP_FAIL, "address", NULL,
                    "%s %s be reached", host, reaches(host, port) ? "can" : "can't");
        return;
    }
    for (size_t i = 0; i < 2; i++)
        if (reaches(loopback[i][1], port))
            checkup_say(p->c, CHECKUP_OK, "address", NULL, "%s can be reached", loopback[i][0]);
        else
            checkup_say(p->c, CHECKUP_WARN, "address", "see whether the kernel has that family",
                        "%s can't be reached", loopback[i][0]);
}

static void check_listen(struct patient *p)
{
    char name[LISTEN_NAME], host[LISTEN_NAME];
    int fd;
    host_of(p->config->listen, host, sizeof host);
    if (p->running) {
        checkup_say(p->c, CHECKUP_OK, "address", NULL,
                    "%s: the server has it; consign doctor NAME: proves it from outside",
                    p->config->listen);
    } else if (listen_open(p->config->listen, &fd, name) != ERR_OK) {
        checkup_failed(p->c, "address", "give an address of this host and a port that is free");
    } else {
        check_families(p, host, strrchr(name, ':') + 1);
        close(fd);
    }
}

static void check_names(struct patient *p)
{
    char host[LISTEN_NAME];
    host_of(p->config->listen, host, sizeof host);
    checkup_names(p->c, &p->key, host[0] ? host : NULL);
}

/* ---- certificates and token ---- */

static void check_chain(struct patient *p)
{
    checkup_chain(p->c, &p->key);
}

/* The others are not tried after a PIN was refused: they may be one token. */
static void check_tokens(struct patient *p)
{
    bool refused = false;
    for (size_t i = 0; i < p->config->n_tokens && !refused; i++) {
        if (i > 0) {
            checkup_key_release(&p->key);
            take_token(p, i);
            checkup_say(p->c, CHECKUP_OK, "spare", NULL, "%s: %s", p->config->tokens[i].name,
                        p->key.key);
            checkup_chain(p->c, &p->key);
        }
        checkup_module(p->c, &p->key);
        checkup_pin(p->c, &p->key);
        checkup_mechanisms(p->c, &p->key);
        checkup_rate(p->c, &p->key);
        checkup_sessions(p->c, &p->key);
        checkup_reconnect(p->c, &p->key);
        refused = p->key.refused;
    }
}

static void check_purpose(struct patient *p)
{
    checkup_purpose(p->c, &p->key, CERT_SERVER, NULL, NULL);
}

static void check_clock(struct patient *p)
{
    const struct config_anchor *a = &p->config->anchors[0];
    checkup_clock(p->c, &p->key, a->ca, a->crl);
}

static void check_fips(struct patient *p)
{
    checkup_fips(p->c, p->config->tls.fips);
}

/* All of it once more, as the server will. */
static void check_policy(struct patient *p)
{
    struct policy *policy = NULL;
    if (p->c->counts[CHECKUP_FAIL])
        return;
    if (policy_load(p->file, 1, &policy) == ERR_OK)
        checkup_say(p->c, CHECKUP_OK, "policy", NULL, "a server can start with all this");
    else
        checkup_failed(p->c, "policy", "see consignd.conf(5)");
    policy_free(policy);
}

/* ---- all ---- */

/* In this order: a process that has started PKCS#11 must not fork. */
static void (*const checks[])(struct patient *p) = {
    check_running, check_confinement, check_anchors, check_map,    check_partners,
    check_audit,   check_roots,       check_listen,  check_chain,  check_purpose,
    check_names,   check_clock,       check_fips,    check_policy, check_tokens,
};

enum err doctor(const char *file, bool json, bool quiet)
{
    struct checkup c = {.json = json, .quiet = quiet};
    struct patient p = {.c = &c, .file = file};
    log_quiet(true);
    check_config(&p);
    for (size_t i = 0; p.config && i < sizeof checks / sizeof checks[0]; i++)
        checks[i](&p);
    checkup_key_release(&p.key);
    map_free(p.map);
    cert_store_free(p.anchors);
    config_free(p.config);
    return checkup_end(&c);
}
