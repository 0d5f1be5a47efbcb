/* SPDX-License-Identifier: ISC */
/* A partner's partner.conf: what is taken has all that the server goes by. */
#include "fuzz.h"

#include "partner.h"
#include <stdio.h>
#include <sys/stat.h>

void fuzz_one(const uint8_t *data, size_t n)
{
    static char folder[4200];
    struct partner p;
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "%s/acme", fuzz_folder());
        FUZZ_MUST(mkdir(folder, 0700) == 0);
    }
    (void)fuzz_file("acme/" PARTNER_CONF, data, n);
    enum err e = partner_read(fuzz_folder(), "acme", &p);
    FUZZ_MUST(e == ERR_OK || e == ERR_CONFIG);
    if (e == ERR_OK) {
        FUZZ_MUST(p.serial > 0 && p.from > 0 && p.until > 0 && p.until <= INT64_MAX);
        FUZZ_MUST(strlen(p.signer) == 7 + 64 && p.root && p.root[0] && p.rights && p.rights[0]);
    }
    partner_release(&p);
}

void fuzz_seeds(void)
{
    fuzz_seed_text("", "[partner]\nserial = 3\nfrom = 1\nuntil = 9\nsigner = SHA256:"
                       "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
                       "root = /srv/acme/%\nrights = list\naccount = acme\n");
}
