/* SSE4.1: four floats, 16 bytes. Bits are counted by looking nibbles up. */
#if defined(__x86_64__)
#include "rv_scalar.h"
#include "rv_target.h"
#include <immintrin.h>

RV_TARGET_BEGIN("sse4.1")

#include "rv_sse41_floats.h"

typedef __m128i B, I, P;
enum { B_BYTES = 16 };

static inline B b_load(const void *p) { return _mm_loadu_si128(p); }
static inline B b_load_part(const void *p, size_t n) {
    uint8_t part[B_BYTES] = {0};
    memcpy(part, p, n);
    return b_load(part);
}
static inline void b_store(void *p, B v) { _mm_storeu_si128(p, v); }
static inline B b_and(B a, B b) { return _mm_and_si128(a, b); }
static inline B b_or(B a, B b) { return _mm_or_si128(a, b); }
static inline B b_xor(B a, B b) { return _mm_xor_si128(a, b); }

static inline I i_zero(void) { return _mm_setzero_si128(); }
static inline I i_add(I a, I b) { return _mm_add_epi32(a, b); }
static inline int32_t i_sum(I v) {
    const I two = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}
static inline void i_sum4(I a, I b, I c, I d, int32_t *out) {
    _mm_storeu_si128((void *)out, _mm_hadd_epi32(_mm_hadd_epi32(a, b), _mm_hadd_epi32(c, d)));
}
static inline __m128i lower_half(B v) { return _mm_cvtepi8_epi16(v); }
static inline __m128i upper_half(B v) { return _mm_cvtepi8_epi16(_mm_unpackhi_epi64(v, v)); }
static inline I i_add_dot(I sum, B a, B b) {
    return i_add(sum,
                 i_add(_mm_madd_epi16(lower_half(a), lower_half(b)), _mm_madd_epi16(upper_half(a), upper_half(b))));
}
/* |a| times b under a's sign: pairs of products fit int16 as long as b is not -128. */
static inline I i_add_narrow(I sum, B a, B b) {
    const I pairs = _mm_maddubs_epi16(_mm_abs_epi8(a), _mm_sign_epi8(b, a));
    return i_add(sum, _mm_madd_epi16(pairs, _mm_set1_epi16(1)));
}
#define I_ADD_NARROW i_add_narrow
static inline I i_add_sqdist(I sum, B a, B b) {
    const __m128i lower = _mm_sub_epi16(lower_half(a), lower_half(b)),
                  upper = _mm_sub_epi16(upper_half(a), upper_half(b));
    return i_add(sum, i_add(_mm_madd_epi16(lower, lower), _mm_madd_epi16(upper, upper)));
}

static inline B b_look_up(B table, B indices) { return _mm_shuffle_epi8(table, indices); }
static inline B b_low_half(B v) { return b_and(v, _mm_set1_epi8(15)); }
static inline B b_high_half(B v) { return b_and(_mm_srli_epi16(v, 4), _mm_set1_epi8(15)); }
static inline B b_add8(B a, B b) { return _mm_add_epi8(a, b); }

/* Bits are counted in bytes, 31 times at most 8. */
typedef B C;
enum { COUNTS = 31 };
static inline C c_zero(void) { return i_zero(); }
static inline C c_add(C a, C b) { return b_add8(a, b); }
static inline C c_add_count(C sum, B v) {
    const B counts = _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    return c_add(sum, b_add8(b_look_up(counts, b_low_half(v)), b_look_up(counts, b_high_half(v))));
}
static inline I c_widen(C v) { return _mm_sad_epu8(v, i_zero()); }

static inline B b_spread(const uint8_t *p) {
    const B byte = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const B bit = _mm_set1_epi64x((long long)0x8040201008040201);
    const B held = b_and(_mm_shuffle_epi8(_mm_cvtsi32_si128(p[0] | p[1] << 8), byte), bit);
    return b_and(_mm_cmpeq_epi8(held, bit), _mm_set1_epi8(1));
}
static inline P p_zero(void) { return i_zero(); }
static inline P p_add(P sum, B ones, B v) { return _mm_add_epi16(sum, _mm_maddubs_epi16(ones, v)); }
static inline I p_sum(P p) { return _mm_madd_epi16(p, _mm_set1_epi16(1)); }
static inline B b_zip_low(B a, B b) { return _mm_unpacklo_epi8(a, b); }
static inline B b_zip_high(B a, B b) { return _mm_unpackhi_epi8(a, b); }
static inline B b_rows(const void *p, const void *q) { return (void)q, _mm_loadu_si128(p); }
static inline B b_table(const void *p) { return _mm_loadu_si128(p); }
static inline B b_add16(B a, B b) { return _mm_add_epi16(a, b); }
static inline B b_sub16(B a, B b) { return _mm_sub_epi16(a, b); }
static inline B b_upper16(B v) { return _mm_srli_epi16(v, 8); }
static inline B b_raise16(B v) { return _mm_slli_epi16(v, 8); }
static inline int32_t b_greatest16(B a, B b) {
    return 65535 - _mm_extract_epi16(_mm_minpos_epu16(_mm_andnot_si128(_mm_max_epu16(a, b), _mm_set1_epi8(-1))), 0);
}
static inline uint32_t b_above16(B v, int32_t least) {
    const B more = _mm_subs_epu16(v, _mm_set1_epi16((short)(least < 65535 ? least : 65535)));
    return ~(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi16(more, i_zero()));
}

#include "rv_vector.h"
#include "rv_bytes.h"
#include "rv_int8.h"
#include "rv_bits.h"
#include "rv_signs_table.h"

RV_TARGET_END

const rv_table rv_sse41_table = {
    .name = "sse41",
#define RV_KERNEL(result, kernel, parameters, arguments) .kernel = kernel,
#include "rv_kernels.def"
};
#endif
