/* NEON with the dot product extension: sixteen byte products, summed by fours, an instruction. */
#if defined(__aarch64__)
#include "../rv.h"
#include "../rv_target.h"
#include "rv_encoder_kernels.h"
#include <arm_neon.h>
#include <string.h>

RV_TARGET_BEGIN(RV_DOTPROD)

#include "../rv_neon_floats.h"

typedef int32x4_t I;

static inline I i_add_dots(I sum, I weights, I x) {
    return vdotq_s32(sum, vreinterpretq_s8_s32(weights), vreinterpretq_s8_s32(x));
}

#include "rv_encoder_neon.h"

RV_TARGET_END

const rv_encoder_kernels rv_encoder_neon_dotprod = {quantize, panel, attend, norm, gelu};
#endif
