/* The reference: what each of the language models' kernels means, in the plainest C. */
#include "rv_llm_blocks.h"
#include "rv_llm_internal.h"
#include "rv_llm_kernels.h"

#include <float.h>

static void quantize(const rv_llm_activations *a, size_t token, size_t tokens, size_t col, size_t end) {
    for (size_t t = token; t < token + tokens; t++)
        for (size_t c = col; c < end; c += a->group) {
            const float *x = a->x + t * a->cols + c;
            int8_t *q = a->q + t * a->cols + c;
            float top = 0, none = 0;
            for (size_t i = 0; i < a->group; i++) {
                top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
                none += x[i] - x[i]; /* NaN if it is not finite */
            }
            const float scale = top / 127 + none;
            a->scales[(t * a->cols + c) / a->group] = scale;
            for (size_t i = 0; i < a->group; i++) q[i] = scale >= FLT_MIN ? (int8_t)lrintf(x[i] * (1 / scale)) : 0;
            int16_t *sums = a->sums + (t * a->cols + c) / RV_SUM;
            for (size_t i = 0; i < a->group; i += RV_SUM) {
                sums[i / RV_SUM] = 0;
                for (size_t j = 0; j < RV_SUM; j++) sums[i / RV_SUM] = (int16_t)(sums[i / RV_SUM] + q[i + j]);
            }
        }
}

/* To nearest, halves to even; what is too great becomes the greatest. */
static uint16_t half_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    const float size = fabsf(x);
    if (isnan(x)) return sign | 0x7e00;
    if (size >= 65504) return sign | 0x7bff;
    if (size < 0x1p-14f) return (uint16_t)(sign | lrintf(size * 0x1p24f));
    bits = (bits & 0x7fffffff) - (112u << 23);
    return (uint16_t)(sign | (bits + 0xfff + (bits >> 13 & 1)) >> 13);
}

static void halves(const float *x, uint16_t *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = half_of(x[i]);
}

static float cached(const rv_llm_attention *a, const void *numbers, size_t i) {
    return a->wide ? ((const float *)numbers)[i] : float_of_f16(((const uint16_t *)numbers)[i]);
}

static void attend(const rv_llm_attention *a) {
    for (size_t t = 0; t < a->queries; t++) {
        const float *query = a->query + t * a->query_stride;
        float *out = a->out + t * a->query_stride, top = -INFINITY, sum = 0;
        for (size_t p = a->first[t]; p < a->end[t]; p++) {
            const size_t key = p / RV_KEY_BLOCK * RV_KEY_BLOCK * a->head_dim + p % RV_KEY_BLOCK;
            float score = 0;
            for (size_t d = 0; d < a->head_dim; d++) score += query[d] * cached(a, a->keys, key + d * RV_KEY_BLOCK);
            a->scores[p - a->first[t]] = score;
            top = score > top ? score : top;
        }
        for (size_t d = 0; d < a->head_dim; d++) out[d] = 0;
        for (size_t p = a->first[t]; p < a->end[t]; p++) {
            const float weight = expf(a->scores[p - a->first[t]] - top);
            sum += weight;
            for (size_t d = 0; d < a->head_dim; d++)
                out[d] += weight * cached(a, a->values, p * a->value_stride + d);
        }
        for (size_t d = 0; d < a->head_dim; d++) out[d] /= sum;
    }
}

/* Dot products of one row's block with a token's bytes and float scale. */
static float dot_small(int32_t type, const uint8_t *block, const int8_t *x, float scale) {
    int8_t q[RV_SMALL_BLOCK];
    if (type == RV_LLM_Q8_0) memcpy(q, block + 2, sizeof q);
    else if (type == RV_LLM_Q5_0) rv_q5_0_codes(block, q);
    else rv_q4_0_codes(block, q);
    int32_t dot = 0;
    for (size_t i = 0; i < RV_SMALL_BLOCK; i++) dot += q[i] * x[i];
    return (float)dot * (rv_half_at(block) * scale);
}

static float dot_with_least(int32_t type, const uint8_t *block, const int8_t *x, float scale) {
    int8_t q[RV_LARGE_BLOCK];
    uint8_t scales[8], minima[8];
    rv_q4_k_scales(block, scales, minima);
    if (type == RV_LLM_Q5_K) rv_q5_k_codes(block, q);
    else rv_q4_k_codes(block, q);
    int32_t dot = 0, least = 0;
    for (size_t i = 0; i < RV_LARGE_BLOCK; i++) {
        dot += scales[i / 32] * q[i] * x[i];
        least += minima[i / 32] * x[i];
    }
    return (float)dot * (rv_half_at(block) * scale) - (float)least * (rv_half_at(block + 2) * scale);
}

static float dot_q6_k(const uint8_t *block, const int8_t *x, float scale) {
    int8_t q[RV_LARGE_BLOCK];
    rv_q6_k_codes(block, q);
    int32_t dot = 0;
    for (size_t i = 0; i < RV_LARGE_BLOCK; i++) dot += rv_q6_k_scales(block)[i / 16] * q[i] * x[i];
    return (float)dot * (rv_half_at(block + 208) * scale);
}

static float dot_floats(int32_t type, const uint8_t *row, const float *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        float weight;
        rv_llm_row_floats(type, row + i * (type == RV_LLM_F32 ? 4 : 2), 1, &weight);
        sum += (double)weight * x[i];
    }
    return (float)sum;
}

#define ROWS(name, DOT)                                                                                                \
    static void name(const uint8_t *weights, size_t rows, size_t row_bytes, const rv_llm_activations *a, size_t token, \
                     size_t tokens, float *out, size_t stride) {                                                       \
        for (size_t t = 0; t < tokens; t++)                                                                            \
            for (size_t r = 0; r < rows; r++) {                                                                        \
                const uint8_t *row = weights + r * row_bytes;                                                          \
                const size_t at = (token + t) * a->cols;                                                               \
                float sum = 0;                                                                                         \
                DOT;                                                                                                   \
                out[t * stride + r] = sum;                                                                             \
            }                                                                                                          \
    }
#define BLOCKS(bytes, dot)                                                                                             \
    for (size_t c = 0; c < a->cols; c += a->group, row += bytes) sum += dot(row, a->q + at + c, a->scales[(at + c) / a->group])
#define DOT_Q4_0(row, x, scale) dot_small(RV_LLM_Q4_0, row, x, scale)
#define DOT_Q5_0(row, x, scale) dot_small(RV_LLM_Q5_0, row, x, scale)
#define DOT_Q8_0(row, x, scale) dot_small(RV_LLM_Q8_0, row, x, scale)
#define DOT_Q4_K(row, x, scale) dot_with_least(RV_LLM_Q4_K, row, x, scale)
#define DOT_Q5_K(row, x, scale) dot_with_least(RV_LLM_Q5_K, row, x, scale)

ROWS(rows_f32, sum = dot_floats(RV_LLM_F32, row, a->x + at, a->cols))
ROWS(rows_f16, sum = dot_floats(RV_LLM_F16, row, a->x + at, a->cols))
ROWS(rows_bf16, sum = dot_floats(RV_LLM_BF16, row, a->x + at, a->cols))
ROWS(rows_q4_0, BLOCKS(RV_Q4_0_BYTES, DOT_Q4_0))
ROWS(rows_q5_0, BLOCKS(RV_Q5_0_BYTES, DOT_Q5_0))
ROWS(rows_q8_0, BLOCKS(RV_Q8_0_BYTES, DOT_Q8_0))
ROWS(rows_q4_k, BLOCKS(RV_Q4_K_BYTES, DOT_Q4_K))
ROWS(rows_q5_k, BLOCKS(RV_Q5_K_BYTES, DOT_Q5_K))
ROWS(rows_q6_k, BLOCKS(RV_Q6_K_BYTES, dot_q6_k))

const rv_llm_kernels rv_llm_scalar = {
    .quantize = quantize,
    .halves = halves,
    .attend = attend,
    .rows = {rows_f32, rows_f16, rows_bf16, rows_q4_0, rows_q5_0, rows_q8_0, rows_q4_k, rows_q5_k, rows_q6_k},
};
