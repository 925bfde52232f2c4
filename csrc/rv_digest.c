/* Digests of rows, to tell damaged ones: four chains of h = (h ^ word) * odd number over the words of 8 bytes, then one
 * over the chains and the bytes left. Each step can be undone, so a change inside one word is never lost; four chains,
 * because a processor multiplies four numbers in the time of one. */
#include "rv.h"

#include <string.h>

enum { CHAINS = 4 };
static const uint64_t FACTOR = UINT64_C(0x9E3779B97F4A7C15);

static uint64_t digest(const uint8_t *bytes, size_t size) {
    uint64_t chains[CHAINS] = {1, 2, 3, 4}, whole = size;
    size_t at = 0;
    for (; at + sizeof chains <= size; at += sizeof chains)
        for (size_t i = 0; i < CHAINS; i++) {
            uint64_t word;
            memcpy(&word, bytes + at + i * sizeof word, sizeof word);
            chains[i] = (chains[i] ^ word) * FACTOR;
        }
    for (size_t i = 0; i < CHAINS; i++) whole = (whole ^ chains[i]) * FACTOR;
    for (; at < size; at++) whole = (whole ^ bytes[at]) * FACTOR;
    return whole ^ whole >> 32;
}

void rv_digest_rows(const uint8_t *rows, size_t cols, const int64_t *starts, const int64_t *counts, size_t docs,
                    uint64_t *digests) {
    for (size_t i = 0; i < docs; i++) digests[i] = digest(rows + (size_t)starts[i] * cols, (size_t)counts[i] * cols);
}
