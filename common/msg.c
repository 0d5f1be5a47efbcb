/* SPDX-License-Identifier: ISC */
#include "msg.h"

#define CODEC_PASS_PUT
#include "codec.h"
#undef CODEC_PASS_PUT

#define CODEC_PASS_GET
#include "codec.h"
#undef CODEC_PASS_GET

const char *msg_name(uint8_t type)
{
    static const char *const names[256] = {
#define CODEC_PASS_NAME
#include "codec.h"
#undef CODEC_PASS_NAME
    };
    return names[type] ? names[type] : "?";
}
