/* What AVX-512 VNNI does better: 64 products of unsigned with signed bytes, summed by fours into int32, in one
 * instruction. */
#if defined(__x86_64__)
#include "rv_scalar.h"
#include "rv_target.h"
#include <immintrin.h>

RV_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")

#include "rv_avx512_bytes.h"
#include "rv_bytes.h"

/* The first factor is made unsigned by adding 128. Its sum is then 128 times the other factor's sum too great, which
 * comes off at the end, modulo 2^32: what overflows on the way comes back. */
static inline I i_add_shifted(I sum, B a, B b) {
    return _mm512_dpbusd_epi32(sum, b_xor(a, _mm512_set1_epi8((char)0x80)), b);
}

#define ELEMENT rv_i8
#define NAME shifted_dot_i8
#define TERM i_add_shifted
#include "rv_sums.h"
#undef ELEMENT

static int32_t excess(const int8_t *x, size_t n) {
    const B factor = _mm512_set1_epi8(64);
    I sum = i_zero();
    for (size_t i = 0; i < n; i += B_BYTES)
        sum = _mm512_dpbusd_epi32(sum, factor, n - i < B_BYTES ? b_load_part(x + i, n - i) : b_load(x + i));
    return i_sum(i_add(sum, sum));
}

static inline int32_t less(int32_t a, int32_t b) { return (int32_t)((uint32_t)a - (uint32_t)b); }

static int32_t dot_i8(const int8_t *a, const int8_t *b, size_t n) {
    return less(shifted_dot_i8(a, b, n), excess(b, n));
}

static void many_dot_i8(const int8_t *m, const int8_t *x, int32_t *out, size_t rows, size_t cols) {
    const int32_t too_great = excess(x, cols);
    many_shifted_dot_i8(m, x, out, rows, cols);
    for (size_t r = 0; r < rows; r++) out[r] = less(out[r], too_great);
}

#define TERM i_add_shifted
#define PICKED_NAME picked_shifted_dot_i8
#include "rv_picked.h"

static void picked_dot_i8(const int8_t *m, const int8_t *x, const int32_t *rows, int32_t *out, size_t count,
                          size_t cols) {
    const int32_t too_great = excess(x, cols);
    picked_shifted_dot_i8(m, x, rows, out, count, cols);
    for (size_t i = 0; i < count; i++) out[i] = less(out[i], too_great);
}

static inline P p_zero(void) { return i_zero(); }
static inline P p_add(P sum, B ones, B v) { return _mm512_dpbusd_epi32(sum, ones, v); }
static inline I p_sum(P p) { return p; }

#include "rv_signs.h"

RV_TARGET_END

const rv_table rv_avx512_vnni_table = {
    .name = "avx512+vnni", .dot_i8 = dot_i8, .many_dot_i8 = many_dot_i8, .picked_dot_i8 = picked_dot_i8,
    .best_signs_i15 = best_signs_i15};
#endif
