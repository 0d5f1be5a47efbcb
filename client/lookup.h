/* SPDX-License-Identifier: ISC */
/* What stands at the server under many names of a tree, asked for in batches. */
#ifndef CONSIGN_LOOKUP_H
#define CONSIGN_LOOKUP_H

#include "roots.h"

enum { LOOKUP_MAX = 512 };

/* A local entry, and what the server has in its place. */
struct looked_up {
    char *rel; /* path relative to the tree */
    struct stat st;
    bool followed;             /* st is of the file that a link leads to */
    bool known;                /* the server said what stands there */
    struct fs_info there;      /* MSG_MISSING: nothing */
    char *target;              /* of the link there, if it was told */
    struct root_question root; /* goes to there; not asked unless by lookup_ask_roots */
};

struct lookup {
    struct looked_up list[LOOKUP_MAX];
    size_t n;
    size_t names;    /* bytes of the question */
    size_t answered; /* entries that an answer came for */
    bool last;       /* no more items may come */
    uint32_t id;     /* of the question */
};

bool lookup_full(const struct lookup *l);

/* Adds an entry (rel is copied). ERR_INTERNAL, logged, without memory. */
enum err lookup_add(struct lookup *l, const char *rel, const struct stat *st,
                    bool followed) MUST_CHECK;

/* Asks about all of them, below the folder top at the server; flags: MSG_ITEMS_*. l must not be touched until
 * lookup_wait. Errors are the connection's, here and below. */
enum err lookup_ask(struct lookup *l, struct pipeline *p, const char *top,
                    uint32_t flags) MUST_CHECK;
enum err lookup_wait(struct lookup *l, struct pipeline *p) MUST_CHECK;

/* Once they are known: asks the server for the root of each file that has our length, and of which it told
 * none; roots_wait for each one's answer. */
enum err lookup_ask_roots(struct lookup *l, struct pipeline *p, const char *top) MUST_CHECK;

/* Opens the file of an entry below the folder top, to be read. -1 with errno, not logged; ESTALE when
 * another one has taken its place. */
int lookup_open(const struct looked_up *e, int top) MUST_CHECK;

/* Empties it; no question may be on its way. */
void lookup_clear(struct lookup *l);

#endif
