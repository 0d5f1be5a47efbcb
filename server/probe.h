/* SPDX-License-Identifier: ISC */
/* What a break-in would try: in a build with CONSIGN_PROBE a confined process runs what the environment variable
 * CONSIGN_PROBE names for its stage, so that a test sees the kernel refuse it. Otherwise nothing.
 *
 *   STAGE:ATTEMPT[:ARGUMENT]   one attempt, which may end the process
 *   all                        every attempt, in every stage; CONSIGN_PROBE_FILES: files to open, with ":" between
 *
 * Logs "probe STAGE:ATTEMPT: denied (WHY)" or "ALLOWED"; with all also "killed (CALL)": there the process lives on, as
 * the signal's handler goes on to the next attempt. */
#ifndef CONSIGND_PROBE_H
#define CONSIGND_PROBE_H

struct ipc_prove;

#ifdef CONSIGN_PROBE
/* What a session that was taken over would say to the master instead of the truth, m, or besides it: CONSIGN_PROBE is
 * lie:WHAT, of the list in probe_lie.c. */
void probe_lie(int master, struct ipc_prove *m);

/* stage: master, keeper, signer, scribe, session-before, session-after, store, sweep, scrub, usher. */
void probe_run(const char *stage);
#else
static inline void probe_run(const char *stage)
{
    (void)stage;
}
static inline void probe_lie(int master, struct ipc_prove *m)
{
    (void)master;
    (void)m;
}
#endif

#endif
