/* SPDX-License-Identifier: ISC */
#include "client.h"

#include "log.h"
#include "text.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BAR_EVERY_MS = 100, JSON_EVERY_MS = 100, BAR_WIDTH = 28 };

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
        text_put(&b, ",");
        text_json(&b, slice_str(key));
        text_put(&b, ":");
        if (value[0] == '#')
            text_put(&b, value + 1);
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

void show_start(struct show *s, const char *op, const char *from, const char *to)
{
    *s = (struct show){.op = op, .from = from, .to = to, .phase = XFER_MOVING};
    s->started_ms = s->mark_ms = tls_now_ms();
}

static void draw(struct show *s, uint64_t done, uint64_t total, int64_t now)
{
    char bar[BAR_WIDTH + 1], rate[TEXT_SIZE], eta[32] = "", name[128];
    double part = total ? (double)done / (double)total : 1;
    double seconds = (double)(now - s->mark_ms) / 1000;
    double speed = seconds > 0 ? (double)(done - s->mark_done) / seconds : 0;
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < (int)(part * BAR_WIDTH) ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    text_size((uint64_t)speed, rate);
    if (speed > 1)
        snprintf(eta, sizeof eta, " %.0f s left", (double)(total - done) / speed);
    log_scrub(name, sizeof name, s->from, strlen(s->from));
    fprintf(stderr, "\r%.40s [%s] %3.0f %% %s %s/s%s\033[K", name, bar, part * 100,
            phase_name(s->phase), rate, eta);
    s->drawn = true;
}

void show_event(void *show, enum xfer_phase phase, uint64_t done, uint64_t total)
{
    struct show *s = show;
    int64_t now = tls_now_ms();
    if (phase != s->phase) {
        s->phase = phase;
        s->mark_ms = now;
        s->mark_done = done;
    }
    if (now - s->drawn_ms < (options.json ? JSON_EVERY_MS : BAR_EVERY_MS))
        return;
    s->drawn_ms = now;
    if (options.json) {
        char d[32], t[32];
        snprintf(d, sizeof d, "#%llu", (unsigned long long)done);
        snprintf(t, sizeof t, "#%llu", (unsigned long long)total);
        show_json("progress", "op", s->op, "from", s->from, "to", s->to, "phase", phase_name(phase),
                  "done", d, "total", t, NULL);
    } else if (!options.quiet && isatty(STDERR_FILENO)) {
        draw(s, done, total, now);
    }
}

static void result_json(const struct show *s, enum err e, const struct xfer_result *r,
                        uint64_t wire, double seconds)
{
    char length[32], moved[32], kept[32], crossed[32], took[32], root[2 * TREE_HASH + 1];
    snprintf(length, sizeof length, "#%llu", (unsigned long long)r->length);
    snprintf(moved, sizeof moved, "#%llu", (unsigned long long)r->moved);
    snprintf(kept, sizeof kept, "#%llu", (unsigned long long)r->kept);
    snprintf(crossed, sizeof crossed, "#%llu", (unsigned long long)wire);
    snprintf(took, sizeof took, "#%.3f", seconds);
    show_hex(r->root, root);
    show_json("result", "op", s->op, "from", s->from, "to", s->to, "status", err_name(e), "length",
              length, "moved", moved, "kept", kept, "wire", crossed, "seconds", took, "root",
              e == ERR_OK ? root : NULL, "reason", e == ERR_OK ? NULL : log_reason(), NULL);
}

void show_end(struct show *s)
{
    if (s->drawn)
        fprintf(stderr, "\r\033[K");
    s->drawn = false;
}

void show_result(struct show *s, enum err e, const struct xfer_result *r, uint64_t wire)
{
    char length[TEXT_SIZE], moved[TEXT_SIZE], kept[TEXT_SIZE], rate[TEXT_SIZE];
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
    text_size((uint64_t)((double)r->length / (seconds > 0.001 ? seconds : 0.001)), rate);
    show_hex(r->root, root);
    show_line("%s %s -> %s: %s (moved %s, kept %s; %llu bytes on the wire), %.1f s, %s/s, root %s",
              s->op, s->from, s->to, length, moved, kept, (unsigned long long)wire, seconds, rate,
              root);
}
