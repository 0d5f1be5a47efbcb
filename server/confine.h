/* SPDX-License-Identifier: ISC */
/* Confinement: what the kernel lets each process of consignd still do. Everything here is one way.
 *
 * The lists of system calls are tables in confine.c, one a process; what is not listed kills the
 * process (SIGSYS), which the master reports by name. */
#ifndef CONSIGND_CONFINE_H
#define CONSIGND_CONFINE_H

#include "err.h"
#include <sys/types.h>

enum confine_process { CONFINE_SCRIBE, CONFINE_SESSION, CONFINE_STORE, CONFINE_JUDGE };

/* For every process at its start: no core dumps, not dumpable, no new privileges; closes every
 * descriptor above 2 that is not in keep (n of them, any order). */
enum err confine_start(const int *keep, unsigned n) MUST_CHECK;

/* Becomes uid and gid with exactly the supplementary groups given; verifies that there is no way
 * back. Does nothing, successfully, when the process already is uid and not root. Refuses uid 0. */
enum err confine_become(uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups) MUST_CHECK;

/* Landlock: from now on no file system access but, beneath each of the n folders (O_PATH
 * descriptors), reading, writing, making, removing, renaming of files and folders, with links
 * making of symbolic ones too; n == 0: none at all. No device nodes, no executing; TCP bind and connect are refused where the kernel's Landlock
 * knows them (ABI 4), signals and abstract sockets outside likewise (ABI 6). *abi is set to the ABI
 * that is enforced, 0 where the kernel has no Landlock: then it is ERR_CONFIG if require is set,
 * else success with a warning logged once by the caller. */
enum err confine_files(const int *folders, unsigned n, bool links, bool require,
                       int *abi) MUST_CHECK;

/* Makes the lists of system calls ready for all processes that are forked from now on: saves each
 * of them 0.2 ms. Without it confine_calls makes its own. */
enum err confine_prepare(void) MUST_CHECK;

/* Resource limits of the process (address space, descriptors, processes 0, core 0, file size
 * untouched) and then its seccomp list: the last step. */
enum err confine_calls(enum confine_process process) MUST_CHECK;

#endif
