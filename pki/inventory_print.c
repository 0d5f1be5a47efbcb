/* SPDX-License-Identifier: ISC */
#include "buf.h"
#include "inventory.h"
#include "log.h"
#include "say.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>

enum { JSON_MAX = 64 << 20 };

static const struct {
    CK_FLAGS flag;
    bool set; /* shown when it is set, else when it is not */
    const char *text;
} states[] = {
    {CKF_TOKEN_INITIALIZED, true, "initialised"},
    {CKF_TOKEN_INITIALIZED, false, "blank"},
    {CKF_USER_PIN_INITIALIZED, false, "no user PIN"},
    {CKF_LOGIN_REQUIRED, true, "login required"},
    {CKF_PROTECTED_AUTHENTICATION_PATH, true, "PIN is entered at the device"},
    {CKF_USER_PIN_COUNT_LOW, true, "a wrong PIN was given"},
    {CKF_USER_PIN_FINAL_TRY, true, "one try left for the PIN"},
    {CKF_USER_PIN_LOCKED, true, "PIN locked"},
    {CKF_USER_PIN_TO_BE_CHANGED, true, "PIN must be changed"},
    {CKF_WRITE_PROTECTED, true, "write protected"},
};

enum { STATES = sizeof states / sizeof states[0] };

static bool applies(const struct p11_token *t, size_t i)
{
    return !(t->info.flags & states[i].flag) != states[i].set;
}

static const struct {
    CK_MECHANISM_TYPE mechanism;
    const char *name;
} signs[] = {
    {CKM_ECDSA, "ECDSA"},
    {CKM_EDDSA, "EdDSA"},
    {CKM_RSA_PKCS, "RSA-PKCS1"},
    {CKM_RSA_PKCS_PSS, "RSA-PSS"},
    {CKM_SHA256_HMAC, "HMAC-SHA256"},
    {CKM_SHA512_HMAC, "HMAC-SHA512"},
};

/* "ECDSA RSA-PSS": what the token signs with, of what is of use here. */
static void sign_list(const struct p11 *m, const struct p11_token *t, char *out, size_t cap)
{
    size_t at = 0;
    snprintf(out, cap, "nothing");
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
        if (p11_can(m, t, signs[i].mechanism, CKF_SIGN, NULL))
            at += (size_t)snprintf(out + at, cap - at, "%s%s", at ? " " : "", signs[i].name);
}

/* How many more sessions there can be: "any number", "unknown" or a count. */
static void free_sessions(const struct p11_token *t, char *out, size_t cap)
{
    CK_ULONG max = t->info.ulMaxSessionCount, used = t->info.ulSessionCount;
    if (max == CK_EFFECTIVELY_INFINITE)
        snprintf(out, cap, "any number");
    else if (max == CK_UNAVAILABLE_INFORMATION || used == CK_UNAVAILABLE_INFORMATION)
        snprintf(out, cap, "unknown");
    else
        snprintf(out, cap, "%lu", max > used ? max - used : 0);
}

static void put_field(struct buf *b, const char *key, const char *value)
{
    uint8_t last = b->len ? b->data[b->len - 1] : '{';
    if (last != '{')
        text_put(b, ",");
    text_json(b, slice_str(key));
    text_put(b, ":");
    text_json(b, slice_str(value));
}

static void put_object(struct buf *b, const struct inventory_object *o)
{
    text_put(b, "{");
    put_field(b, "what", o->what);
    put_field(b, "url", o->url);
    put_field(b, "kind", o->kind);
    if (o->key) {
        put_field(b, "uses", o->uses);
        text_put(b, o->extractable ? ",\"extractable\":true" : ",\"extractable\":false");
        text_put(b, o->sensitive ? ",\"sensitive\":true" : ",\"sensitive\":false");
    }
    text_put(b, "}");
}

static void put_states(struct buf *b, const struct p11_token *t)
{
    const char *comma = "";
    text_put(b, ",\"state\":[");
    for (size_t i = 0; i < STATES; i++)
        if (applies(t, i)) {
            text_put(b, comma);
            text_json(b, slice_str(states[i].text));
            comma = ",";
        }
    text_put(b, "]");
}

/* What there is to say of a token, as text. */
struct facts {
    char *url;
    char sessions[32], makes[KEY_TYPES_TEXT], signs[96];
    bool random;
};

static enum err print_json(const struct p11_token *t, const struct inventory *i,
                           const struct facts *f)
{
    struct buf b;
    buf_init(&b, JSON_MAX);
    text_put(&b, "{");
    put_field(&b, "token", f->url);
    put_field(&b, "label", t->label);
    put_field(&b, "manufacturer", t->maker);
    put_field(&b, "model", t->model);
    put_field(&b, "serial", t->serial);
    put_states(&b, t);
    put_field(&b, "free_sessions", f->sessions);
    put_field(&b, "makes", f->makes);
    put_field(&b, "signs", f->signs);
    text_put(&b, f->random ? ",\"random\":true" : ",\"random\":false");
    text_put(&b, ",\"objects\":[");
    for (size_t k = 0; k < i->n; k++) {
        if (k)
            text_put(&b, ",");
        put_object(&b, &i->objects[k]);
    }
    text_put(&b, "]}\n");
    enum err e =
        b.bad ? log_fail(ERR_LIMIT, "token \"%s\": too much for a line", t->label) : ERR_OK;
    if (!e)
        fwrite(b.data, 1, b.len, stdout);
    buf_release(&b);
    return e;
}

static void say_states(const struct p11_token *t)
{
    char text[256];
    size_t at = 0;
    for (size_t i = 0; i < STATES; i++)
        if (applies(t, i))
            at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", at ? ", " : "",
                                   states[i].text);
    say("state", text);
}

/* A token that does not count its memory has nothing to say here. */
static void say_memory(const char *what, CK_ULONG free, CK_ULONG total)
{
    char left[TEXT_SIZE], all[TEXT_SIZE];
    if (free == CK_UNAVAILABLE_INFORMATION || total == CK_UNAVAILABLE_INFORMATION)
        return;
    text_size(free, left);
    text_size(total, all);
    printf("%-13s%s free of %s\n", what, left, all);
}

static void say_device(const struct p11_token *t)
{
    const CK_TOKEN_INFO *i = &t->info;
    printf("%-13shardware %d.%d, firmware %d.%d\n", "version", i->hardwareVersion.major,
           i->hardwareVersion.minor, i->firmwareVersion.major, i->firmwareVersion.minor);
    if (i->ulMaxPinLen != CK_UNAVAILABLE_INFORMATION)
        printf("%-13s%lu to %lu characters\n", "PIN", i->ulMinPinLen, i->ulMaxPinLen);
    say_memory("public", i->ulFreePublicMemory, i->ulTotalPublicMemory);
    say_memory("private", i->ulFreePrivateMemory, i->ulTotalPrivateMemory);
}

static void say_object(const struct inventory_object *o, bool details)
{
    say(o->what, o->url);
    if (details && o->key)
        printf("%-13s%s; %s, %s; uses: %s\n", "", *o->kind ? o->kind : "unknown kind",
               o->sensitive ? "sensitive" : "NOT SENSITIVE",
               o->extractable ? "EXTRACTABLE" : "not extractable", *o->uses ? o->uses : "none");
    else if (details)
        printf("%-13s%s\n", "", *o->kind ? o->kind : "unknown kind");
}

static void print_text(const struct p11_token *t, const struct inventory *i, const struct facts *f,
                       bool details)
{
    char maker[64];
    snprintf(maker, sizeof maker, "%s, %s", t->maker, t->model);
    say("token", f->url);
    say("label", t->label);
    say("maker", maker);
    say("serial", t->serial);
    say_states(t);
    if (details)
        say_device(t);
    say("sessions", f->sessions);
    say("makes", f->makes);
    say("signs", f->signs);
    say("random", f->random ? "yes" : "no");
    for (size_t k = 0; k < i->n; k++)
        say_object(&i->objects[k], details);
}

enum err inventory_print(const struct p11 *m, const struct p11_token *t, const struct inventory *i,
                         enum inventory_form form)
{
    struct facts f = {.url = p11_url(t, NULL), .random = t->info.flags & CKF_RNG};
    enum err e = ERR_OK;
    if (!f.url)
        return ERR_LIMIT;
    free_sessions(t, f.sessions, sizeof f.sessions);
    key_type_list(m, t, f.makes);
    sign_list(m, t, f.signs, sizeof f.signs);
    if (form == INVENTORY_JSON)
        e = print_json(t, i, &f);
    else
        print_text(t, i, &f, form == INVENTORY_LONG);
    free(f.url);
    return e;
}
