/* SPDX-License-Identifier: ISC */
/* What a break-in would try: in a build with CONSIGN_PROBE (`make probe`) a confined process runs
 * the attempt that the environment variable CONSIGN_PROBE names for its stage, so that a test sees
 * the kernel refuse it. Otherwise nothing. */
#ifndef CONSIGND_PROBE_H
#define CONSIGND_PROBE_H

#ifdef CONSIGN_PROBE
/* stage: "session-before", "session-after", "store". Logs "probe STAGE:ATTEMPT: denied|ALLOWED
 * ...", if it lives to. */
void probe_run(const char *stage);
#else
static inline void probe_run(const char *stage)
{
    (void)stage;
}
#endif

#endif
