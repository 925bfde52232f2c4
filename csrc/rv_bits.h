/* The single-bit kernels once, exact, over the operations that rv_bytes.h lists and
 *
 *   b_and b_or b_xor
 *   i_add_count(sum, v)   sum plus set bits */
static inline I i_add_hamming(I sum, B a, B b) { return i_add_count(sum, b_xor(a, b)); }
static inline I i_add_both(I sum, B a, B b) { return i_add_count(sum, b_and(a, b)); }
static inline I i_add_either(I sum, B a, B b) { return i_add_count(sum, b_or(a, b)); }

#define ELEMENT rv_b1
#define NAME hamming_b1
#define TERM i_add_hamming
#include "rv_sums.h"
#define NAME both_b1
#define TERM i_add_both
#include "rv_sums.h"
#define NAME either_b1
#define TERM i_add_either
#include "rv_sums.h"
#undef ELEMENT

static inline float jaccard_of(int32_t both, int32_t either) { return either ? (float)both / (float)either : 1; }

static float jaccard_b1(const uint8_t *a, const uint8_t *b, size_t n) {
    return jaccard_of(both_b1(a, b, n), either_b1(a, b, n));
}

static void many_jaccard_b1(const uint8_t *m, const uint8_t *x, float *out, size_t rows, size_t cols) {
    enum { BLOCK = 64 };
    int32_t both[BLOCK], either[BLOCK];
    for (size_t start = 0; start < rows; start += BLOCK) {
        const size_t here = rows - start < BLOCK ? rows - start : BLOCK;
        many_both_b1(m + start * cols, x, both, here, cols);
        many_either_b1(m + start * cols, x, either, here, cols);
        for (size_t r = 0; r < here; r++) out[start + r] = jaccard_of(both[r], either[r]);
    }
}
