/* Finding the strings of a GGUF array, whose lengths nobody vouches for. */
#include "rv.h"

#include <string.h>

size_t rv_string_starts(const uint8_t *bytes, size_t size, size_t count, int64_t *starts) {
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t length;
        if (size - at < sizeof length) return SIZE_MAX;
        memcpy(&length, bytes + at, sizeof length);
        if (length > size - at - sizeof length) return SIZE_MAX;
        starts[i] = (int64_t)at;
        at += sizeof length + (size_t)length;
    }
    return at;
}
