/* SPDX-License-Identifier: ISC */
#include "log.h"

#include "text.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048 };

static struct {
    const char *prog;
    enum log_level most;
    bool plain;
    _Atomic bool quiet; /* threads come and go while it is set */
    char context[301];
} state = {.prog = "consign", .most = LOG_LVL_INFO};

static _Thread_local char reason[512];
static _Thread_local bool hushed;

void log_init(const char *prog, enum log_level most, bool plain)
{
    state.prog = prog;
    state.most = most;
    state.plain = plain;
}

void log_context(const char *context)
{
    const char *text = context ? context : "";
    log_scrub(state.context, sizeof state.context, text, strlen(text));
}

void log_quiet(bool quiet)
{
    state.quiet = quiet;
}

size_t log_scrub(char *dst, size_t cap, const void *src, size_t n)
{
    const unsigned char *s = src;
    size_t out = 0;
    if (cap == 0)
        return 0;
    for (size_t i = 0; i < n;) {
        uint32_t point;
        size_t len = text_char(s + i, n - i, &point);
        if (!text_visible(point))
            len = 0;
        if (out + (len ? len : 4) >= cap)
            break;
        if (len) {
            memcpy(dst + out, s + i, len);
            out += len;
            i += len;
        } else {
            static const char hex[] = "0123456789abcdef";
            dst[out++] = '\\';
            dst[out++] = 'x';
            dst[out++] = hex[s[i] >> 4];
            dst[out++] = hex[s[i] & 15];
            i++;
        }
    }
    dst[out] = '\0';
    return out;
}

static void emit(enum log_level level, const char *text)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    char line[LINE_MAX_BYTES];
    int n;
    if (level > state.most)
        return;
    if (state.plain)
        n = snprintf(line, sizeof line, "%s: %s\n", state.prog, text);
    else
        n = snprintf(line, sizeof line, "%s[%d] %s%s%s: %s\n", state.prog, (int)getpid(),
                     names[level], state.context[0] ? " " : "", state.context, text);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    if (len == sizeof line - 1)
        line[len - 1] = '\n';
    while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
        continue;
}

void log_at(enum log_level level, const char *fmt, ...)
{
    char raw[1024], text[1536];
    va_list ap;
    int saved = errno;
    va_start(ap, fmt);
    vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    log_scrub(text, sizeof text, raw, strlen(raw));
    emit(level, text);
    errno = saved;
}

static void fail(const char *fmt, va_list ap, const char *cause)
{
    char raw[512];
    vsnprintf(raw, sizeof raw, fmt, ap);
    if (cause) {
        size_t n = strlen(raw);
        snprintf(raw + n, sizeof raw - n, ": %s", cause);
    }
    log_scrub(reason, sizeof reason, raw, strlen(raw));
    if (!state.quiet && !hushed)
        emit(LOG_LVL_ERROR, reason);
}

void log_hush(bool hush)
{
    hushed = hush;
}

enum err log_fail(enum err e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fail(fmt, ap, NULL);
    va_end(ap);
    return e;
}

enum err log_fail_errno(const char *fmt, ...)
{
    int saved = errno;
    va_list ap;
    va_start(ap, fmt);
    fail(fmt, ap, strerror(saved));
    va_end(ap);
    errno = saved;
    enum err e = err_from_errno(saved);
    return e == ERR_OK ? ERR_INTERNAL : e;
}

void log_clear_reason(void)
{
    reason[0] = '\0';
}

void log_take_reason(const char *text)
{
    snprintf(reason, sizeof reason, "%s", text);
}

const char *log_reason(void)
{
    return reason;
}
