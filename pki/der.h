/* SPDX-License-Identifier: ISC */
/* DER (X.690), as much of it as a CRL takes. Contents are appended to a buffer and then wrapped. */
#ifndef CONSIGN_PKI_DER_H
#define CONSIGN_PKI_DER_H

#include "buf.h"
#include <time.h>

enum {
    DER_INTEGER = 0x02,
    DER_BITS = 0x03,
    DER_OCTETS = 0x04,
    DER_ENUMERATED = 0x0a,
    DER_UTC_TIME = 0x17,
    DER_GENERAL_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_CONTEXT_0 = 0xa0, /* [0], constructed */
    DER_KEY_ID = 0x80     /* [0], primitive */
};

/* Appends one element. */
void der_put(struct buf *b, uint8_t tag, const void *content, size_t n);
/* Makes everything from offset from on the content of one element. */
void der_wrap(struct buf *b, size_t from, uint8_t tag);
/* A number that is not negative, big-endian, with or without zeros in front. */
void der_unsigned(struct buf *b, uint8_t tag, const uint8_t *number, size_t n);
/* UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280, 4.1.2.5). */
void der_time(struct buf *b, time_t at);

#endif
