/* SPDX-License-Identifier: ISC */
/* A certificate of the ledger as one line, for people or as JSON. */
#ifndef CONSIGN_PKI_ROW_H
#define CONSIGN_PKI_ROW_H

#include "ledger.h"

/* "valid", "renewed" (still valid, but another took over), "expired", "revoked", "unfinished". */
const char *row_status(const struct ledger *l, const struct ledger_entry *e, int64_t now);

void row_print(const struct ledger *l, const struct ledger_entry *e, int64_t now, bool json);

#endif
