/* SSE4.1: four rows a vector, bytes multiplied as in AVX2. There is no fused multiply-add, so products round. */
#if defined(__x86_64__)
#include "../rv.h"
#include "../rv_target.h"
#include "rv_encoder_kernels.h"
#include <immintrin.h>
#include <string.h>

RV_TARGET_BEGIN("sse4.1")

#include "../rv_sse41_floats.h"

typedef __m128i I;
#define TILE_VECTORS 2
#define TILE_TOKENS 3
#define ATTEND_QUERIES 1

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
