/* Products with float matrices; rv_llm_vector.h includes this. */
INLINE V load_f32(const uint8_t *p) { return v_load((const float *)(const void *)p); }
INLINE V load_f16(const uint8_t *p) { return v_load_f16((const uint16_t *)(const void *)p); }
INLINE V load_bf16(const uint8_t *p) { return v_load_bf16((const uint16_t *)(const void *)p); }

enum { CHAINS = 4, PREFETCH = 8192 }; /* bytes ahead: what one core needs in flight to draw on all of memory's bandwidth */

/* One row's dot products with some tokens. */
#define FLOAT_ROWS(kind, BYTES)                                                                                        \
    INLINE void row_##kind(const uint8_t *row, const rv_llm_activations *a, size_t token, const size_t tokens,         \
                           float *out, size_t stride) {                                                                \
        V sums[RV_LLM_TOGETHER][CHAINS];                                                                               \
        for (size_t t = 0; t < tokens; t++)                                                                            \
            for (size_t n = 0; n < CHAINS; n++) sums[t][n] = v_set(0);                                                 \
        const float *x = a->x + token * a->cols;                                                                       \
        size_t c = 0;                                                                                                  \
        for (; c + CHAINS * V_LANES <= a->cols; c += CHAINS * V_LANES)                                                 \
            for (size_t n = 0; n < CHAINS; n++) {                                                                      \
                const uint8_t *at = row + (c + n * V_LANES) * BYTES;                                                   \
                if (n * V_LANES * BYTES % 64 == 0) __builtin_prefetch(at + PREFETCH);                                  \
                for (size_t t = 0; t < tokens; t++)                                                                    \
                    sums[t][n] = v_fma(load_##kind(at), v_load(x + t * a->cols + c + n * V_LANES), sums[t][n]);        \
            }                                                                                                          \
        for (; c + V_LANES <= a->cols; c += V_LANES)                                                                   \
            for (size_t t = 0; t < tokens; t++)                                                                        \
                sums[t][0] = v_fma(load_##kind(row + c * BYTES), v_load(x + t * a->cols + c), sums[t][0]);             \
        uint8_t left[V_LANES * BYTES] = {0};                                                                           \
        float last[V_LANES] = {0};                                                                                     \
        memcpy(left, row + c * BYTES, (a->cols - c) * BYTES);                                                          \
        for (size_t t = 0; t < tokens; t++) {                                                                          \
            memcpy(last, x + t * a->cols + c, (a->cols - c) * sizeof *last);                                           \
            sums[t][1] = v_fma(load_##kind(left), v_load(last), sums[t][1]);                                           \
            out[t * stride] = v_sum(v_add(v_add(sums[t][0], sums[t][1]), v_add(sums[t][2], sums[t][3])));              \
        }                                                                                                              \
    }                                                                                                                  \
    static void rows_##kind(const uint8_t *weights, size_t rows, size_t row_bytes, const rv_llm_activations *a,        \
                            size_t token, size_t tokens, float *out, size_t stride) {                                  \
        TOGETHER(ROW_OF_##kind)                                                                                        \
    }
#define ROW_OF_f32(count) row_f32(weights, a, token, count, out, stride)
#define ROW_OF_f16(count) row_f16(weights, a, token, count, out, stride)
#define ROW_OF_bf16(count) row_bf16(weights, a, token, count, out, stride)

FLOAT_ROWS(f32, 4)
FLOAT_ROWS(f16, 2)
FLOAT_ROWS(bf16, 2)

/* Rows that are not there stay 0. */
#define UNPACK_FLOATS(kind, type)                                                                                      \
    static void unpack_##kind(const uint8_t *weights, size_t rows, size_t row_bytes, size_t cols, void *to) {          \
        float *panel = to, some[64];                                                                                   \
        if (rows < PANEL) memset(panel, 0, cols * PANEL * sizeof *panel);                                              \
        for (size_t r = 0; r < rows; r++, weights += row_bytes)                                                        \
            for (size_t c = 0; c < cols; c += 64) {                                                                    \
                const size_t count = cols - c < 64 ? cols - c : 64;                                                    \
                rv_llm_row_floats(type, weights + row_bytes / cols * c, count, some);                                  \
                for (size_t i = 0; i < count; i++) panel[(c + i) * PANEL + r] = some[i];                               \
            }                                                                                                          \
    }

UNPACK_FLOATS(f32, RV_LLM_F32)
UNPACK_FLOATS(f16, RV_LLM_F16)
UNPACK_FLOATS(bf16, RV_LLM_BF16)

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
