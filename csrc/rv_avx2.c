/* AVX2 with FMA and F16C: eight floats, 32 bytes. int8 widens to int16, whose products are summed in pairs in int32; bits
 * are counted by looking nibbles up. */
#if defined(__x86_64__)
#include "rv_scalar.h"
#include "rv_target.h"
#include <immintrin.h>

RV_TARGET_BEGIN("avx2,fma,f16c")

#include "rv_avx2_floats.h"

typedef __m256i B, I, P;
enum { B_BYTES = 32 };

static inline B b_load(const void *p) { return _mm256_loadu_si256(p); }
static inline B b_load_part(const void *p, size_t n) {
    uint8_t part[B_BYTES] = {0};
    memcpy(part, p, n);
    return b_load(part);
}
static inline void b_store(void *p, B v) { _mm256_storeu_si256(p, v); }
static inline B b_and(B a, B b) { return _mm256_and_si256(a, b); }
static inline B b_or(B a, B b) { return _mm256_or_si256(a, b); }
static inline B b_xor(B a, B b) { return _mm256_xor_si256(a, b); }

static inline I i_zero(void) { return _mm256_setzero_si256(); }
static inline I i_add(I a, I b) { return _mm256_add_epi32(a, b); }
static inline int32_t i_sum(I v) {
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}
static inline void i_sum4(I a, I b, I c, I d, int32_t *out) {
    const I sums = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    _mm_storeu_si128((void *)out, _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1)));
}
static inline __m256i lower_half(B v) { return _mm256_cvtepi8_epi16(_mm256_castsi256_si128(v)); }
static inline __m256i upper_half(B v) { return _mm256_cvtepi8_epi16(_mm256_extracti128_si256(v, 1)); }
static inline I i_add_dot(I sum, B a, B b) {
    return i_add(
        sum, i_add(_mm256_madd_epi16(lower_half(a), lower_half(b)), _mm256_madd_epi16(upper_half(a), upper_half(b))));
}
/* |a| times b under a's sign: pairs of products fit int16 as long as b is not -128. */
static inline I i_add_narrow(I sum, B a, B b) {
    const I pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
    return i_add(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#define I_ADD_NARROW i_add_narrow
static inline I i_add_sqdist(I sum, B a, B b) {
    const __m256i l = _mm256_sub_epi16(lower_half(a), lower_half(b)),
                  h = _mm256_sub_epi16(upper_half(a), upper_half(b));
    return i_add(sum, i_add(_mm256_madd_epi16(l, l), _mm256_madd_epi16(h, h)));
}

static inline B b_look_up(B table, B indices) { return _mm256_shuffle_epi8(table, indices); }
static inline B b_low_half(B v) { return b_and(v, _mm256_set1_epi8(15)); }
static inline B b_high_half(B v) { return b_and(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15)); }
static inline B b_add8(B a, B b) { return _mm256_add_epi8(a, b); }

/* Bits are counted in bytes, 31 times at most 8. */
typedef B C;
enum { COUNTS = 31 };
static inline C c_zero(void) { return i_zero(); }
static inline C c_add(C a, C b) { return b_add8(a, b); }
static inline C c_add_count(C sum, B v) {
    const B counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2,
                                      3, 2, 3, 3, 4);
    return c_add(sum, b_add8(b_look_up(counts, b_low_half(v)), b_look_up(counts, b_high_half(v))));
}
static inline I c_widen(C v) { return _mm256_sad_epu8(v, i_zero()); }

static inline B b_spread(const uint8_t *p) {
    int32_t bits;
    memcpy(&bits, p, sizeof bits);
    const B byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const B bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    const B held = b_and(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), byte), bit);
    return b_and(_mm256_cmpeq_epi8(held, bit), _mm256_set1_epi8(1));
}
static inline P p_zero(void) { return i_zero(); }
static inline P p_add(P sum, B ones, B v) { return _mm256_add_epi16(sum, _mm256_maddubs_epi16(ones, v)); }
static inline I p_sum(P p) { return _mm256_madd_epi16(p, _mm256_set1_epi16(1)); }
static inline B b_zip_low(B a, B b) { return _mm256_unpacklo_epi8(a, b); }
static inline B b_zip_high(B a, B b) { return _mm256_unpackhi_epi8(a, b); }
static inline B b_rows(const void *p, const void *q) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(p)), _mm_loadu_si128(q), 1);
}
static inline B b_table(const void *p) { return _mm256_broadcastsi128_si256(_mm_loadu_si128(p)); }
static inline B b_add16(B a, B b) { return _mm256_add_epi16(a, b); }
static inline B b_sub16(B a, B b) { return _mm256_sub_epi16(a, b); }
static inline B b_upper16(B v) { return _mm256_srli_epi16(v, 8); }
static inline B b_raise16(B v) { return _mm256_slli_epi16(v, 8); }
static inline int32_t b_greatest16(B a, B b) {
    const B all = _mm256_max_epu16(a, b);
    const __m128i half = _mm_max_epu16(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    return 65535 - _mm_extract_epi16(_mm_minpos_epu16(_mm_andnot_si128(half, _mm_set1_epi8(-1))), 0);
}
static inline uint32_t b_above16(B v, int32_t least) {
    const B more = _mm256_subs_epu16(v, _mm256_set1_epi16((short)(least < 65535 ? least : 65535)));
    return ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi16(more, i_zero()));
}

#include "rv_vector.h"
#include "rv_bytes.h"
#include "rv_int8.h"
#include "rv_bits.h"
#include "rv_signs_table.h"

RV_TARGET_END

const rv_table rv_avx2_table = {
    .name = "avx2",
#define RV_KERNEL(result, kernel, parameters, arguments) .kernel = kernel,
#include "rv_kernels.def"
};
#endif
