/* Tensors as files hold them: their sizes, and their numbers as floats. */
#include "rv_llm_blocks.h"
#include "rv_llm_internal.h"

static size_t block_numbers(int32_t type) {
    switch (type) {
    case RV_LLM_F32:
    case RV_LLM_F16:
    case RV_LLM_BF16: return 1;
    case RV_LLM_Q4_0:
    case RV_LLM_Q5_0:
    case RV_LLM_Q8_0: return RV_SMALL_BLOCK;
    case RV_LLM_Q4_K:
    case RV_LLM_Q5_K:
    case RV_LLM_Q6_K: return RV_LARGE_BLOCK;
    default: return 0;
    }
}

static size_t block_bytes(int32_t type) {
    switch (type) {
    case RV_LLM_F32: return 4;
    case RV_LLM_Q4_0: return RV_Q4_0_BYTES;
    case RV_LLM_Q5_0: return RV_Q5_0_BYTES;
    case RV_LLM_Q8_0: return RV_Q8_0_BYTES;
    case RV_LLM_Q4_K: return RV_Q4_K_BYTES;
    case RV_LLM_Q5_K: return RV_Q5_K_BYTES;
    case RV_LLM_Q6_K: return RV_Q6_K_BYTES;
    default: return 2;
    }
}

size_t rv_llm_row_bytes(int32_t type, size_t cols) {
    const size_t numbers = block_numbers(type);
    if (!numbers || cols % numbers || cols > SIZE_MAX / 4) return 0;
    return cols / numbers * block_bytes(type);
}

size_t rv_llm_kind(int32_t type) {
    switch (type) {
    case RV_LLM_F32: return RV_KIND_F32;
    case RV_LLM_F16: return RV_KIND_F16;
    case RV_LLM_BF16: return RV_KIND_BF16;
    case RV_LLM_Q4_0: return RV_KIND_Q4_0;
    case RV_LLM_Q5_0: return RV_KIND_Q5_0;
    case RV_LLM_Q8_0: return RV_KIND_Q8_0;
    case RV_LLM_Q4_K: return RV_KIND_Q4_K;
    case RV_LLM_Q5_K: return RV_KIND_Q5_K;
    default: return RV_KIND_Q6_K;
    }
}

size_t rv_llm_group(int32_t type) {
    const size_t numbers = block_numbers(type);
    return numbers == 1 ? 0 : numbers;
}

int rv_llm_tensor_fits(const rv_llm_tensor *tensor) {
    const size_t row = rv_llm_row_bytes(tensor->type, tensor->cols);
    return tensor->data && row && tensor->rows && tensor->rows <= tensor->bytes / row;
}

static void dequantize_small(int32_t type, const uint8_t *block, float *out) {
    int8_t q[RV_SMALL_BLOCK];
    if (type == RV_LLM_Q8_0) memcpy(q, block + 2, sizeof q);
    else if (type == RV_LLM_Q5_0) rv_q5_0_codes(block, q);
    else rv_q4_0_codes(block, q);
    for (size_t i = 0; i < RV_SMALL_BLOCK; i++) out[i] = rv_half_at(block) * q[i];
}

static void dequantize_large(int32_t type, const uint8_t *block, float *out) {
    int8_t q[RV_LARGE_BLOCK];
    uint8_t scales[8], minima[8];
    if (type == RV_LLM_Q6_K) {
        rv_q6_k_codes(block, q);
        for (size_t i = 0; i < RV_LARGE_BLOCK; i++)
            out[i] = rv_half_at(block + 208) * rv_q6_k_scales(block)[i / 16] * q[i];
        return;
    }
    rv_q4_k_scales(block, scales, minima);
    if (type == RV_LLM_Q5_K) rv_q5_k_codes(block, q);
    else rv_q4_k_codes(block, q);
    for (size_t i = 0; i < RV_LARGE_BLOCK; i++)
        out[i] = rv_half_at(block) * scales[i / 32] * q[i] - rv_half_at(block + 2) * minima[i / 32];
}

void rv_llm_row_floats(int32_t type, const uint8_t *row, size_t cols, float *out) {
    const size_t numbers = block_numbers(type), bytes = block_bytes(type);
    for (size_t i = 0; i < cols; i += numbers, row += bytes, out += numbers) {
        if (type == RV_LLM_F32) memcpy(out, row, 4);
        else if (type == RV_LLM_F16) *out = rv_half_at(row);
        else if (type == RV_LLM_BF16) *out = float_of_bf16(rv_u16_at(row));
        else if (numbers == RV_SMALL_BLOCK) dequantize_small(type, row, out);
        else dequantize_large(type, row, out);
    }
}

int rv_llm_dequantize(const rv_llm_tensor *tensor, size_t first, size_t count, float *out) {
    if (!rv_llm_tensor_fits(tensor) || first > tensor->rows || count > tensor->rows - first) return 0;
    const size_t bytes = rv_llm_row_bytes(tensor->type, tensor->cols);
    for (size_t r = 0; r < count; r++)
        rv_llm_row_floats(tensor->type, tensor->data + (first + r) * bytes, tensor->cols, out + r * tensor->cols);
    return 1;
}
