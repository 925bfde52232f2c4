/* Vectors of 16 bytes: what the NEON files share. */
typedef int8x16_t B;
typedef int32x4_t I;
enum { B_BYTES = 16 };

static inline B b_load(const void *p) { return vld1q_s8(p); }
static inline B b_load_part(const void *p, size_t n) {
    int8_t part[B_BYTES] = {0};
    memcpy(part, p, n);
    return b_load(part);
}
static inline void b_store(void *p, B v) { vst1q_s8(p, v); }
static inline B b_and(B a, B b) { return vandq_s8(a, b); }
static inline B b_or(B a, B b) { return vorrq_s8(a, b); }
static inline B b_xor(B a, B b) { return veorq_s8(a, b); }
static inline B b_spread(const uint8_t *p) {
    const uint8x8_t bit = vcreate_u8(0x8040201008040201);
    const uint8x16_t held = vandq_u8(vcombine_u8(vdup_n_u8(p[0]), vdup_n_u8(p[1])), vcombine_u8(bit, bit));
    return vreinterpretq_s8_u8(vminq_u8(held, vdupq_n_u8(1)));
}

static inline I i_zero(void) { return vdupq_n_s32(0); }
static inline I i_add(I a, I b) { return vaddq_s32(a, b); }
static inline int32_t i_sum(I v) { return vaddvq_s32(v); }
static inline void i_sum4(I a, I b, I c, I d, int32_t *out) {
    vst1q_s32(out, vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)));
}
