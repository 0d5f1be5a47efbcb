/* SPDX-License-Identifier: ISC */
/* Alternative names as they are written, with blanks between: what is taken is shown as it would be taken again. */
#include "fuzz.h"

#include "../../pki/names.h"

/* Adds every word of text; false when one was refused. */
static bool add_words(struct names *to, char *text)
{
    char *save = NULL;
    bool good = true;
    to->n = 0;
    for (char *w = strtok_r(text, " ", &save); w && good; w = strtok_r(NULL, " ", &save))
        good = names_add_text(to, w) == ERR_OK;
    return good;
}

void fuzz_one(const uint8_t *data, size_t n)
{
    static struct names names, again;
    static char shown[NAMES_MAX * (NAMES_BYTES + 16)];
    char *text = fuzz_text(slice_of(data, n));
    bool good = add_words(&names, text);
    for (size_t i = 0; i < names.n; i++)
        FUZZ_MUST(names_value_ok(names.list[i].type, names.list[i].value, names.list[i].n));
    names_text(&names, shown, sizeof shown);
    FUZZ_MUST(fuzz_shows(shown, strlen(shown), false));
    if (good) {
        FUZZ_MUST(add_words(&again, shown) && again.n == names.n);
        for (size_t i = 0; i < names.n; i++)
            FUZZ_MUST(again.list[i].type == names.list[i].type &&
                      again.list[i].n == names.list[i].n &&
                      memcmp(again.list[i].value, names.list[i].value, names.list[i].n) == 0);
    }
    free(text);
}

void fuzz_seeds(void)
{
    fuzz_seed_text("", "dns:a.example dns:x--y.b ip:192.0.2.1 ip:::ffff:1.2.3.4 ip:2001:db8::1");
    fuzz_seed_text("", "email:a.b+c@d.example uri:https://a/b?c#d uri:urn:x:y");
}
