/* SPDX-License-Identifier: ISC */
/* consign-pki: keys and certificates for a site. A table of commands, each noun in a file of its
 * own. */
#include "log.h"
#include "msg.h"
#include "options.h"
#include "token_wait.h"

#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define KEY_OPTIONS "key type file-key module token label allow-extractable"

static const struct command commands[] = {
    {"init", "", "Make a CA: key, certificate, empty CRL",
     "dir name subject days fips not-before not-after path-length permit exclude parent parent-pin "
     "type file-key module token label pin so-pin allow-extractable",
     0, 0, init_run},
    {"issue", "server NAME... | client SUBJECT", "Make a key and its certificate",
     "dir subject san days fips not-before not-after out pin key-pin " KEY_OPTIONS, 2, -1,
     issue_run},
    {"csr", "SUBJECT", "Make a key and a request for a certificate", "san out pin " KEY_OPTIONS, 1,
     1, csr_run},
    {"sign", "FILE", "Make a certificate for a request",
     "dir subject san days fips not-before not-after path-length permit exclude out pin server "
     "client "
     "ca",
     1, 1, sign_run},
    {"renew", "SERIAL | FILE | SUBJECT", "Make a certificate that takes over from another",
     "dir days not-before not-after out pin key-pin new-key " KEY_OPTIONS, 1, 1, renew_run},
    {"revoke", "SERIAL | FILE | SUBJECT", "Revoke a certificate and write the new CRL",
     "dir pin reason all", 1, 1, revoke_run},
    {"crl", "", "Write a new CRL, or check the last one", "dir days out pin check within json", 0,
     0, crl_run},
    {"list", "", "List the certificates that were issued", "dir json", 0, 0, list_run},
    {"expiry", "", "List the certificates that end soon", "dir within json", 0, 0, expiry_run},
    {"show", "FILE | SERIAL | URL", "Show a certificate, request, CRL or key", "dir module pin", 1,
     1, show_run},
    {"verify", "FILE...", "Judge certificates as servers and clients do",
     "dir anchor crl server client host at json", 1, -1, verify_run},
    {"export", "FILE", "Put a certificate and its key into one file", "p12 key password out", 1, 1,
     export_run},
    {"check", "[FILE | DIR | URL ...]", "Say what of a deployment is not approved",
     "fips dir module json", 0, -1, check_run},
    {"audit", "verify LOG...", "Check that an audit log is whole", "cert head live json", 2, -1,
     audit_run},
    {"token", "init LABEL | list | show TOKEN | bench TOKEN",
     "Make a token, list tokens and what is in them, measure one",
     "module token pin so-pin json label type sessions seconds", 1, 2, tokens_run},
    {"key", "generate", "Make a key in a token", "module token pin label type allow-extractable", 1,
     1, keys_run},
    {"partner", "export | import FILE | diff FILE | list | remove NAME",
     "Tell partners of a CA, and take what they tell",
     "dir name user endpoint crl-from days out pin partners fingerprint root rights account json",
     1, 2, partner_run},
    {"random", "[N]", "Print N bytes (32) of a token's random generator", "module token raw", 0, 1,
     random_run},
};

static void usage(FILE *to)
{
    fprintf(to, "Usage: consign-pki COMMAND ...\n       consign-pki --version\n\nCommands (each "
                "takes --help):\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(to, "  %-8s%-45s%s\n", commands[i].name, commands[i].arguments, commands[i].help);
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static enum err run(const struct command *c, int argc, const char **argv)
{
    char name[64];
    struct parsed *p = NULL;
    int n;
    snprintf(name, sizeof name, "consign-pki %s", c->name);
    argv[0] = name;
    enum err e = options_parse(c, argc, argv, &p);
    if (e)
        return e;
    const char *const *args = options_args(p, &n);
    e = c->run(options_of(p), args, n);
    options_release(p);
    if (!e && (fflush(stdout) || ferror(stdout)))
        e = log_fail(ERR_IO, "standard output can't be written");
    return e;
}

int main(int argc, char **argv)
{
    log_init("consign-pki", LOG_LVL_WARN, true);
    token_wait_announce();
    umask(077);
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0)) {
        usage(stdout);
        return 0;
    }
    if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
        printf("consign-pki %s\n", CONSIGN_VERSION);
        return 0;
    }
    const struct command *c = argc > 1 ? find(argv[1]) : NULL;
    if (!c) {
        usage(stderr);
        return err_exit(ERR_USAGE);
    }
    return err_exit(run(c, argc - 1, (const char **)(argv + 1)));
}
