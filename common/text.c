/* SPDX-License-Identifier: ISC */
#include "text.h"

#include <stdio.h>
#include <string.h>

size_t text_char(const uint8_t *s, size_t n, uint32_t *point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    *point = s[0];
    if (s[0] < 0x80)
        return 1;
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
    if (len == 0 || len > n || s[0] > 0xf4)
        return 0;
    uint32_t value = s[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (s[i] & 0x3fu);
    }
    bool surrogate = value >= 0xd800 && value <= 0xdfff;
    if (value < least[len] || surrogate || value > 0x10ffff)
        return 0;
    *point = value;
    return len;
}

bool text_visible(uint32_t point)
{
    bool control = point < 0x20 || (point >= 0x7f && point < 0xa0);
    bool separator = point == 0x2028 || point == 0x2029;
    bool direction = point == 0x61c || point == 0x200e || point == 0x200f ||
                     (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
    return !control && !separator && !direction;
}

void text_put(struct buf *out, const char *s)
{
    buf_put(out, s, strlen(s));
}

static void put_escape(struct buf *out, uint32_t point)
{
    char text[16];
    if (point == '"' || point == '\\')
        snprintf(text, sizeof text, "\\%c", (int)point);
    else
        snprintf(text, sizeof text, "\\u%04x", (unsigned)(point & 0xffff));
    text_put(out, text);
}

/* How many bytes from s on are printable ASCII that stands for itself. */
static size_t plain(const uint8_t *s, size_t n)
{
    size_t i = 0;
    while (i < n && s[i] >= 0x20 && s[i] < 0x7f && s[i] != '"' && s[i] != '\\')
        i++;
    return i;
}

void text_json(struct buf *out, struct slice s)
{
    text_put(out, "\"");
    for (size_t i = 0; i < s.n;) {
        uint32_t point;
        size_t len = plain(s.p + i, s.n - i);
        if (len > 0) {
            buf_put(out, s.p + i, len);
            i += len;
            continue;
        }
        len = text_char(s.p + i, s.n - i, &point);
        if (len && text_visible(point) && point != '"' && point != '\\')
            buf_put(out, s.p + i, len);
        else
            put_escape(out, point);
        i += len ? len : 1;
    }
    text_put(out, "\"");
}

void text_size(uint64_t bytes, char out[static TEXT_SIZE])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1023.95 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    snprintf(out, TEXT_SIZE, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

void text_hex(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * n] = '\0';
}

void text_base64(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = (uint32_t)p[i] << 16 | (uint32_t)(i + 1 < n ? p[i + 1] : 0) << 8 |
                        (i + 2 < n ? p[i + 2] : 0);
        for (unsigned k = 0; k < 4; k++)
            *out++ = i + k > n ? '=' : digits[bits >> (18 - 6 * k) & 63];
    }
    *out = '\0';
}
