/* NEON of 64-bit Arm: four floats, 16 bytes. */
#if defined(__aarch64__)
#include "rv_scalar.h"
#include <arm_neon.h>

#include "rv_neon_floats.h"
#include "rv_neon_bytes.h"

static inline I i_add_dot(I sum, B a, B b) {
    const int16x8_t lower = vmull_s8(vget_low_s8(a), vget_low_s8(b));
    return vpadalq_s16(vpadalq_s16(sum, lower), vmull_high_s8(a, b));
}
static inline I i_add_sqdist(I sum, B a, B b) {
    const uint8x16_t size = vreinterpretq_u8_s8(vabdq_s8(a, b));
    const uint16x8_t lower = vmull_u8(vget_low_u8(size), vget_low_u8(size));
    const uint32x4_t both = vpadalq_u16(vpaddlq_u16(lower), vmull_high_u8(size, size));
    return i_add(sum, vreinterpretq_s32_u32(both));
}
/* Bits are counted in bytes, 31 times at most 8. */
typedef B C;
enum { COUNTS = 31 };
static inline C c_zero(void) { return vdupq_n_s8(0); }
static inline C c_add(C a, C b) { return vaddq_s8(a, b); }
static inline C c_add_count(C sum, B v) { return vaddq_s8(sum, vcntq_s8(v)); }
static inline I c_widen(C v) {
    return vreinterpretq_s32_u32(vpaddlq_u16(vpaddlq_u8(vreinterpretq_u8_s8(v))));
}

typedef int16x8_t P;
static inline P p_zero(void) { return vdupq_n_s16(0); }
static inline P p_add(P sum, B ones, B v) { return vpadalq_s8(sum, vmulq_s8(ones, v)); }
static inline I p_sum(P p) { return vpaddlq_s16(p); }

#include "rv_vector.h"
#include "rv_bytes.h"
#include "rv_int8.h"
#include "rv_bits.h"
#include "rv_signs.h"

const rv_table rv_neon_table = {
    .name = "neon",
#define RV_KERNEL(result, kernel, parameters, arguments) .kernel = kernel,
#include "rv_kernels.def"
};
#endif
