/* SSE4.1: four rows a vector, bytes multiplied as in AVX2. There is no fused multiply-add, so products round. */
#if defined(__x86_64__)
#include "../rv_target.h"
#include "rv_encoder_kernels.h"
#include <immintrin.h>
#include <string.h>

RV_TARGET_BEGIN("sse4.1")

typedef __m128 V;
typedef __m128i I;
#define V_LANES 4
#define TILE_VECTORS 2
#define TILE_TOKENS 3
#define ATTEND_QUERIES 1

static inline V v_load(const float *p) { return _mm_loadu_ps(p); }
static inline void v_store(float *p, V v) { _mm_storeu_ps(p, v); }
static inline V v_set(float x) { return _mm_set1_ps(x); }
static inline V v_add(V a, V b) { return _mm_add_ps(a, b); }
static inline V v_sub(V a, V b) { return _mm_sub_ps(a, b); }
static inline V v_mul(V a, V b) { return _mm_mul_ps(a, b); }
static inline V v_min(V a, V b) { return _mm_min_ps(a, b); }
static inline V v_max(V a, V b) { return _mm_max_ps(a, b); }
static inline V v_fma(V a, V b, V c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
static inline V v_round(V v) { return _mm_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline V v_power_of_two(V v) {
    const I biased = _mm_add_epi32(_mm_cvtps_epi32(v), _mm_set1_epi32(127));
    return _mm_castsi128_ps(_mm_slli_epi32(biased, 23));
}
static inline float v_sum(V v) {
    const V two = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
static inline float v_greatest(V v) {
    const V two = _mm_max_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

static inline I i_start(int32_t excess) {
    (void)excess;
    return _mm_setzero_si128();
}
static inline I i_weights(const uint8_t *p) { return _mm_loadu_si128((const void *)p); }
static inline I i_spread(const int8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm_set1_epi32(four);
}
static inline I i_add_dots(I sum, I weights, I x) {
    const I pairs = _mm_maddubs_epi16(_mm_abs_epi8(weights), _mm_sign_epi8(x, weights));
    return _mm_add_epi32(sum, _mm_madd_epi16(pairs, _mm_set1_epi16(1)));
}
static inline V i_float(I v) { return _mm_cvtepi32_ps(v); }
static inline void i_store_bytes(int8_t *p, V v) {
    const I words = _mm_packs_epi32(_mm_cvtps_epi32(v), _mm_setzero_si128());
    const int32_t bytes = _mm_cvtsi128_si32(_mm_packs_epi16(words, words));
    memcpy(p, &bytes, sizeof bytes);
}

#include "rv_encoder_vector.h"

RV_TARGET_END

const rv_encoder_kernels rv_encoder_sse41 = {quantize, panel, attend, norm, gelu};
#endif
