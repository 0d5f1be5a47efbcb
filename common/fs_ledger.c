/* SPDX-License-Identifier: ISC */
#include "fs_ledger.h"

#include "log.h"
#include "wire.h"
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum {
    USER_MAX = 64,
    AT_ONCE = 32, /* records */
    PAUSE_NS = 200000,
    PAUSE_MAX_NS = 5000000,
    WAIT_S = 60,
};

static const uint8_t head_magic[4] = "csh1", account_magic[4] = "csa1";

/* Where the fields lie. */
enum {
    AT_SUM = 4,
    AT_UNTIL = 8,
    AT_MOVES = 16,
    AT_COUNTED = 24,
    AT_USER = 8,
    AT_IN = AT_USER + USER_MAX
};

/* ---- sums ---- */

void fs_sum_add(struct fs_sum *to, const struct fs_sum *s)
{
    to->bytes += s->bytes;
    to->files += s->files;
    to->parts += s->parts;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

void fs_sum_sub(struct fs_sum *from, const struct fs_sum *s)
{
    from->bytes = less(from->bytes, s->bytes);
    from->files = less(from->files, s->files);
    from->parts = less(from->parts, s->parts);
}

struct fs_sum fs_account_sum(const struct fs_account *a)
{
    struct fs_sum sum = a->in;
    fs_sum_sub(&sum, &a->out);
    return sum;
}

/* ---- records ---- */

static uint64_t load_u64(const uint8_t *from)
{
    struct wire_rd r = wire_read(from, 8);
    return wire_get_u64(&r);
}

static void seal(uint8_t record[static FS_RECORD])
{
    wire_store_u32(record + AT_SUM, 0);
    wire_store_u32(record + AT_SUM, (uint32_t)crc32(0, record, FS_RECORD));
}

static bool is_whole(const uint8_t record[static FS_RECORD], const uint8_t magic[static 4])
{
    uint8_t copy[FS_RECORD];
    memcpy(copy, record, FS_RECORD);
    seal(copy);
    return memcmp(record, magic, 4) == 0 && memcmp(copy, record, FS_RECORD) == 0;
}

static void store_sum(uint8_t *to, const struct fs_sum *s)
{
    wire_store_u64(to, s->bytes);
    wire_store_u64(to + 8, s->files);
    wire_store_u64(to + 16, s->parts);
}

static struct fs_sum load_sum(const uint8_t *from)
{
    return (struct fs_sum){load_u64(from), load_u64(from + 8), load_u64(from + 16)};
}

static bool load_account(const uint8_t record[static FS_RECORD], struct fs_account *a)
{
    if (!is_whole(record, account_magic))
        return false;
    memcpy(a->user, record + AT_USER, USER_MAX);
    a->user[USER_MAX] = '\0';
    a->in = load_sum(record + AT_IN);
    a->out = load_sum(record + AT_IN + 24);
    return true;
}

/* ---- the file ---- */

enum err fs_ledger_open(int top, bool make, int *fd)
{
    struct stat st;
    *fd = fs_open_regular(top, "ledger", O_RDWR, &st);
    if (*fd < 0 && errno == ENOENT && make) {
        *fd = openat(top, "ledger", O_RDWR | O_CREAT | FS_LEAF, 0600);
        if (*fd >= 0 && fstat(*fd, &st) < 0)
            fs_close(fd);
    }
    if (*fd < 0)
        return errno == ENOENT && !make ? ERR_NOENT : log_fail_errno("opening the ledger");
    if (S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_uid == geteuid())
        return ERR_OK;
    fs_close(fd);
    return log_fail(ERR_TYPE, "the ledger is not a file of its own");
}

/* Polls: a lock that is waited for in the kernel has no limit of time. */
enum err fs_ledger_lock(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct timespec pause = {0, PAUSE_NS};
    int64_t waited_ns = 0;
    while (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
        if (errno != EAGAIN && errno != EACCES)
            return log_fail_errno("locking the ledger");
        if (waited_ns > (int64_t)WAIT_S * 1000000000)
            return log_fail(ERR_BUSY, "the ledger of the folder stays locked");
        nanosleep(&pause, NULL);
        waited_ns += pause.tv_nsec;
        if (pause.tv_nsec < PAUSE_MAX_NS)
            pause.tv_nsec *= 2;
    }
    return ERR_OK;
}

void fs_ledger_unlock(int fd)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    (void)fcntl(fd, F_OFD_SETLK, &lock);
}

static enum err write_record(int fd, uint64_t number, uint8_t record[static FS_RECORD])
{
    seal(record);
    if (pwrite(fd, record, FS_RECORD, (off_t)(number * FS_RECORD)) == FS_RECORD)
        return ERR_OK;
    return log_fail_errno("writing the ledger");
}

void fs_ledger_head(int fd, struct fs_head *out)
{
    uint8_t record[FS_RECORD];
    ssize_t n = pread(fd, record, sizeof record, 0);
    bool whole = n == FS_RECORD && is_whole(record, head_magic);
    *out = (struct fs_head){.until = n == 0 ? 0 : INT64_MAX};
    if (whole) {
        out->until = (int64_t)load_u64(record + AT_UNTIL);
        out->moves = load_u64(record + AT_MOVES);
        out->counted = (int64_t)load_u64(record + AT_COUNTED);
    }
}

enum err fs_ledger_write_head(int fd, const struct fs_head *h)
{
    uint8_t record[FS_RECORD] = {0};
    memcpy(record, head_magic, sizeof head_magic);
    wire_store_u64(record + AT_UNTIL, (uint64_t)h->until);
    wire_store_u64(record + AT_MOVES, h->moves);
    wire_store_u64(record + AT_COUNTED, (uint64_t)h->counted);
    return write_record(fd, 0, record);
}

/* Calls each with number and bytes of every record behind the head, until it returns false. */
static enum err each_record(int fd, bool (*each)(void *arg, uint64_t number, const uint8_t *record),
                            void *arg)
{
    uint8_t records[AT_ONCE * FS_RECORD];
    for (uint64_t at = 1;; at += AT_ONCE) {
        ssize_t n = pread(fd, records, sizeof records, (off_t)(at * FS_RECORD));
        if (n < 0)
            return log_fail_errno("reading the ledger");
        for (size_t i = 0; i < (size_t)n / FS_RECORD; i++)
            if (!each(arg, at + i, records + i * FS_RECORD))
                return ERR_OK;
        if ((size_t)n < sizeof records)
            return ERR_OK;
    }
}

struct search {
    const char *user;
    struct fs_account *out;
};

static bool is_wanted(void *arg, uint64_t number, const uint8_t *record)
{
    const struct search *s = arg;
    struct fs_account a = {.at = number};
    if (!load_account(record, &a) || strcmp(a.user, s->user) != 0)
        return true;
    *s->out = a;
    return false;
}

enum err fs_ledger_find(int fd, const char *user, struct fs_account *out)
{
    struct search s = {user, out};
    *out = (struct fs_account){0};
    memcpy(out->user, user, strnlen(user, USER_MAX));
    enum err e = each_record(fd, is_wanted, &s);
    return e == ERR_OK && out->at == 0 ? ERR_NOENT : e;
}

/* A free place is one whose record can't be read, or the first behind the last. */
static bool is_taken(void *arg, uint64_t number, const uint8_t *record)
{
    struct fs_account *a = arg, other;
    a->at = load_account(record, &other) ? number + 1 : number;
    return a->at > number;
}

enum err fs_ledger_write(int fd, struct fs_account *a)
{
    uint8_t record[FS_RECORD] = {0};
    if (a->at == 0) {
        a->at = 1;
        enum err e = each_record(fd, is_taken, a);
        if (e != ERR_OK) {
            a->at = 0;
            return e;
        }
    }
    memcpy(record, account_magic, sizeof account_magic);
    memcpy(record + AT_USER, a->user, strnlen(a->user, USER_MAX));
    store_sum(record + AT_IN, &a->in);
    store_sum(record + AT_IN + 24, &a->out);
    return write_record(fd, a->at, record);
}

struct visit {
    enum err (*each)(void *arg, const struct fs_account *a);
    void *arg;
    enum err e;
};

static bool visit(void *arg, uint64_t number, const uint8_t *record)
{
    struct visit *v = arg;
    struct fs_account a = {.at = number};
    if (load_account(record, &a))
        v->e = v->each(v->arg, &a);
    return v->e == ERR_OK;
}

enum err fs_ledger_each(int fd, enum err (*each)(void *arg, const struct fs_account *a), void *arg)
{
    struct visit v = {each, arg, ERR_OK};
    enum err e = each_record(fd, visit, &v);
    return e == ERR_OK ? v.e : e;
}
