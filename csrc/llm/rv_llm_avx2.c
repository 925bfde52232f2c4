/* AVX2 with FMA and F16C: eight rows a vector. Signed bytes are multiplied as |w| * (x with w's sign), so that pairs fit int16;
 * unsigned codes are small enough for sums of several pairs to fit. */
#if defined(__x86_64__)
#include "../rv.h"
#include "../rv_target.h"
#include "rv_llm_blocks.h"
#include "rv_llm_kernels.h"
#include <immintrin.h>

RV_TARGET_BEGIN("avx2,fma,f16c")

#include "../rv_avx2_floats.h"

typedef __m256i I, D;
enum { TILE_TOKENS = 3, Q8_0_TOKENS = 4, STARTS = 1 };

static inline float half(const uint8_t *p) { return _cvtsh_ss(rv_u16_at(p)); }
static inline float w_sum(__m256 v) { return v_sum(v); }

static inline I i_load(const void *p) { return _mm256_loadu_si256(p); }
static inline I i_set(int32_t x) { return _mm256_set1_epi32(x); }
static inline I i_add(I a, I b) { return _mm256_add_epi32(a, b); }
static inline I i_sub(I a, I b) { return _mm256_sub_epi32(a, b); }
static inline V i_float(I v) { return _mm256_cvtepi32_ps(v); }
static inline I i_pairs(I a, I b) { return _mm256_madd_epi16(a, b); }
static inline I i_spread(const void *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm256_set1_epi32(four);
}
static inline void i_store_bytes(int8_t *p, V v) {
    const I whole = _mm256_cvtps_epi32(v);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packs_epi16(words, words));
}

/* A sum that the compiler may not take apart: it would gather the products of a whole run first, far more than there are
 * registers, and add them up afterwards. */
static inline I in_order(I sum) {
    __asm__("" : "+x"(sum));
    return sum;
}

static inline D d_zero(void) { return _mm256_setzero_si256(); }
static inline D d_add(D sum, I codes, I x) { return in_order(_mm256_add_epi16(sum, _mm256_maddubs_epi16(codes, x))); }
static inline I d_whole(D sum) { return _mm256_madd_epi16(sum, _mm256_set1_epi16(1)); }
static inline I d_scaled(D sum, I scales) { return _mm256_madd_epi16(sum, scales); }

/* x ^ -1 is -x - 1: what |w| times that falls short of w * x is the same for all x. */
typedef struct {
    I size, below_zero;
} S;
static inline S s_load(const void *p) {
    const I weights = i_load(p);
    return (S){_mm256_abs_epi8(weights), _mm256_cmpgt_epi8(_mm256_setzero_si256(), weights)};
}
static inline I i_start(const void *starts, const int16_t *sums) {
    (void)sums;
    return i_load(starts);
}
static inline __m256i pairs_unsigned(__m256i codes, __m256i x) { return _mm256_maddubs_epi16(codes, x); }
static inline __m256i pairs_signed(__m256i weights, __m256i x) {
    return _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
}
static inline __m256i fours(__m256i pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }
static inline __m256i dot_unsigned_two(__m256i a, __m256i x, __m256i b, __m256i y) {
    return fours(_mm256_add_epi16(pairs_unsigned(a, x), pairs_unsigned(b, y)));
}
static inline __m256i dot_signed_two(__m256i a, __m256i x, __m256i b, __m256i y) {
    return _mm256_add_epi32(fours(pairs_signed(a, x)), fours(pairs_signed(b, y)));
}
static inline I i_signed(I sum, S weights, I x) {
    return in_order(i_add(sum, fours(pairs_unsigned(weights.size, _mm256_xor_si256(x, weights.below_zero)))));
}

static void halves(const float *x, uint16_t *out, size_t n) {
    const V most = v_set(65504);
    for (size_t i = 0; i < n; i += V_LANES) {
        const V v = n - i < V_LANES ? v_load_part(x + i, n - i) : v_load(x + i);
        const V low = _mm256_max_ps(v_sub(v_set(0), most), _mm256_min_ps(most, v));
        uint16_t some[V_LANES];
        _mm_storeu_si128((__m128i *)some, _mm256_cvtps_ph(low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
        memcpy(out + i, some, (n - i < V_LANES ? n - i : V_LANES) * sizeof *out);
    }
}

#include "rv_llm_place_avx.h"
#include "rv_llm_vector.h"
#include "rv_llm_rows_avx.h"

RV_TARGET_END

#include "rv_llm_vector_table.h"

const rv_llm_kernels rv_llm_avx2 = RV_LLM_VECTOR_TABLE(halves);
#endif
