/* What AVX-512 BF16 does better: 32 products of bfloat16, summed in pairs into float32, in one instruction. It takes
 * subnormal numbers for 0 and flushes subnormal sums. */
#if defined(__x86_64__)
#include "rv_scalar.h"
#include "rv_target.h"
#include <immintrin.h>

RV_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")

#include "rv_avx512_floats.h"

typedef __m512i H;
enum { H_LANES = 32 };

static inline H h_load(const rv_bf16 *p) { return _mm512_loadu_si512(p); }
static inline H h_load_part(const rv_bf16 *p, size_t n) { return _mm512_maskz_loadu_epi16((1u << n) - 1, p); }
static inline V h_add_product(V sum, H a, H b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }

#define ELEMENT rv_bf16
#define RESULT float
#define VECTOR H
#define STEP H_LANES
#define LOAD h_load
#define LOAD_PART h_load_part
#define SUM V
#define ZERO v_set(0)
#define PLUS v_add
#define TOTAL v_sum
#define TOTAL4 v_sum4
#define NAME dot_bf16
#define TERM h_add_product
#include "rv_sums.h"

static float cosine_bf16(const rv_bf16 *a, const rv_bf16 *b, size_t n) {
    V ab = v_set(0), aa = ab, bb = ab;
    for (size_t i = 0; i < n; i += H_LANES) {
        const H va = n - i < H_LANES ? h_load_part(a + i, n - i) : h_load(a + i);
        const H vb = n - i < H_LANES ? h_load_part(b + i, n - i) : h_load(b + i);
        ab = h_add_product(ab, va, vb), aa = h_add_product(aa, va, va), bb = h_add_product(bb, vb, vb);
    }
    const float left = v_sum(aa), right = v_sum(bb);
    if (!is_comfortable(left) || !is_comfortable(right)) return rv_scalar_cosine_bf16(a, b, n);
    return cosine_of(v_sum(ab), left, right);
}

static void many_cosine_bf16(const rv_bf16 *m, const rv_bf16 *x, float *out, size_t rows, size_t cols) {
    for (size_t r = 0; r < rows; r++) out[r] = cosine_bf16(m + r * cols, x, cols);
}

RV_TARGET_END

const rv_table rv_avx512_bf16_table = {.name = "avx512+bf16",
                                       .dot_bf16 = dot_bf16,
                                       .cosine_bf16 = cosine_bf16,
                                       .many_dot_bf16 = many_dot_bf16,
                                       .many_cosine_bf16 = many_cosine_bf16};
#endif
