/* Decoder language models of the Llama kind: token ids to logits.
 *
 * Weights stay where they are, usually in a mapped file, and are read in the layout they have there: nothing is repacked
 * for good, so a model takes the memory of its file and no more. Matrices are row-major (out, in) as in GGUF. Every type,
 * shape and length is checked by rv_llm_new, every token and cache by rv_llm_forward: what a file says is never trusted.
 * A sequence's logits are the same bits on every number of threads and whatever sequences are in the call beside it; the
 * whole numbers inside quantised products are the same on every instruction set. Calls that take a model or its caches
 * may come from several threads: they run one after the other. */
#ifndef RV_LLM_H
#define RV_LLM_H

#ifndef RV_CDEF
#include <stddef.h>
#include <stdint.h>
#endif

/* Tensor types, numbered as in GGUF. */
enum {
    RV_LLM_F32 = 0,
    RV_LLM_F16 = 1,
    RV_LLM_Q4_0 = 2,
    RV_LLM_Q5_0 = 6,
    RV_LLM_Q8_0 = 8,
    RV_LLM_Q4_K = 12,
    RV_LLM_Q5_K = 13,
    RV_LLM_Q6_K = 14,
    RV_LLM_BF16 = 30,
};

/* `bytes` may be read at `data`; row r starts at r times the type's bytes a row. An absent tensor has data NULL. A vector
 * is one row. */
typedef struct rv_llm_tensor {
    const uint8_t *data;
    size_t bytes, rows, cols;
    int32_t type;
} rv_llm_tensor;

/* Norms and biases are vectors of F32, F16 or BF16, the others matrices of any type. Fused tensors of a file come as views of
 * their rows. May be absent: biases, and q_norm with k_norm (head_dim each). */
typedef struct rv_llm_layer {
    rv_llm_tensor attn_norm, q, k, v, q_bias, k_bias, v_bias, q_norm, k_norm, attn_output, attn_output_bias;
    rv_llm_tensor ffn_norm, gate, up, down;
} rv_llm_layer;

/* Attention is over `heads` queries and `kv_heads` (a divisor) keys and values of head_dim numbers. Rotary positions turn
 * the first rope_dims (even) of them: pairs (2 i, 2 i + 1), or (i, i + rope_dims / 2) if rope_half_split, by
 * position * rope_scale * rope_base^(-2 i / rope_dims) / rope_factors[i]; rope_factors is NULL or rope_dims / 2 divisors,
 * copied. Sines and cosines are multiplied by rope_magnitude (1, or what YaRN and LongRoPE call for). A token sees the last
 * `window` positions, its own included; 0: all. `context` is the greatest number of positions. Caches hold numbers of
 * cache_type, F16 or F32. */
typedef struct rv_llm_config {
    size_t layers, width, heads, kv_heads, head_dim, inner, vocabulary, context, window;
    size_t rope_dims;
    int32_t rope_half_split, cache_type;
    float rope_base, rope_scale, rope_magnitude;
    const float *rope_factors;
    float epsilon;
} rv_llm_config;

/* `output` absent: tied to token_embedding. */
typedef struct rv_llm_weights {
    rv_llm_tensor token_embedding, output_norm, output;
    const rv_llm_layer *layer;
} rv_llm_weights;

typedef struct rv_llm rv_llm;

/* Keys and values of one sequence. */
typedef struct rv_llm_cache rv_llm_cache;

/* What a call came to. */
enum {
    RV_LLM_OK = 0,
    RV_LLM_CANCELLED = 1,
    RV_LLM_OUT_OF_MEMORY = 2,
    RV_LLM_BAD_TOKEN = 3,
    RV_LLM_CONTEXT_FULL = 4,
    RV_LLM_BAD_CACHE = 5,
};

/* Bytes of one row of `cols` numbers, 0 if there is no such type or cols is no whole number of its blocks. */
size_t rv_llm_row_bytes(int32_t type, size_t cols);

/* `count` rows of a tensor, starting at row `first`, as floats. Returns 0 if the tensor is not what it says or has no such
 * rows. */
int rv_llm_dequantize(const rv_llm_tensor *tensor, size_t first, size_t count, float *out);

/* The model, or NULL with the reason in `error` (`size` bytes, ended by 0). Copies all but the tensors' data, which must stay
 * readable until rv_llm_free. Caches must be freed before their model. */
rv_llm *rv_llm_new(const rv_llm_config *config, const rv_llm_weights *weights, char *error, size_t size);
void rv_llm_free(rv_llm *model);

/* A cache for up to `capacity` positions (at most the model's context, at least 1), NULL if there is no memory. Memory is taken
 * as positions fill. */
rv_llm_cache *rv_llm_cache_new(rv_llm *model, size_t capacity);
void rv_llm_cache_free(rv_llm_cache *cache);
size_t rv_llm_cache_length(const rv_llm_cache *cache);
size_t rv_llm_cache_capacity(const rv_llm_cache *cache);
size_t rv_llm_cache_bytes(const rv_llm_cache *cache, size_t positions);

/* Forgets all positions from `length` on (no effect if there are fewer). */
void rv_llm_cache_truncate(rv_llm_cache *cache, size_t length);

/* Makes the first `length` positions of `to` those of `from`. Returns RV_LLM_OK or RV_LLM_BAD_CACHE if they are of different
 * models, `from` is shorter, or `to` too small. */
int rv_llm_cache_copy(const rv_llm_cache *from, rv_llm_cache *to, size_t length);

/* The next tokens of one sequence. Logits are wanted for the last `logits` (0 to count) of them. */
typedef struct rv_llm_part {
    rv_llm_cache *cache;
    const int32_t *tokens;
    size_t count, logits;
} rv_llm_part;

/* Appends each part's tokens to its cache (no two parts share one) and writes the logits wanted, one row of `vocabulary` each,
 * part after part. Decoding many sequences is one call with many parts of one token. Unless the answer is RV_LLM_OK, all
 * caches are as they were. `cancel`, NULL or a flag another thread may set, is looked at before each layer. */
int rv_llm_forward(rv_llm *model, const rv_llm_part *parts, size_t count, float *logits, const volatile int *cancel);

/* How many threads, the caller's included, share the work of a call: 1 to 256, at first one for each CPU this process may use.
 * They are shared by all models of the process. Returns the number taken. */
size_t rv_llm_set_threads(size_t threads);
size_t rv_llm_threads(void);

/* For tests and for other users of quantised matrices: out (tokens x rows) = x (tokens x cols) times the matrix, on the
 * instruction set in use. Returns RV_LLM_OK, RV_LLM_OUT_OF_MEMORY, or RV_LLM_BAD_TOKEN if the tensor is not what it says. */
int rv_llm_product(const rv_llm_tensor *matrix, const float *x, size_t tokens, float *out);

#endif
