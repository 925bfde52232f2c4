/* The language models' kernels as one table an instruction set; a set's file fills in what it does better than the set
 * below it and leaves NULL what it inherits.
 *
 * A product of activations with a matrix runs in one of two ways. `rows` takes the file's layout as it is, one row after
 * another for up to RV_LLM_TOGETHER tokens: decoding, where reading the weights is all that counts. `unpack` and `panel`
 * lay panel_rows rows side by side in a scratch panel that stays in the cache while all tokens of a prompt go over it. A
 * token's result is the same whatever other tokens are there, but differs in the last bits between the two ways. */
#ifndef RV_LLM_KERNELS_H
#define RV_LLM_KERNELS_H
#include "rv_llm.h"

/* The types' places in tables. */
enum { RV_KIND_F32, RV_KIND_F16, RV_KIND_BF16, RV_KIND_Q4_0, RV_KIND_Q5_0, RV_KIND_Q8_0, RV_KIND_Q4_K, RV_KIND_Q5_K,
       RV_KIND_Q6_K, RV_KINDS };

enum { RV_LLM_TOGETHER = 4, RV_LLM_QUERIES = 6, RV_KEY_BLOCK = 32, RV_SUM = 16, RV_PANEL_MOST = 32 };

/* What goes into a product, `cols` numbers a token: floats for float matrices; for quantised ones bytes in [-127, 127], one
 * scale for each `group` (32, or 256 for types of large blocks) of them, and the sum of each RV_SUM of them. Where a number
 * of a group is not finite its scale is NaN, which goes into all that is made of it. */
typedef struct rv_llm_activations {
    size_t cols, group;
    float *x;
    int8_t *q;
    float *scales;
    int16_t *sums;
} rv_llm_activations;

/* Attention of up to RV_LLM_QUERIES queries (head_dim floats each, query_stride apart, already divided by the root of
 * head_dim) over the positions [first, end) of each: out = softmax(query . key) times the values. Keys and values are float16,
 * or floats if `wide`. Position p's key is number p % RV_KEY_BLOCK of the rows of block p / RV_KEY_BLOCK (head_dim rows of
 * RV_KEY_BLOCK numbers), its value is value_stride numbers (a multiple of 16) at p * value_stride. `scores` holds as many rows as queries of the greatest `end` less the least
 * `first`, plus 2 RV_KEY_BLOCK. */
typedef struct rv_llm_attention {
    const float *query;
    size_t queries, query_stride, head_dim;
    size_t first[RV_LLM_QUERIES], end[RV_LLM_QUERIES];
    const void *keys, *values;
    int wide;
    size_t value_stride;
    float *scores, *out; /* out: query_stride apart too */
} rv_llm_attention;

typedef void rv_llm_rows(const uint8_t *weights, size_t rows, size_t row_bytes, const rv_llm_activations *a, size_t token,
                         size_t tokens, float *out, size_t stride);
typedef void rv_llm_unpack(const uint8_t *weights, size_t rows, size_t row_bytes, size_t cols, void *panel);
typedef void rv_llm_panel(const void *panel, const rv_llm_activations *a, size_t token, size_t tokens, float *out,
                          size_t stride);

typedef struct rv_llm_kernels {
    /* quantises `tokens` tokens' columns [col, end), multiples of a->group, from a->x */
    void (*quantize)(const rv_llm_activations *a, size_t token, size_t tokens, size_t col, size_t end);
    /* float16 nearest to each number, at most the greatest finite one */
    void (*halves)(const float *x, uint16_t *out, size_t n);
    void (*attend)(const rv_llm_attention *attention);
    /* out[t * stride + r], for `tokens` tokens from `token` on */
    rv_llm_rows *rows[RV_KINDS];
    /* both NULL: products always run by rows */
    size_t panel_rows;
    rv_llm_unpack *unpack[RV_KINDS];
    rv_llm_panel *panel[RV_KINDS];
} rv_llm_kernels;

/* Those of the instruction set in use. */
rv_llm_kernels rv_llm_kernels_in_use(void);

#endif
