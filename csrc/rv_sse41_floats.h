/* Vectors of four floats in SSE4.1: what rv_vector.h and the encoder need of them. Tails go through a zeroed copy. There is
 * no fused multiply-add, so products round; float16 is widened by integer shifts. Included between target pragmas, after
 * rv.h, <immintrin.h> and <string.h>. */
typedef __m128 V;
enum { V_LANES = 4, V_REGISTERS = 16 };

static inline V v_load(const float *p) { return _mm_loadu_ps(p); }
static inline V v_load_part(const float *p, size_t n) {
    float part[V_LANES] = {0};
    memcpy(part, p, n * sizeof *p);
    return v_load(part);
}
/* Moved into place, the exponent is 112 too small; a product puts that right, for subnormal numbers too. What was
 * infinite or NaN comes out at 65536 or more and gets the full exponent back. */
static inline V v_load_f16(const rv_f16 *p) {
    const __m128i half = _mm_cvtepu16_epi32(_mm_loadl_epi64((const void *)p));
    const __m128i size = _mm_slli_epi32(_mm_and_si128(half, _mm_set1_epi32(0x7fff)), 13);
    const __m128i sign = _mm_slli_epi32(_mm_and_si128(half, _mm_set1_epi32(0x8000)), 16);
    const V value = _mm_mul_ps(_mm_castsi128_ps(size), _mm_castsi128_ps(_mm_set1_epi32((254 - 15) << 23)));
    const V excess = _mm_and_ps(_mm_cmpge_ps(value, _mm_set1_ps(65536)), _mm_castsi128_ps(_mm_set1_epi32(255 << 23)));
    return _mm_or_ps(_mm_or_ps(value, excess), _mm_castsi128_ps(sign));
}
static inline V v_load_bf16(const rv_bf16 *p) {
    return _mm_castsi128_ps(_mm_slli_epi32(_mm_cvtepu16_epi32(_mm_loadl_epi64((const void *)p)), 16));
}
static inline void v_store(float *p, V v) { _mm_storeu_ps(p, v); }
static inline void v_store_part(float *p, V v, size_t n) {
    float part[V_LANES];
    v_store(part, v);
    memcpy(p, part, n * sizeof *p);
}
static inline V v_set(float x) { return _mm_set1_ps(x); }
static inline V v_add(V a, V b) { return _mm_add_ps(a, b); }
static inline V v_sub(V a, V b) { return _mm_sub_ps(a, b); }
static inline V v_mul(V a, V b) { return _mm_mul_ps(a, b); }
static inline V v_div(V a, V b) { return _mm_div_ps(a, b); }
static inline V v_min(V a, V b) { return _mm_min_ps(a, b); }
static inline V v_max(V a, V b) { return _mm_max_ps(a, b); }
static inline V v_fma(V a, V b, V c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
static inline V v_flush(V v, V x, float low) { return _mm_andnot_ps(_mm_cmplt_ps(x, v_set(low)), v); }
static inline V v_round(V v) { return _mm_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline V v_power_of_two(V v) {
    const __m128i biased = _mm_add_epi32(_mm_cvtps_epi32(v), _mm_set1_epi32(127));
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
static inline void v_sum4(V a, V b, V c, V d, float *out) {
    v_store(out, _mm_hadd_ps(_mm_hadd_ps(a, b), _mm_hadd_ps(c, d)));
}
