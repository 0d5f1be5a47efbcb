/* SPDX-License-Identifier: ISC */
/* How the sender of a transfer puts pieces of content on the wire: plain, or compressed where that is
 * wanted and shrinks them. */
#ifndef CONSIGN_PACKER_H
#define CONSIGN_PACKER_H

#include "deflate.h"
#include "xfer.h"

struct packer {
    struct chan *chan;
    enum xfer_compress mode;
    struct deflate deflate; /* made when first needed, as is: */
    uint8_t *out;           /* DEFLATE_MAX bytes */
    int64_t mark_ns;        /* when the last piece was sent; 0: none was */
    int64_t waited_ns;      /* chan->waited_ns then */
};

/* Allocates nothing. */
void packer_init(struct packer *p, struct chan *chan, enum xfer_compress mode);
void packer_release(struct packer *p);

/* Sends m, whose content is plain. */
enum err packer_send(struct packer *p, const struct msg_data *m) MUST_CHECK;

#endif
