/* SPDX-License-Identifier: ISC */
#include "verdict.h"

#include "log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct verdict verdict;

int verdict_begin(void **state)
{
    (void)state;
    log_quiet(getenv("V") == NULL);
    snprintf(verdict.dir, sizeof verdict.dir, "/tmp/consign-verdict-XXXXXX");
    if (!mkdtemp(verdict.dir))
        return -1;
    snprintf(verdict.ca_file, sizeof verdict.ca_file, "%s/ca.pem", verdict.dir);
    snprintf(verdict.crl_file, sizeof verdict.crl_file, "%s/crl.pem", verdict.dir);
    verdict.root = certs_ca("root", NULL);
    verdict.other = certs_ca("other", NULL);
    verdict.inter = certs_ca("inter", &verdict.root);
    return 0;
}

int verdict_end(void **state)
{
    (void)state;
    certs_release(&verdict.inter);
    certs_release(&verdict.other);
    certs_release(&verdict.root);
    unlink(verdict.ca_file);
    unlink(verdict.crl_file);
    return rmdir(verdict.dir);
}

struct cert_store *verdict_store(const struct certs_cert *ca, const struct certs_crl *crls,
                                 size_t n, enum cert_crl_policy policy)
{
    struct cert_store *s = NULL;
    certs_write(verdict.ca_file, &ca, 1);
    if (n)
        certs_write_crls(verdict.crl_file, crls, n);
    assert_int_equal(cert_store_new(&s), ERR_OK);
    assert_int_equal(
        cert_store_add(s, "acme", verdict.ca_file, n ? verdict.crl_file : NULL, policy), ERR_OK);
    return s;
}

enum err verdict_of(const struct cert_store *s, const struct certs_cert *const *chain, unsigned n,
                    enum cert_role role, const char *host)
{
    gnutls_datum_t der[16];
    struct cert_id id = {0};
    log_clear_reason();
    for (unsigned i = 0; i < n; i++)
        der[i] = chain[i]->der;
    enum err e = cert_judge(s, der, n, role, host, CERTS_NOW, &id);
    if (e == ERR_OK)
        assert_string_equal(id.anchor, "acme");
    else
        assert_null(id.subject.rdns);
    cert_id_release(&id);
    return e;
}

void verdict_accepted(const struct cert_store *s, const struct certs_cert *const *chain, unsigned n)
{
    if (verdict_of(s, chain, n, CERT_CLIENT, NULL) != ERR_OK)
        fail_msg("refused: %s", log_reason());
}

void verdict_refused(const struct cert_store *s, const struct certs_cert *const *chain, unsigned n,
                     const char *why)
{
    if (verdict_of(s, chain, n, CERT_CLIENT, NULL) != ERR_AUTH)
        fail_msg("accepted, wanted \"%s\"", why);
    if (!strstr(log_reason(), why))
        fail_msg("the reason is \"%s\", wanted \"%s\"", log_reason(), why);
}
