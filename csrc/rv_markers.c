/* Which of several short texts occur in another, in one pass over it: its neighbouring bytes lead to the texts that begin
 * with them, which are few. */
#include "rv.h"

#include <string.h>

struct marker {
    uint32_t at, length;
    uint32_t next; /* of those that begin with the same two bytes, 1 more than its place; 0 for none */
};

struct markers {
    const uint8_t *text;
    uint8_t first[1 << 16]; /* by their first two bytes, 1 more than the place of one; 0 for none */
    struct marker markers[];
};

static size_t pair(const uint8_t *text) { return (size_t)text[0] | (size_t)text[1] << 8; }

size_t rv_markers_size(size_t count) { return sizeof(struct markers) + count * sizeof(struct marker); }

int rv_markers_build(void *memory, const uint8_t *text, const int64_t *ends, size_t count) {
    struct markers *m = memory;
    if (count >= UINT8_MAX) return 0;
    memset(m, 0, sizeof *m);
    m->text = text;
    uint32_t start = 0;
    for (size_t i = 0; i < count; start = (uint32_t)ends[i++]) {
        if (ends[i] < (int64_t)start + 2 || ends[i] > UINT32_MAX) return 0;
        uint8_t *first = &m->first[pair(text + start)];
        m->markers[i] = (struct marker){start, (uint32_t)ends[i] - start, *first};
        *first = (uint8_t)(i + 1);
    }
    return 1;
}

size_t rv_markers_find(const void *memory, const uint8_t *text, size_t bytes, uint8_t *found) {
    const struct markers *m = memory;
    size_t count = 0;
    for (size_t i = 0; i + 1 < bytes; i++)
        for (uint32_t place = m->first[pair(text + i)]; place; place = m->markers[place - 1].next) {
            const struct marker *marker = &m->markers[place - 1];
            if (found[place - 1] || marker->length > bytes - i) continue;
            if (memcmp(text + i, m->text + marker->at, marker->length)) continue;
            found[place - 1] = 1;
            count++;
        }
    return count;
}
