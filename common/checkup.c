/* SPDX-License-Identifier: ISC */
#include "checkup.h"

#include "log.h"
#include "text.h"
#include <stdio.h>
#include <string.h>

enum { LINE = 2048 };

static const char *const verdicts[] = {
    [CHECKUP_OK] = "ok", [CHECKUP_WARN] = "warn", [CHECKUP_FAIL] = "fail"};

static void put_string(struct buf *b, const char *key, const char *value)
{
    text_put(b, ",");
    text_json(b, slice_str(key));
    text_put(b, ":");
    text_json(b, slice_str(value));
}

static void print_json(enum checkup_verdict v, const char *check, const char *fix, const char *text)
{
    struct buf b;
    buf_init(&b, 16 * LINE);
    text_put(&b, "{\"event\":\"check\"");
    put_string(&b, "check", check);
    put_string(&b, "verdict", verdicts[v]);
    put_string(&b, "text", text);
    if (fix)
        put_string(&b, "fix", fix);
    text_put(&b, "}\n");
    if (!b.bad)
        fwrite(b.data, 1, b.len, stdout);
    buf_release(&b);
}

static void print_text(enum checkup_verdict v, const char *check, const char *fix, const char *text)
{
    char shown[4 * LINE];
    log_scrub(shown, sizeof shown, text, strlen(text));
    printf("%-5s %-12s %s\n", verdicts[v], check, shown);
    if (!fix)
        return;
    log_scrub(shown, sizeof shown, fix, strlen(fix));
    printf("%-5s %-12s %s\n", "", "fix", shown);
}

void checkup_say(struct checkup *c, enum checkup_verdict v, const char *check, const char *fix,
                 const char *fmt, ...)
{
    char text[LINE];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->counts[v]++;
    if (c->quiet && v == CHECKUP_OK)
        return;
    (c->json ? print_json : print_text)(v, check, fix, text);
    fflush(stdout);
}

void checkup_failed(struct checkup *c, const char *check, const char *fix)
{
    checkup_say(c, CHECKUP_FAIL, check, fix, "%s", log_reason());
}

enum err checkup_end(struct checkup *c)
{
    printf(c->json ? "{\"event\":\"checkup\",\"ok\":%u,\"warn\":%u,\"fail\":%u}\n"
                   : "%u ok, %u to be looked at, %u failed\n",
           c->counts[CHECKUP_OK], c->counts[CHECKUP_WARN], c->counts[CHECKUP_FAIL]);
    return c->counts[CHECKUP_FAIL] ? ERR_CONFIG : ERR_OK;
}

void checkup_fips(struct checkup *c, enum fips_mode mode)
{
    char text[FIPS_TEXT];
    fips_statement(mode, text);
    checkup_say(c, mode == FIPS_REQUIRE && !fips_module() ? CHECKUP_WARN : CHECKUP_OK, "fips",
                mode == FIPS_REQUIRE && !fips_module()
                    ? "where a validated module is demanded, run on a system whose GnuTLS is one"
                    : NULL,
                "%s", text);
}
