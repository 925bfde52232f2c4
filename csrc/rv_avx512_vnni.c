/* What AVX-512 VNNI does better: 64 products of unsigned and signed bytes, summed by fours into int32, in one
 * instruction. */
#if defined(__x86_64__)
#include "rv.h"
#include "rv_target.h"
#include <immintrin.h>
#include <string.h>

RV_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")

/* a . b = (a + 128) . b - 128 * sum(b): the first factor must be unsigned. */
static int32_t dot_i8(const int8_t *a, const int8_t *b, size_t n) {
    const __m512i shift = _mm512_set1_epi8((char)0x80);
    __m512i sum = _mm512_setzero_si512(), excess = sum;
    for (size_t i = 0; i < n; i += 64) {
        const __mmask64 here = n - i >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << (n - i)) - 1;
        const __m512i va = _mm512_xor_si512(_mm512_maskz_loadu_epi8(here, a + i), shift);
        const __m512i vb = _mm512_maskz_loadu_epi8(here, b + i);
        sum = _mm512_dpbusd_epi32(sum, va, vb);
        excess = _mm512_dpbusd_epi32(excess, shift, vb);
    }
    return _mm512_reduce_add_epi32(_mm512_sub_epi32(sum, excess));
}

typedef __m512i B, P;
enum { B_BYTES = 64 };

static inline B b_load(const void *p) { return _mm512_loadu_si512(p); }
static inline void b_store(void *p, B v) { _mm512_storeu_si512(p, v); }
static inline B b_spread(const uint8_t *p) {
    __mmask64 bits;
    memcpy(&bits, p, sizeof bits);
    return _mm512_maskz_set1_epi8(bits, 1);
}
static inline P p_zero(void) { return _mm512_setzero_si512(); }
static inline P p_add(P sum, B ones, B v) { return _mm512_dpbusd_epi32(sum, ones, v); }
static inline int32_t p_join(P high, P low) {
    return _mm512_reduce_add_epi32(_mm512_add_epi32(_mm512_slli_epi32(high, 7), low));
}

#include "rv_signs.h"

RV_TARGET_END

const rv_table rv_avx512_vnni_table = {.name = "avx512+vnni", .dot_i8 = dot_i8, .best_signs_i15 = best_signs_i15};
#endif
