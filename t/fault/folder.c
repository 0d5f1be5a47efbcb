/* SPDX-License-Identifier: ISC */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[PATH_MAX];

static const char *const functions[] = {
#define CALL(name, ...) #name,
#include "calls.def"
};

static const struct {
    const char *name;
    CK_RV rv;
} codes[] = {
#define CODE(name) {#name, name},
#include "codes.def"
};

void complain(const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    dprintf(STDERR_FILENO, "consign-fault: %s\n", text);
}

/* ---- names ---- */

const char *function_name(enum function function)
{
    return functions[function];
}

enum function function_find(const char *name)
{
    enum function f = 0;
    while (f < FN_COUNT && strcmp(functions[f], name) != 0)
        f++;
    return f;
}

const char *folder_name(CK_RV rv, char to[static 24])
{
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i].rv == rv)
            return codes[i].name;
    snprintf(to, 24, "0x%lx", (unsigned long)rv);
    return to;
}

bool folder_code(const char *name, CK_RV *rv)
{
    char *end;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(codes[i].name, name) == 0) {
            *rv = codes[i].rv;
            return true;
        }
    *rv = strtoul(name, &end, 16);
    return strncmp(name, "0x", 2) == 0 && *end == '\0';
}

/* ---- the folder ---- */

int folder_file(const char *name, int flags)
{
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT) {
        complain("%s: %s", path, strerror(errno));
        abort();
    }
    return fd;
}

static char *next_line(FILE *f, char *line, int size)
{
    if (!fgets(line, size, f))
        return NULL;
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static FILE *open_lines(const char *name)
{
    int fd = folder_file(name, O_RDONLY);
    return fd < 0 ? NULL : fdopen(fd, "r");
}

bool folder_open(void)
{
    char line[PATH_MAX];
    const char *at = getenv("CONSIGN_FAULT");
    if (!at || *at != '/' || strlen(at) >= sizeof folder) {
        complain("CONSIGN_FAULT does not name a folder");
        return false;
    }
    snprintf(folder, sizeof folder, "%s", at);
    FILE *f = open_lines("environment");
    while (f && next_line(f, line, sizeof line)) {
        char *value = strchr(line, '=');
        if (value) {
            *value = '\0';
            setenv(line, value + 1, 1);
        }
    }
    if (f)
        fclose(f);
    return true;
}

const char *folder_module(void)
{
    static char path[PATH_MAX];
    FILE *f = open_lines("module");
    bool good = f && next_line(f, path, sizeof path);
    if (!good)
        complain("%s/module does not name a module", folder);
    if (f)
        fclose(f);
    return good ? path : NULL;
}

/* In one piece, from many processes at once; and no descriptor stays open, as some processes close all
 * that they do not know. */
void folder_note(const struct call *c, const char *outcome)
{
    char line[128];
    int fd = folder_file("calls", O_WRONLY | O_APPEND);
    if (fd < 0)
        return;
    int n = snprintf(line, sizeof line, "%ld %s %s %u\n", (long)getpid(),
                     function_name(c->function), outcome, c->under_way);
    if (write(fd, line, (size_t)n) != n)
        complain("calls: %s", strerror(errno));
    close(fd);
}
