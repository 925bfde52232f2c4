/* AVX-512 F, BW, DQ and VL: sixteen floats, 64 bytes, masked tails. int8 widens to int16, whose products are summed in
 * pairs in int32; bits are counted by looking nibbles up. */
#if defined(__x86_64__)
#include "rv_scalar.h"
#include "rv_target.h"
#include <immintrin.h>

RV_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")

typedef __m512 V;
enum { V_LANES = 16, V_REGISTERS = 32 };

static inline __mmask16 first(size_t n) { return (__mmask16)((1u << n) - 1); }
static inline V v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline V v_load_part(const float *p, size_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
static inline V v_load_f16(const rv_f16 *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p)); }
static inline V v_load_bf16(const rv_bf16 *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p)), 16));
}
static inline void v_store(float *p, V v) { _mm512_storeu_ps(p, v); }
static inline void v_store_part(float *p, V v, size_t n) { _mm512_mask_storeu_ps(p, first(n), v); }
static inline V v_set(float x) { return _mm512_set1_ps(x); }
static inline V v_add(V a, V b) { return _mm512_add_ps(a, b); }
static inline V v_sub(V a, V b) { return _mm512_sub_ps(a, b); }
static inline V v_mul(V a, V b) { return _mm512_mul_ps(a, b); }
static inline V v_div(V a, V b) { return _mm512_div_ps(a, b); }
static inline V v_min(V a, V b) { return _mm512_min_ps(a, b); }
static inline V v_max(V a, V b) { return _mm512_max_ps(a, b); }
static inline V v_fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
static inline V v_flush(V v, V x, float low) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, v_set(low), _CMP_NLT_UQ), v);
}
static inline V v_round(V v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline V v_power_of_two(V v) {
    const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(v), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
}
static inline float v_sum(V v) { return _mm512_reduce_add_ps(v); }
static inline float v_greatest(V v) { return _mm512_reduce_max_ps(v); }
static inline __m256 folded(V v) { return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)); }
static inline void v_sum4(V a, V b, V c, V d, float *out) {
    const __m256 sums = _mm256_hadd_ps(_mm256_hadd_ps(folded(a), folded(b)), _mm256_hadd_ps(folded(c), folded(d)));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1)));
}

#include "rv_avx512_bytes.h"

static inline __m512i lower_half(B v) { return _mm512_cvtepi8_epi16(_mm512_castsi512_si256(v)); }
static inline __m512i upper_half(B v) { return _mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64(v, 1)); }
static inline I i_add_dot(I sum, B a, B b) {
    const I lower = _mm512_madd_epi16(lower_half(a), lower_half(b));
    return i_add(sum, i_add(lower, _mm512_madd_epi16(upper_half(a), upper_half(b))));
}
static inline I i_add_sqdist(I sum, B a, B b) {
    const __m512i lower = _mm512_sub_epi16(lower_half(a), lower_half(b));
    const __m512i upper = _mm512_sub_epi16(upper_half(a), upper_half(b));
    return i_add(sum, i_add(_mm512_madd_epi16(lower, lower), _mm512_madd_epi16(upper, upper)));
}
static inline I i_add_count(I sum, B v) {
    const B counts = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const B nibble = _mm512_set1_epi8(15);
    const B lower = _mm512_shuffle_epi8(counts, b_and(v, nibble));
    const B upper = _mm512_shuffle_epi8(counts, b_and(_mm512_srli_epi16(v, 4), nibble));
    return i_add(sum, _mm512_sad_epu8(_mm512_add_epi8(lower, upper), i_zero()));
}

static inline P p_zero(void) { return i_zero(); }
static inline P p_add(P sum, B ones, B v) { return _mm512_add_epi16(sum, _mm512_maddubs_epi16(ones, v)); }
static inline I p_join(P high, P low) {
    return i_add(_mm512_madd_epi16(high, _mm512_set1_epi16(128)), _mm512_madd_epi16(low, _mm512_set1_epi16(1)));
}

#include "rv_vector.h"
#include "rv_bytes.h"
#include "rv_int8.h"
#include "rv_bits.h"
#include "rv_signs.h"

RV_TARGET_END

const rv_table rv_avx512_table = {
    .name = "avx512",
#define RV_KERNEL(result, kernel, parameters, arguments) .kernel = kernel,
#include "rv_kernels.def"
};
#endif
