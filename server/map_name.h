/* SPDX-License-Identifier: ISC */
/* Names of users, and how a template makes one of a certificate.
 *
 *   [acme.%{CN}]    acme.alice for the certificate with CN=alice
 *
 * A value is put in as it is or not at all: it must be a name that a user could have. So what a certificate says never
 * leaves the folder that the map puts it in, and no two values give one name. */
#ifndef CONSIGND_MAP_NAME_H
#define CONSIGND_MAP_NAME_H

#include "err.h"
#include "wire.h"

enum { MAP_NAME = 65 }; /* bytes of a name, with NUL */

/* What a template can take from a certificate: the only attribute of that type of the subject, or the only e-mail
 * address among the alternative names. */
enum map_var { MAP_NO_VAR, MAP_CN, MAP_UID, MAP_OU, MAP_O, MAP_EMAIL };

struct map_name {
    enum map_var var; /* MAP_NO_VAR: the name is prefix */
    char prefix[MAP_NAME];
    char suffix[MAP_NAME];
};

/* "CN" and so on; "" for MAP_NO_VAR. Static. */
const char *map_var_name(enum map_var var);

/* 1 to 64 of [A-Za-z0-9._@-], beginning with neither "." nor "-". */
bool map_name_ok(const char *s);

/* Reads a name or a template with one variable. NULL, or what is wrong (static). */
const char *map_name_parse(const char *text, struct map_name *out) MUST_CHECK;

/* The name for that value: NULL, or why there is none (static). */
const char *map_name_make(const struct map_name *n, struct slice value,
                          char user[static MAP_NAME]) MUST_CHECK;
/* The value that gives this name; "" for MAP_NO_VAR. False when none does. */
bool map_name_value(const struct map_name *n, const char *user, char value[static MAP_NAME]);

/* Whether two names or templates can give one name. False alarms are possible for templates. */
bool map_name_clash(const struct map_name *a, const struct map_name *b);

/* A folder as the map has it, in which a component may be "%{user}" or the variable of the rule's name: NULL, or what
 * is wrong with it (static). */
const char *map_dir_check(const char *dir, const struct map_name *n) MUST_CHECK;
/* Whether a component of it is either. */
bool map_dir_varies(const char *dir);
/* The folder of that user, to be freed; NULL without memory. */
char *map_dir_of(const char *dir, const struct map_name *n, const char *user);
/* The folder that holds those of all users, to be freed, and in *own whether its entries are called by the user's name and
 * not by its value. NULL when no component varies, or without memory. */
char *map_dir_above(const char *dir, bool *own);

#endif
