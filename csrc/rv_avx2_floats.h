/* Vectors of eight floats in AVX2 with FMA and F16C: what rv_vector.h and the encoder need of them. Tails go through masked
 * loads, which touch no memory beyond the mask. Included between target pragmas, after rv.h and <immintrin.h>. */
typedef __m256 V;
enum { V_LANES = 8, V_REGISTERS = 16 };

static inline __m256i first(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline V v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline V v_load_part(const float *p, size_t n) { return _mm256_maskload_ps(p, first(n)); }
static inline V v_load_f16(const rv_f16 *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const void *)p)); }
static inline V v_load_bf16(const rv_bf16 *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p)), 16));
}
static inline void v_store(float *p, V v) { _mm256_storeu_ps(p, v); }
static inline void v_store_part(float *p, V v, size_t n) { _mm256_maskstore_ps(p, first(n), v); }
static inline V v_set(float x) { return _mm256_set1_ps(x); }
static inline V v_add(V a, V b) { return _mm256_add_ps(a, b); }
static inline V v_sub(V a, V b) { return _mm256_sub_ps(a, b); }
static inline V v_mul(V a, V b) { return _mm256_mul_ps(a, b); }
static inline V v_div(V a, V b) { return _mm256_div_ps(a, b); }
static inline V v_min(V a, V b) { return _mm256_min_ps(a, b); }
static inline V v_max(V a, V b) { return _mm256_max_ps(a, b); }
static inline V v_fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
static inline V v_flush(V v, V x, float low) { return _mm256_andnot_ps(_mm256_cmp_ps(x, v_set(low), _CMP_LT_OQ), v); }
static inline V v_round(V v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline V v_power_of_two(V v) {
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(127));
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
static inline void v_sum4(V a, V b, V c, V d, float *out) {
    const V sums = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1)));
}
