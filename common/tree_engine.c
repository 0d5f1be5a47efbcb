/* SPDX-License-Identifier: ISC */
/* The two ways to compute SHA-256: GnuTLS's, one message after the other, and ipsec-mb's, sixteen
 * leaves at once in the lanes of wide registers. */
#include "tree.h"

#include <gnutls/crypto.h>
#include <string.h>

void tree_sha256(const uint8_t *data, size_t n, uint8_t out[static TREE_HASH])
{
    /* SHA-256 over memory fails only where the library forbids it: then no hash may look right. */
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, data, n, out) < 0)
        memset(out, 0xff, TREE_HASH);
}

static void gnutls_many(const uint8_t *data, size_t size, size_t count, uint8_t *out)
{
    uint8_t digest[TREE_HASH]; /* out may lie over data */
    for (size_t i = 0; i < count; i++) {
        tree_sha256(data + i * size, size, digest);
        memcpy(out + i * TREE_HASH, digest, TREE_HASH);
    }
}

static const struct tree_engine engine_gnutls = {"gnutls", gnutls_many, tree_sha256};

#ifdef HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#include <pthread.h>

/* Jobs belong to a manager, so each thread has one of its own. */
static _Thread_local IMB_MGR *manager;
static pthread_key_t key; /* frees it at the thread's end */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void release(void *m)
{
    free_mb_mgr(m);
}

static void make_key(void)
{
    (void)pthread_key_create(&key, release);
}

/* False where the library can't be used, or without memory. */
static bool have_manager(void)
{
    IMB_ARCH arch;
    if (manager)
        return true;
    IMB_MGR *m = alloc_mb_mgr(0);
    if (!m)
        return false;
    init_mb_mgr_auto(m, &arch);
    if (imb_get_errno(m) != 0) {
        free_mb_mgr(m);
        return false;
    }
    pthread_once(&once, make_key);
    (void)pthread_setspecific(key, m);
    manager = m;
    return true;
}

static void submit(const uint8_t *data, size_t size, uint8_t *out)
{
    IMB_JOB *job = IMB_GET_NEXT_JOB(manager);
    memset(job, 0, sizeof *job);
    job->cipher_mode = IMB_CIPHER_NULL;
    job->cipher_direction = IMB_DIR_ENCRYPT;
    job->chain_order = IMB_ORDER_HASH_CIPHER;
    job->hash_alg = IMB_AUTH_SHA_256;
    job->src = data;
    job->msg_len_to_hash_in_bytes = size;
    job->auth_tag_output = out;
    job->auth_tag_output_len_in_bytes = TREE_HASH;
    (void)IMB_SUBMIT_JOB_NOCHECK(manager);
}

static void flush(void)
{
    while (IMB_FLUSH_JOB(manager))
        continue;
}

/* Sixteen leaves take no longer than one does, and as long as five do one after the other; so fewer are
 * left to GnuTLS, and pairs of digests and odd messages too, which it hashes faster than this
 * library. */
static void mb_many(const uint8_t *data, size_t size, size_t count, uint8_t *out)
{
    enum { LANES = 16, WORTH = 5 };
    size_t n = count % LANES < WORTH ? count - count % LANES : count;
    if (size != TREE_LEAF || n == 0 || !have_manager()) {
        gnutls_many(data, size, count, out);
        return;
    }
    for (size_t i = 0; i < n; i++)
        submit(data + i * size, size, out + i * TREE_HASH);
    flush();
    gnutls_many(data + n * size, size, count - n, out + n * TREE_HASH);
}

static const struct tree_engine engine_mb = {"ipsec-mb", mb_many, tree_sha256};

static const struct tree_engine *find_mb(void)
{
    return have_manager() ? &engine_mb : NULL;
}
#else
static const struct tree_engine *find_mb(void)
{
    return NULL;
}
#endif

const struct tree_engine *tree_engine(bool approved)
{
    const struct tree_engine *mb = approved ? NULL : find_mb();
    return mb ? mb : &engine_gnutls;
}

const struct tree_engine *tree_engine_named(const char *name)
{
    if (strcmp(name, engine_gnutls.name) == 0)
        return &engine_gnutls;
    return strcmp(name, "ipsec-mb") == 0 ? find_mb() : NULL;
}
