/* SPDX-License-Identifier: ISC */
/* A folder and a symbolic link to a stranger's folder change places as fast as they can, while
 * every verb is at work on paths through them: nothing outside is read, listed or changed. A plain
 * open() in the same loop does get out, which shows that the race is on. */
#include "test_fs.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

enum { ROUNDS = 10000, ROUNDS_MAX = 200000, EXCHANGE = 2 /* RENAME_EXCHANGE */ };

/* Swaps in/d and in/l until it is killed. */
static pid_t start_swapping(void)
{
    char d[256], l[256];
    snprintf(d, sizeof d, "%s", at("in/d"));
    snprintf(l, sizeof l, "%s", at("in/l"));
    pid_t parent = getpid(), pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (getppid() == parent && syscall(SYS_renameat2, AT_FDCWD, d, AT_FDCWD, l, EXCHANGE) == 0)
        ;
    _exit(1);
}

static enum err not_outside(void *arg, const char *name, const struct fs_info *info)
{
    (void)arg, (void)info;
    assert_string_not_equal(name, "only-outside");
    return ERR_OK;
}

/* What is got hold of is the file inside. */
static void read_inside(unsigned *got)
{
    struct fs_source s;
    char text[16] = "";
    if (fs_open_source(&site_fs, "/d/secret", &s) != ERR_OK)
        return;
    assert_true(read(s.fd, text, sizeof text - 1) > 0);
    assert_string_equal(text, "inside");
    fs_close(&s.fd);
    fs_close(&s.tree);
    ++*got;
}

static void every_verb(unsigned *done)
{
    struct fs_info info;
    struct fs_part part;
    if (fs_stat(&site_fs, "/d/only-outside", &info) == ERR_OK)
        fail_msg("stat got out");
    read_inside(&done[0]);
    done[1] += fs_list(&site_fs, "/d", not_outside, NULL) == ERR_OK;
    done[2] += fs_mkdir(&site_fs, "/d/new", 0755, false) == ERR_OK;
    done[3] += fs_mkdir(&site_fs, "/d/a/b", 0755, true) == ERR_OK;
    done[4] += fs_remove(&site_fs, "/d/new", true) == ERR_OK;
    done[5] += put(&site_fs, "/d/up", "up", true) == ERR_OK;
    done[6] += fs_rename(&site_fs, "/d/up", "/d/renamed", true) == ERR_OK;
    done[7] += fs_rename(&site_fs, "/d/renamed", "/free", false) == ERR_OK;
    done[8] += fs_rename(&site_fs, "/free", "/d/free", false) == ERR_OK;
    done[9] += fs_remove(&site_fs, "/d/free", false) == ERR_OK;
    if (fs_open_part(&site_fs, "/d/part", 5, true, 0, &part) == ERR_OK) {
        fs_close(&part.data);
        fs_close(&part.journal);
        done[10] += fs_discard(&site_fs, "/d/part") == ERR_OK;
    }
    if (fs_remove(&site_fs, "/d/only-outside", false) == ERR_OK)
        fail_msg("remove got out");
}

/* What open() makes of it: whether it read the stranger's file. */
static bool naive(void)
{
    char text[16] = "";
    int fd = open(at("in/d/secret"), O_RDONLY | O_NOFOLLOW);
    if (fd < 0)
        return false;
    (void)!read(fd, text, sizeof text - 1);
    close(fd);
    return strcmp(text, "secret") == 0;
}

static void nothing_gets_out_of_a_root(void **state)
{
    unsigned done[11] = {0}, lost = 0, n = 0;
    struct stat before, after;
    (void)state;
    folder("in/d");
    file_put("in/d/secret", "inside");
    file_put("out/only-outside", "x");
    sym("../out", "in/l");
    assert_int_equal(stat(at("out"), &before), 0);
    pid_t pid = start_swapping();
    for (unsigned i = 0; i < ROUNDS || (lost == 0 && i < ROUNDS_MAX); i++, n++) {
        lost += naive();
        if (i < ROUNDS)
            every_verb(done);
    }
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    /* the control, and that each verb was really at work */
    assert_true(lost > 0);
    for (size_t i = 0; i < sizeof done / sizeof done[0]; i++)
        if (done[i] == 0)
            fail_msg("verb %zu never succeeded", i);
    /* no entry came or went: the folder's times would tell */
    assert_int_equal(stat(at("out"), &after), 0);
    assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof before.st_mtim);
    assert_int_equal(before.st_nlink, after.st_nlink);
    file_is("out/secret", "secret");
    file_is("out/only-outside", "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(nothing_gets_out_of_a_root),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
