/* All kinds' rows, over the rows_small and rows_large of the file that includes this. */
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
