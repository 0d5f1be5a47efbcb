/* SPDX-License-Identifier: ISC */
/* Scrubbing: what is rot, what is a change, what can't be told. */
#include "fs_scrub.h"
#include "test_fs.h"

/* What the disk does: reads of the file fail_ino at fail_at and on give EIO. */
static ino_t fail_ino;
static off_t fail_at;

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
    struct stat st;
    if (fail_ino && fstat(fd, &st) == 0 && st.st_ino == fail_ino && at >= fail_at) {
        errno = EIO;
        return -1;
    }
    return (ssize_t)syscall(SYS_pread64, fd, to, n, at);
}

#define MIB (1 << 20)

struct seen {
    struct fs_rot list[8];
    char paths[8][64];
    size_t n;
    unsigned calls;
    unsigned at_call; /* when to do this */
    enum err (*act)(void);
};

static enum err found(void *arg, const struct fs_rot *rot)
{
    struct seen *s = arg;
    assert_true(s->n < 8);
    snprintf(s->paths[s->n], sizeof s->paths[0], "%s", rot->path);
    s->list[s->n++] = *rot;
    return ERR_OK;
}

static enum err progress(void *arg, const struct fs_scrub_counts *so_far)
{
    struct seen *s = arg;
    (void)so_far;
    return ++s->calls == s->at_call ? s->act() : ERR_OK;
}

static enum err scrub(struct seen *s, struct fs_scrub_counts *c)
{
    struct fs_scrub how = {tree_engine(true), 0, found, progress, s};
    *c = (struct fs_scrub_counts){0};
    s->n = s->calls = 0;
    return fs_scrub(&site_fs, 0, &how, c);
}

/* ---- damage ---- */

static void flip(const char *rel, off_t offset)
{
    uint8_t byte;
    int fd = open(at(rel), O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(syscall(SYS_pread64, fd, &byte, 1, offset), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

/* What the file's hashes are is kept, whatever its times are now: as if nobody had touched it. */
static void restamp(const char *rel, const char *path, const uint8_t root[static TREE_HASH])
{
    struct fs_slots slots;
    struct part_header h;
    struct stat st;
    char name[FS_TREE_NAME];
    assert_int_equal(stat(at(rel), &st), 0);
    fs_slots_init(&slots, fs_trees_open(&site_fs.roots[0], false));
    if (fs_one_chunk((uint64_t)st.st_size)) {
        assert_true(fs_slot_write(&slots, &st, root));
    } else {
        fs_tree_name(st.st_ino, name);
        int fd = openat(slots.trees, name, O_RDWR);
        assert_int_equal(part_header_read(fd, &h), ERR_OK);
        assert_int_equal(fs_tree_stamp(fd, &h, &st, path), ERR_OK);
        close(fd);
    }
    fs_slots_release(&slots);
}

static void rot(const char *rel, const char *path, off_t offset)
{
    struct fs_info info;
    assert_int_equal(fs_stat(&site_fs, path, &info), ERR_OK);
    assert_true(info.has_root);
    flip(rel, offset);
    restamp(rel, path, info.root);
}

/* ---- tests ---- */

static void all_good(void **state)
{
    struct seen s = {0};
    struct fs_scrub_counts c;
    (void)state;
    assert_int_equal(fs_mkdir(&site_fs, "/d", 0755, false), ERR_OK);
    assert_int_equal(put(&site_fs, "/d/two", two_chunks('a'), false), ERR_OK);
    assert_int_equal(put(&site_fs, "/small", "text", false), ERR_OK);
    assert_int_equal(put(&site_fs, "/empty", "", false), ERR_OK);
    assert_int_equal(put(&site_fs, "/two/elsewhere", "text", false), ERR_OK);
    file_put("in/laid", "by somebody");
    sym("small", "in/link");
    assert_int_equal(link(at("in/small"), at("in/small2")), 0);
    assert_int_equal(scrub(&s, &c), ERR_OK);
    assert_int_equal(c.files, 5);
    assert_int_equal(c.proven, 2);
    assert_int_equal(c.changed, 2); /* a link moves the time of change */
    assert_int_equal(c.plain, 1);
    assert_int_equal(c.bytes, MIB + 1);
    assert_int_equal(c.rotten + c.damaged + c.moving + c.orphans + c.errors + s.n, 0);
}

static void no_trees(void **state)
{
    struct seen s = {0};
    struct fs_scrub_counts c;
    (void)state;
    file_put("in/laid", "by somebody");
    assert_int_equal(scrub(&s, &c), ERR_OK);
    assert_int_equal(c.files, 1);
    assert_int_equal(c.plain, 1);
}

static void rotten(void **state)
{
    struct seen s = {0};
    struct fs_scrub_counts c;
    (void)state;
    assert_int_equal(put(&site_fs, "/big", two_chunks('a'), false), ERR_OK);
    assert_int_equal(put(&site_fs, "/small", "text", false), ERR_OK);
    rot("in/big", "/big", MIB);
    assert_int_equal(scrub(&s, &c), ERR_OK);
    assert_int_equal(c.proven, 1);
    assert_int_equal(c.rotten, 1);
    assert_int_equal(c.chunks, 1);
    assert_int_equal(s.n, 1);
    assert_string_equal(s.paths[0], "/big");
    assert_int_equal(s.list[0].kind, FS_ROT_DATA);
    assert_int_equal(s.list[0].chunk, 1);
    assert_int_equal(s.list[0].offset, MIB);
    assert_int_equal(s.list[0].size, 1);
    rot("in/big", "/big", 5);
    rot("in/small", "/small", 0);
    assert_int_equal(scrub(&s, &c), ERR_OK);
    assert_int_equal(c.proven, 0);
    assert_int_equal(c.rotten, 2);
    assert_int_equal(c.chunks, 3);
    assert_int_equal(s.n, 3);
}

static void changed_outside(void **state)
{
    struct seen s = {0};
    struct fs_scrub_counts c;
    (void)state;
    assert_int_equal(put(&site_fs, "/big", two_chunks('a'), false), ERR_OK);
    assert_int_equal(put(&site_fs, "/small", "text", false), ERR_OK);
    flip("in/big", 3);
    flip("in/small", 3);
    assert_int_equal(scrub(&s, &c), ERR_OK);
    assert_int_equal(c.changed, 2);
    assert_int_equal(c.bytes, 0);
    assert_int_equal(c.proven + c.rotten + c.plain + s.n, 0);
}

static void unreadable(void **state)
{
    struct seen s = {0};
    struct fs_scrub_counts c;
    struct stat st;
    (void)state;
    assert_int_equal(put(&site_fs, "/big", two_chunks('a'), false), ERR_OK);
    assert_int_equal(stat(at("in/big"), &st), 0);
    fail_ino = st.st_ino;
    fail_at = MIB;
    assert_int_equal(scrub(&s, &c), ERR_OK);
    fail_ino = 0;
    assert_int_equal(c.rotten, 1);
    assert_int_equal(c.chunks, 1);
    assert_int_equal(c.bytes, MIB);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.list[0].kind, FS_ROT_READ);
    assert_int_equal(s.list[0].chunk, 1);
}

static char *tree_of(const char *rel)
{
    static char name[64 + FS_TREE_NAME];
    struct stat st;
    assert_int_equal(stat(at(rel), &st), 0);
    snprintf(name, sizeof name, "in/.consign/trees/%llx", (unsigned long long)st.st_ino);
    return name;
}

static void damaged_trees(void **state)
{
    struct seen s = {0};
    struct fs_scrub_counts c;
    struct stat st;
    char slots[64];
    (void)state;
    assert_int_equal(put(&site_fs, "/big", two_chunks('a'), false), ERR_OK);
    assert_int_equal(put(&site_fs, "/small", "text", false), ERR_OK);
    flip(tree_of("in/big"), PART_SLOTS + TREE_HASH + 3);
    assert_int_equal(scrub(&s, &c), ERR_OK);
    assert_int_equal(c.damaged, 1);
    assert_int_equal(s.list[0].kind, FS_ROT_TREE);
    flip(tree_of("in/big"), PART_SLOTS + TREE_HASH + 3);
    flip(tree_of("in/big"), 30);
    assert_int_equal(stat(at("in/small"), &st), 0);
    snprintf(slots, sizeof slots, "in/.consign/trees/%llx.small",
             (unsigned long long)st.st_ino / 1024);
    flip(slots, (off_t)(st.st_ino % 1024) * 96 + 60);
    assert_int_equal(scrub(&s, &c), ERR_OK);
    assert_int_equal(c.damaged, 2);
    assert_int_equal(c.proven + c.rotten + c.changed, 0);
    assert_int_equal(s.n, 2);
}

static void orphans(void **state)
{
    struct seen s = {0};
    struct fs_scrub_counts c;
    (void)state;
    assert_int_equal(put(&site_fs, "/big", two_chunks('a'), false), ERR_OK);
    assert_int_equal(put(&site_fs, "/gone", two_chunks('b'), false), ERR_OK);
    assert_int_equal(unlink(at("in/gone")), 0);
    assert_int_equal(scrub(&s, &c), ERR_OK);
    assert_int_equal(c.orphans, 1);
    assert_int_equal(c.proven, 1);
}

static enum err write_to_big(void)
{
    flip("in/big", MIB);
    return ERR_OK;
}

static enum err remove_big(void)
{
    unlink(at("in/big"));
    return ERR_OK;
}

static enum err end(void)
{
    return ERR_LIMIT;
}

static void in_motion(void **state)
{
    struct seen s = {.at_call = 1, .act = write_to_big};
    struct fs_scrub_counts c;
    (void)state;
    assert_int_equal(put(&site_fs, "/big", two_chunks('a'), false), ERR_OK);
    assert_int_equal(scrub(&s, &c), ERR_OK);
    assert_int_equal(c.moving, 1);
    assert_int_equal(c.proven + c.rotten + s.n, 0);
    assert_int_equal(put(&site_fs, "/big", two_chunks('a'), true), ERR_OK);
    s.act = remove_big;
    assert_int_equal(scrub(&s, &c), ERR_OK);
    assert_int_equal(c.moving, 1);
    assert_int_equal(c.proven + c.rotten + s.n, 0);
    assert_int_equal(scrub(&s, &c), ERR_OK);
    assert_int_equal(c.orphans, 1);
}

static void ended(void **state)
{
    struct seen s = {.at_call = 1, .act = end};
    struct fs_scrub_counts c;
    (void)state;
    assert_int_equal(put(&site_fs, "/big", two_chunks('a'), false), ERR_OK);
    assert_int_equal(scrub(&s, &c), ERR_LIMIT);
    assert_int_equal(c.proven, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {BOTH(all_good),        BOTH(no_trees),   BOTH(rotten),
                                       BOTH(changed_outside), BOTH(unreadable), BOTH(damaged_trees),
                                       BOTH(orphans),         BOTH(in_motion),  BOTH(ended)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("fs_scrub", tests, NULL, NULL);
}
