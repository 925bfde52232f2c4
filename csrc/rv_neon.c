/* NEON of 64-bit Arm: four floats, 16 bytes. Tails go through a zeroed copy. */
#if defined(__aarch64__)
#include "rv_scalar.h"
#include <arm_neon.h>

typedef float32x4_t V;
enum { V_LANES = 4, V_REGISTERS = 32 };

static inline V v_load(const float *p) { return vld1q_f32(p); }
static inline V v_load_part(const float *p, size_t n) {
    float part[V_LANES] = {0};
    memcpy(part, p, n * sizeof *p);
    return v_load(part);
}
static inline V v_load_f16(const rv_f16 *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
static inline V v_load_bf16(const rv_bf16 *p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }
static inline void v_store(float *p, V v) { vst1q_f32(p, v); }
static inline void v_store_part(float *p, V v, size_t n) {
    float part[V_LANES];
    v_store(part, v);
    memcpy(p, part, n * sizeof *p);
}
static inline V v_set(float x) { return vdupq_n_f32(x); }
static inline V v_add(V a, V b) { return vaddq_f32(a, b); }
static inline V v_sub(V a, V b) { return vsubq_f32(a, b); }
static inline V v_mul(V a, V b) { return vmulq_f32(a, b); }
static inline V v_div(V a, V b) { return vdivq_f32(a, b); }
static inline V v_min(V a, V b) { return vminq_f32(a, b); }
static inline V v_max(V a, V b) { return vmaxq_f32(a, b); }
static inline V v_fma(V a, V b, V c) { return vfmaq_f32(c, a, b); }
static inline V v_flush(V v, V x, float low) {
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(v), vcltq_f32(x, v_set(low))));
}
static inline V v_round(V v) { return vrndnq_f32(v); }
static inline V v_power_of_two(V v) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(v), vdupq_n_s32(127)), 23));
}
static inline float v_sum(V v) { return vaddvq_f32(v); }
static inline float v_greatest(V v) { return vmaxvq_f32(v); }
static inline void v_sum4(V a, V b, V c, V d, float *out) {
    v_store(out, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
}

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
static inline I i_add_count(I sum, B v) {
    const uint16x8_t pairs = vpaddlq_u8(vcntq_u8(vreinterpretq_u8_s8(v)));
    return i_add(sum, vreinterpretq_s32_u32(vpaddlq_u16(pairs)));
}

typedef int16x8_t P;
static inline P p_zero(void) { return vdupq_n_s16(0); }
static inline P p_add(P sum, B ones, B v) { return vpadalq_s8(sum, vmulq_s8(ones, v)); }
static inline I p_join(P high, P low) { return vmlaq_n_s32(vpaddlq_s16(low), vpaddlq_s16(high), 128); }

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
