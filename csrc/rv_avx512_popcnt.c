/* What AVX-512 VPOPCNTDQ does better: it counts the set bits of each 64-bit lane in one instruction. */
#if defined(__x86_64__)
#include "rv_scalar.h"
#include "rv_target.h"
#include <immintrin.h>

RV_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq")

#include "rv_avx512_bytes.h"
#include "rv_bytes.h"

typedef I C;
enum { COUNTS = 1 << 24 };
static inline C c_zero(void) { return i_zero(); }
static inline C c_add(C a, C b) { return i_add(a, b); }
static inline C c_add_count(C sum, B v) { return i_add(sum, _mm512_popcnt_epi64(v)); }
static inline I c_widen(C v) { return v; }

#include "rv_bits.h"

RV_TARGET_END

const rv_table rv_avx512_popcnt_table = {.name = "avx512+vpopcntdq",
                                         .hamming_b1 = hamming_b1,
                                         .jaccard_b1 = jaccard_b1,
                                         .many_hamming_b1 = many_hamming_b1,
                                         .many_jaccard_b1 = many_jaccard_b1};
#endif
