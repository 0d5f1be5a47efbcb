/* SPDX-License-Identifier: ISC */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONTROL_MAX = 4096, DIGITS = 10 };

static bool number(const char *text, unsigned long *out)
{
    char *end;
    *out = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0';
}

static bool parse_answer(const char *text, struct wish *w)
{
    w->end = strcmp(text, "abort") == 0;
    w->has_answer = !w->end;
    return w->end || folder_code(text, &w->answer);
}

static bool parse_function(const char *text, struct wish *w)
{
    w->in = function_find(text);
    return w->in != FN_COUNT;
}

static bool parse_setting(char *word, struct wish *w)
{
    char *value = strchr(word, '=');
    if (!value)
        return false;
    *value++ = '\0';
    return strcmp(word, "in") == 0      ? parse_function(value, w)
           : strcmp(word, "as") == 0    ? parse_answer(value, w)
           : strcmp(word, "n") == 0     ? number(value, &w->n)
           : strcmp(word, "ms") == 0    ? number(value, &w->ms)
           : strcmp(word, "after") == 0 ? number(value, &w->after)
           : strcmp(word, "times") == 0 ? number(value, &w->times)
                                        : false;
}

/* "0000000003 error in=C_Sign as=CKR_GENERAL_ERROR": the number is that of the calls that were met.
 */
static bool parse(char *line, struct wish *w, unsigned long *met)
{
    char *rest, *word = strtok_r(line, " ", &rest);
    *w = (struct wish){.in = FN_COUNT, .times = ULONG_MAX};
    if (!word || strlen(word) != DIGITS || !number(word, met))
        return false;
    word = strtok_r(NULL, " ", &rest);
    w->mood = word ? mood_find(word) : NULL;
    bool good = w->mood != NULL;
    while (good && (word = strtok_r(NULL, " ", &rest)) != NULL)
        good = parse_setting(word, w);
    return good;
}

static void apply_line(int fd, char *line, off_t at, struct call *c)
{
    struct wish w;
    unsigned long met;
    char copy[CONTROL_MAX], digits[DIGITS + 1];
    snprintf(copy, sizeof copy, "%s", line);
    if (!parse(line, &w, &met)) {
        complain("control: can't be understood: %s", copy);
        abort();
    }
    if (!mood_meets(&w, c))
        return;
    snprintf(digits, sizeof digits, "%0*lu", DIGITS, met + 1);
    if (pwrite(fd, digits, DIGITS, at) != DIGITS)
        complain("control: %s", strerror(errno));
    if (met >= w.after && met - w.after < w.times)
        mood_act(&w, c);
}

static void apply_all(int fd, struct call *c)
{
    char text[CONTROL_MAX];
    struct stat st;
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n < 0 || fstat(fd, &st)) {
        complain("control: %s", strerror(errno));
        abort();
    }
    text[n] = '\0';
    c->control = st.st_ino;
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        apply_line(fd, line, line - text, c);
    }
}

/* One call at a time, of all processes; a new file takes the place of the old one, so that counts
 * never get into another's lines. */
void control_apply(struct call *c)
{
    int fd = folder_file("control", O_RDWR);
    if (fd < 0)
        return;
    while (flock(fd, LOCK_EX) && errno == EINTR)
        continue;
    apply_all(fd, c);
    flock(fd, LOCK_UN);
    close(fd);
}

bool control_stands(ino_t inode)
{
    struct stat st;
    int fd = folder_file("control", O_RDONLY);
    bool stands = fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == inode;
    if (fd >= 0)
        close(fd);
    return stands;
}
