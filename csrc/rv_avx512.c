/* AVX-512 F, BW, DQ and VL: sixteen floats, 64 bytes. int8 widens to int16, whose products are summed in pairs in int32;
 * bits are counted by looking nibbles up. */
#if defined(__x86_64__)
#include "rv_scalar.h"
#include "rv_target.h"
#include <immintrin.h>

RV_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")

#include "rv_avx512_floats.h"
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
/* Bits are counted in bytes, 31 times at most 8. */
typedef B C;
enum { COUNTS = 31 };
static inline C c_zero(void) { return i_zero(); }
static inline C c_add_count(C sum, B v) {
    const B counts = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const B nibble = _mm512_set1_epi8(15);
    const B lower = _mm512_shuffle_epi8(counts, b_and(v, nibble));
    const B upper = _mm512_shuffle_epi8(counts, b_and(_mm512_srli_epi16(v, 4), nibble));
    return _mm512_add_epi8(sum, _mm512_add_epi8(lower, upper));
}
static inline C c_add(C a, C b) { return _mm512_add_epi8(a, b); }
static inline I c_widen(C v) { return _mm512_sad_epu8(v, i_zero()); }

static inline P p_zero(void) { return i_zero(); }
static inline P p_add(P sum, B ones, B v) { return _mm512_add_epi16(sum, _mm512_maddubs_epi16(ones, v)); }
static inline I p_sum(P p) { return _mm512_madd_epi16(p, _mm512_set1_epi16(1)); }

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
