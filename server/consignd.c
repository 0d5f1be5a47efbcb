/* SPDX-License-Identifier: ISC */
/* consignd: the server. Reads its options and its configuration, then becomes the master, the keeper
 * or a signer. */
#include "ask.h"
#include "doctor.h"
#include "explain.h"
#include "keeper.h"
#include "log.h"
#include "master.h"
#include "msg.h"
#include "signer.h"
#include "spawn.h"
#include "thrift.h"
#include <errno.h>
#include <limits.h>
#include <popt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_CONFIG "/etc/consign/consignd.conf"

struct options {
    char *config;
    int check, doctor, explain, status, scrub, json, daemon, verbose, quiet, version;
    int ready_fd;
    char *at, *from; /* what is explained: when, and from which address */
    char *user;      /* whose roots are to be scrubbed */
    char *keeper;    /* the configuration file, when this process is to be the keeper */
    int signer;
};

static enum err parse(int argc, const char **argv, struct options *o, poptContext *ctx)
{
    struct poptOption table[] = {
        {"config", 'c', POPT_ARG_STRING, &o->config, 0, "Read FILE instead of " DEFAULT_CONFIG,
         "FILE"},
        {"check", '\0', POPT_ARG_NONE, &o->check, 0,
         "Check configuration, certificates, revocation lists and map, and exit", NULL},
        {"doctor", '\0', POPT_ARG_NONE, &o->doctor, 0,
         "Prove that all works: token, certificates, lists, roots, disks, clock; and exit", NULL},
        {"explain", '\0', POPT_ARG_NONE, &o->explain, 0,
         "Say which rule applies to the certificate CERT and whether it may do OP at PATH", NULL},
        {"at", '\0', POPT_ARG_STRING, &o->at, 0,
         "With --explain: as at TIME (2026-11-25T14:00:00Z) and not now", "TIME"},
        {"from", '\0', POPT_ARG_STRING, &o->from, 0, "With --explain: for a peer at ADDRESS",
         "ADDRESS"},
        {"status", '\0', POPT_ARG_NONE, &o->status, 0,
         "Ask the server that runs what it does, and print it", NULL},
        {"scrub", '\0', POPT_ARG_NONE, &o->scrub, 0,
         "Hold what is stored to the hashes of its uploaders, and print what is rotten", NULL},
        {"user", '\0', POPT_ARG_STRING, &o->user, 0, "With --scrub: only the roots of NAME",
         "NAME"},
        {"json", '\0', POPT_ARG_NONE, &o->json, 0,
         "With --status and --scrub: one JSON object; with --doctor: one a line", NULL},
        {"daemon", 'd', POPT_ARG_NONE, &o->daemon, 0,
         "Detach from the terminal once connections are served", NULL},
        {"ready-fd", '\0', POPT_ARG_INT, &o->ready_fd, 0,
         "Write \"ready ADDRESS:PORT\" to descriptor N once connections are served", "N"},
        {"verbose", 'v', POPT_ARG_NONE, &o->verbose, 0, "Log more", NULL},
        {"quiet", 'q', POPT_ARG_NONE, &o->quiet, 0, "Log warnings and errors only", NULL},
        {"version", 'V', POPT_ARG_NONE, &o->version, 0, "Print the version and exit", NULL},
        {"keeper", '\0', POPT_ARG_STRING | POPT_ARGFLAG_DOC_HIDDEN, &o->keeper, 0, NULL, NULL},
        {"signer", '\0', POPT_ARG_NONE | POPT_ARGFLAG_DOC_HIDDEN, &o->signer, 0, NULL, NULL},
        POPT_AUTOHELP POPT_TABLEEND};
    *ctx = poptGetContext("consignd", argc, argv, table, 0);
    poptSetOtherOptionHelp(*ctx, "[OPTION...] [--explain CERT OP PATH]");
    int rc = poptGetNextOpt(*ctx);
    if (rc < -1)
        return log_fail(ERR_USAGE, "%s: %s", poptBadOption(*ctx, POPT_BADOPTION_NOALIAS),
                        poptStrerror(rc));
    return ERR_OK;
}

static enum err check_arguments(const struct options *o, const char **args)
{
    int n = 0;
    while (args && args[n])
        n++;
    if (o->check + o->doctor + o->explain + o->status + o->scrub + (o->keeper != NULL) > 1)
        return log_fail(ERR_USAGE,
                        "--check, --doctor, --explain, --status and --scrub go one at a time");
    if (o->user && !o->scrub)
        return log_fail(ERR_USAGE, "--user goes with --scrub");
    if ((o->at || o->from) && !o->explain)
        return log_fail(ERR_USAGE, "--at and --from go with --explain");
    if (o->json && !o->scrub && !o->status && !o->doctor)
        return log_fail(ERR_USAGE, "--json goes with --status, --scrub or --doctor");
    if (o->explain && n != 3)
        return log_fail(ERR_USAGE, "--explain takes CERT OP PATH");
    if (!o->explain && n > 0)
        return log_fail(ERR_USAGE, "%s: no such argument; try --help", args[0]);
    return ERR_OK;
}

static int serve(const struct options *o, const char *file, struct policy *policy)
{
    struct master_options how = {.config_file = file, .daemon = o->daemon, .ready_fd = o->ready_fd};
    return master_run(&how, policy);
}

static int be_keeper(const char *file)
{
    struct config *config = NULL;
    enum err e = config_load(file, &config);
    int status = e == ERR_OK ? keeper_main(config, SPAWN_CONTROL) : err_exit(e);
    config_free(config);
    return status;
}

/* Needs no more than the configuration: the answer is the server's. */
static int show_status(const struct options *o, const char *file)
{
    const struct ask_options how = {o->json, o->quiet};
    struct config *config = NULL;
    enum err e = config_load(file, &config);
    if (e == ERR_OK)
        e = ask_status(config, &how);
    config_free(config);
    return err_exit(e);
}

static int scrub(const struct options *o, struct policy *policy)
{
    const struct ask_options how = {o->json, o->quiet};
    enum err e = ask_scrub(policy, o->user ? o->user : "", &how);
    policy_free(policy);
    return err_exit(e);
}

static int run(const struct options *o, const char **args)
{
    char file[PATH_MAX];
    struct policy *policy = NULL;
    enum err e = check_arguments(o, args);
    if (e != ERR_OK)
        return err_exit(e);
    if (o->keeper)
        return be_keeper(o->keeper);
    if (o->signer)
        return signer_main(SPAWN_CONTROL);
    const char *named = o->config ? o->config : DEFAULT_CONFIG;
    if (!realpath(named, file))
        return err_exit(log_fail(ERR_CONFIG, "%s: %s", named, strerror(errno)));
    if (o->status)
        return show_status(o, file);
    if (o->doctor)
        return err_exit(doctor(file, o->json, o->quiet));
    if ((e = policy_load(file, 1, &policy)) != ERR_OK)
        return err_exit(e);
    if (o->scrub)
        return scrub(o, policy);
    if (!o->check && !o->explain)
        return serve(o, file, policy);
    if (o->explain)
        e = explain(policy, &(struct explain){args[0], args[1], args[2], o->from, o->at});
    else
        printf("%s: good: %zu users, %zu trust anchors\n", file, map_count(policy->map),
               cert_store_count(policy->anchors));
    policy_free(policy);
    return err_exit(e);
}

int main(int argc, char **argv)
{
    struct options o = {.ready_fd = -1};
    poptContext ctx = NULL;
    int status;
    log_init("consignd", LOG_LVL_INFO, false);
    enum err e = parse(argc, (const char **)argv, &o, &ctx);
    if (o.verbose || o.quiet)
        log_init("consignd", o.quiet ? LOG_LVL_WARN : LOG_LVL_DEBUG, false);
    if (e != ERR_OK) {
        status = err_exit(e);
    } else if (o.version) {
        printf("consignd %s\n", CONSIGN_VERSION);
        status = 0;
    } else {
        signal(SIGPIPE, SIG_IGN);
        thrift_begin();
        status = run(&o, poptGetArgs(ctx));
    }
    free(o.config);
    free(o.user);
    free(o.at);
    free(o.from);
    free(o.keeper);
    poptFreeContext(ctx);
    return status;
}
