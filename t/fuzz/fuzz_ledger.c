/* SPDX-License-Identifier: ISC */
/* A CA's ledger, as a file may hold it: what is read of it is in order, is the same for a reader and a writer, and is
 * read again from a ledger that was written with it. */
#include "fuzz.h"

#include "../../pki/ledger.h"
#include <stdio.h>
#include <unistd.h>

#define VERSION "consign-pki ledger 1\n"

static void check_entry(struct ledger *l, size_t i)
{
    const struct ledger_entry *e = &l->entries[i];
    size_t n = strlen(e->serial);
    FUZZ_MUST(n >= 2 && n <= LEDGER_SERIAL && strspn(e->serial, "0123456789abcdef") == n);
    FUZZ_MUST(ledger_find(l, e->serial) == e && e->subject && e->at >= 0 && e->not_after >= 0);
    bool earlier = !e->renews[0];
    for (size_t k = 0; k < i; k++) {
        FUZZ_MUST(strcmp(l->entries[k].serial, e->serial) != 0);
        earlier |= strcmp(l->entries[k].serial, e->renews) == 0;
    }
    FUZZ_MUST(earlier);
}

static void check_same(const struct ledger *a, const struct ledger *b)
{
    FUZZ_MUST(a->n == b->n);
    for (size_t i = 0; i < a->n; i++) {
        const struct ledger_entry *x = &a->entries[i], *y = &b->entries[i];
        FUZZ_MUST(strcmp(x->serial, y->serial) == 0 && strcmp(x->subject, y->subject) == 0);
        FUZZ_MUST(strcmp(x->renews, y->renews) == 0 && x->role == y->role &&
                  x->issued == y->issued);
        FUZZ_MUST(x->at == y->at && x->not_after == y->not_after && !x->revoked == !y->revoked);
        FUZZ_MUST(strcmp(x->reason, y->reason) == 0);
    }
}

/* A ledger written with what l holds. */
static void check_written(const struct ledger *l)
{
    char path[4200];
    struct ledger out, back;
    snprintf(path, sizeof path, "%s/ledger", fuzz_folder());
    (void)unlink(path);
    FUZZ_MUST(ledger_create(path) == ERR_OK && ledger_open(&out, path, true) == ERR_OK);
    for (size_t i = 0; i < l->n; i++) {
        const struct ledger_entry *e = &l->entries[i];
        FUZZ_MUST(ledger_issuing(&out, e) == ERR_OK);
        if (e->issued)
            FUZZ_MUST(ledger_issued(&out, e->serial) == ERR_OK);
        if (e->revoked)
            FUZZ_MUST(ledger_revoked(&out, e->serial, e->reason) == ERR_OK);
    }
    FUZZ_MUST(ledger_crl(&out, 1, 2) == ERR_OK);
    ledger_release(&out);
    FUZZ_MUST(ledger_open(&back, path, false) == ERR_OK);
    check_same(l, &back);
    FUZZ_MUST(back.crl_number == 1 && !back.crl_due);
    ledger_release(&back);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct ledger l, again;
    struct buf b;
    buf_init(&b, 1 << 20);
    if (n > 0 && data[0] & 1)
        buf_put(&b, VERSION, sizeof VERSION - 1);
    if (n > 1)
        buf_put(&b, data + 1, n - 1);
    const char *path = fuzz_file("input", b.data, b.len);
    enum err e = ledger_open(&l, path, false);
    FUZZ_MUST(e == ERR_OK || e == ERR_CORRUPT);
    if (e == ERR_OK) {
        for (size_t i = 0; i < l.n; i++)
            check_entry(&l, i);
        FUZZ_MUST(ledger_open(&again, path, true) == ERR_OK);
        check_same(&l, &again);
        ledger_release(&again);
        check_written(&l);
        ledger_release(&l);
    }
    buf_release(&b);
}

void fuzz_seeds(void)
{
    fuzz_seed_text(
        "\1", "issuing 4a00 100 200 client CN=a%20b\nissued 4a00 101\n"
              "issuing 4a01 102 300 server - 4a00\nrevoked 4a00 103 superseded\ncrl 1 104 200\n");
    fuzz_seed_text("\1",
                   "issuing ff 1 2 ca CN=%c3%a9\nissuing 00ff 1 2 client -\nissued ff 3\ntorn");
    fuzz_seed_text("\2", VERSION "crl 5 1 2\ncrl 6 2 3\n");
}
