/* AVX-512 F, BW, DQ and VL: sixteen lanes, masked tails. int8 widens to int16 and sums pairs in int32. */
#if defined(__x86_64__)
#include "rv.h"
#include "rv_target.h"
#include <immintrin.h>
#include <math.h>
#include <string.h>

RV_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")

typedef __m512 V;
enum { V_LANES = 16 };

static inline __mmask16 first(size_t n) { return (__mmask16)((1u << n) - 1); }
static inline V v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline V v_load_part(const float *p, size_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
static inline void v_store(float *p, V v) { _mm512_storeu_ps(p, v); }
static inline void v_store_part(float *p, V v, size_t n) { _mm512_mask_storeu_ps(p, first(n), v); }
static inline V v_set(float x) { return _mm512_set1_ps(x); }
static inline V v_add(V a, V b) { return _mm512_add_ps(a, b); }
static inline V v_sub(V a, V b) { return _mm512_sub_ps(a, b); }
static inline V v_mul(V a, V b) { return _mm512_mul_ps(a, b); }
static inline V v_max(V a, V b) { return _mm512_max_ps(a, b); }
static inline V v_fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
static inline V v_round(V v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline float v_sum(V v) { return _mm512_reduce_add_ps(v); }
static inline float v_greatest(V v) { return _mm512_reduce_max_ps(v); }

static inline V v_power_of_two(V v) {
    const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(v), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
}

static inline int32_t bytes_dot(const int8_t *a, const int8_t *b, size_t n) {
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += 32) {
        const __mmask32 here = n - i >= 32 ? ~(__mmask32)0 : (__mmask32)((1u << (n - i)) - 1);
        const __m512i wide_a = _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(here, a + i));
        const __m512i wide_b = _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(here, b + i));
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(wide_a, wide_b));
    }
    return _mm512_reduce_add_epi32(sum);
}

/* Bytes of 0 or 1 times int8, pairs summed in int16. */
typedef __m512i B, P;
enum { B_BYTES = 64 };

static inline B b_load(const void *p) { return _mm512_loadu_si512(p); }
static inline void b_store(void *p, B v) { _mm512_storeu_si512(p, v); }
static inline B b_spread(const uint8_t *p) {
    __mmask64 bits;
    memcpy(&bits, p, sizeof bits);
    return _mm512_maskz_set1_epi8(bits, 1);
}
static inline P p_zero(void) { return _mm512_setzero_si512(); }
static inline P p_add(P sum, B ones, B v) { return _mm512_add_epi16(sum, _mm512_maddubs_epi16(ones, v)); }
static inline int32_t p_join(P high, P low) {
    return _mm512_reduce_add_epi32(_mm512_add_epi32(_mm512_madd_epi16(high, _mm512_set1_epi16(128)),
                                                    _mm512_madd_epi16(low, _mm512_set1_epi16(1))));
}

#include "rv_vector.h"
#include "rv_signs.h"

RV_TARGET_END

const rv_table rv_avx512_table = {
    .name = "avx512",
#define RV_KERNEL(result, kernel, parameters, arguments) .kernel = kernel,
#include "rv_kernels.def"
};
#endif
