/* SPDX-License-Identifier: ISC */
/* PIN sources. The PIN lives in one locked page that no core dump and no child gets. */
#include "conf.h"
#include "log.h"
#include "token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

enum { PIN_MAX = 255, PAGE = 4096 };

enum kind { FROM_FILE, FROM_FD, FROM_CREDENTIAL, FROM_PROMPT, FROM_CALLER };

struct token_pin {
    enum kind kind;
    char *name; /* path or credential; "" for the others */
    int fd;
    char label[64];
    char *page;
    bool known;
};

static enum err parse_fd(const char *text, int *fd)
{
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (end == text || *end || errno || v < 0 || v > 65535)
        return log_fail(ERR_CONFIG, "PIN source \"fd:%s\": not a descriptor number", text);
    *fd = (int)v;
    return ERR_OK;
}

static const char *after(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

static enum err parse(const char *source, struct token_pin *p)
{
    const char *rest;
    p->fd = -1;
    if (strcmp(source, "prompt") == 0) {
        p->kind = FROM_PROMPT;
        rest = "";
    } else if ((rest = after(source, "fd:"))) {
        p->kind = FROM_FD;
        enum err e = parse_fd(rest, &p->fd);
        if (e)
            return e;
    } else if ((rest = after(source, "credential:"))) {
        p->kind = FROM_CREDENTIAL;
        if (!*rest || *rest == '.' || strchr(rest, '/'))
            return log_fail(ERR_CONFIG, "PIN source \"%s\": not a credential's name", source);
    } else {
        p->kind = FROM_FILE;
        rest = after(source, "file:");
        if (!rest)
            rest = source;
        if (!*rest)
            return log_fail(ERR_CONFIG, "PIN source \"%s\": no file named", source);
    }
    p->name = strdup(rest);
    return p->name ? ERR_OK : log_fail(ERR_INTERNAL, "PIN source: out of memory");
}

static enum err map_page(struct token_pin *p)
{
    void *page =
        mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (page == MAP_FAILED)
        return log_fail(ERR_INTERNAL, "PIN: no memory for it");
    p->page = page;
    if (mlock(page, PAGE))
        log_debug("PIN: its memory can't be locked: %s", strerror(errno));
    (void)madvise(page, PAGE, MADV_DONTDUMP);
    (void)madvise(page, PAGE, MADV_WIPEONFORK);
    return ERR_OK;
}

enum err token_pin_new(const char *source, struct token_pin **out)
{
    struct token_pin *p = calloc(1, sizeof *p);
    enum err e = p ? parse(source, p) : log_fail(ERR_INTERNAL, "PIN source: out of memory");
    if (!e)
        e = map_page(p);
    if (e) {
        token_pin_free(p);
        return e;
    }
    token_pin_label(p, "PIN");
    *out = p;
    return ERR_OK;
}

enum err token_pin_given(const void *text, size_t n, struct token_pin **out)
{
    struct token_pin *p = calloc(1, sizeof *p);
    if (!p)
        return log_fail(ERR_INTERNAL, "PIN: out of memory");
    p->kind = FROM_CALLER;
    p->fd = -1;
    enum err e = map_page(p);
    if (!e && (n == 0 || n > PIN_MAX || memchr(text, '\0', n)))
        e = log_fail(ERR_PIN, "PIN: not 1 to %d bytes of text", PIN_MAX);
    if (e) {
        token_pin_free(p);
        return e;
    }
    memcpy(p->page, text, n);
    p->known = true;
    *out = p;
    return ERR_OK;
}

void token_pin_free(struct token_pin *p)
{
    if (!p)
        return;
    if (p->page) {
        token_pin_forget(p);
        munmap(p->page, PAGE);
    }
    free(p->name);
    free(p);
}

void token_pin_label(struct token_pin *p, const char *label)
{
    snprintf(p->label, sizeof p->label, "%s", label);
}

void token_pin_forget(struct token_pin *p)
{
    if (!p)
        return;
    explicit_bzero(p->page, PAGE);
    p->known = false;
}

/* Systemd gives a credential to the service's account by an access list, which shows as group bits:
 * so these may be read by "the group", where conf_open would refuse. */
static enum err open_credential(const char *name, int *out)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    char path[4096];
    struct stat st;
    if (!dir || !*dir || snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return log_fail(ERR_CONFIG,
                        "PIN from credential \"%s\": this process was given no credentials "
                        "(LoadCredential= of a service)",
                        name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return log_fail_errno("PIN from credential \"%s\"", name);
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || (st.st_mode & 0027) ||
        (st.st_uid != 0 && st.st_uid != geteuid())) {
        close(fd);
        return log_fail(ERR_CONFIG, "PIN from credential \"%s\": others may read or change it",
                        name);
    }
    *out = fd;
    return ERR_OK;
}

/* Reads to the end, at most n bytes; -1 with errno. */
static ssize_t read_all(int fd, char *to, size_t n)
{
    size_t got = 0;
    while (got < n) {
        ssize_t r = read(fd, to + got, n - got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -1;
        if (r == 0)
            break;
        got += (size_t)r;
    }
    return (ssize_t)got;
}

/* One character at a time without echo, so that an interrupt leaves the terminal as it was. */
static ssize_t read_silently(int tty, char *to, size_t max)
{
    struct termios was, raw;
    size_t n = 0;
    ssize_t result = -1;
    char c;
    if (tcgetattr(tty, &was))
        return -1;
    raw = was;
    raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG);
    if (tcsetattr(tty, TCSAFLUSH, &raw))
        return -1;
    while (read(tty, &c, 1) == 1) {
        if (c == '\n' || c == '\r' || c == 4) {
            result = (ssize_t)n;
            break;
        }
        if (c == 3 || n == max)
            break;
        if (c == 127 || c == 8)
            n -= n > 0;
        else
            to[n++] = c;
    }
    (void)tcsetattr(tty, TCSAFLUSH, &was);
    return result;
}

static enum err prompt(const struct token_pin *p, char *to, size_t max, size_t *n)
{
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0)
        return log_fail(ERR_PIN,
                        "%s: there is no terminal to ask at; name a PIN source (file:PATH, fd:N or "
                        "credential:NAME)",
                        p->label);
    dprintf(tty, "%s: ", p->label);
    ssize_t got = read_silently(tty, to, max);
    dprintf(tty, "\n");
    close(tty);
    if (got < 0)
        return log_fail(ERR_PIN, "%s: not given", p->label);
    *n = (size_t)got;
    return ERR_OK;
}

static const char *origin(const struct token_pin *p)
{
    return p->kind == FROM_PROMPT ? "the terminal" : p->kind == FROM_FD ? "a descriptor" : p->name;
}

static enum err open_source(struct token_pin *p, int *fd)
{
    if (p->kind == FROM_CREDENTIAL)
        return open_credential(p->name, fd);
    if (p->kind == FROM_FILE) {
        *fd = conf_open(p->name, true);
        return *fd < 0 ? ERR_CONFIG : ERR_OK;
    }
    *fd = p->fd;
    p->fd = -1;
    return *fd < 0 ? log_fail(ERR_PIN, "PIN from a descriptor: it was read already") : ERR_OK;
}

static enum err read_source(struct token_pin *p, char *to, size_t max, size_t *n)
{
    int fd;
    if (p->kind == FROM_PROMPT)
        return prompt(p, to, max, n);
    if (p->kind == FROM_CALLER)
        return log_fail(ERR_PIN, "PIN: it was forgotten");
    enum err e = open_source(p, &fd);
    if (e)
        return e;
    ssize_t got = read_all(fd, to, max);
    if (got < 0)
        e = log_fail_errno("PIN from %s", origin(p));
    else
        *n = (size_t)got;
    close(fd);
    return e;
}

/* Cuts one line ending; what remains must be one line of 1 to PIN_MAX bytes. */
static enum err settle(struct token_pin *p, size_t n)
{
    char *pin = p->page;
    const char *wrong = NULL;
    if (n > 0 && pin[n - 1] == '\n')
        n--;
    if (n > 0 && pin[n - 1] == '\r')
        n--;
    if (n == 0)
        wrong = "it is empty";
    else if (n > PIN_MAX)
        wrong = "it is longer than 255 bytes";
    else if (memchr(pin, '\n', n) || memchr(pin, '\0', n))
        wrong = "it is more than one line of text";
    if (wrong)
        return log_fail(ERR_PIN, "PIN from %s: %s", origin(p), wrong);
    memset(pin + n, 0, PAGE - n);
    return ERR_OK;
}

const char *token_pin_get(struct token_pin *p)
{
    size_t n = 0;
    if (p->known)
        return p->page;
    p->known = !read_source(p, p->page, PIN_MAX + 3, &n) && !settle(p, n);
    if (!p->known)
        explicit_bzero(p->page, PAGE);
    return p->known ? p->page : NULL;
}
