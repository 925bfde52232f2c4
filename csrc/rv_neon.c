/* NEON of 64-bit Arm: four lanes; tails go through a zeroed copy. */
#if defined(__aarch64__)
#include "rv.h"
#include <arm_neon.h>
#include <math.h>
#include <string.h>

typedef float32x4_t V;
enum { V_LANES = 4 };

static inline V v_load(const float *p) { return vld1q_f32(p); }
static inline V v_load_part(const float *p, size_t n) {
    float part[4] = {0};
    memcpy(part, p, n * sizeof *p);
    return vld1q_f32(part);
}
static inline void v_store(float *p, V v) { vst1q_f32(p, v); }
static inline void v_store_part(float *p, V v, size_t n) {
    float part[4];
    vst1q_f32(part, v);
    memcpy(p, part, n * sizeof *p);
}
static inline V v_set(float x) { return vdupq_n_f32(x); }
static inline V v_add(V a, V b) { return vaddq_f32(a, b); }
static inline V v_sub(V a, V b) { return vsubq_f32(a, b); }
static inline V v_mul(V a, V b) { return vmulq_f32(a, b); }
static inline V v_max(V a, V b) { return vmaxq_f32(a, b); }
static inline V v_fma(V a, V b, V c) { return vfmaq_f32(c, a, b); }
static inline V v_round(V v) { return vrndnq_f32(v); }
static inline float v_sum(V v) { return vaddvq_f32(v); }
static inline float v_greatest(V v) { return vmaxvq_f32(v); }

static inline V v_power_of_two(V v) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(v), vdupq_n_s32(127)), 23));
}

static inline int32_t bytes_dot(const int8_t *a, const int8_t *b, size_t n) {
    int32x4_t sum = vdupq_n_s32(0);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) sum = vpadalq_s16(sum, vmull_s8(vld1_s8(a + i), vld1_s8(b + i)));
    int32_t total = vaddvq_s32(sum);
    for (; i < n; i++) total += a[i] * b[i];
    return total;
}

/* Bytes of 0 or 1 times int8; pairs of products summed in int16. */
typedef int8x16_t B;
typedef int16x8_t P;
enum { B_BYTES = 16 };

static inline B b_load(const void *p) { return vld1q_s8(p); }
static inline void b_store(void *p, B v) { vst1q_s8(p, v); }
static inline B b_spread(const uint8_t *p) {
    const uint8x8_t bit = vcreate_u8(0x8040201008040201);
    const uint8x16_t held = vandq_u8(vcombine_u8(vdup_n_u8(p[0]), vdup_n_u8(p[1])), vcombine_u8(bit, bit));
    return vreinterpretq_s8_u8(vminq_u8(held, vdupq_n_u8(1)));
}
static inline P p_zero(void) { return vdupq_n_s16(0); }
static inline P p_add(P sum, B ones, B v) { return vpadalq_s8(sum, vmulq_s8(ones, v)); }
static inline int32_t p_join(P high, P low) { return 128 * vaddlvq_s16(high) + vaddlvq_s16(low); }

#include "rv_vector.h"
#include "rv_signs.h"

const rv_table rv_neon_table = {
    .name = "neon",
#define RV_KERNEL(result, kernel, parameters, arguments) .kernel = kernel,
#include "rv_kernels.def"
};
#endif
