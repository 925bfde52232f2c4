/* SSE4.1: four lanes; tails go through a zeroed copy. There is no fused multiply-add, so products round. */
#if defined(__x86_64__)
#include "rv.h"
#include "rv_target.h"
#include <immintrin.h>
#include <math.h>
#include <string.h>

RV_TARGET_BEGIN("sse4.1")

typedef __m128 V;
enum { V_LANES = 4 };

static inline V v_load(const float *p) { return _mm_loadu_ps(p); }
static inline V v_load_part(const float *p, size_t n) {
    float part[4] = {0};
    memcpy(part, p, n * sizeof *p);
    return _mm_loadu_ps(part);
}
static inline void v_store(float *p, V v) { _mm_storeu_ps(p, v); }
static inline void v_store_part(float *p, V v, size_t n) {
    float part[4];
    _mm_storeu_ps(part, v);
    memcpy(p, part, n * sizeof *p);
}
static inline V v_set(float x) { return _mm_set1_ps(x); }
static inline V v_add(V a, V b) { return _mm_add_ps(a, b); }
static inline V v_sub(V a, V b) { return _mm_sub_ps(a, b); }
static inline V v_mul(V a, V b) { return _mm_mul_ps(a, b); }
static inline V v_max(V a, V b) { return _mm_max_ps(a, b); }
static inline V v_fma(V a, V b, V c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
static inline V v_round(V v) { return _mm_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

static inline float v_sum(V v) {
    const V two = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

static inline float v_greatest(V v) {
    const V two = _mm_max_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

static inline V v_power_of_two(V v) {
    const __m128i biased = _mm_add_epi32(_mm_cvtps_epi32(v), _mm_set1_epi32(127));
    return _mm_castsi128_ps(_mm_slli_epi32(biased, 23));
}

static inline int32_t bytes_dot(const int8_t *a, const int8_t *b, size_t n) {
    __m128i sum = _mm_setzero_si128();
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m128i wide_a = _mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)(a + i)));
        const __m128i wide_b = _mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)(b + i)));
        sum = _mm_add_epi32(sum, _mm_madd_epi16(wide_a, wide_b));
    }
    int32_t lanes[4], total = 0;
    memcpy(lanes, &sum, sizeof lanes);
    for (size_t lane = 0; lane < 4; lane++) total += lanes[lane];
    for (; i < n; i++) total += a[i] * b[i];
    return total;
}

/* Bytes of 0 or 1 times int8, pairs summed in int16. */
typedef __m128i B, P;
enum { B_BYTES = 16 };

static inline B b_load(const void *p) { return _mm_loadu_si128(p); }
static inline void b_store(void *p, B v) { _mm_storeu_si128(p, v); }
static inline B b_spread(const uint8_t *p) {
    const B byte = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const B bit = _mm_set1_epi64x((long long)0x8040201008040201);
    const B held = _mm_and_si128(_mm_shuffle_epi8(_mm_cvtsi32_si128(p[0] | p[1] << 8), byte), bit);
    return _mm_and_si128(_mm_cmpeq_epi8(held, bit), _mm_set1_epi8(1));
}
static inline P p_zero(void) { return _mm_setzero_si128(); }
static inline P p_add(P sum, B ones, B v) { return _mm_add_epi16(sum, _mm_maddubs_epi16(ones, v)); }
static inline int32_t p_join(P high, P low) {
    const P four = _mm_add_epi32(_mm_madd_epi16(high, _mm_set1_epi16(128)), _mm_madd_epi16(low, _mm_set1_epi16(1)));
    const P two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

#include "rv_vector.h"
#include "rv_signs.h"

RV_TARGET_END

const rv_table rv_sse41_table = {
    .name = "sse41",
#define RV_KERNEL(result, kernel, parameters, arguments) .kernel = kernel,
#include "rv_kernels.def"
};
#endif
