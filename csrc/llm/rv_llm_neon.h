/* NEON's four-lane operations for the language models, over the products that the including file defines:
 * i_add_fours(sum, w, x), the products of signed bytes added up by fours. */
#include "../rv_neon_floats.h"

typedef int32x4_t I, D, S;
enum { TILE_TOKENS = 6, Q8_0_TOKENS = 6, STARTS = 0, ROWS_ABREAST = 4 };

static inline float half(const uint8_t *p) { return rv_half_at(p); }
static inline I i_load(const void *p) { return vreinterpretq_s32_u8(vld1q_u8(p)); }
static inline I i_set(int32_t x) { return vdupq_n_s32(x); }
static inline I i_add(I a, I b) { return vaddq_s32(a, b); }
static inline I i_sub(I a, I b) { return vsubq_s32(a, b); }
static inline V i_float(I v) { return vcvtq_f32_s32(v); }
static inline I i_pairs(I a, I b) {
    const int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(b);
    return vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y));
}
static inline I i_spread(const void *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return vdupq_n_s32(four);
}
static inline void i_store_bytes(int8_t *p, V v) {
    const int16x4_t words = vqmovn_s32(vcvtnq_s32_f32(v));
    const int8x8_t bytes = vqmovn_s16(vcombine_s16(words, words));
    memcpy(p, &bytes, 4);
}

static inline I i_dots(I sum, I weights, I x) {
    return i_add_fours(sum, vreinterpretq_s8_s32(weights), vreinterpretq_s8_s32(x));
}
static inline I i_start(const void *starts, const int16_t *sums) {
    (void)starts;
    (void)sums;
    return i_set(0);
}
static inline S s_load(const void *p) { return i_load(p); }
static inline I i_signed(I sum, S weights, I x) { return i_dots(sum, weights, x); }

static inline D d_zero(void) { return i_set(0); }
static inline D d_add(D sum, I codes, I x) { return i_dots(sum, codes, x); }
static inline I d_whole(D sum) { return sum; }
static inline I d_scaled(D sum, I scales) { return vmulq_s32(sum, vshrq_n_s32(scales, 16)); }

static inline I i_and(I a, I b) { return vandq_s32(a, b); }
static inline I i_or(I a, I b) { return vorrq_s32(a, b); }
static inline I i_bytes(int8_t x) { return vreinterpretq_s32_s8(vdupq_n_s8(x)); }
static inline I i_left(I v, int n) {
    return vreinterpretq_s32_u8(vshlq_u8(vreinterpretq_u8_s32(v), vdupq_n_s8((int8_t)n)));
}
static inline I i_right(I v, int n) { return i_left(v, -n); }
static inline I i_of(uint64_t low, uint64_t high) {
    return vreinterpretq_s32_u64(vcombine_u64(vcreate_u64(low), vcreate_u64(high)));
}

static void halves(const float *x, uint16_t *out, size_t n) {
    const V most = v_set(65504);
    for (size_t i = 0; i < n; i += V_LANES) {
        const size_t some = n - i < V_LANES ? n - i : V_LANES;
        const V v = v_max(v_sub(v_set(0), most), v_min(most, v_load_part(x + i, some)));
        const uint16x4_t four = vreinterpret_u16_f16(vcvt_f16_f32(v));
        memcpy(out + i, &four, some * sizeof *out);
    }
}

static inline void place_rows(uint8_t *to, size_t stride, uint8_t q[ROWS_ABREAST][32]) {
    for (size_t i = 0; i < 32; i += 16, to += 4 * stride) {
        const int32x4x2_t a = vzipq_s32(i_load(q[0] + i), i_load(q[2] + i));
        const int32x4x2_t b = vzipq_s32(i_load(q[1] + i), i_load(q[3] + i));
        for (size_t k = 0; k < 2; k++) {
            const int32x4x2_t fours = vzipq_s32(a.val[k], b.val[k]);
            memcpy(to + 2 * k * stride, &fours.val[0], sizeof fours.val[0]);
            memcpy(to + (2 * k + 1) * stride, &fours.val[1], sizeof fours.val[1]);
        }
    }
}

#include "rv_llm_vector.h"
#include "rv_llm_rows_narrow.h"
#include "rv_llm_vector_table.h"
