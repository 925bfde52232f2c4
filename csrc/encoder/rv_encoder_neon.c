/* NEON of 64-bit Arm: four rows a vector, products widened to int16 and added up in pairs. */
#if defined(__aarch64__)
#include "../rv.h"
#include "rv_encoder_kernels.h"
#include <arm_neon.h>
#include <string.h>

#include "../rv_neon_floats.h"

typedef int32x4_t I;

static inline I i_add_dots(I sum, I weights, I x) {
    const int8x16_t w = vreinterpretq_s8_s32(weights), v = vreinterpretq_s8_s32(x);
    const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(v)), high = vmull_high_s8(w, v);
    return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
}

#include "rv_encoder_neon.h"

const rv_encoder_kernels rv_encoder_neon = {quantize, panel, attend, norm, gelu};
#endif
