/* SPDX-License-Identifier: ISC */
/* consign-pki partner: partners told of, taken, compared, listed and removed. */
#include "partner_in.h"

#include "file.h"
#include "log.h"
#include "say.h"
#include "when.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *folder(const struct options *o)
{
    return o->partners ? o->partners : PARTNERS_DIR;
}

/* ---- diff ---- */

/* The lines of a that are not in b. */
static bool print_only(char sign, const struct texts *a, const struct texts *b)
{
    bool any = false;
    for (size_t i = 0; i < a->n; i++) {
        bool found = false;
        for (size_t k = 0; !found && k < b->n; k++)
            found = strcmp(a->list[i], b->list[k]) == 0;
        if (!found)
            printf("%c %s\n", sign, a->list[i]);
        any |= !found;
    }
    return any;
}

static enum err diff(const struct options *o, const char *file)
{
    struct partner_in in;
    struct bundle old = {0};
    struct texts before = {NULL, 0}, after = {NULL, 0};
    bool differs = false;
    enum err e = partner_in_read(o, file, &in);
    if (!e && in.known)
        e = partner_in_old(&in, &old);
    if (!e && in.known)
        e = bundle_lines(&old, &before);
    if (!e)
        e = bundle_lines(&in.bundle, &after);
    if (!e) {
        differs = print_only('-', &before, &after);
        differs |= print_only('+', &after, &before);
    }
    texts_release(&before);
    texts_release(&after);
    bundle_release(&old);
    partner_in_release(&in);
    return e ? e : differs ? PKI_ALARM : ERR_OK;
}

/* ---- list ---- */

static void print_one(const char *name, const struct partner *p, int64_t now, bool json)
{
    char until[SAY_TIME];
    int64_t end = (int64_t)p->until;
    const char *state = now < (int64_t)p->from                               ? "early"
                        : now > end                                          ? "ended"
                        : end - now <= (int64_t)PKI_EXPIRY_WITHIN * WHEN_DAY ? "soon"
                                                                             : "good";
    say_stamp((time_t)end, until);
    if (json)
        printf("{\"name\":\"%s\",\"state\":\"%s\",\"serial\":%" PRIu64
               ",\"until\":\"%s\",\"signer\":\"%s\"}\n",
               name, state, p->serial, until, p->signer);
    else
        printf("%-6s %-20s serial %" PRIu64 ", until %s, %s\n", state, name, p->serial, until,
               p->signer);
}

static enum err list(const struct options *o)
{
    char **names = NULL;
    size_t n = 0;
    enum err e = partner_names(folder(o), &names, &n);
    for (size_t i = 0; !e && i < n; i++) {
        struct partner p;
        e = partner_read(folder(o), names[i], &p);
        if (!e)
            print_one(names[i], &p, time(NULL), o->json);
        partner_release(&p);
    }
    partner_names_free(names, n);
    return e;
}

/* ---- remove ---- */

static enum err drop(const struct options *o, const char *name)
{
    int lock = -1;
    if (!partner_name_ok(name))
        return log_fail(ERR_NAME, "\"%s\" is not a partner's name", name);
    enum err e = partner_lock(folder(o), false, &lock);
    if (!e)
        e = partner_drop(folder(o), name);
    if (lock >= 0)
        close(lock);
    if (!e)
        printf("removed      %s/%s\n", folder(o), name);
    return e;
}

enum err partner_run(const struct options *o, const char *const *args, int n)
{
    const char *what = args[0], *on = n > 1 ? args[1] : NULL;
    if (strcmp(what, "export") == 0 && !on)
        return partner_export(o);
    if (strcmp(what, "list") == 0 && !on)
        return list(o);
    if (strcmp(what, "import") == 0 && on)
        return partner_import(o, on);
    if (strcmp(what, "diff") == 0 && on)
        return diff(o, on);
    if (strcmp(what, "remove") == 0 && on)
        return drop(o, on);
    return log_fail(ERR_USAGE, "partner: export, import FILE, diff FILE, list or remove NAME");
}
