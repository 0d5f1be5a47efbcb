/* SPDX-License-Identifier: ISC */
/* A long wire between two network namespaces, for kernels without netem: a TAP in each, and what one
 * sends comes out of the other later, at a limited rate, through a queue that drops what is too much.
 *
 *   delaynet PID-A NAME-A PID-B NAME-B DELAY-MS MBIT QUEUE-KIB
 *
 * makes the TAPs in the network namespaces of two processes and forwards until it is ended. Delay, rate
 * and queue hold for each direction; delays beyond what QUEUE-KIB takes at that rate come on top. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { FRAME = 1514, BATCH = 64 };

struct frame {
    int64_t due; /* CLOCK_MONOTONIC, ns */
    size_t n;
    uint8_t data[FRAME];
};

/* One direction: a ring of frames on their way. */
struct wire {
    int from, to;
    struct frame *ring;
    size_t room, first, count;
    int64_t idle; /* when the last frame will have left the sending end */
};

struct line {
    int64_t delay_ns;
    int64_t ps_per_byte;
    int64_t queue_ns; /* how long a frame may wait for its turn */
};

static _Noreturn void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* A TAP called name in the network namespace of process pid. */
static int tap(const char *pid, const char *name)
{
    char path[64];
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    snprintf(path, sizeof path, "/proc/%s/ns/net", pid);
    int ns = open(path, O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWNET))
        fail(path);
    close(ns);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        fail("/dev/net/tun");
    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    if (ioctl(fd, TUNSETIFF, &r))
        fail(name);
    return fd;
}

/* Takes in what the sending end has; drops what finds the queue full. */
static void take(struct wire *w, const struct line *l)
{
    for (int i = 0; i < BATCH; i++) {
        uint8_t lost[FRAME];
        int64_t now = now_ns();
        int64_t start = w->idle > now ? w->idle : now;
        bool full = w->count == w->room || start - now > l->queue_ns;
        struct frame *f = &w->ring[(w->first + w->count) % w->room];
        ssize_t n = read(w->from, full ? lost : f->data, FRAME);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0)
            fail("read");
        if (full)
            continue;
        f->n = (size_t)n;
        w->idle = start + n * l->ps_per_byte / 1000;
        f->due = w->idle + l->delay_ns;
        w->count++;
    }
}

/* Hands out what has arrived. A frame that the receiving end refuses (it is down) is lost. */
static void give(struct wire *w)
{
    for (int64_t now = now_ns(); w->count > 0 && w->ring[w->first].due <= now; w->count--) {
        const struct frame *f = &w->ring[w->first];
        if (write(w->to, f->data, f->n) < 0 && errno != EIO && errno != ENOBUFS && errno != EAGAIN)
            fail("write");
        w->first = (w->first + 1) % w->room;
    }
}

static void forward(struct wire w[static 2], const struct line *l)
{
    struct pollfd p[2] = {{.fd = w[0].from, .events = POLLIN}, {.fd = w[1].from, .events = POLLIN}};
    for (;;) {
        int64_t next = INT64_MAX;
        for (int i = 0; i < 2; i++) {
            give(&w[i]);
            if (w[i].count > 0 && w[i].ring[w[i].first].due < next)
                next = w[i].ring[w[i].first].due;
        }
        int64_t wait = next == INT64_MAX ? 1000000000 : next - now_ns();
        struct timespec t = {.tv_nsec = wait < 0 ? 0 : wait < 999999999 ? wait : 999999999};
        if (ppoll(p, 2, &t, NULL) < 0 && errno != EINTR)
            fail("poll");
        for (int i = 0; i < 2; i++)
            if (p[i].revents)
                take(&w[i], l);
    }
}

int main(int argc, char **argv)
{
    if (argc != 8) {
        fputs("usage: delaynet PID-A NAME-A PID-B NAME-B DELAY-MS MBIT QUEUE-KIB\n", stderr);
        return 2;
    }
    int64_t delay_ms = atoll(argv[5]), mbit = atoll(argv[6]), queue = atoll(argv[7]) << 10;
    if (delay_ms < 0 || mbit <= 0 || queue <= 0) {
        fputs("delaynet: delay, rate and queue are numbers above 0\n", stderr);
        return 2;
    }
    struct line l = {.delay_ns = delay_ms * 1000000, .ps_per_byte = 8000000 / mbit};
    l.queue_ns = queue * l.ps_per_byte / 1000;
    int a = tap(argv[1], argv[2]), b = tap(argv[3], argv[4]);
    struct wire w[2] = {{.from = a, .to = b}, {.from = b, .to = a}};
    /* Full frames for all that may be on its way, and as much again for small ones. */
    size_t bytes = (size_t)(mbit * 1000 / 8 * delay_ms + queue);
    for (int i = 0; i < 2; i++) {
        w[i].room = 2 * bytes / FRAME + BATCH;
        if (!(w[i].ring = calloc(w[i].room, sizeof *w[i].ring)))
            fail("memory");
    }
    forward(w, &l);
}
