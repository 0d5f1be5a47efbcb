/* SPDX-License-Identifier: ISC */
/* Forgets the macros that a table of messages is read with (codec.h), before they are given another meaning. No include
 * guard. */
#undef MSG
#undef U8
#undef U16
#undef U32
#undef U64
#undef HASH
#undef STR
#undef TAIL
#undef END
