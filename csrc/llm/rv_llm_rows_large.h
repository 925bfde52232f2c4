/* Rows of large blocks over an instruction set's block_with_least and block_q6_k, and all kinds' rows. */
INLINE void rows_large(const uint8_t *row, const size_t count, size_t apart, size_t bytes, const rv_llm_activations *a,
                       size_t token, const size_t tokens, const int kind, float *out, size_t stride) {
    const size_t step = apart * (a->cols / 256) * bytes;
    BEGIN_ROWS;
    for (size_t b = 0; b < a->cols / 256; b++, row += bytes)
        for (size_t n = 0; n < count; n++) {
            if (kind == Q6_K) block_q6_k(row + n * step, a, token, b, tokens, sums[n]);
            else block_with_least(row + n * step, a, token, b, tokens, kind, sums[n]);
        }
    END_ROWS;
}

#define ROWS_q8_0(count, apart, tokens) \
    rows_small(weights, count, apart, a, token, tokens, Q8_0, out, stride)
#define ROWS_q4_0(count, apart, tokens) \
    rows_small(weights, count, apart, a, token, tokens, Q4_0, out, stride)
#define ROWS_q5_0(count, apart, tokens) \
    rows_small(weights, count, apart, a, token, tokens, Q5_0, out, stride)
#define ROWS_q4_k(count, apart, tokens) \
    rows_large(weights, count, apart, RV_Q4_K_BYTES, a, token, tokens, Q4_K, out, stride)
#define ROWS_q5_k(count, apart, tokens) \
    rows_large(weights, count, apart, RV_Q5_K_BYTES, a, token, tokens, Q5_K, out, stride)
#define ROWS_q6_k(count, apart, tokens) \
    rows_large(weights, count, apart, RV_Q6_K_BYTES, a, token, tokens, Q6_K, out, stride)

ROWS(q8_0)
ROWS(q4_0)
ROWS(q5_0)
ROWS(q4_k)
ROWS(q5_k)
ROWS(q6_k)
