/* SPDX-License-Identifier: ISC */
/* What a session tells the scribe, and the line of the audit log that comes of it: one line, one JSON object, with the
 * fields that were told and the scribe's own, which no field can pass itself off as. */
#include "fuzz.h"

#include "../../server/scribe_line.h"
#include <jansson.h>

static void check_line(const struct buf *out, const struct ipc_record *m)
{
    json_error_t why;
    struct audit_line l;
    FUZZ_MUST(out->len <= SCRIBE_LINE_MAX && out->len > 2 && out->data[out->len - 1] == '\n');
    FUZZ_MUST(fuzz_shows(out->data, out->len - 1, false));
    json_t *o = json_loadb((const char *)out->data, out->len, JSON_REJECT_DUPLICATES, &why), *v;
    FUZZ_MUST(json_is_object(o));
    v = json_object_get(o, "event");
    FUZZ_MUST(json_is_string(v) && json_string_length(v) == m->event.n &&
              memcmp(json_string_value(v), m->event.p, m->event.n) == 0);
    FUZZ_MUST(json_integer_value(json_object_get(o, "seq")) == 42);
    FUZZ_MUST(strcmp(json_string_value(json_object_get(o, "session")), "1-2") == 0);
    FUZZ_MUST(strcmp(json_string_value(json_object_get(o, "peer")), "192.0.2.1:3") == 0);
    size_t fields = 0;
    for (size_t i = 0; i < m->fields.n; i++)
        fields += m->fields.p[i] == 0;
    FUZZ_MUST(json_object_size(o) == 6 + fields / 2);
    json_decref(o);
    /* And whoever verifies the log reads it so. */
    FUZZ_MUST(audit_line_read(slice_of(out->data, out->len - 1), &l));
    FUZZ_MUST(l.seq == 42 && l.prev[0] == 1 && slice_eq(l.event, m->event));
}

void fuzz_one(const uint8_t *data, size_t n)
{
    static const uint8_t prev[WIRE_HASH] = {1};
    const struct scribe_facts facts = {.time = {1800000000, 5000},
                                       .seq = 42,
                                       .prev = prev,
                                       .session = "1-2",
                                       .peer = "192.0.2.1:3"};
    struct ipc_record m;
    struct buf out;
    uint8_t *copy = fuzz_copy(data, n);
    buf_init(&out, 2 * SCRIBE_LINE_MAX);
    if (ipc_get_record(copy, n, &m) && !scribe_line_put(&out, &facts, &m))
        check_line(&out, &m);
    buf_release(&out);
    free(copy);
}

static void seed(const char *event, const char *fields, size_t n)
{
    struct ipc_record m = {.event = slice_str(event), .fields = slice_of(fields, n)};
    struct buf b;
    buf_init(&b, IPC_MAX);
    FUZZ_MUST(ipc_put_record(&b, &m));
    fuzz_seed(b.data, b.len);
    buf_release(&b);
}

void fuzz_seeds(void)
{
    static const char plain[] = "path\0/a/b\0bytes\0"
                                "17",
                      odd[] = "path\0\"\\\n\x1b[m\xff\xc3\xa9\xe2\x80\xae\0why\0";
    static const char own[] = "seq\0"
                              "7";
    seed("put", plain, sizeof plain);
    seed("x-y_9", odd, sizeof odd);
    seed("put", own, sizeof own);
    seed("put", "", 0);
}
