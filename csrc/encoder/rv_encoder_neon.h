/* NEON's four-lane operations for the encoder, all but the byte product, which the including file defines first. */
#define TILE_VECTORS 2
#define TILE_TOKENS 6
#define ATTEND_QUERIES 2

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
