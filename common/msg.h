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
    MSG_HAVE_MAX = 512,                    /* hashes in one HAVE */
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
enum msg_file_type { MSG_FILE = 1, MSG_FOLDER = 2, MSG_LINK = 3, MSG_OTHER = 4 };
enum msg_basis { MSG_BASIS_NONE = 0, MSG_BASIS_PART = 1 };
enum msg_kind { MSG_KIND_PLAIN = 0 };
enum msg_phase { MSG_PHASE_HASHING = 1, MSG_PHASE_COMMITTING = 2 };

/* Flags of STAT, MKDIR, REMOVE, RENAME, PUT and GET; unknown bits are refused. */
enum {
    MSG_STAT_ROOT = 1,     /* the content's root too, hashing it when it is not stored */
    MSG_MKDIR_PARENTS = 1, /* make what is missing above; an existing folder is success */
    MSG_REMOVE_FOLDER = 1, /* an empty folder instead of a file */
    MSG_REMOVE_PART = 2,   /* the unfinished part for that path */
    MSG_RENAME_OVERWRITE = 1,
    MSG_PUT_OVERWRITE = 1, /* replace what stands there */
    MSG_PUT_RECHECK = 2,   /* hash the basis anew even where the journal could be trusted */
    MSG_PUT_PARENTS = 8,   /* make the folders that are missing above */
    MSG_ATTRIBUTES_MAKE = 1,
    MSG_GET_RECHECK = 1, /* hash the source even where a stored tree is valid */
};

#define CODEC_PASS_STRUCT
#include "codec.h"
#undef CODEC_PASS_STRUCT
#define CODEC_PASS_PROTO
#include "codec.h"
#undef CODEC_PASS_PROTO

/* "WELCOME" and so on; "?" for a number that is not in the table. */
const char *msg_name(uint8_t type);

#endif
