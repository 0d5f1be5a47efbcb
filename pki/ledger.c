/* SPDX-License-Identifier: ISC */
#include "ledger.h"
#include "file.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define VERSION "consign-pki ledger 1\n"

enum { LINE_BYTES = 8192, FIELDS = 7 };

static const char *const roles[] = {"client", "server", "ca"};

const char *ledger_role_name(enum ledger_role role)
{
    return roles[role];
}

enum err ledger_create(const char *path)
{
    gnutls_datum_t first = {(unsigned char *)VERSION, sizeof VERSION - 1};
    return file_write(path, &first, 0600, false);
}

static bool plain(unsigned char c)
{
    return c > 0x20 && c < 0x7f && c != '%';
}

/* False when it does not fit. */
static bool escape(const char *text, char *out, size_t cap)
{
    size_t n = 0;
    for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
        if (n + 4 > cap)
            return false;
        if (plain(*s))
            out[n++] = (char)*s;
        else
            n += (size_t)snprintf(out + n, 4, "%%%02x", *s);
    }
    out[n] = '\0';
    return true;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place. */
static bool unescape(char *text)
{
    char *to = text;
    for (char *s = text; *s; s++) {
        if (*s != '%') {
            *to++ = *s;
            continue;
        }
        int high = digit(s[1]), low = high < 0 ? -1 : digit(s[2]);
        if (low < 0 || (high == 0 && low == 0))
            return false;
        *to++ = (char)(high << 4 | low);
        s += 2;
    }
    *to = '\0';
    return true;
}

static bool number(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno && *out <= INT64_MAX;
}

static bool instant(const char *text, int64_t *out)
{
    uint64_t v;
    bool ok = number(text, &v);
    *out = ok ? (int64_t)v : 0;
    return ok;
}

static bool serial_ok(const char *s)
{
    size_t n = strlen(s);
    return n >= 2 && n <= LEDGER_SERIAL && n % 2 == 0 && strspn(s, "0123456789abcdef") == n;
}

struct ledger_entry *ledger_find(struct ledger *l, const char *serial)
{
    for (size_t i = l->n; i-- > 0;)
        if (strcmp(l->entries[i].serial, serial) == 0)
            return &l->entries[i];
    return NULL;
}

static bool add(struct ledger *l, const struct ledger_entry *e)
{
    if ((l->n & (l->n - 1)) == 0) { /* the room is always the next power of two */
        size_t room = l->n ? 2 * l->n : 1;
        struct ledger_entry *p = reallocarray(l->entries, room, sizeof *p);
        if (!p)
            return false;
        l->entries = p;
    }
    char *subject = strdup(e->subject);
    if (!subject)
        return false;
    l->entries[l->n] = *e;
    l->entries[l->n++].subject = subject;
    return true;
}

bool ledger_live(const struct ledger_entry *e, int64_t now)
{
    return !e->revoked && now <= e->not_after;
}

const struct ledger_entry *ledger_renewal(const struct ledger *l, const char *serial)
{
    for (size_t i = l->n; i-- > 0;)
        if (strcmp(l->entries[i].renews, serial) == 0 && l->entries[i].issued &&
            !l->entries[i].revoked)
            return &l->entries[i];
    return NULL;
}

static bool role_of(const char *word, enum ledger_role *out)
{
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(word, roles[i]) == 0) {
            *out = (enum ledger_role)i;
            return true;
        }
    return false;
}

static bool take_issuing(struct ledger *l, char **f)
{
    struct ledger_entry e = {.subject = f[5]};
    if (!serial_ok(f[1]) || !instant(f[2], &e.at) || !instant(f[3], &e.not_after) ||
        !role_of(f[4], &e.role) || !unescape(f[5]) || ledger_find(l, f[1]) ||
        (f[6] && !ledger_find(l, f[6])))
        return false;
    strcpy(e.serial, f[1]);
    strcpy(e.renews, f[6] ? f[6] : "");
    e.subject = strcmp(f[5], "-") == 0 ? "" : f[5];
    return add(l, &e);
}

static bool take_revoked(struct ledger *l, char **f)
{
    struct ledger_entry *e = ledger_find(l, f[1]);
    if (!e || e->revoked || strlen(f[3]) >= sizeof e->reason || !instant(f[2], &e->revoked))
        return false;
    strcpy(e->reason, f[3]);
    l->crl_due = true;
    return true;
}

static bool take_issued(struct ledger *l, char **f)
{
    int64_t at;
    struct ledger_entry *e = ledger_find(l, f[1]);
    if (!e || e->issued || !instant(f[2], &at))
        return false;
    e->issued = true;
    return true;
}

static bool take_crl(struct ledger *l, char **f)
{
    int64_t at, next;
    uint64_t n;
    if (!number(f[1], &n) || n <= l->crl_number || !instant(f[2], &at) || !instant(f[3], &next))
        return false;
    l->crl_number = n;
    l->crl_due = false;
    return true;
}

static const struct kind {
    const char *word;
    int fields, optional;
    bool (*take)(struct ledger *l, char **fields);
} kinds[] = {
    {"issuing", 6, 1, take_issuing},
    {"issued", 3, 0, take_issued},
    {"revoked", 4, 0, take_revoked},
    {"crl", 4, 0, take_crl},
};

static bool take_line(struct ledger *l, char *line)
{
    char *f[FIELDS + 1] = {NULL}, *save = NULL;
    int n = 0;
    for (char *w = strtok_r(line, " ", &save); w && n <= FIELDS; w = strtok_r(NULL, " ", &save))
        f[n++] = w;
    for (size_t i = 0; n > 0 && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(f[0], kinds[i].word) == 0)
            return n >= kinds[i].fields && n <= kinds[i].fields + kinds[i].optional &&
                   kinds[i].take(l, f);
    return false;
}

/* What follows the last line's end was torn off by a crash before its sync: a writer cuts it. */
static enum err cut(struct ledger *l, off_t good)
{
    if (!l->writing)
        return ERR_OK;
    log_warn("%s: cut off a last line that was never finished", l->path);
    if (ftruncate(l->fd, good) || fsync(l->fd))
        return log_fail_errno("%s", l->path);
    return ERR_OK;
}

static enum err read_lines(struct ledger *l, FILE *f)
{
    char line[LINE_BYTES];
    off_t good = 0;
    for (unsigned at = 1; fgets(line, sizeof line, f); at++) {
        size_t n = strlen(line);
        if (n == 0 || line[n - 1] != '\n') {
            if (feof(f))
                return at == 1 ? log_fail(ERR_CORRUPT, "%s: not a ledger", l->path) : cut(l, good);
            return log_fail(ERR_CORRUPT, "%s:%u: not a ledger's line", l->path, at);
        }
        if (at == 1 && strcmp(line, VERSION) != 0)
            return log_fail(ERR_CORRUPT, "%s: not a ledger of a known version", l->path);
        line[n - 1] = '\0';
        if (at > 1 && !take_line(l, line))
            return log_fail(ERR_CORRUPT, "%s:%u: not a ledger's line, or out of order", l->path,
                            at);
        good += (off_t)n;
    }
    if (ferror(f))
        return log_fail_errno("%s", l->path);
    return good ? ERR_OK : log_fail(ERR_CORRUPT, "%s: empty", l->path);
}

static enum err read_all(struct ledger *l)
{
    int copy = dup(l->fd);
    FILE *f = copy >= 0 ? fdopen(copy, "r") : NULL;
    if (!f) {
        if (copy >= 0)
            close(copy);
        return log_fail_errno("%s", l->path);
    }
    enum err e = read_lines(l, f);
    fclose(f);
    return e;
}

enum err ledger_open(struct ledger *l, const char *path, bool writing)
{
    *l = (struct ledger){.fd = -1, .writing = writing};
    enum err e = ERR_OK;
    l->path = strdup(path);
    if (!l->path)
        return log_fail(ERR_INTERNAL, "%s: out of memory", path);
    l->fd = open(path, (writing ? O_RDWR | O_APPEND : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
    if (l->fd < 0 || (writing && flock(l->fd, LOCK_EX)))
        e = log_fail_errno("%s", path);
    else
        e = read_all(l);
    if (e)
        ledger_release(l);
    return e;
}

void ledger_release(struct ledger *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->entries[i].subject);
    free(l->entries);
    free(l->path);
    if (l->fd >= 0)
        close(l->fd);
    *l = (struct ledger){.fd = -1};
}

/* One write, so that a line is torn only by a crash. */
static enum err append(struct ledger *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static enum err append(struct ledger *l, const char *fmt, ...)
{
    char line[LINE_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n < 0 || n >= LINE_BYTES - 1)
        return log_fail(ERR_LIMIT, "%s: a line would be too long", l->path);
    line[n] = '\n';
    errno = EIO; /* for a short write */
    if (write(l->fd, line, (size_t)n + 1) != n + 1 || fsync(l->fd))
        return log_fail_errno("%s", l->path);
    return ERR_OK;
}

enum err ledger_issuing(struct ledger *l, const struct ledger_entry *new)
{
    char subject[LINE_BYTES - 256];
    if (!escape(new->subject, subject, sizeof subject))
        return log_fail(ERR_LIMIT, "the subject is too long");
    if (ledger_find(l, new->serial))
        return log_fail(ERR_EXISTS, "serial %s is in use already", new->serial);
    enum err e = append(l, "issuing %s %" PRId64 " %" PRId64 " %s %s%s%s", new->serial, new->at,
                        new->not_after, ledger_role_name(new->role), *subject ? subject : "-",
                        new->renews[0] ? " " : "", new->renews);
    if (!e && !add(l, new))
        e = log_fail(ERR_INTERNAL, "out of memory");
    return e;
}

enum err ledger_issued(struct ledger *l, const char *serial)
{
    enum err e = append(l, "issued %s %" PRId64, serial, (int64_t)time(NULL));
    struct ledger_entry *entry = ledger_find(l, serial);
    if (!e && entry)
        entry->issued = true;
    return e;
}

enum err ledger_revoked(struct ledger *l, const char *serial, const char *reason)
{
    struct ledger_entry *entry = ledger_find(l, serial);
    if (!entry)
        return log_fail(ERR_NOENT, "%s: no such serial in the ledger", serial);
    int64_t now = time(NULL);
    enum err e = append(l, "revoked %s %" PRId64 " %s", serial, now, reason);
    if (e)
        return e;
    entry->revoked = now;
    snprintf(entry->reason, sizeof entry->reason, "%s", reason);
    l->crl_due = true;
    return ERR_OK;
}

enum err ledger_crl(struct ledger *l, int64_t now, int64_t next_update)
{
    enum err e =
        append(l, "crl %" PRIu64 " %" PRId64 " %" PRId64, l->crl_number + 1, now, next_update);
    if (e)
        return e;
    l->crl_number++;
    l->crl_due = false;
    return ERR_OK;
}
