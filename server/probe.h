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

#ifdef CONSIGN_PROBE
/* stage: master, keeper, signer, scribe, session-before, session-after, store, sweep, scrub, judge. */
void probe_run(const char *stage);
#else
static inline void probe_run(const char *stage)
{
    (void)stage;
}
#endif

#endif
