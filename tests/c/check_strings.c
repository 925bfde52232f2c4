/* Strings of a file: where they begin, and that nothing is read past its end, however it is cut or lies. */
#include "check.h"

#include <string.h>

enum { COUNT = 9, MOST = 40 };

void check_strings(void) {
    int64_t want[COUNT], got[COUNT];
    uint8_t whole[COUNT * (sizeof(uint64_t) + MOST)];
    size_t size = 0;
    for (size_t i = 0; i < COUNT; i++) {
        const uint64_t length = i ? random_bits() % MOST : 0;
        want[i] = (int64_t)size;
        memcpy(whole + size, &length, sizeof length);
        memset(whole + size + sizeof length, 'a', (size_t)length);
        size += sizeof length + (size_t)length;
    }
    for (size_t held = 0; held <= size; held++) {
        uint8_t *bytes = placed(0, held, 1, AT_END);
        memcpy(bytes, whole, held);
        const size_t taken = rv_string_starts(bytes, held, COUNT, got);
        if (taken != (held == size ? size : SIZE_MAX)) fail("string_starts", "%zu of %zu bytes: %zu", held, size, taken);
        expect("string_starts", held == size ? memcmp(want, got, sizeof want) : 0, 0, 0);
    }
    for (size_t i = 0; i < COUNT; i++) {
        const uint64_t lies[] = {UINT64_MAX, UINT64_MAX - 7, (uint64_t)INT64_MAX, size - (size_t)want[i] - 7};
        for (size_t lie = 0; lie < sizeof lies / sizeof *lies; lie++) {
            uint8_t *bytes = placed(0, size, 1, AT_END);
            memcpy(bytes, whole, size);
            memcpy(bytes + want[i], lies + lie, sizeof *lies);
            const size_t taken = rv_string_starts(bytes, size, COUNT, got);
            if (taken != SIZE_MAX) fail("string_starts", "string %zu, lie %zu: %zu", i, lie, taken);
        }
    }
    report("string_starts");
}
