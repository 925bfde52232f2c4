/* Products with float matrices; rv_llm_vector.h includes this. */
INLINE V load_f32(const uint8_t *p) { return v_load((const float *)(const void *)p); }
INLINE V load_f16(const uint8_t *p) { return v_load_f16((const uint16_t *)(const void *)p); }
INLINE V load_bf16(const uint8_t *p) { return v_load_bf16((const uint16_t *)(const void *)p); }

enum { CHAINS = 2 };

#define FLOAT_ROWS(kind, BYTES)                                                                                        \
    INLINE void float_rows_##kind(const uint8_t *row, const size_t count, size_t apart, const rv_llm_activations *a,   \
                                  size_t token, const size_t tokens, float *out, size_t stride) {                      \
        V sums[STREAMS][RV_LLM_TOGETHER][CHAINS];                                                                      \
        for (size_t n = 0; n < count; n++)                                                                             \
            for (size_t t = 0; t < tokens; t++) sums[n][t][0] = sums[n][t][1] = v_set(0);                              \
        const float *x = a->x + token * a->cols;                                                                       \
        const size_t step = apart * a->cols * BYTES;                                                                   \
        size_t c = 0;                                                                                                  \
        for (; c + CHAINS * V_LANES <= a->cols; c += CHAINS * V_LANES)                                                 \
            for (size_t i = 0; i < CHAINS; i++)                                                                        \
                for (size_t n = 0; n < count; n++) {                                                                   \
                    const V weights = load_##kind(row + n * step + (c + i * V_LANES) * BYTES);                         \
                    for (size_t t = 0; t < tokens; t++)                                                                \
                        sums[n][t][i] = v_fma(weights, v_load(x + t * a->cols + c + i * V_LANES), sums[n][t][i]);      \
                }                                                                                                      \
        for (size_t left = a->cols - c, n = 0; n < count; n++) {                                                       \
            uint8_t last[CHAINS * V_LANES * BYTES] = {0};                                                              \
            memcpy(last, row + n * step + c * BYTES, left * BYTES);                                                    \
            for (size_t t = 0; t < tokens; t++) {                                                                      \
                float last_x[CHAINS * V_LANES] = {0};                                                                  \
                memcpy(last_x, x + t * a->cols + c, left * sizeof *x);                                                 \
                for (size_t i = 0; i < CHAINS; i++)                                                                    \
                    sums[n][t][i] = v_fma(load_##kind(last + i * V_LANES * BYTES), v_load(last_x + i * V_LANES),       \
                                          sums[n][t][i]);                                                              \
                out[t * stride + n * apart] = v_sum(v_add(sums[n][t][0], sums[n][t][1]));                              \
            }                                                                                                          \
        }                                                                                                              \
    }
#define ROWS_f32(count, apart, tokens) float_rows_f32(weights, count, apart, a, token, tokens, out, stride)
#define ROWS_f16(count, apart, tokens) float_rows_f16(weights, count, apart, a, token, tokens, out, stride)
#define ROWS_bf16(count, apart, tokens) float_rows_bf16(weights, count, apart, a, token, tokens, out, stride)

FLOAT_ROWS(f32, 4)
FLOAT_ROWS(f16, 2)
FLOAT_ROWS(bf16, 2)
ROWS(f32)
ROWS(f16)
ROWS(bf16)

/* Rows that are not there stay 0. */
#define UNPACK_FLOATS(kind, type, BYTES)                                                                               \
    static void unpack_##kind(const uint8_t *weights, size_t rows, size_t row_bytes, size_t cols, void *to) {          \
        float *panel = to, some[V_LANES];                                                                              \
        if (rows < PANEL) memset(panel, 0, cols * PANEL * sizeof *panel);                                              \
        for (size_t r = 0; r < rows; r++, weights += row_bytes)                                                        \
            for (size_t c = 0; c < cols; c += V_LANES) {                                                               \
                const size_t count = cols - c < V_LANES ? cols - c : V_LANES;                                          \
                if (count == V_LANES) v_store(some, load_##kind(weights + c * BYTES));                                 \
                else rv_llm_row_floats(type, weights + c * BYTES, count, some);                                        \
                for (size_t i = 0; i < count; i++) panel[(c + i) * PANEL + r] = some[i];                               \
            }                                                                                                          \
    }

UNPACK_FLOATS(f32, RV_LLM_F32, 4)
UNPACK_FLOATS(f16, RV_LLM_F16, 2)
UNPACK_FLOATS(bf16, RV_LLM_BF16, 2)

enum { FLOAT_TOKENS = 6 };

INLINE void float_tile(const float *panel, size_t cols, const float *x, const size_t tokens, float *out, size_t stride) {
    V sums[FLOAT_TOKENS][2];
    for (size_t t = 0; t < tokens; t++) sums[t][0] = sums[t][1] = v_set(0);
    for (size_t c = 0; c < cols; c++, panel += PANEL) {
        const V low = v_load(panel), high = v_load(panel + V_LANES);
        for (size_t t = 0; t < tokens; t++) {
            const V number = v_set(x[t * cols + c]);
            sums[t][0] = v_fma(number, low, sums[t][0]);
            sums[t][1] = v_fma(number, high, sums[t][1]);
        }
    }
    for (size_t t = 0; t < tokens; t++) {
        v_store(out + t * stride, sums[t][0]);
        v_store(out + t * stride + V_LANES, sums[t][1]);
    }
}

static void panel_floats(const void *panel, const rv_llm_activations *a, size_t token, size_t tokens, float *out,
                         size_t stride) {
    const float *x = a->x + token * a->cols;
    size_t t = 0;
    for (; t + FLOAT_TOKENS <= tokens; t += FLOAT_TOKENS)
        float_tile(panel, a->cols, x + t * a->cols, FLOAT_TOKENS, out + t * stride, stride);
    for (; t < tokens; t++) float_tile(panel, a->cols, x + t * a->cols, 1, out + t * stride, stride);
}
