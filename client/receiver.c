/* SPDX-License-Identifier: ISC */
#include "receiver.h"

#include "confine.h"
#include "log.h"
#include <time.h>

#if defined __SANITIZE_ADDRESS__
/* Not part of a release: leaks are looked for by a process that traces this one, which is not allowed by then. */
static bool confined;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return confined;
}
#endif

static enum err enforce(const struct profile *p, int folder, bool links)
{
    int abi;
    enum err e = p->confine_require ? confine_demand() : ERR_OK;
    if (e == ERR_OK)
        e = confine_forgo();
    if (e == ERR_OK)
        e = confine_files(&folder, 1, links, p->confine_require, &abi);
    return e == ERR_OK ? confine_calls(CONFINE_RECEIVER) : e;
}

enum err receiver_confine(const struct profile *p, const struct fs *fs, bool links)
{
    char text[CONFINE_TEXT];
    tzset(); /* reads its file now: there will be no reading later */
    confine_statement(text);
    log_debug("confinement: %s", text);
    enum err e = enforce(p, fs->roots[0].fd, links);
#if defined __SANITIZE_ADDRESS__
    confined = true;
#endif
    if (e == ERR_OK || p->confine_require)
        return e;
    log_warn("this command is not confined; confine = require would refuse to go on");
    return ERR_OK;
}
