/* What Arm's dot-product instructions do better: 16 products of int8, summed by fours into int32. */
#if defined(__aarch64__)
#include "rv_scalar.h"
#include "rv_target.h"
#include <arm_neon.h>

RV_TARGET_BEGIN(RV_DOTPROD)

#include "rv_neon_bytes.h"
#include "rv_bytes.h"

static inline I i_add_dot(I sum, B a, B b) { return vdotq_s32(sum, a, b); }
static inline I i_add_sqdist(I sum, B a, B b) {
    const uint8x16_t size = vreinterpretq_u8_s8(vabdq_s8(a, b));
    return vreinterpretq_s32_u32(vdotq_u32(vreinterpretq_u32_s32(sum), size, size));
}

typedef I P;
static inline P p_zero(void) { return i_zero(); }
static inline P p_add(P sum, B ones, B v) { return vdotq_s32(sum, ones, v); }
static inline I p_sum(P p) { return p; }

#include "rv_int8.h"
#include "rv_signs.h"

RV_TARGET_END

const rv_table rv_neon_dotprod_table = {.name = "neon+dotprod",
                                        .dot_i8 = dot_i8,
                                        .cosine_i8 = cosine_i8,
                                        .sqdist_i8 = sqdist_i8,
                                        .dist_i8 = dist_i8,
                                        .many_dot_i8 = many_dot_i8,
                                        .picked_dot_i8 = picked_dot_i8,
                                        .many_cosine_i8 = many_cosine_i8,
                                        .many_sqdist_i8 = many_sqdist_i8,
                                        .best_signs_i15 = best_signs_i15};
#endif
