/* SPDX-License-Identifier: ISC */
/* What a partner's bundle says once its signature held: JSON that is taken is written as JSON that is taken and says the
 * same; and what is shown of it is fit for a terminal. */
#include "fuzz.h"

#include "../../pki/bundle.h"

static void check_lines(const struct bundle *b)
{
    struct texts lines = {0};
    enum err e = bundle_lines(b, &lines);
    for (size_t i = 0; i < lines.n; i++)
        FUZZ_MUST(e != ERR_OK || fuzz_shows(lines.list[i], strlen(lines.list[i]), false));
    texts_release(&lines);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    uint8_t *copy = fuzz_copy(data, n);
    gnutls_datum_t json = {copy, (unsigned)n}, one = {NULL, 0}, other = {NULL, 0};
    struct bundle b, again = {0};
    enum err e = bundle_decode(&json, &b);
    FUZZ_MUST(e == ERR_OK || e == ERR_TYPE || e == ERR_CONFIG);
    if (e == ERR_OK) {
        FUZZ_MUST(b.serial > 0 && b.from > 0 && b.until > b.from);
        FUZZ_MUST(!strpbrk(b.name, "\r\n\t"));
        FUZZ_MUST(bundle_encode(&b, &one) == ERR_OK);
        FUZZ_MUST(bundle_decode(&one, &again) == ERR_OK && bundle_encode(&again, &other) == ERR_OK);
        FUZZ_MUST(one.size == other.size && memcmp(one.data, other.data, one.size) == 0);
        check_lines(&b);
    }
    bundle_release(&b);
    bundle_release(&again);
    free(one.data);
    free(other.data);
    free(copy);
}

void fuzz_seeds(void)
{
    char *user[] = {"CN=alice,O=Acme", "CN=b+OU=c"},
         *endpoint[] = {"a.example:7411", "1.2.3.4:5/a.example"};
    char *pem[] = {"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"},
         *from[] = {"https://a.example/crl"};
    struct bundle b = {.name = "Acme \xc3\xa9", .serial = 3, .from = 1, .until = 1800000000};
    gnutls_datum_t json;
    FUZZ_MUST(bundle_encode(&b, &json) == ERR_OK);
    fuzz_seed(json.data, json.size);
    free(json.data);
    b.users = (struct texts){user, 2};
    b.endpoints = (struct texts){endpoint, 2};
    b.crl_from = (struct texts){from, 1};
    FUZZ_MUST(bundle_encode(&b, &json) == ERR_OK);
    fuzz_seed(json.data, json.size);
    free(json.data);
    b.ca = b.crl = (struct texts){pem, 1};
    FUZZ_MUST(bundle_encode(&b, &json) == ERR_OK);
    fuzz_seed(json.data, json.size);
    free(json.data);
}
