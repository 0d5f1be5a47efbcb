/* SPDX-License-Identifier: ISC */
/* Only in the build for t/: what a session that was taken over would tell the master. */
#include "probe.h"

#ifdef CONSIGN_PROBE

#include "ipc.h"
#include <stdlib.h>
#include <string.h>

static uint8_t lie[128 * 1024]; /* what is shown instead of the proof */
static int master_fd;

static struct ipc_prove *mine(struct ipc_prove *m, size_t n)
{
    memcpy(lie, m->proof.p, m->proof.n);
    m->proof = slice_of(lie, n);
    return m;
}

static void one_bit(struct ipc_prove *m)
{
    mine(m, m->proof.n);
    lie[m->proof.n / 2] ^= 1;
}

static void its_end(struct ipc_prove *m)
{
    mine(m, m->proof.n);
    lie[m->proof.n - 1] ^= 1;
}

static void too_short(struct ipc_prove *m)
{
    mine(m, m->proof.n - 1);
}

static void too_long(struct ipc_prove *m)
{
    mine(m, sizeof lie);
}

static void nothing(struct ipc_prove *m)
{
    m->proof.n = 0;
}

static void another_kind(struct ipc_prove *m)
{
    m->resumed = !m->resumed;
}

static void text(struct ipc_prove *m)
{
    m->agreed = m->unapproved = slice_str("\033[2J\nuser root: everything\",\"event\":\"grant");
}

static void send_mine(uint8_t type, bool (*put)(struct buf *, const void *), const void *m)
{
    struct buf b;
    buf_init(&b, IPC_MAX);
    if (put(&b, m) && ipc_send(master_fd, type, &b, NULL, 0, false) != ERR_OK)
        exit(1);
    buf_release(&b);
}

#define SEND(name, NAME, ...)                                                                      \
    do {                                                                                           \
        const struct ipc_##name m_ = {__VA_ARGS__};                                                \
        send_mine(IPC_##NAME, put_##name, &m_);                                                    \
    } while (0)
#define PUT(name)                                                                                  \
    static bool put_##name(struct buf *b, const void *m)                                           \
    {                                                                                              \
        return ipc_put_##name(b, m);                                                               \
    }
PUT(prove)
PUT(granted)
PUT(verdict)
PUT(vouch)

static void twice(struct ipc_prove *m)
{
    send_mine(IPC_PROVE, put_prove, m);
}

static void flood(struct ipc_prove *m)
{
    for (int i = 0; i < 100000; i++)
        twice(m);
}

/* What the master is told by the others, and what it says itself. */
static void granted(struct ipc_prove *m)
{
    (void)m;
    SEND(granted, GRANTED, .user = slice_str("bob"));
}

static void verdict(struct ipc_prove *m)
{
    (void)m;
    SEND(verdict, VERDICT, .session = 1, .user = slice_str("bob"));
}

static void vouch(struct ipc_prove *m)
{
    SEND(vouch, VOUCH, .session = 1, .hash = slice_of(m->proof.p, 32), .signature = slice_str("x"));
}

void probe_lie(int master, struct ipc_prove *m)
{
    static const struct {
        const char *name;
        void (*tell)(struct ipc_prove *m);
    } lies[] = {{"bit", one_bit},     {"end", its_end},     {"short", too_short},
                {"long", too_long},   {"nothing", nothing}, {"kind", another_kind},
                {"text", text},       {"twice", twice},     {"flood", flood},
                {"granted", granted}, {"verdict", verdict}, {"vouch", vouch}};
    const char *want = getenv("CONSIGN_PROBE");
    master_fd = master;
    for (size_t i = 0; want && i < sizeof lies / sizeof lies[0]; i++)
        if (strncmp(want, "lie:", 4) == 0 && strcmp(want + 4, lies[i].name) == 0)
            lies[i].tell(m);
}

#endif
