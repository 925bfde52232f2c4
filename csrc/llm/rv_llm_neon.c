/* NEON of 64-bit Arm: four rows a vector, products widened to int16 and added up in pairs. */
#if defined(__aarch64__)
#include "../rv.h"
#include "rv_llm_blocks.h"
#include "rv_llm_kernels.h"
#include <arm_neon.h>

static inline int32x4_t i_add_fours(int32x4_t sum, int8x16_t w, int8x16_t x) {
    const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(x)), high = vmull_high_s8(w, x);
    return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
}

#include "rv_llm_neon.h"

const rv_llm_kernels rv_llm_neon = RV_LLM_VECTOR_TABLE(halves);
#endif
