/* AVX-512 with VNNI: sixteen rows a vector, 64 products of unsigned with signed bytes an instruction. */
#if defined(__x86_64__)
#include "../rv.h"
#include "../rv_target.h"
#include "rv_encoder_kernels.h"
#include <immintrin.h>
#include <string.h>

RV_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")

#include "../rv_avx512_floats.h"

typedef __m512i I;
#define TILE_VECTORS 2
#define TILE_TOKENS 6
#define ATTEND_QUERIES 8

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
