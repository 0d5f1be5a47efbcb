/* SPDX-License-Identifier: ISC */
#include "notice.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* FNV-1a, 64 bits */
static uint64_t mix(uint64_t h, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        h = (h ^ (v >> 8 * i & 255)) * UINT64_C(1099511628211);
    return h;
}

/* The file that ref names; a pkcs11: URL names none. */
static uint64_t mix_file(uint64_t h, const char *ref)
{
    struct stat st;
    if (!ref || strncasecmp(ref, "pkcs11:", 7) == 0)
        return h;
    if (stat(ref, &st) != 0)
        return mix(h, 1);
    h = mix(mix(mix(h, st.st_dev), st.st_ino), (uint64_t)st.st_size);
    h = mix(mix(h, (uint64_t)st.st_mtim.tv_sec), (uint64_t)st.st_mtim.tv_nsec);
    h = mix(mix(h, (uint64_t)st.st_ctim.tv_sec), (uint64_t)st.st_ctim.tv_nsec);
    return mix(h, st.st_mode);
}

uint64_t notice_files(const struct config *c)
{
    const char *own[] = {c->file, c->map, c->certificate, c->sign_certificate, c->sign.key};
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        h = mix_file(h, own[i]);
    for (size_t i = 0; i < c->n_tokens; i++)
        h = mix_file(h, c->tokens[i].key);
    for (size_t i = 0; i < c->n_anchors; i++)
        h = mix_file(mix_file(h, c->anchors[i].ca), c->anchors[i].crl);
    h = mix_file(h, c->partners);
    for (size_t i = 0; i < c->n_partners; i++) {
        const struct config_partner *p = &c->partners_list[i];
        h = mix_file(mix_file(mix_file(mix_file(h, p->ca), p->crl), p->rules), p->conf);
    }
    return h;
}

void notice_reading(struct notice *w, const struct config *c)
{
    w->loaded = w->seen = notice_files(c);
}

void notice_read(struct notice *w, const uint64_t *files, int64_t now_ms)
{
    w->again_ms = files ? 0 : now_ms + NOTICE_AGAIN_MS;
    if (files)
        w->loaded = w->seen = *files;
}

bool notice_tick(struct notice *w, const struct config *c, int64_t now_ms, bool *changed)
{
    if (now_ms < w->due_ms)
        return false;
    w->due_ms = now_ms + NOTICE_LOOK_MS;
    uint64_t now = notice_files(c), before = w->seen;
    w->seen = now;
    *changed = now != w->loaded && now == before;
    return *changed || (w->again_ms && now_ms >= w->again_ms);
}
