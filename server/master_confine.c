/* SPDX-License-Identifier: ISC */
/* What the master gives up once it has its port. What it can't do, none of its children can. */
#include "master_internal.h"

#include "confine.h"
#include <linux/capability.h>
#include <unistd.h>

/* Of root's, what reading the configuration, starting processes as other accounts and ending them take; and what
 * modules may need for their files. */
static const uint64_t kept = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH |
                             1u << CAP_FOWNER | 1u << CAP_KILL | 1u << CAP_SETGID |
                             1u << CAP_SETUID | 1u << CAP_SETPCAP | 1u << CAP_IPC_LOCK |
                             1u << CAP_SYS_NICE
#if defined __SANITIZE_ADDRESS__
                             | 1u << CAP_SYS_PTRACE /* by which leaks are looked for */
#endif
    ;

enum err master_confine(const struct master *m)
{
    char text[CONFINE_TEXT];
    enum err e = m->policy->config->confine_require ? confine_demand() : ERR_OK;
    confine_statement(text);
    log_info("confinement: %s", text);
    if (e == ERR_OK)
        e = confine_forgo();
    if (e == ERR_OK)
        e = confine_capabilities(kept);
    if (e == ERR_OK)
        e = confine_outside();
    return e == ERR_OK ? confine_calls(CONFINE_MASTER) : e;
}
