/* SPDX-License-Identifier: ISC */
/* The judgement of a peer's chain. An input says which of the certificates of this process come, and what is changed in
 * them: whoever is believed is somebody to whom a certificate was issued, under the anchor that issued it. */
#include "fuzz.h"

#include "../unit/lib/certs.h"
#include "cert.h"
#include <stdio.h>

enum { CHAIN = 6, ALICE = 0, BOB, EVE, CAROL, MIDDLE, TOP, OTHER, CERTS };

static struct certs_cert certs[CERTS];
static struct cert_id ids[CERTS];
static struct cert_store *store;

static void add(const char *name, const struct certs_cert *ca, const struct certs_cert *revoked)
{
    char file[4200], crl_file[4200];
    const struct certs_cert *const list[] = {ca};
    struct certs_crl crl = {.issuer = ca, .revoked = {revoked ? revoked->serial : 0}};
    snprintf(file, sizeof file, "%s/%s.pem", fuzz_folder(), name);
    snprintf(crl_file, sizeof crl_file, "%s/%s.crl", fuzz_folder(), name);
    certs_write(file, list, 1);
    certs_write_crls(crl_file, &crl, 1);
    FUZZ_MUST(cert_store_add(store, name, file, crl_file, CERT_CRL_IF_PRESENT) == ERR_OK);
}

/* alice of acme, bob of acme by a CA below it, eve of acme who is revoked, carol of another. */
static void make_world(void)
{
    if (store)
        return;
    certs[TOP] = certs_ca("acme", NULL);
    certs[OTHER] = certs_ca("other", NULL);
    certs[MIDDLE] = certs_ca("below", &certs[TOP]);
    certs[ALICE] = certs_client("alice", &certs[TOP]);
    certs[BOB] = certs_client("bob", &certs[MIDDLE]);
    certs[EVE] = certs_client("eve", &certs[TOP]);
    certs[CAROL] = certs_client("carol", &certs[OTHER]);
    for (size_t i = 0; i < CERTS; i++)
        FUZZ_MUST(cert_id_read(&certs[i].der, &ids[i]) == ERR_OK);
    FUZZ_MUST(cert_store_new(&store) == ERR_OK);
    add("acme", &certs[TOP], &certs[EVE]);
    add("other", &certs[OTHER], NULL);
}

static bool is(const struct cert_id *id, size_t who, const char *anchor)
{
    return memcmp(id->spki_sha256, ids[who].spki_sha256, WIRE_HASH) == 0 &&
           cert_dn_eq(&id->subject, &ids[who].subject) &&
           strcmp(id->serial, ids[who].serial) == 0 && strcmp(id->anchor, anchor) == 0;
}

/* Reasons are for people and for the peer. */
static void read_reason(void *arg, const char *why)
{
    (void)arg;
    FUZZ_MUST(fuzz_shows(why, strlen(why), false));
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct wire_rd r = wire_read(data, n);
    gnutls_datum_t chain[CHAIN] = {{NULL, 0}};
    unsigned count = 0;
    struct cert_id id;
    make_world();
    while (r.p < r.end && !r.bad && count < CHAIN) {
        const gnutls_datum_t *der = &certs[wire_get_u8(&r) % CERTS].der;
        size_t size = der->size;
        chain[count].data = fuzz_edited(&r, der->data, &size);
        chain[count++].size = (unsigned)size;
    }
    enum err e = cert_judge(store, chain, count, CERT_CLIENT, NULL, CERTS_NOW, &id);
    FUZZ_MUST(e != ERR_OK || is(&id, ALICE, "acme") || is(&id, BOB, "acme") ||
              is(&id, CAROL, "other"));
    FUZZ_MUST(e == ERR_OK || e == ERR_AUTH);
    cert_id_release(&id);
    FUZZ_MUST((cert_judge_all(store, chain, count, CERT_CLIENT, NULL, CERTS_NOW, read_reason, NULL,
                              &id) == ERR_OK) == (e == ERR_OK));
    cert_id_release(&id);
    while (count > 0)
        free(chain[--count].data);
}

void fuzz_seeds(void)
{
    static const uint8_t chains[][10] = {{ALICE, 0},
                                         {BOB, 0, MIDDLE, 0},
                                         {CAROL, 0, OTHER, 0, ALICE, 0},
                                         {EVE, 1, 0, 15, 1, 1},
                                         {MIDDLE, 0, TOP, 0},
                                         {BOB, 1, 0, 90, 0, 65, MIDDLE, 0, TOP, 0}};
    static const uint8_t lengths[] = {2, 4, 6, 6, 4, 10};
    for (size_t i = 0; i < sizeof lengths; i++)
        fuzz_seed(chains[i], lengths[i]);
}
