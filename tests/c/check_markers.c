/* Markers found against memcmp at every place, and that nothing is read past the text or the markers. */
#include "check.h"

#include <string.h>

enum { MARKERS = 20, LONGEST = 4, BYTES = 60, TEXTS = 2000 };

void check_markers(void) {
    uint8_t strings[MARKERS * LONGEST];
    int64_t ends[MARKERS];
    size_t size = 0;
    for (size_t i = 0; i < MARKERS; i++) {
        const size_t length = 2 + random_bits() % (LONGEST - 1);
        for (size_t j = 0; j < length; j++) strings[size++] = (uint8_t)(253 + random_bits() % 3);
        ends[i] = (int64_t)size;
    }
    uint8_t *marks = placed(0, size, 1, AT_END);
    memcpy(marks, strings, size);
    void *memory = placed(1, rv_markers_size(MARKERS), 8, AT_END);
    expect("markers", rv_markers_build(memory, marks, ends, MARKERS), 1, 0);
    for (size_t n = 0; n < TEXTS; n++) {
        const size_t bytes = random_bits() % BYTES;
        uint8_t *text = placed(2, bytes, 1, AT_END), *found = placed(3, MARKERS, 1, AT_END);
        for (size_t i = 0; i < bytes; i++) text[i] = (uint8_t)(252 + random_bits() % 4);
        memset(found, 0, MARKERS);
        double count = (double)rv_markers_find(memory, text, bytes, found);
        for (size_t i = 0; i < MARKERS; i++) {
            const size_t start = i ? (size_t)ends[i - 1] : 0, length = (size_t)ends[i] - start;
            int want = 0;
            for (size_t at = 0; at + length <= bytes; at++) want |= !memcmp(text + at, strings + start, length);
            expect("markers", found[i], want, 0);
            count -= want;
        }
        expect("markers", count, 0, 0);
    }
    const int64_t short_ends[] = {1};
    expect("markers", rv_markers_build(memory, marks, short_ends, 1), 0, 0);
    expect("markers", rv_markers_build(memory, marks, ends, 255), 0, 0);
    report("markers");
}
