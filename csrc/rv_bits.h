/* The single-bit kernels once, exact, over the operations that rv_bytes.h lists and
 *
 *   b_and b_or b_xor
 *   C, c_zero() c_add(a, b)   counts of set bits in lanes of any width
 *   c_add_count(sum, v)       sum plus set bits, up to COUNTS times without overflow
 *   c_widen(v)                the sum of the lanes, in lanes of I */
static inline C c_add_hamming(C sum, B a, B b) { return c_add_count(sum, b_xor(a, b)); }
static inline C c_add_both(C sum, B a, B b) { return c_add_count(sum, b_and(a, b)); }
static inline C c_add_either(C sum, B a, B b) { return c_add_count(sum, b_or(a, b)); }

#undef SUM
#undef ZERO
#undef PLUS
#undef TOTAL
#undef TOTAL4
#define SUM C
#define ZERO c_zero()
#define PLUS c_add
#define TOTAL(v) i_sum(c_widen(v))
#define TOTAL4(a, b, c, d, out) i_sum4(c_widen(a), c_widen(b), c_widen(c), c_widen(d), out)
#define ELEMENT rv_b1
#define NAME brief_hamming_b1
#define TERM c_add_hamming
#include "rv_sums.h"
#define NAME brief_both_b1
#define TERM c_add_both
#include "rv_sums.h"
#define NAME brief_either_b1
#define TERM c_add_either
#include "rv_sums.h"
#undef ELEMENT

/* Longer rows go by in pieces whose counts do not overflow. */
#define OF_ANY_LENGTH(name)                                                                                            \
    static int32_t name(const uint8_t *a, const uint8_t *b, size_t n) {                                                \
        const size_t piece = (size_t)COUNTS * B_BYTES;                                                                 \
        int32_t sum = 0;                                                                                               \
        for (size_t at = 0; at < n; at += piece) sum += brief_##name(a + at, b + at, n - at < piece ? n - at : piece); \
        return sum;                                                                                                    \
    }                                                                                                                  \
    static void many_##name(const uint8_t *m, const uint8_t *x, int32_t *out, size_t rows, size_t cols) {              \
        if (cols <= (size_t)COUNTS * B_BYTES)                                                                          \
            many_brief_##name(m, x, out, rows, cols);                                                                  \
        else                                                                                                           \
            for (size_t r = 0; r < rows; r++) out[r] = name(m + r * cols, x, cols);                                    \
    }
OF_ANY_LENGTH(hamming_b1)
OF_ANY_LENGTH(both_b1)
OF_ANY_LENGTH(either_b1)

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
