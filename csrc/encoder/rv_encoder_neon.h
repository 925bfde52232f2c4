/* NEON's four-lane operations for the encoder, all but the byte product, which the including file defines first. */
#define V_LANES 4
#define TILE_VECTORS 2
#define TILE_TOKENS 6
#define ATTEND_QUERIES 2

static inline V v_load(const float *p) { return vld1q_f32(p); }
static inline void v_store(float *p, V v) { vst1q_f32(p, v); }
static inline V v_set(float x) { return vdupq_n_f32(x); }
static inline V v_add(V a, V b) { return vaddq_f32(a, b); }
static inline V v_sub(V a, V b) { return vsubq_f32(a, b); }
static inline V v_mul(V a, V b) { return vmulq_f32(a, b); }
static inline V v_min(V a, V b) { return vminq_f32(a, b); }
static inline V v_max(V a, V b) { return vmaxq_f32(a, b); }
static inline V v_fma(V a, V b, V c) { return vfmaq_f32(c, a, b); }
static inline V v_round(V v) { return vrndnq_f32(v); }
static inline V v_power_of_two(V v) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(v), vdupq_n_s32(127)), 23));
}
static inline float v_sum(V v) { return vaddvq_f32(v); }
static inline float v_greatest(V v) { return vmaxvq_f32(v); }

static inline I i_start(int32_t excess) {
    (void)excess;
    return vdupq_n_s32(0);
}
static inline I i_weights(const uint8_t *p) { return vreinterpretq_s32_u8(vld1q_u8(p)); }
static inline I i_spread(const int8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return vdupq_n_s32(four);
}
static inline V i_float(I v) { return vcvtq_f32_s32(v); }
static inline void i_store_bytes(int8_t *p, V v) {
    const int16x4_t words = vqmovn_s32(vcvtnq_s32_f32(v));
    const int8x8_t bytes = vqmovn_s16(vcombine_s16(words, words));
    memcpy(p, &bytes, 4);
}

#include "rv_encoder_vector.h"
