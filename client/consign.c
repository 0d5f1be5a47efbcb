/* SPDX-License-Identifier: ISC */
/* consign: the client. A table of commands, each in a file of its own. */
#include "client.h"

#include "log.h"
#include "token_wait.h"
#include <errno.h>
#include <linux/ioprio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct options options;

struct poptOption option_table[] = {
    {"config", 'c', POPT_ARG_STRING, &options.config, 0,
     "Read FILE instead of ~/.config/consign/consign.conf and /etc/consign/consign.conf", "FILE"},
    {"json", '\0', POPT_ARG_NONE, &options.json, 0, "Print one JSON object a line", NULL},
    {"nice", '\0', POPT_ARG_NONE, &options.nice, 0,
     "Give way to other programs: lower priority for CPU and disk", NULL},
    {"quiet", 'q', POPT_ARG_NONE, &options.quiet, 0, "Print errors only", NULL},
    {"verbose", 'v', POPT_ARG_NONE, &options.verbose, 0, "Say more about what happens", NULL},
    POPT_TABLEEND};

const struct command commands[] = {
    {"put", "FILE... NAME:/PATH", "Upload files or folders", command_put},
    {"get", "NAME:/PATH... FILE", "Download files or folders", command_get},
    {"sync", "FROM TO", "Make one tree like another, up or down", command_sync},
    {"ls", "NAME:/PATH", "List a folder, or unfinished parts", command_ls},
    {"stat", "NAME:/PATH", "Show what is known of a file or folder", command_stat},
    {"mkdir", "NAME:/PATH", "Make a folder", command_mkdir},
    {"rm", "NAME:/PATH...", "Remove files, empty folders or unfinished parts", command_rm},
    {"mv", "NAME:/PATH NAME:/PATH", "Rename within one root", command_mv},
    {"verify", "LOCAL NAME:/PATH", "Compare local with remote files by their roots",
     command_verify},
    {"hash", "FILE...", "Print length and root of local files", command_hash},
    {"whoami", "NAME:", "Show who the server takes us for", command_whoami},
    {"ping", "NAME:", "Measure the time a request takes", command_ping},
    {"doctor", "NAME:", "Check the set-up of a profile, or of all", command_doctor},
    {0}};

static void usage(FILE *to)
{
    fprintf(to, "Usage: consign [OPTION...] COMMAND ...\n\nCommands (each takes --help):\n");
    for (const struct command *c = commands; c->name; c++)
        fprintf(to, "  %-8s %-24s %s\n", c->name, c->arguments, c->help);
    fprintf(to, "\nNAME is a profile of consign.conf; consign://HOST[:PORT]/PATH names a server "
                "outright.\n");
}

static const struct command *find(const char *name)
{
    for (const struct command *c = commands; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

/* For the threads to come as well, which is why it is done early. A priority that is lower already
 * stays. */
static void give_way(void)
{
    enum { NICE = 10, LOWEST = 7 };
    int now = getpriority(PRIO_PROCESS, 0);
    int io = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, LOWEST);
    if (setpriority(PRIO_PROCESS, 0, now > NICE ? now : NICE) != 0)
        log_warn("--nice: CPU priority: %s", strerror(errno));
    if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, io) != 0)
        log_warn("--nice: disk priority: %s", strerror(errno));
}

static void apply_options(void)
{
    log_init("consign", options.verbose ? LOG_LVL_DEBUG : LOG_LVL_WARN, true);
    if (options.nice)
        give_way();
}

/* popt takes words and counts apart; the table must outlive the context. */
enum err command_parse(const struct command *self, int argc, const char **argv,
                       struct poptOption *table, int min, int max, poptContext *ctx,
                       const char ***args)
{
    static const char *none[] = {NULL};
    static char title[64];
    struct poptOption empty[] = {POPT_TABLEEND};
    static struct poptOption all[4];
    static struct poptOption nothing[1];
    int n = 0;
    nothing[0] = empty[0];
    all[0] = (struct poptOption){
        NULL, '\0', POPT_ARG_INCLUDE_TABLE, table ? table : nothing, 0, "Options:", NULL};
    all[1] = (struct poptOption){
        NULL, '\0', POPT_ARG_INCLUDE_TABLE, option_table, 0, "Options of every command:", NULL};
    all[2] = (struct poptOption)POPT_AUTOHELP all[3] = empty[0];
    snprintf(title, sizeof title, "consign %s", self->name);
    /* What --help shows as the program; the word itself belongs to the caller's context. */
    const char *own = argv[0];
    argv[0] = title;
    *ctx = poptGetContext(title, argc, argv, all, 0);
    poptSetOtherOptionHelp(*ctx, self->arguments);
    int rc = poptGetNextOpt(*ctx);
    argv[0] = own;
    if (rc < -1)
        return log_fail(ERR_USAGE, "%s: %s: %s", self->name,
                        poptBadOption(*ctx, POPT_BADOPTION_NOALIAS), poptStrerror(rc));
    apply_options();
    *args = poptGetArgs(*ctx);
    if (!*args)
        *args = none;
    while ((*args)[n])
        n++;
    if (n < min || (max >= 0 && n > max))
        return log_fail(ERR_USAGE, "%s takes %s; see consign %s --help", self->name,
                        self->arguments, self->name);
    return ERR_OK;
}

static enum err run(int argc, const char **argv)
{
    int version = 0;
    struct poptOption table[] = {
        {NULL, '\0', POPT_ARG_INCLUDE_TABLE, option_table, 0, "Options of every command:", NULL},
        {"version", 'V', POPT_ARG_NONE, &version, 0, "Print the version and exit", NULL},
        {"help", '?', POPT_ARG_NONE, NULL, 'h', "Show this help message", NULL},
        POPT_TABLEEND};
    poptContext ctx = poptGetContext("consign", argc, argv, table, POPT_CONTEXT_POSIXMEHARDER);
    const struct command *command = NULL;
    const char **args;
    int rc, n = 0;
    enum err e = ERR_OK;
    while ((rc = poptGetNextOpt(ctx)) > 0) {
        usage(stdout);
        printf("\n");
        poptSetOtherOptionHelp(ctx, "[OPTION...] COMMAND ...");
        poptPrintHelp(ctx, stdout, 0);
        poptFreeContext(ctx);
        return ERR_OK;
    }
    apply_options();
    args = poptGetArgs(ctx);
    while (args && args[n])
        n++;
    if (rc < -1) {
        e = log_fail(ERR_USAGE, "%s: %s", poptBadOption(ctx, POPT_BADOPTION_NOALIAS),
                     poptStrerror(rc));
    } else if (version) {
        printf("consign %s\n", CONSIGN_VERSION);
    } else if (n == 0) {
        usage(stderr);
        e = ERR_USAGE;
    } else if (!(command = find(args[0]))) {
        e = log_fail(ERR_USAGE, "%s: no such command; see consign --help", args[0]);
    } else {
        e = command->run(command, n, args);
    }
    poptFreeContext(ctx);
    return e;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    signal_block();
    log_init("consign", LOG_LVL_WARN, true);
    token_wait_announce();
    enum err e = run(argc, (const char **)argv);
    free(options.config);
    if (fflush(stdout) != 0 && e == ERR_OK)
        e = log_fail_errno("standard output");
    return err_exit(e);
}
