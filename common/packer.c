/* SPDX-License-Identifier: ISC */
#include "packer.h"

#include "log.h"
#include <stdlib.h>

enum {
    LENGTH = 4,    /* of the plain length in front of the stream */
    GAIN_LOG2 = 4, /* a piece that shrinks by less than a 16th travels plain */
};

void packer_init(struct packer *p, struct chan *chan, enum xfer_compress mode)
{
    *p = (struct packer){.chan = chan, .mode = mode};
}

void packer_release(struct packer *p)
{
    deflate_release(&p->deflate);
    free(p->out);
    p->out = NULL;
}

static enum err prepare(struct packer *p)
{
    if (p->out)
        return ERR_OK;
    if (!(p->out = malloc(DEFLATE_MAX)))
        return log_fail(ERR_INTERNAL, "out of memory for compression");
    return deflate_init(&p->deflate, deflate_engine());
}

/* Makes m a compressed one if its content shrinks. */
static enum err pack(struct packer *p, struct msg_data *m)
{
    size_t n = m->bytes.n;
    if (!deflate_worth(m->bytes.p, n))
        return ERR_OK;
    enum err e = prepare(p);
    if (e != ERR_OK)
        return e;
    size_t cap = n - (n >> GAIN_LOG2) - LENGTH;
    size_t packed = deflate_pack(&p->deflate, m->bytes.p, n, p->out + LENGTH, cap);
    if (packed == 0)
        return ERR_OK;
    wire_store_u32(p->out, (uint32_t)n);
    m->kind = MSG_KIND_DEFLATE;
    m->bytes = slice_of(p->out, LENGTH + packed);
    return ERR_OK;
}

/* What passed since the last piece was sent: reading and hashing this one, packing and sending it. */
static void measure(struct packer *p, size_t bytes)
{
    int64_t now = tls_now_ns();
    struct gauge_piece g = {bytes, now - p->mark_ns, p->chan->waited_ns - p->waited_ns};
    if (p->mark_ns != 0)
        gauge_add(&p->chan->gauge, &g, deflate_engine()->ns_per_kib);
    p->mark_ns = now;
    p->waited_ns = p->chan->waited_ns;
}

enum err packer_send(struct packer *p, const struct msg_data *m)
{
    struct msg_data out = *m;
    enum err e = ERR_OK;
    if (p->mode == XFER_COMPRESS_ON || (p->mode == XFER_COMPRESS_AUTO && p->chan->gauge.on))
        e = pack(p, &out);
    if (e == ERR_OK)
        e = chan_send_data(p->chan, &out);
    if (e == ERR_OK && p->mode == XFER_COMPRESS_AUTO)
        measure(p, m->bytes.n);
    return e;
}
