/* SPDX-License-Identifier: ISC */
/* Blank tokens, by their slot: they have no URL, and an initialisation by URL has been seen to wipe
 * another token. */
#ifndef CONSIGN_PKI_SLOT_H
#define CONSIGN_PKI_SLOT_H

#include "p11.h"

struct slot_survey {
    unsigned labelled; /* initialised tokens with the label asked for */
    bool has_blank;    /* a token that was never initialised */
    CK_SLOT_ID blank;
    bool software; /* the module is SoftHSM's, whose blank tokens are free to take */
};

enum err slot_survey(const char *module, const char *label, struct slot_survey *out) MUST_CHECK;

/* Initialises the blank token of the survey, anew looked at: with the label, the security officer's
 * PIN and the user's PIN. A token that is initialised is never touched: ERR_EXISTS. */
enum err slot_init(const char *module, const char *label, struct token_pin *so_pin,
                   struct token_pin *pin) MUST_CHECK;

#endif
