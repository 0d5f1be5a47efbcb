/* SPDX-License-Identifier: ISC */
/* consign-pki key: makes a key in a token, without a certificate. */
#include "key.h"
#include "log.h"
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum err generate(const struct options *o)
{
    struct key_wish wish = {.token = o->token,
                            .module = options_module(o),
                            .label = o->label,
                            .allow_extractable = o->allow_extractable};
    char *url = NULL;
    if (!o->token || !o->label || !*o->label)
        return log_fail(ERR_USAGE, "key generate: name the token with --token and the key with "
                                   "--label");
    enum err e = key_type_find(o->type, false, &wish.type);
    if (!e)
        e = token_pin_new(o->pin ? o->pin : "prompt", &wish.pin);
    if (!e)
        e = key_generate(&wish, &url);
    if (!e)
        printf("key          %s\n", url);
    free(url);
    token_pin_free(wish.pin);
    return e;
}

enum err keys_run(const struct options *o, const char *const *args, int n)
{
    (void)n;
    if (strcmp(args[0], "generate") == 0)
        return generate(o);
    return log_fail(ERR_USAGE, "key: wants generate");
}
