/* What this CPU, and the operating system's saved registers, can do. */
#include "rv.h"

#if defined(__x86_64__)
#include <cpuid.h>

static uint64_t enabled_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

unsigned rv_cpu_features(void) {
    unsigned a, b, c, d, found = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    if (c & bit_SSE4_1) found |= RV_HAS_SSE41;
    if (!(c & bit_OSXSAVE)) return found;
    const uint64_t state = enabled_state();
    const int ymm = (state & 0x6) == 0x6, zmm = (state & 0xe6) == 0xe6;
    const int fma_f16c = (c & bit_FMA) && (c & bit_F16C);
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
    if (ymm && fma_f16c && (b & bit_AVX2)) found |= RV_HAS_AVX2;
    const unsigned wide = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    if (zmm && (found & RV_HAS_AVX2) && (b & wide) == wide) found |= RV_HAS_AVX512;
    if (c & bit_AVX512VNNI) found |= RV_HAS_VNNI;
    if (c & bit_AVX512VPOPCNTDQ) found |= RV_HAS_POPCNT;
    if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & bit_AVX512BF16)) found |= RV_HAS_BF16;
    return found;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

/* NEON is part of the base architecture. */
unsigned rv_cpu_features(void) { return RV_HAS_NEON | (getauxval(AT_HWCAP) & HWCAP_ASIMDDP ? RV_HAS_DOTPROD : 0); }
#else
unsigned rv_cpu_features(void) { return 0; }
#endif
