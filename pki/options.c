/* SPDX-License-Identifier: ISC */
#include "options.h"
#include "keytype.h"
#include "log.h"

#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 48 };

struct parsed {
    struct options o;
    struct poptOption rows[ROWS_MAX];
    poptContext ctx;
    const char **args;
    int n;
};

#define AT(field) offsetof(struct options, field)

static const struct row {
    const char *name;
    char letter;
    unsigned kind;
    size_t at;
    const char *help;
    const char *value;
} rows[] = {
    {"dir", 'd', POPT_ARG_STRING, AT(dir), "Folder of the CA (default: ca)", "DIR"},
    {"name", 0, POPT_ARG_STRING, AT(name),
     "Name of the CA as trust anchor (default: DIR's last part)", "NAME"},
    {"subject", 0, POPT_ARG_STRING, AT(subject), "Subject of the certificate, RFC 4514", "DN"},
    {"san", 0, POPT_ARG_ARGV, AT(san), "Alternative name: dns:, ip:, email: or uri: (repeatable)",
     "NAME"},
    {"days", 0, POPT_ARG_INT, AT(days), "Days it is valid", "N"},
    {"not-before", 0, POPT_ARG_STRING, AT(not_before),
     "Valid from then on (2026-12-01[T14:00:00Z])", "TIME"},
    {"not-after", 0, POPT_ARG_STRING, AT(not_after), "Valid until then", "TIME"},
    {"path-length", 0, POPT_ARG_INT, AT(path_length), "CAs there may be below the CA (default: 0)",
     "N"},
    {"permit", 0, POPT_ARG_ARGV, AT(permit),
     "Names the CA may certify: dns:, ip: or email: (repeatable)", "NAME"},
    {"exclude", 0, POPT_ARG_ARGV, AT(exclude), "Names the CA may not certify (repeatable)", "NAME"},
    {"parent", 0, POPT_ARG_STRING, AT(parent), "Folder of the CA that this one shall be below",
     "DIR"},
    {"parent-pin", 0, POPT_ARG_STRING, AT(parent_pin), "PIN of that CA's token", "SOURCE"},
    {"new-key", 0, POPT_ARG_NONE, AT(new_key), "Make a new key; else the old one stays", NULL},
    {"type", 0, POPT_ARG_STRING, AT(type),
     "Type of the new key: " KEY_TYPE_NAMES " (default: p256)", "TYPE"},
    {"allow-extractable", 0, POPT_ARG_NONE, AT(allow_extractable),
     "Take a key that can be read out of its token", NULL},
    {"key", 0, POPT_ARG_STRING, AT(key), "Use this key (pkcs11: URL or PEM file), make none",
     "KEY"},
    {"file-key", 0, POPT_ARG_NONE, AT(file_key), "Make the key in a file, not in a token", NULL},
    {"module", 0, POPT_ARG_STRING, AT(module),
     "PKCS#11 module: a path, or its name in p11-kit (default: " PKI_MODULE ")", "MODULE"},
    {"token", 0, POPT_ARG_STRING, AT(token), "Label of the token for the key", "LABEL"},
    {"label", 0, POPT_ARG_STRING, AT(label), "Label of the key", "LABEL"},
    {"pin", 0, POPT_ARG_STRING, AT(pin), "PIN from file:PATH, fd:N, credential:NAME or prompt",
     "SOURCE"},
    {"key-pin", 0, POPT_ARG_STRING, AT(key_pin),
     "PIN of the new key's token, if it is another one's", "SOURCE"},
    {"so-pin", 0, POPT_ARG_STRING, AT(so_pin), "Security officer's PIN for a token to be made",
     "SOURCE"},
    {"server", 0, POPT_ARG_NONE, AT(server), "A certificate for a server", NULL},
    {"client", 0, POPT_ARG_NONE, AT(client), "A certificate for a client", NULL},
    {"ca", 0, POPT_ARG_NONE, AT(ca), "A certificate for another CA", NULL},
    {"reason", 0, POPT_ARG_STRING, AT(reason), "Why, for ledger and CRL (default: unspecified)",
     "REASON"},
    {"all", 0, POPT_ARG_NONE, AT(all), "Every live certificate of the subject", NULL},
    {"check", 0, POPT_ARG_NONE, AT(check), "Write none: ends with 1 when the CRL runs out soon",
     NULL},
    {"within", 0, POPT_ARG_INT, AT(within), "What \"soon\" is, in days", "N"},
    {"anchor", 0, POPT_ARG_STRING, AT(anchor), "Trust the CA in FILE, not the one in DIR", "FILE"},
    {"crl", 0, POPT_ARG_STRING, AT(crl), "CRLs for --anchor", "FILE"},
    {"host", 0, POPT_ARG_STRING, AT(host), "Name or address the server is called by", "NAME"},
    {"at", 0, POPT_ARG_STRING, AT(at), "As if it were then", "TIME"},
    {"cert", 0, POPT_ARG_ARGV, AT(cert),
     "Certificate or public key (PEM) that heads must be signed by (repeatable)", "FILE"},
    {"head", 0, POPT_ARG_ARGV, AT(head),
     "Heads from another place, as a journal (repeatable); LOG.head is always looked at", "FILE"},
    {"live", 0, POPT_ARG_NONE, AT(live), "The server runs: its last head must not be too old",
     NULL},
    {"user", 0, POPT_ARG_ARGV, AT(user), "Subject of a user, RFC 4514 (repeatable)", "DN"},
    {"endpoint", 0, POPT_ARG_ARGV, AT(endpoint),
     "Where the server is; /NAME when that is in its certificate (repeatable)", "HOST:PORT[/NAME]"},
    {"crl-from", 0, POPT_ARG_ARGV, AT(crl_from),
     "Where newer CRLs are found, for people (repeatable)", "TEXT"},
    {"partners", 0, POPT_ARG_STRING, AT(partners), "Folder of the partners (default: partners)",
     "DIR"},
    {"fingerprint", 0, POPT_ARG_STRING, AT(fingerprint),
     "Fingerprint of the partner's CA, from somebody you know", "SHA256:HEX"},
    {"root", 0, POPT_ARG_STRING, AT(root), "Folder that is / for the partner's users", "DIR"},
    {"rights", 0, POPT_ARG_STRING, AT(rights), "What they may do there: list,create,...", "RIGHTS"},
    {"account", 0, POPT_ARG_STRING, AT(account), "Local account that they are", "NAME"},
    {"p12", 0, POPT_ARG_NONE, AT(p12), "As PKCS#12", NULL},
    {"password", 0, POPT_ARG_STRING, AT(password),
     "Password from file:PATH, fd:N, credential:NAME or prompt", "SOURCE"},
    {"out", 'o', POPT_ARG_STRING, AT(out), "Write the result to FILE", "FILE"},
    {"sessions", 0, POPT_ARG_INT, AT(sessions), "At most N sessions at once (default: 8)", "N"},
    {"seconds", 0, POPT_ARG_INT, AT(seconds), "Measure for N seconds each (default: 2)", "N"},
    {"raw", 0, POPT_ARG_NONE, AT(raw), "Bytes instead of hexadecimal digits", NULL},
    {"fips", 0, POPT_ARG_NONE, AT(fips), "Approved algorithms only", NULL},
    {"json", 0, POPT_ARG_NONE, AT(json), "Print one JSON object a line", NULL},
};

static bool takes(const struct command *c, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = c->options; (p = strstr(p, name)) != NULL; p += n)
        if ((p == c->options || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
            return true;
    return false;
}

static void fill(const struct command *c, struct parsed *p)
{
    static struct poptOption help[] = {POPT_AUTOHELP POPT_TABLEEND};
    size_t n = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (takes(c, rows[i].name))
            p->rows[n++] = (struct poptOption){
                rows[i].name, rows[i].letter, rows[i].kind, (char *)&p->o + rows[i].at, 0,
                rows[i].help, rows[i].value};
    p->rows[n++] = help[0];
    p->rows[n] = (struct poptOption)POPT_TABLEEND;
}

static enum err count(const struct command *c, struct parsed *p)
{
    p->args = poptGetArgs(p->ctx);
    while (p->args && p->args[p->n])
        p->n++;
    if (p->n < c->min || (c->max >= 0 && p->n > c->max))
        return log_fail(ERR_USAGE, "%s: wants %s; see consign-pki %s --help", c->name,
                        *c->arguments ? c->arguments : "no arguments", c->name);
    if (p->o.sessions < 0 || p->o.seconds < 0)
        return log_fail(ERR_USAGE, "--sessions, --seconds: must be 1 or more");
    if (p->o.days < 0 || p->o.days > PKI_DAYS_MAX || p->o.within < 0 || p->o.within > PKI_DAYS_MAX)
        return log_fail(ERR_USAGE, "--days and --within: must be 1 to %d", PKI_DAYS_MAX);
    if (p->o.path_length < 0 || p->o.path_length > PKI_PATH_MAX)
        return log_fail(ERR_USAGE, "--path-length: must be 0 to %d", PKI_PATH_MAX);
    return ERR_OK;
}

/* A name of p11-kit's becomes a path, which is good in files, too. */
static enum err find_module(struct options *o)
{
    char *path;
    enum err e = o->module ? p11_path(o->module, &path) : ERR_OK;
    if (e || !o->module)
        return e;
    free(o->module);
    o->module = path;
    return ERR_OK;
}

const char *options_module(const struct options *o)
{
    return o->module ? o->module : PKI_MODULE;
}

enum err options_parse(const struct command *c, int argc, const char **argv, struct parsed **out)
{
    char words[160];
    struct parsed *p = calloc(1, sizeof *p);
    if (!p)
        return log_fail(ERR_INTERNAL, "out of memory");
    fill(c, p);
    p->ctx = poptGetContext(NULL, argc, argv, p->rows, 0);
    if (!p->ctx) {
        free(p);
        return log_fail(ERR_INTERNAL, "out of memory");
    }
    snprintf(words, sizeof words, "%s%s[OPTION...]", c->arguments, *c->arguments ? " " : "");
    poptSetOtherOptionHelp(p->ctx, words);
    int rc = poptGetNextOpt(p->ctx);
    enum err e =
        rc < -1 ? log_fail(ERR_USAGE, "%s: %s; see consign-pki %s --help",
                           poptBadOption(p->ctx, POPT_BADOPTION_NOALIAS), poptStrerror(rc), c->name)
                : count(c, p);
    if (!e)
        e = find_module(&p->o);
    if (e)
        options_release(p);
    else
        *out = p;
    return e;
}

const struct options *options_of(const struct parsed *p)
{
    return &p->o;
}

const char *const *options_args(const struct parsed *p, int *n)
{
    *n = p->n;
    return p->args;
}

static void free_list(char **list)
{
    for (char **s = list; s && *s; s++)
        free(*s);
    free(list);
}

void options_release(struct parsed *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].kind == POPT_ARG_STRING)
            free(*(char **)((char *)&p->o + rows[i].at));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].kind == POPT_ARG_ARGV)
            free_list(*(char ***)((char *)&p->o + rows[i].at));
    poptFreeContext(p->ctx);
    free(p);
}
