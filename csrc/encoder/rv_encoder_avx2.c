/* AVX2 with FMA: eight rows a vector. Bytes are multiplied as |w| * (x with w's sign): both at most 127, so that pairs fit
 * int16. */
#if defined(__x86_64__)
#include "../rv.h"
#include "../rv_target.h"
#include "rv_encoder_kernels.h"
#include <immintrin.h>
#include <string.h>

RV_TARGET_BEGIN("avx2,fma,f16c")

#include "../rv_avx2_floats.h"

typedef __m256i I;
#define TILE_VECTORS 2
#define TILE_TOKENS 3
#define ATTEND_QUERIES 2

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
