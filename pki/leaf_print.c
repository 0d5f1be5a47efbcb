/* SPDX-License-Identifier: ISC */
/* What is printed of a certificate that was made. */
#include "leaf.h"
#include "say.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void leaf_plain_name(const char *text, char out[static 64])
{
    size_t n = 0;
    for (; *text && n < 60; text++) {
        bool keep = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                    (*text >= '0' && *text <= '9') || (n > 0 && strchr("._-@", *text));
        out[n++] = keep ? *text : '_';
    }
    out[n] = '\0';
}

/* The value of the first attribute of that type, as a name; else fallback. */
static void rule_name(const struct cert_dn *dn, char out[static 64])
{
    static const char *const oids[] = {"2.5.4.3", "0.9.2342.19200300.100.1.1"}; /* CN, UID */
    char value[NAMES_BYTES + 1] = "user";
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < dn->n; i++) {
            const struct cert_ava *a = dn->rdns[i].avas;
            if (strcmp(a->oid, oids[k]) != 0 || a->n > NAMES_BYTES)
                continue;
            memcpy(value, a->value, a->n);
            value[a->n] = '\0';
            leaf_plain_name(value, out);
            return;
        }
    leaf_plain_name(value, out);
}

/* As it is, to be pasted: it holds nothing but visible text (names_check_dn). */
static const char *subject_of(const struct leaf_made *m)
{
    return m->subject.data ? (const char *)m->subject.data : "(none)";
}

static void print_client(const struct ca *ca, const struct leaf_made *m, const char *fingerprint)
{
    char name[64];
    char *subject = cert_dn_literal(subject_of(m));
    rule_name(&m->id.subject, name);
    printf("\n# for the server's map; give the folder and the rights that are meant\n"
           "[%s]\nanchor      = %s\nsubject     = %s\n"
           "# with the next line only this very key is accepted, also after a renewal\n"
           "# fingerprint = SHA256:%s\n"
           "root        = /srv/consign/%s\nrights      = list read create\n",
           name, ca->name, subject ? subject : "(out of memory)", fingerprint, name);
    free(subject);
}

static void print_server(const struct ca *ca, const struct leaf_report *r)
{
    printf("\n# for consignd.conf\n[server]\ncertificate = %s\n", r->file);
    printf("key         = %s\n", r->key ? r->key : "(where the owner of the request keeps it)");
    if (r->module)
        printf("module      = %s\n", r->module);
    if (r->pin)
        printf("pin         = %s\n", r->pin);
    printf("\n[anchor %s]\nca          = %s/%s\ncrl         = %s/%s\n"
           "crl-policy  = require\n",
           ca->name, ca->dir, ca->n_above ? CA_ROOT : "ca.pem", ca->dir,
           ca->n_above ? CA_CRLS : "crl.pem");
}

void leaf_print(const struct ca *ca, const struct leaf *l, const struct leaf_made *m,
                const struct leaf_report *r)
{
    char fingerprint[2 * WIRE_HASH + 1];
    text_hex(m->id.spki_sha256, WIRE_HASH, fingerprint);
    say("certificate", r->file);
    say("serial", m->serial);
    say("subject", subject_of(m));
    say_time("valid from", (time_t)m->when.from);
    say_time("valid until", m->id.not_after);
    if (r->key)
        say("key", r->key);
    if (l->role == LEDGER_SERVER)
        print_server(ca, r);
    else if (l->role == LEDGER_CLIENT)
        print_client(ca, m, fingerprint);
}
