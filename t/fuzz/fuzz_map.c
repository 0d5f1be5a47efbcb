/* SPDX-License-Identifier: ISC */
/* The map: what is taken gives every user a legal name, roots and rights, and judging a certificate by it gives the same
 * answer with an explanation and without, whose user the rule then grants what it says, at folders without variables. */
#include "fuzz.h"

#include "../../server/map.h"
#include "../../server/map_name.h"
#include "../unit/lib/certs.h"
#include "log.h"
#include <stdio.h>

static struct cert_store *anchors;
static struct certs_cert leaf;

/* Two anchors, and a certificate that has of everything a rule may ask for. */
static void make_world(void)
{
    char path[4200];
    if (anchors)
        return;
    FUZZ_MUST(cert_store_new(&anchors) == ERR_OK);
    for (int i = 0; i < 2; i++) {
        struct certs_cert ca = certs_ca(i ? "acme" : "other", NULL);
        const struct certs_cert *const list[] = {&ca};
        struct certs_spec spec = {.cn = "alice",
                                  .ca = CERTS_LEAF,
                                  .dns = "a.example",
                                  .email = "a@acme.example",
                                  .uri = "urn:acme:a"};
        snprintf(path, sizeof path, "%s/ca-%d", fuzz_folder(), i);
        certs_write(path, list, 1);
        FUZZ_MUST(cert_store_add(anchors, i ? "acme" : "other", path, NULL, CERT_CRL_IF_PRESENT) ==
                  ERR_OK);
        if (i)
            leaf = certs_issue(&spec, &ca);
        certs_release(&ca);
    }
}

static void check_user(const struct map_user *u)
{
    char path[PATH_MAX_BYTES + 1];
    FUZZ_MUST(u && u->name[0] && u->line > 0 && u->n_roots > 0);
    FUZZ_MUST(path_name_ok(u->name, strlen(u->name)) && u->name[0] != '-');
    FUZZ_MUST(u->sessions > 0 && (u->meta & ~(unsigned)META_ALL) == 0);
    for (size_t i = 0; i < u->n_roots; i++) {
        const struct map_root *r = &u->roots[i];
        FUZZ_MUST(path_parse(slice_str(r->prefix), path) == ERR_OK);
        FUZZ_MUST(r->dir && r->dir[0] == '/');
        FUZZ_MUST(r->rights != 0 && (r->rights & ~(unsigned)FS_ALL) == 0);
        for (size_t k = 0; k < i; k++)
            FUZZ_MUST(strcmp(r->prefix, u->roots[k].prefix) != 0);
    }
    struct map_user *copy = map_user_copy(u);
    FUZZ_MUST(copy && map_user_lost(copy, u) == NULL);
    map_user_free(copy);
}

static void explain(void *arg, const char *line)
{
    (void)line;
    ++*(size_t *)arg;
}

static void check_grant(const struct map *m, const struct map_answer *a)
{
    struct map_user *u = map_grant(m, a->rule, a->user);
    FUZZ_MUST(u && map_name_ok(u->name) && strcmp(u->name, a->user) == 0);
    check_user(u);
    for (size_t i = 0; i < u->n_roots; i++)
        FUZZ_MUST(!map_dir_varies(u->roots[i].dir));
    struct map_user *again = map_user_named(m, a->user);
    FUZZ_MUST(again && map_user_lost(again, u) == NULL);
    map_user_free(again);
    map_user_free(u);
}

static void check_answer(const struct map *m, const struct cert_id *id)
{
    struct map_asker who = {.id = id, .now = CERTS_NOW};
    struct map_answer a, b;
    size_t lines = 0;
    enum err e = map_ask(m, &who, &a, NULL, NULL);
    FUZZ_MUST(map_ask(m, &who, &b, explain, &lines) == e);
    FUZZ_MUST((map_count(m) == 0) == (lines == 0));
    FUZZ_MUST(a.rule == b.rule && a.until == b.until && strcmp(a.user, b.user) == 0);
    FUZZ_MUST(e == ERR_OK || a.told != NULL);
    FUZZ_MUST(e == ERR_AUTH || (id->anchor[0] && (e == ERR_OK || e == ERR_DENIED)));
    if (e != ERR_AUTH)
        check_grant(m, &a);
}

/* A file whose last line does not end is refused as it is. */
static struct map *load(const uint8_t *data, size_t n)
{
    struct map *m;
    uint8_t *text = malloc(n + 1);
    FUZZ_MUST(text != NULL);
    memcpy(text, data, n);
    text[n] = '\n';
    enum err e = map_load(fuzz_file("input", text, n + 1), anchors, false, &m);
    FUZZ_MUST((e == ERR_OK) == (m != NULL));
    free(text);
    return m;
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct cert_id id;
    make_world();
    struct map *m = load(data, n);
    if (!m)
        return;
    for (size_t i = 0; i < map_count(m); i++)
        check_user(map_user(m, i));
    FUZZ_MUST(cert_id_read(&leaf.der, &id) == ERR_OK);
    static const char *const names[] = {"", "acme", "other"};
    for (int i = 0; i < 3; i++) { /* "": nobody has judged it */
        snprintf(id.anchor, sizeof id.anchor, "%s", names[i]);
        check_answer(m, &id);
    }
    cert_id_release(&id);
    map_free(m);
}

#define REST "root = /srv/a\nrights = list read\n"

void fuzz_seeds(void)
{
    fuzz_seed_text("", "[alice]\nanchor = acme\nsubject = CN=alice\n" REST);
    fuzz_seed_text(
        "",
        "[a]\nanchor = acme\nuri = urn:acme:a\nroot = /srv/a\nroot /inbox = /srv/in\nrights = all\n"
        "rights /inbox = create\nquota = 10G\nsessions = 8\nrate = 5M\nlinks = yes\n"
        "attributes = xattrs, owners\n[b]\nanchor = other\ndns = A.example\n" REST);
    fuzz_seed_text("", "[c]\nanchor = acme\nemail = a@acme.example\nfingerprint = SHA256:"
                       "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n" REST
                       "[d]\nanchor = acme\nsubject = OU=x+CN=y,O=#0c0141\nroot / = /a\nrights / = "
                       "list,delete mkdir\n");
    fuzz_seed_text("", "[acme.%{CN}]\ngroup = g\nsubject = CN=*\nnetworks = 192.0.2.0/24 "
                       "::/0\nroot /x = /srv/%{user}/x\n"
                       "[group g]\nanchor = acme\nroot = /srv/%{CN}\nrights = list\nhours = "
                       "Mon-Fri 06:00-22:00, Sat "
                       "22:00-06:00 UTC\n");
    fuzz_seed_text("", "[%{email}]\nanchor = acme\nemail = *\nuri = urn:acme:a\nissuer = "
                       "CN=acme\nroot = /srv/%{email}\nrights "
                       "= all\n[alice]\nanchor = acme\nsubject = CN=\\2a+O=*\n" REST);
}
