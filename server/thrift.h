/* SPDX-License-Identifier: ISC */
/* Memory that the many processes of a server should not hold: what the heap has taken and nobody uses. */
#ifndef CONSIGND_THRIFT_H
#define CONSIGND_THRIFT_H

/* For the master, before it forks: long buffers stay mappings of their own in all its children. Their
 * pages are taken when they are touched and given back when they are freed; by default the first that is
 * freed makes the C library put later ones on the heap, where a session would touch them at once. */
void thrift_begin(void);

/* Gives back to the kernel what was freed: where a process is through with much and will wait for long. */
void thrift_rest(void);

#endif
