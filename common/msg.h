/* SPDX-License-Identifier: ISC */
/* The messages of the protocol consign/1, made from msg.def by codec.h. PROTOCOL.md is their
 * manual. */
#ifndef CONSIGN_MSG_H
#define CONSIGN_MSG_H

#include "wire.h"

#define CONSIGN_ALPN    "consign/1"
#define CONSIGN_VERSION "0.1"

enum { MSG_VERSION = 1 };

/* A frame is u32 length, u8 type, body; the length counts type and body. */
enum {
    MSG_HEADER = 5,
    MSG_DATA_MAX = 1 << 20,                /* bytes of content in one DATA */
    MSG_FRAME_MAX = MSG_DATA_MAX + 64,     /* longest type and body */
    MSG_FRAME_MAX_EARLY = 4 * 1024 + 1024, /* the same before the peer was authorised */
    MSG_HAVE_MAX = 512,                    /* hashes in one HAVE or OLD */
    MSG_ITEMS_MAX = 65536,                 /* bytes of items in one ITEMS */
    MSG_NAMES_MAX = 65536,                 /* bytes of names in one STATS */
};

/* The table that codec.h reads next: this one. */
#undef CODEC_DEF
#undef CODEC_NAME
#undef CODEC_NUMBER
#define CODEC_DEF       "msg.def"
#define CODEC_NAME(x)   msg_##x
#define CODEC_NUMBER(N) MSG_##N

/* The status texts and names of the handshake's limits live in err.def. */
enum msg_type {
#define CODEC_PASS_NUMBER
#include "codec.h"
#undef CODEC_PASS_NUMBER
};

enum { MSG_IGNORABLE = 128 };

enum { MSG_SMALL_MAX = 128 * 1024 }; /* bytes of a content in SMALL */

enum msg_file_type {
    MSG_MISSING = 0, /* ITEM of STATS: nothing has that name */
    MSG_FILE = 1,
    MSG_FOLDER = 2,
    MSG_LINK = 3,
    MSG_OTHER = 4,
    MSG_LEAVE = 5, /* ITEM of WALK: the end of the folder entered last */
    MSG_FAULT = 6, /* ITEM: it can't be taken; mode is the status that says why */
};
enum msg_kind { MSG_KIND_PLAIN = 0, MSG_KIND_DEFLATE = 1 };
enum msg_phase { MSG_PHASE_HASHING = 1, MSG_PHASE_COMMITTING = 2, MSG_PHASE_BUSY = 3 };

/* Flags of STAT, MKDIR, REMOVE, RENAME, PUT, GET, WALK and STATS; unknown bits are refused. SYMLINK has some of
 * PUT's. */
enum {
    MSG_STAT_ROOT = 1,     /* the content's root too, hashing it when it is not stored */
    MSG_MKDIR_PARENTS = 1, /* make what is missing above; an existing folder is success */
    MSG_REMOVE_FOLDER = 1, /* an empty folder instead of a file */
    MSG_REMOVE_PART = 2,   /* the unfinished part for that path */
    MSG_RENAME_OVERWRITE = 1,
    MSG_PUT_OVERWRITE = 1, /* replace what stands there */
    MSG_PUT_RECHECK = 2,   /* hash what is there anew even where records could be trusted */
    MSG_PUT_WHOLE = 4,     /* take nothing from the version that stands there */
    MSG_PUT_PARENTS = 8,   /* make the folders that are missing above */
    MSG_PUT_SHARE = 16,    /* other connections may join */
    MSG_GET_SHARE = 8,     /* what is sent is asked for by WANT, if the server offers that */
    MSG_ATTRIBUTES_MAKE = 1,
    MSG_GET_RECHECK = 1,       /* hash the source even where a stored tree is valid */
    MSG_WALK_FOLDERS = 1,      /* folders only */
    MSG_ITEMS_ROOTS = 2,       /* WALK, STATS: the roots that are stored */
    MSG_ITEMS_LINKS = 4,       /* WALK, STATS: the targets of links */
    MSG_GET_COMPRESS_AUTO = 2, /* compress what shrinks while that is faster; without the next */
    MSG_GET_COMPRESS = 4,      /* compress whatever shrinks */
};

#define CODEC_PASS_STRUCT
#include "codec.h"
#undef CODEC_PASS_STRUCT
#define CODEC_PASS_PROTO
#include "codec.h"
#undef CODEC_PASS_PROTO

/* The items of an ITEMS: appends one, false when it does not fit in b; takes the first off, false when
 * it is malformed (items is then as it was). */
bool msg_add_item(struct buf *b, const struct msg_item *m);
bool msg_take_item(struct slice *items, struct msg_item *m);

/* "WELCOME" and so on; "?" for a number that is not in the table. */
const char *msg_name(uint8_t type);

#endif
