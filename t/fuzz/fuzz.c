/* SPDX-License-Identifier: ISC */
/* libFuzzer's entry points; `FUZZER --seeds=FOLDER` writes the seeds instead. */
#include "fuzz.h"

#include "log.h"
#include "text.h"
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *seeds; /* where they go */
static char folder[4096];

_Noreturn void fuzz_found(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    abort();
}

static void must(bool good, const char *what)
{
    if (good)
        return;
    perror(what);
    abort();
}

/* ---- seeds ---- */

void fuzz_seed(const void *data, size_t n)
{
    static unsigned number;
    char name[4096];
    snprintf(name, sizeof name, "%s/seed-%03u", seeds, number++);
    FILE *out = fopen(name, "w");
    must(out && fwrite(data, 1, n, out) == n && fclose(out) == 0, name);
}

void fuzz_seed_text(const char *head, const char *text)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_put(&b, head, strlen(head));
    buf_put(&b, text, strlen(text));
    fuzz_seed(b.data, b.len);
    buf_release(&b);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char option[] = "--seeds=";
    log_init("fuzz", LOG_LVL_ERROR, true);
    log_hush(true);
    log_quiet(true);
    if (*argc < 2 || strncmp((*argv)[1], option, sizeof option - 1) != 0)
        return 0;
    seeds = (*argv)[1] + sizeof option - 1;
    fuzz_seeds();
    exit(0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_one(data, n);
    return 0;
}

/* ---- files ---- */

static int drop(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void drop_folder(void)
{
    (void)nftw(folder, drop, 16, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_folder(void)
{
    const char *top = getenv("TMPDIR");
    if (folder[0])
        return folder;
    snprintf(folder, sizeof folder, "%s/consign-fuzz-XXXXXX", top ? top : "/tmp");
    must(mkdtemp(folder) != NULL, folder);
    must(atexit(drop_folder) == 0, "atexit");
    return folder;
}

const char *fuzz_file(const char *name, const void *p, size_t n)
{
    static char path[4200];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, p, n) == (ssize_t)n && close(fd) == 0, path);
    return path;
}

int fuzz_memory(const void *p, size_t n)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    must(fd >= 0 && pwrite(fd, p, n, 0) == (ssize_t)n, "memfd_create");
    return fd;
}

/* ---- bytes ---- */

uint8_t *fuzz_copy(const void *p, size_t n)
{
    uint8_t *copy = malloc(n);
    must(copy || n == 0, "malloc");
    if (n)
        memcpy(copy, p, n);
    return copy;
}

char *fuzz_text(struct slice s)
{
    char *copy = malloc(s.n + 1);
    must(copy != NULL, "malloc");
    if (s.n)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return copy;
}

uint8_t *fuzz_edited(struct wire_rd *r, const void *p, size_t *n)
{
    size_t left = wire_get_u8(r), len = *n, cap = len + left;
    uint8_t *copy = malloc(cap ? cap : 1), *exact;
    must(copy != NULL, "malloc");
    memcpy(copy, p, len);
    for (; left > 0 && !r->bad; left--) {
        size_t at = wire_get_u16(r);
        uint8_t what = wire_get_u8(r) % 4, byte = wire_get_u8(r);
        at = len ? at % len : 0;
        if (what == 0 && len > 0) {
            copy[at] = byte;
        } else if (what == 1 && len > 0) {
            copy[at] ^= byte;
        } else if (what == 2) {
            memmove(copy + at + 1, copy + at, len++ - at);
            copy[at] = byte;
        } else if (len > 0) {
            memmove(copy + at, copy + at + 1, --len - at);
        }
    }
    exact = fuzz_copy(copy, len);
    free(copy);
    *n = len;
    return exact;
}

bool fuzz_shows(const void *p, size_t n, bool lines)
{
    const uint8_t *s = p;
    for (size_t i = 0, len; i < n; i += len) {
        uint32_t point;
        len = text_char(s + i, n - i, &point);
        if (len == 0 || (!text_visible(point) && !(lines && point == '\n')))
            return false;
    }
    return true;
}
