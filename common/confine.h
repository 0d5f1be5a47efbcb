/* SPDX-License-Identifier: ISC */
/* Confinement: what the kernel lets a process still do. Everything here is one way.
 *
 * The processes, their limits and the system calls of each are the rows of confine.def. A process calls
 *
 *   confine_start   first of all: no dumps, no new privileges, no descriptors but its own
 *   confine_files   (or _tree, _outside) Landlock, with the descriptors of the folders it may use
 *   confine_become  another account, or confine_capabilities where it keeps its own
 *   confine_calls   last: limits and the list of system calls
 *
 * A process that makes a call that is not in its list is killed (SIGSYS). Just before, it says which
 * one (confine_report_to): who waits for it can tell. */
#ifndef CONSIGN_CONFINE_H
#define CONSIGN_CONFINE_H

#include "err.h"
#include <stdint.h>
#include <sys/types.h>

enum confine_process {
#define PROCESS(NAME, ...) CONFINE_##NAME,
#define GROUP(...)
#define CALL(...)
#include "confine.def"
#undef PROCESS
#undef GROUP
#undef CALL
    CONFINE_PROCESSES
};

/* For every process at its start: no core dumps, not dumpable, no new privileges; closes every
 * descriptor above 2 that is not in keep (n of them, any order), nor that of confine_report_to. */
enum err confine_start(const int *keep, unsigned n) MUST_CHECK;

/* The same without closing anything, for who has many. */
enum err confine_forgo(void) MUST_CHECK;

/* Becomes uid and gid with exactly the supplementary groups given; verifies that there is no way
 * back. Does nothing, successfully, when the process already is uid and not root. Refuses uid 0. */
enum err confine_become(uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups) MUST_CHECK;

/* Gives up every capability but those in keep (bit n: CAP_ n of linux/capability.h), also for all
 * programs that are started from now on. */
enum err confine_capabilities(uint64_t keep) MUST_CHECK;

/* ---- Landlock: confine_files.c ---- */

/* From now on no file system access but, beneath each of the n folders (O_PATH
 * descriptors), reading, writing, making, removing, renaming of files and folders, with links
 * making of symbolic ones too; n == 0: none at all. No device nodes, no executing; TCP bind and connect are refused where the kernel's Landlock
 * knows them (ABI 4), signals and abstract sockets outside likewise (ABI 6). *abi is set to the ABI
 * that is enforced, 0 where the kernel has no Landlock: then it is ERR_CONFIG if require is set,
 * else success with a warning logged once by the caller. */
enum err confine_files(const int *folders, unsigned n, bool links, bool require,
                       int *abi) MUST_CHECK;

/* The same with reading alone. */
enum err confine_reading(const int *folders, unsigned n, bool require, int *abi) MUST_CHECK;

/* For processes whose files nobody can tell: no device nodes, no TCP port, and no signal to any
 * process but those that it starts. Never fails for want of Landlock. */
enum err confine_outside(void) MUST_CHECK;

/* Whether Landlock can do what is asked of it here: ERR_CONFIG, logged, when not. */
enum err confine_demand(void) MUST_CHECK;

/* What this kernel enforces, in words: "Landlock ABI 7: files, renaming, truncation, TCP, devices, signals; seccomp". */
enum { CONFINE_TEXT = 160 };
void confine_statement(char out[static CONFINE_TEXT]);

/* ---- system calls: confine_calls.c ---- */

/* Makes the lists of system calls ready for all processes that are forked from now on: saves each
 * of them 0.2 ms. Without it confine_calls makes its own. */
enum err confine_prepare(void) MUST_CHECK;

/* Resource limits of the process (address space, descriptors, processes 0, core 0, file size
 * untouched), its name for ps, and then its list: the last step. Threads that run already are not confined. */
enum err confine_calls(enum confine_process process) MUST_CHECK;

/* "store". */
const char *confine_name(enum confine_process process);

/* Where a process that is killed for a call says which: fd, a socket, gets its number as an int. Without (-1) it
 * goes to standard error as a line. Before confine_start. */
void confine_report_to(int fd);

/* Called instead, in the signal's handler: for tests. */
typedef void confine_trap_fn(int call);
void confine_on_trap(confine_trap_fn *fn);

/* The call's name: "ptrace", or its number where this library knows none. */
enum { CONFINE_CALL_NAME = 32 };
void confine_call_name(int call, char out[static CONFINE_CALL_NAME]);

#endif
