/* AVX2 with FMA: eight rows a vector. Bytes are multiplied as |w| * (x with w's sign): both at most 127, so that pairs fit
 * int16. */
#if defined(__x86_64__)
#include "../rv_target.h"
#include "rv_encoder_kernels.h"
#include <immintrin.h>
#include <string.h>

RV_TARGET_BEGIN("avx2,fma")

typedef __m256 V;
typedef __m256i I;
#define V_LANES 8
#define TILE_VECTORS 2
#define TILE_TOKENS 3
#define ATTEND_QUERIES 2

static inline V v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, V v) { _mm256_storeu_ps(p, v); }
static inline V v_set(float x) { return _mm256_set1_ps(x); }
static inline V v_add(V a, V b) { return _mm256_add_ps(a, b); }
static inline V v_sub(V a, V b) { return _mm256_sub_ps(a, b); }
static inline V v_mul(V a, V b) { return _mm256_mul_ps(a, b); }
static inline V v_min(V a, V b) { return _mm256_min_ps(a, b); }
static inline V v_max(V a, V b) { return _mm256_max_ps(a, b); }
static inline V v_fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
static inline V v_round(V v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline V v_power_of_two(V v) {
    const I biased = _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}
static inline float v_sum(V v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
static inline float v_greatest(V v) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

static inline I i_start(int32_t excess) {
    (void)excess;
    return _mm256_setzero_si256();
}
static inline I i_weights(const uint8_t *p) { return _mm256_loadu_si256((const void *)p); }
static inline I i_spread(const int8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm256_set1_epi32(four);
}
static inline I i_add_dots(I sum, I weights, I x) {
    const I pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
static inline V i_float(I v) { return _mm256_cvtepi32_ps(v); }
static inline void i_store_bytes(int8_t *p, V v) {
    const I whole = _mm256_cvtps_epi32(v);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packs_epi16(words, words));
}

#include "rv_encoder_vector.h"

RV_TARGET_END

const rv_encoder_kernels rv_encoder_avx2 = {quantize, panel, attend, norm, gelu};
#endif
