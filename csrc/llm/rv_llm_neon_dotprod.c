/* NEON with the dot product extension: sixteen byte products, summed by fours, an instruction. */
#if defined(__aarch64__)
#include "../rv.h"
#include "../rv_target.h"
#include "rv_llm_blocks.h"
#include "rv_llm_kernels.h"
#include <arm_neon.h>

RV_TARGET_BEGIN(RV_DOTPROD)

static inline int32x4_t i_add_fours(int32x4_t sum, int8x16_t w, int8x16_t x) { return vdotq_s32(sum, w, x); }

#include "rv_llm_neon.h"

RV_TARGET_END

const rv_llm_kernels rv_llm_neon_dotprod = RV_LLM_VECTOR_TABLE(halves);
#endif
