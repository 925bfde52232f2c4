/* Vectors of four floats in NEON: what rv_vector.h and the encoder need of them. Tails go through a zeroed copy. Included
 * after rv.h, <arm_neon.h> and <string.h>. */
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
