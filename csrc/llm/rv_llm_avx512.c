/* AVX-512 with VNNI: sixteen rows a vector, 64 products of unsigned with signed bytes an instruction. Signed weights have 128 added,
 * which sums take off again to begin with. Rows straight from the file go on 256-bit vectors, which is what blocks of 32 fill. */
#if defined(__x86_64__)
#include "../rv.h"
#include "../rv_target.h"
#include "rv_llm_blocks.h"
#include "rv_llm_kernels.h"
#include <immintrin.h>

RV_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")

#include "../rv_avx512_floats.h"

typedef __m512i I, D, S;
enum { TILE_TOKENS = 6, Q8_0_TOKENS = 6, STARTS = 0 };

static inline float half(const uint8_t *p) { return _cvtsh_ss(rv_u16_at(p)); }
static inline float w_sum(__m256 v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline I i_load(const void *p) { return _mm512_loadu_si512(p); }
static inline I i_set(int32_t x) { return _mm512_set1_epi32(x); }
static inline I i_add(I a, I b) { return _mm512_add_epi32(a, b); }
static inline I i_sub(I a, I b) { return _mm512_sub_epi32(a, b); }
static inline V i_float(I v) { return _mm512_cvtepi32_ps(v); }
static inline I i_pairs(I a, I b) { return _mm512_madd_epi16(a, b); }
static inline I i_spread(const void *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
}
static inline void i_store_bytes(int8_t *p, V v) {
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}

static inline D d_zero(void) { return _mm512_setzero_si512(); }
static inline D d_add(D sum, I codes, I x) { return _mm512_dpbusd_epi32(sum, codes, x); }
static inline I d_whole(D sum) { return sum; }
static inline I d_scaled(D sum, I scales) {
    return _mm512_mullo_epi32(sum, _mm512_srai_epi32(scales, 16));
}

static inline I i_start(const void *starts, const int16_t *sums) {
    (void)starts;
    return _mm512_set1_epi32(-128 * (sums[0] + sums[1]));
}
static inline S s_load(const void *p) { return _mm512_xor_si512(i_load(p), _mm512_set1_epi8((char)0x80)); }
static inline I i_signed(I sum, S weights, I x) { return _mm512_dpbusd_epi32(sum, weights, x); }

static inline __m256i dot_unsigned_two(__m256i a, __m256i x, __m256i b, __m256i y) {
    return _mm256_dpbusd_epi32(_mm256_dpbusd_epi32(_mm256_setzero_si256(), a, x), b, y);
}
static inline __m256i dot_signed_two(__m256i a, __m256i x, __m256i b, __m256i y) {
    return dot_unsigned_two(_mm256_abs_epi8(a), _mm256_sign_epi8(x, a), _mm256_abs_epi8(b), _mm256_sign_epi8(y, b));
}

static void halves(const float *x, uint16_t *out, size_t n) {
    const V most = v_set(65504);
    for (size_t i = 0; i < n; i += V_LANES) {
        const __mmask16 here = (__mmask16)(n - i < V_LANES ? (1u << (n - i)) - 1 : 0xffff);
        const V v = _mm512_maskz_loadu_ps(here, x + i);
        const V low = _mm512_max_ps(v_sub(v_set(0), most), _mm512_min_ps(most, v));
        _mm256_mask_storeu_epi16(out + i, here, _mm512_cvtps_ph(low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
}

#include "rv_llm_place_avx.h"
#include "rv_llm_vector.h"
#include "rv_llm_rows_avx.h"

RV_TARGET_END

#include "rv_llm_vector_table.h"

const rv_llm_kernels rv_llm_avx512 = RV_LLM_VECTOR_TABLE(halves);
#endif
