/* SSE4.1: four rows a vector, bytes multiplied as in AVX2. There is no fused multiply-add, so products round; float16 is made
 * by the scalar kernel. */
#if defined(__x86_64__)
#include "../rv.h"
#include "../rv_target.h"
#include "rv_llm_blocks.h"
#include "rv_llm_kernels.h"
#include <immintrin.h>

RV_TARGET_BEGIN("sse4.1")

#include "../rv_sse41_floats.h"

typedef __m128i I, D;
enum { TILE_TOKENS = 3, Q8_0_TOKENS = 3, STARTS = 1, ROWS_ABREAST = 4 };

static inline float half(const uint8_t *p) { return rv_half_at(p); }
static inline I i_load(const void *p) { return _mm_loadu_si128(p); }
static inline I i_set(int32_t x) { return _mm_set1_epi32(x); }
static inline I i_add(I a, I b) { return _mm_add_epi32(a, b); }
static inline I i_sub(I a, I b) { return _mm_sub_epi32(a, b); }
static inline V i_float(I v) { return _mm_cvtepi32_ps(v); }
static inline I i_pairs(I a, I b) { return _mm_madd_epi16(a, b); }
static inline I i_spread(const void *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm_set1_epi32(four);
}
static inline void i_store_bytes(int8_t *p, V v) {
    const I words = _mm_packs_epi32(_mm_cvtps_epi32(v), _mm_setzero_si128());
    const int32_t bytes = _mm_cvtsi128_si32(_mm_packs_epi16(words, words));
    memcpy(p, &bytes, sizeof bytes);
}

/* A sum that the compiler may not take apart: see rv_llm_avx2.c. */
static inline I in_order(I sum) {
    __asm__("" : "+x"(sum));
    return sum;
}

static inline D d_zero(void) { return _mm_setzero_si128(); }
static inline D d_add(D sum, I codes, I x) { return in_order(_mm_add_epi16(sum, _mm_maddubs_epi16(codes, x))); }
static inline I d_whole(D sum) { return _mm_madd_epi16(sum, _mm_set1_epi16(1)); }
static inline I d_scaled(D sum, I scales) { return _mm_madd_epi16(sum, scales); }

static inline I i_dots(I sum, I weights, I x) {
    return i_add(sum, d_whole(_mm_maddubs_epi16(_mm_abs_epi8(weights), _mm_sign_epi8(x, weights))));
}

/* See rv_llm_avx2.c. */
typedef struct {
    I size, below_zero;
} S;
static inline S s_load(const void *p) {
    const I weights = i_load(p);
    return (S){_mm_abs_epi8(weights), _mm_cmpgt_epi8(_mm_setzero_si128(), weights)};
}
static inline I i_start(const void *starts, const int16_t *sums) {
    (void)sums;
    return i_load(starts);
}
static inline I i_signed(I sum, S weights, I x) {
    return in_order(i_add(sum, d_whole(_mm_maddubs_epi16(weights.size, _mm_xor_si128(x, weights.below_zero)))));
}

static inline I i_and(I a, I b) { return _mm_and_si128(a, b); }
static inline I i_or(I a, I b) { return _mm_or_si128(a, b); }
static inline I i_bytes(int8_t x) { return _mm_set1_epi8(x); }
static inline I i_left(I v, int n) { return _mm_slli_epi16(v, n); }
static inline I i_right(I v, int n) { return _mm_srli_epi16(v, n); }
static inline I i_of(uint64_t low, uint64_t high) { return _mm_set_epi64x((int64_t)high, (int64_t)low); }

static inline void place_rows(uint8_t *to, size_t stride, uint8_t q[ROWS_ABREAST][32]) {
    for (size_t i = 0; i < 32; i += 16, to += 4 * stride) {
        const I a = _mm_unpacklo_epi32(i_load(q[0] + i), i_load(q[1] + i));
        const I b = _mm_unpacklo_epi32(i_load(q[2] + i), i_load(q[3] + i));
        const I c = _mm_unpackhi_epi32(i_load(q[0] + i), i_load(q[1] + i));
        const I d = _mm_unpackhi_epi32(i_load(q[2] + i), i_load(q[3] + i));
        const I fours[4] = {_mm_unpacklo_epi64(a, b), _mm_unpackhi_epi64(a, b), _mm_unpacklo_epi64(c, d),
                            _mm_unpackhi_epi64(c, d)};
        for (size_t k = 0; k < 4; k++) memcpy(to + k * stride, &fours[k], sizeof fours[k]);
    }
}

#include "rv_llm_vector.h"
#include "rv_llm_rows_narrow.h"

#include "rv_llm_vector_table.h"

RV_TARGET_END

const rv_llm_kernels rv_llm_sse41 = RV_LLM_VECTOR_TABLE(NULL);
#endif
