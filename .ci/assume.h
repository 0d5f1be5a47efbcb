/* SPDX-License-Identifier: ISC */
/* For clang-tidy alone, which can't look into log.c: what the log_fail functions return. */
#include "log.h"

#define log_fail(e, ...)    ((void)log_fail(e, __VA_ARGS__), (e))
#define log_fail_errno(...) ((void)log_fail_errno(__VA_ARGS__), ERR_IO)
