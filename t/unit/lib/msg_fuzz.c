/* SPDX-License-Identifier: ISC */
#include "msg_fuzz.h"

#include "codec_fuzz.h"
