/* AVX2 with FMA: eight lanes; tails go through masked loads, which touch no memory beyond the mask. */
#if defined(__x86_64__)
#include "rv.h"
#include "rv_target.h"
#include <immintrin.h>
#include <math.h>
#include <string.h>

RV_TARGET_BEGIN("avx2,fma,f16c")

typedef __m256 V;
enum { V_LANES = 8 };

static inline __m256i first(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline V v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline V v_load_part(const float *p, size_t n) { return _mm256_maskload_ps(p, first(n)); }
static inline void v_store(float *p, V v) { _mm256_storeu_ps(p, v); }
static inline void v_store_part(float *p, V v, size_t n) { _mm256_maskstore_ps(p, first(n), v); }
static inline V v_set(float x) { return _mm256_set1_ps(x); }
static inline V v_add(V a, V b) { return _mm256_add_ps(a, b); }
static inline V v_sub(V a, V b) { return _mm256_sub_ps(a, b); }
static inline V v_mul(V a, V b) { return _mm256_mul_ps(a, b); }
static inline V v_max(V a, V b) { return _mm256_max_ps(a, b); }
static inline V v_fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
static inline V v_round(V v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

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

static inline V v_power_of_two(V v) {
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}

static inline int32_t bytes_dot(const int8_t *a, const int8_t *b, size_t n) {
    __m256i sum = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256i wide_a = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(a + i)));
        const __m256i wide_b = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(b + i)));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(wide_a, wide_b));
    }
    int32_t lanes[8], total = 0;
    memcpy(lanes, &sum, sizeof lanes);
    for (size_t lane = 0; lane < 8; lane++) total += lanes[lane];
    for (; i < n; i++) total += a[i] * b[i];
    return total;
}

/* Bytes of 0 or 1 times int8, pairs summed in int16. */
typedef __m256i B, P;
enum { B_BYTES = 32 };

static inline B b_load(const void *p) { return _mm256_loadu_si256(p); }
static inline void b_store(void *p, B v) { _mm256_storeu_si256(p, v); }
static inline B b_spread(const uint8_t *p) {
    int32_t bits;
    memcpy(&bits, p, sizeof bits);
    const B byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const B bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    const B held = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), byte), bit);
    return _mm256_and_si256(_mm256_cmpeq_epi8(held, bit), _mm256_set1_epi8(1));
}
static inline P p_zero(void) { return _mm256_setzero_si256(); }
static inline P p_add(P sum, B ones, B v) { return _mm256_add_epi16(sum, _mm256_maddubs_epi16(ones, v)); }
static inline int32_t p_join(P high, P low) {
    const P eight = _mm256_add_epi32(_mm256_madd_epi16(high, _mm256_set1_epi16(128)),
                                     _mm256_madd_epi16(low, _mm256_set1_epi16(1)));
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

#include "rv_vector.h"
#include "rv_signs.h"

RV_TARGET_END

const rv_table rv_avx2_table = {
    .name = "avx2",
#define RV_KERNEL(result, kernel, parameters, arguments) .kernel = kernel,
#include "rv_kernels.def"
};
#endif
