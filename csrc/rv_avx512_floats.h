/* Vectors of sixteen floats in AVX-512 F, BW, DQ and VL, with masked tails: what rv_vector.h and the encoder need of them.
 * Included between target pragmas, after rv.h and <immintrin.h>. */
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
