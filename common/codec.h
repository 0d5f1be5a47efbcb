/* SPDX-License-Identifier: ISC */
/* Turns a table of messages into structs, encoders, decoders and names. No include guard: included
 * once for each CODEC_PASS_* by the header or source of a table, which sets before
 *
 *   CODEC_DEF        the table's file, e.g. "msg.def"
 *   CODEC_NAME(x)    how the table's identifiers are spelt, e.g. msg_##x
 *
 * A table is a list of
 *
 *   MSG(name, NAME, number) FIELD(name) ... END
 *
 * with the fields U8 U16 U32 U64 (network byte order), HASH (32 bytes), STR(name, max) (u16 length
 * and bytes) and, as the last one, TAIL(name, max) (the rest of the message). For each row there
 * are
 *
 *   struct PREFIX_name                                the fields; STR and TAIL are borrowed slices
 *   bool PREFIX_put_name(struct buf *, const struct PREFIX_name *)      false: no room, or too long
 *   bool PREFIX_get_name(const void *, size_t, struct PREFIX_name *)    false: not well-formed
 */

#if defined CODEC_PASS_STRUCT
#define MSG(name, NAME, number) struct CODEC_NAME(name) {
#define U8(f)                   uint8_t f;
#define U16(f)                  uint16_t f;
#define U32(f)                  uint32_t f;
#define U64(f)                  uint64_t f;
#define HASH(f)                 uint8_t f[WIRE_HASH];
#define STR(f, max)             struct slice f;
#define TAIL(f, max)            struct slice f;
#define END                                                                                        \
    }                                                                                              \
    ;

#elif defined CODEC_PASS_PROTO
#define MSG(name, NAME, number)                                                                    \
    bool CODEC_NAME(put_##name)(struct buf * b, const struct CODEC_NAME(name) * m);                \
    bool CODEC_NAME(get_##name)(const void *p, size_t n, struct CODEC_NAME(name) * m);
#define U8(f)
#define U16(f)
#define U32(f)
#define U64(f)
#define HASH(f)
#define STR(f, max)
#define TAIL(f, max)
#define END

#elif defined CODEC_PASS_PUT
#define MSG(name, NAME, number)                                                                    \
    bool CODEC_NAME(put_##name)(struct buf * b, const struct CODEC_NAME(name) * m)                 \
    {                                                                                              \
        (void)m;
#define U8(f)        wire_put_u8(b, m->f);
#define U16(f)       wire_put_u16(b, m->f);
#define U32(f)       wire_put_u32(b, m->f);
#define U64(f)       wire_put_u64(b, m->f);
#define HASH(f)      wire_put_hash(b, m->f);
#define STR(f, max)  wire_put_str(b, m->f, max);
#define TAIL(f, max) wire_put_tail(b, m->f, max);
#define END                                                                                        \
    return !b->bad;                                                                                \
    }

#elif defined CODEC_PASS_GET
#define MSG(name, NAME, number)                                                                    \
    bool CODEC_NAME(get_##name)(const void *p, size_t n, struct CODEC_NAME(name) * m)              \
    {                                                                                              \
        struct wire_rd r = wire_read(p, n);                                                        \
        (void)m;
#define U8(f)        m->f = wire_get_u8(&r);
#define U16(f)       m->f = wire_get_u16(&r);
#define U32(f)       m->f = wire_get_u32(&r);
#define U64(f)       m->f = wire_get_u64(&r);
#define HASH(f)      wire_get_hash(&r, m->f);
#define STR(f, max)  m->f = wire_get_str(&r, max);
#define TAIL(f, max) m->f = wire_get_tail(&r, max);
#define END                                                                                        \
    return wire_done(&r);                                                                          \
    }

#elif defined CODEC_PASS_NUMBER
#define MSG(name, NAME, number) CODEC_NUMBER(NAME) = number,
#define U8(f)
#define U16(f)
#define U32(f)
#define U64(f)
#define HASH(f)
#define STR(f, max)
#define TAIL(f, max)
#define END

#elif defined CODEC_PASS_NAME
#define MSG(name, NAME, number) [number] = #NAME,
#define U8(f)
#define U16(f)
#define U32(f)
#define U64(f)
#define HASH(f)
#define STR(f, max)
#define TAIL(f, max)
#define END
#endif

#include CODEC_DEF

#include "codec_undef.h"
