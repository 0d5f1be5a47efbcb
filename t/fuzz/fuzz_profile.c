/* SPDX-License-Identifier: ISC */
/* What names a server, and consign.conf: what is taken is whole, and how it is shown to the user is taken again and means
 * the same. An input is the name, a NUL and the file. */
#include "fuzz.h"

#include "../../client/client.h"
#include "pace.h"
#include <stdio.h>

struct options options; /* those of the program */

static void check(const struct remote *r)
{
    const struct profile *p = r->profile;
    char path[PATH_MAX_BYTES + 1];
    FUZZ_MUST(p->name && p->host && p->host[0] && p->port && p->port[0]);
    FUZZ_MUST(p->ca && p->certificate && p->key);
    FUZZ_MUST(p->stall_s >= 1 && p->stall_s <= 3600 && p->retry_s <= 86400);
    FUZZ_MUST(p->rate == 0 || (p->rate >= PACE_MIN && p->pace));
    FUZZ_MUST(path_parse(slice_str(r->path), path) == ERR_OK);
}

static void check_again(const struct remote *r)
{
    char text[2 * PATH_MAX_BYTES];
    struct remote again;
    remote_text(r, r->path, text, sizeof text);
    FUZZ_MUST(remote_is(text));
    FUZZ_MUST(remote_parse(text, &again) == ERR_OK);
    FUZZ_MUST(strcmp(r->path, again.path) == 0);
    FUZZ_MUST(strcmp(r->profile->host, again.profile->host) == 0);
    FUZZ_MUST(strcmp(r->profile->port, again.profile->port) == 0);
    remote_release(&again);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct remote r;
    const uint8_t *nul = n ? memchr(data, 0, n) : NULL;
    if (!nul || nul - data > 3000)
        return;
    char *name = fuzz_text(slice_of(data, (size_t)(nul - data)));
    options.config = (char *)(uintptr_t)fuzz_file("input", nul + 1, n - (size_t)(nul - data) - 1);
    if (remote_parse(name, &r) == ERR_OK) {
        FUZZ_MUST(remote_is(name));
        check(&r);
        check_again(&r);
    }
    remote_release(&r);
    free(name);
}

#define REST "ca = ca.pem\ncertificate = c.pem\nkey = pkcs11:object=k\n"

void fuzz_seeds(void)
{
    static const char *const seeds[][2] = {
        {"acme:/a/b", "[acme]\nhost = a.example\n" REST},
        {"consign://[::1]:5/x/", "[default]\n" REST "port = 7\nrate = 8K\npin = file:p\n"},
        {"consign://b.example/",
         "[default]\nhost = c\n" REST "crl = l\ncrl-policy = require\ncrl-stale = grace 1d\n"
         "compress = on\nstall = 9\nretry = 1h\ntickets = no\nfips = off\ngroups = P-256\n"},
        {"x:", "[x]\nhost = ::1\nport = 9\nserver-name = n\nmodule = m\nmodule-env = "
               "A=b\nallow-extractable = yes\n" REST "[y]\nrate = 1M\n"},
    };
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        struct buf b;
        buf_init(&b, 4096);
        buf_put(&b, seeds[i][0], strlen(seeds[i][0]) + 1);
        buf_put(&b, seeds[i][1], strlen(seeds[i][1]));
        fuzz_seed(b.data, b.len);
        buf_release(&b);
    }
}
