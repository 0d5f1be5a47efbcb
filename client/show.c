/* SPDX-License-Identifier: ISC */
#include "client.h"

#include "log.h"
#include "text.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BAR_EVERY_MS = 100, JSON_EVERY_MS = 1000, BAR_WIDTH = 28 };

static const char *phase_name(enum xfer_phase p)
{
    switch (p) {
    case XFER_HASHING:
        return "hashing";
    case XFER_PEER_HASHING:
        return "server hashing";
    case XFER_COMMITTING:
        return "committing";
    default:
        return "moving";
    }
}

/* ---- lines ---- */

void show_line(const char *fmt, ...)
{
    char raw[9000], text[12000];
    va_list ap;
    if (options.quiet)
        return;
    va_start(ap, fmt);
    vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    log_scrub(text, sizeof text, raw, strlen(raw));
    printf("%s\n", text);
}

void show_json(const char *event, ...)
{
    struct buf b;
    va_list ap;
    const char *key;
    buf_init(&b, 64 * 1024);
    text_put(&b, "{\"event\":");
    text_json(&b, slice_str(event));
    va_start(ap, event);
    while ((key = va_arg(ap, const char *))) {
        const char *value = va_arg(ap, const char *);
        if (!value)
            continue;
        bool literal = key[0] == '#';
        text_put(&b, ",");
        text_json(&b, slice_str(key + literal));
        text_put(&b, ":");
        if (literal)
            text_put(&b, value);
        else
            text_json(&b, slice_str(value));
    }
    va_end(ap);
    text_put(&b, "}\n");
    if (!b.bad)
        fwrite(b.data, 1, b.len, stdout);
    fflush(stdout);
    buf_release(&b);
}

void show_hex(const uint8_t hash[static TREE_HASH], char out[static 2 * TREE_HASH + 1])
{
    text_hex(hash, TREE_HASH, out);
}

void show_time(int64_t seconds, char out[static SHOW_TIME])
{
    struct tm tm;
    time_t t = (time_t)seconds;
    if (!localtime_r(&t, &tm) || !strftime(out, SHOW_TIME, "%Y-%m-%d %H:%M:%S", &tm))
        snprintf(out, SHOW_TIME, "?");
}

/* ---- one transfer ---- */

/* The transfers that run, and what they write while they do. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct show *running;

void show_start(struct show *s, const char *op, const char *from, const char *to)
{
    *s = (struct show){.op = op, .from = from, .to = to, .phase = XFER_MOVING};
    s->started_ms = s->mark_ms = s->done_ms = tls_now_ms();
    pthread_mutex_lock(&lock);
    s->next = running;
    running = s;
    pthread_mutex_unlock(&lock);
    signal_watch();
}

void show_end(struct show *s)
{
    pthread_mutex_lock(&lock);
    for (struct show **at = &running; *at; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    if (s->drawn)
        fprintf(stderr, "\r\033[K");
    s->drawn = false;
    pthread_mutex_unlock(&lock);
}

/* Bytes a second in the running phase. */
static double speed_of(const struct show *s)
{
    double seconds = (double)(s->done_ms - s->mark_ms) / 1000;
    return seconds > 0 ? (double)(s->done - s->mark_done) / seconds : 0;
}

static double percent_of(const struct show *s)
{
    return s->total ? 100 * (double)s->done / (double)s->total : 100;
}

/* " 12 s left" or nothing. */
static void left_text(const struct show *s, char *out, size_t cap)
{
    double speed = speed_of(s);
    out[0] = '\0';
    if (speed > 1)
        snprintf(out, cap, " %.0f s left", (double)(s->total - s->done) / speed);
}

static void draw(struct show *s)
{
    char bar[BAR_WIDTH + 1], rate[TEXT_SIZE], left[32], name[128];
    double percent = percent_of(s);
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < (int)(percent / 100 * BAR_WIDTH) ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    text_size((uint64_t)speed_of(s), rate);
    left_text(s, left, sizeof left);
    log_scrub(name, sizeof name, s->from, strlen(s->from));
    fprintf(stderr, "\r%.40s [%s] %3.0f %% %s %s/s%s\033[K", name, bar, percent,
            phase_name(s->phase), rate, left);
    s->drawn = true;
}

static void progress_json(const struct show *s)
{
    char done[32], total[32], rate[32], left[32];
    double speed = speed_of(s);
    snprintf(done, sizeof done, "%llu", (unsigned long long)s->done);
    snprintf(total, sizeof total, "%llu", (unsigned long long)s->total);
    snprintf(rate, sizeof rate, "%.0f", speed);
    if (speed > 1)
        snprintf(left, sizeof left, "%.0f", (double)(s->total - s->done) / speed);
    show_json("progress", "op", s->op, "from", s->from, "to", s->to[0] ? s->to : NULL, "phase",
              phase_name(s->phase), "#done", done, "#total", total, "#rate", rate, "#left",
              speed > 1 ? left : NULL, NULL);
}

static void tell(struct show *s)
{
    char raw[9000], line[12000];
    char done[TEXT_SIZE], total[TEXT_SIZE], rate[TEXT_SIZE], left[32];
    text_size(s->done, done);
    text_size(s->total, total);
    text_size((uint64_t)speed_of(s), rate);
    left_text(s, left, sizeof left);
    int n = snprintf(raw, sizeof raw, "%s %s%s%s: ", s->op, s->from, s->to[0] ? " -> " : "", s->to);
    if (n < 0 || n >= (int)sizeof raw)
        n = 0;
    if (s->begun)
        snprintf(raw + n, sizeof raw - (size_t)n, "%s, %s of %s (%.0f %%), %s/s%s%s",
                 phase_name(s->phase), done, total, percent_of(s), rate, left[0] ? "," : "", left);
    else
        snprintf(raw + n, sizeof raw - (size_t)n, "beginning");
    log_scrub(line, sizeof line, raw, strlen(raw));
    fprintf(stderr, "%s%s\n", s->drawn ? "\r\033[K" : "", line);
    if (options.json && s->begun)
        progress_json(s);
}

void show_status(void)
{
    pthread_mutex_lock(&lock);
    if (!running)
        fprintf(stderr, "nothing is under way at the moment\n");
    for (struct show *s = running; s; s = s->next)
        tell(s);
    pthread_mutex_unlock(&lock);
}

static void note(struct show *s, enum xfer_phase phase, uint64_t done, uint64_t total, int64_t now)
{
    s->done = done;
    s->total = total;
    s->done_ms = now;
    s->begun = true;
    if (phase == s->phase)
        return;
    s->phase = phase;
    s->mark_ms = now;
    s->mark_done = done;
}

void show_event(void *show, enum xfer_phase phase, uint64_t done, uint64_t total)
{
    struct show *s = show;
    int64_t now = tls_now_ms();
    pthread_mutex_lock(&lock);
    note(s, phase, done, total, now);
    if (now - s->drawn_ms >= (options.json ? JSON_EVERY_MS : BAR_EVERY_MS)) {
        s->drawn_ms = now;
        if (options.json)
            progress_json(s);
        else if (!options.quiet && isatty(STDERR_FILENO))
            draw(s);
    }
    pthread_mutex_unlock(&lock);
}

static void result_json(const struct show *s, enum err e, const struct xfer_result *r,
                        uint64_t wire, double seconds)
{
    char length[32], moved[32], kept[32], copied[32], zeros[32], crossed[32], took[32],
        root[2 * TREE_HASH + 1];
    snprintf(length, sizeof length, "%llu", (unsigned long long)r->length);
    snprintf(moved, sizeof moved, "%llu", (unsigned long long)r->moved);
    snprintf(kept, sizeof kept, "%llu", (unsigned long long)r->kept);
    snprintf(copied, sizeof copied, "%llu", (unsigned long long)r->copied);
    snprintf(zeros, sizeof zeros, "%llu", (unsigned long long)r->zeros);
    snprintf(crossed, sizeof crossed, "%llu", (unsigned long long)wire);
    snprintf(took, sizeof took, "%.3f", seconds);
    show_hex(r->root, root);
    show_json("result", "op", s->op, "from", s->from, "to", s->to, "status", err_name(e), "#length",
              length, "#moved", moved, "#kept", kept, "#copied", copied, "#zeros", zeros, "#wire",
              crossed, "#seconds", took, "root", e == ERR_OK ? root : NULL, "reason",
              e == ERR_OK ? NULL : log_reason(), NULL);
}

void show_result(struct show *s, enum err e, const struct xfer_result *r, uint64_t wire)
{
    char length[TEXT_SIZE], moved[TEXT_SIZE], kept[TEXT_SIZE], copied[TEXT_SIZE], zeros[TEXT_SIZE],
        rate[TEXT_SIZE];
    char root[2 * TREE_HASH + 1];
    double seconds = (double)(tls_now_ms() - s->started_ms) / 1000;
    show_end(s);
    if (options.json) {
        result_json(s, e, r, wire, seconds);
        return;
    }
    if (e != ERR_OK)
        return;
    text_size(r->length, length);
    text_size(r->moved, moved);
    text_size(r->kept, kept);
    text_size(r->copied, copied);
    text_size(r->zeros, zeros);
    text_size((uint64_t)((double)r->length / (seconds > 0.001 ? seconds : 0.001)), rate);
    show_hex(r->root, root);
    show_line("%s %s -> %s: %s (moved %s, kept %s, copied %s, zeros %s; %llu bytes on the wire), "
              "%.1f s, %s/s, "
              "root %s",
              s->op, s->from, s->to, length, moved, kept, copied, zeros, (unsigned long long)wire,
              seconds, rate, root);
}
