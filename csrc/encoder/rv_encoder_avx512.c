/* AVX-512 with VNNI: sixteen rows a vector, 64 products of unsigned with signed bytes an instruction. */
#if defined(__x86_64__)
#include "../rv_target.h"
#include "rv_encoder_kernels.h"
#include <immintrin.h>
#include <string.h>

RV_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")

typedef __m512 V;
typedef __m512i I;
#define V_LANES 16
#define TILE_VECTORS 2
#define TILE_TOKENS 6
#define ATTEND_QUERIES 8

static inline V v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, V v) { _mm512_storeu_ps(p, v); }
static inline V v_set(float x) { return _mm512_set1_ps(x); }
static inline V v_add(V a, V b) { return _mm512_add_ps(a, b); }
static inline V v_sub(V a, V b) { return _mm512_sub_ps(a, b); }
static inline V v_mul(V a, V b) { return _mm512_mul_ps(a, b); }
static inline V v_min(V a, V b) { return _mm512_min_ps(a, b); }
static inline V v_max(V a, V b) { return _mm512_max_ps(a, b); }
static inline V v_fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
static inline V v_round(V v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline V v_power_of_two(V v) {
    const I biased = _mm512_add_epi32(_mm512_cvtps_epi32(v), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
}
static inline float v_sum(V v) { return _mm512_reduce_add_ps(v); }
static inline float v_greatest(V v) { return _mm512_reduce_max_ps(v); }

static inline I i_start(int32_t excess) { return _mm512_set1_epi32(excess); }
static inline I i_weights(const uint8_t *p) {
    return _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_set1_epi8((char)0x80));
}
static inline I i_spread(const int8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
}
static inline I i_add_dots(I sum, I weights, I x) { return _mm512_dpbusd_epi32(sum, weights, x); }
static inline V i_float(I v) { return _mm512_cvtepi32_ps(v); }
static inline void i_store_bytes(int8_t *p, V v) {
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}

#include "rv_encoder_vector.h"

RV_TARGET_END

const rv_encoder_kernels rv_encoder_avx512 = {quantize, panel, attend, norm, gelu};
#endif
