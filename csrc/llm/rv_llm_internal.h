/* What the files of this folder share and nobody else uses. */
#ifndef RV_LLM_INTERNAL_H
#define RV_LLM_INTERNAL_H
#include "rv_llm.h"
#include "rv_llm_kernels.h"

#include <stdatomic.h>

/* Whether the tensor has a known type, at least one row and number, and all its bytes. */
int rv_llm_tensor_fits(const rv_llm_tensor *tensor);

/* A type's place in tables of kernels; the type is known. */
size_t rv_llm_kind(int32_t type);

/* One row as floats. */
void rv_llm_row_floats(int32_t type, const uint8_t *row, size_t cols, float *out);

/* A tensor that fits. */
typedef struct rv_llm_matrix {
    const uint8_t *data;
    size_t rows, cols, row_bytes, kind;
    int32_t type;
} rv_llm_matrix;
rv_llm_matrix rv_llm_matrix_of(const rv_llm_tensor *tensor);

/* Vectors that are absent are NULL. */
typedef struct rv_llm_block {
    rv_llm_matrix q, k, v, attn_output, gate, up, down;
    const float *attn_norm, *q_bias, *k_bias, *v_bias, *q_norm, *k_norm, *attn_output_bias, *ffn_norm;
} rv_llm_block;

struct rv_llm {
    rv_llm_config config;
    rv_llm_matrix embedding, output;
    const float *output_norm;
    rv_llm_block *block;
    double *frequencies; /* radians a position, rope_dims / 2 */
    float *floats;       /* all vectors */
    size_t value_stride, cache_bytes; /* of one number in a cache */
};

struct rv_llm_cache {
    const rv_llm *model;
    size_t capacity, length, bytes;
    uint8_t *numbers;
    int busy; /* in the call under way */
};

/* Where a layer's keys and values of one head begin; the layout is that of rv_llm_attention. */
uint8_t *rv_llm_keys(const rv_llm_cache *cache, size_t layer, size_t head);
uint8_t *rv_llm_values(const rv_llm_cache *cache, size_t layer, size_t head);

/* Tokens [first, end) of a pass. Those of parts with `few` (at most RV_LLM_TOGETHER) go through products by rows, a prompt's
 * through panels: what comes out for a part does not depend on the parts beside it. */
typedef struct rv_llm_span {
    size_t first, end;
    int few;
} rv_llm_span;

/* out (tokens x matrix->rows) = activations times the matrix + bias, and, unless `onto` is NULL, added to `onto`, laid out
 * like out. */
typedef struct rv_llm_linear {
    const rv_llm_matrix *matrix;
    const rv_llm_activations *from;
    const float *bias;
    float *out, *onto;
} rv_llm_linear;

/* Inside a job of so many threads: this thread's share of up to three products. `next`, 0 before the first thread comes, hands
 * out the work; `panel` is the thread's own, rv_llm_panel_bytes of the widest matrix, 64-aligned. */
void rv_llm_multiply(const rv_llm_kernels *kernels, const rv_llm_linear *linears, size_t count, const rv_llm_span *spans,
                     size_t span_count, size_t threads, atomic_size_t *next, void *panel);
size_t rv_llm_panel_bytes(size_t cols);

/* How many numbers share a scale in the activations a type is multiplied with: 0 for floats, RV_SMALL_BLOCK, RV_LARGE_BLOCK. */
size_t rv_llm_group(int32_t type);

#endif
