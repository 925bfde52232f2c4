/* Matrix products as tiles of accumulators kept in registers. With V_TALL rows on one side and V_WIDE on the other,
 * each step loads V_TALL + V_WIDE vectors for V_TALL * V_WIDE multiply-adds: enough that arithmetic, not loading, is
 * the limit. rv_vector.h includes this. */
enum { V_TALL = V_REGISTERS >= 32 ? 6 : 3, V_WIDE = V_REGISTERS >= 32 ? 4 : 3 };
#define INLINE static inline __attribute__((always_inline))

/* sums += one vector of each of `tall` rows of a times one of each of `wide` rows of b, `left` numbers of it. */
INLINE void cross_step(V sums[V_TALL][4], const float *a, const float *b, size_t tall, size_t cols, size_t left) {
    V right[4];
    for (size_t c = 0; c < 4; c++) right[c] = v_at(b + c * cols, left);
    for (size_t r = 0; r < tall; r++) {
        const V row = v_at(a + r * cols, left);
        for (size_t c = 0; c < 4; c++) sums[r][c] = v_fma(row, right[c], sums[r][c]);
    }
}

/* The dot products of `tall` rows of a with four rows of b. */
INLINE void cross_tile(const float *a, const float *b, float *out, size_t tall, size_t cols, size_t stride) {
    V sums[V_TALL][4];
    for (size_t r = 0; r < tall; r++)
        for (size_t c = 0; c < 4; c++) sums[r][c] = v_set(0);
    size_t i = 0;
    for (; i + V_LANES <= cols; i += V_LANES) cross_step(sums, a + i, b + i, tall, cols, V_LANES);
    if (i < cols) cross_step(sums, a + i, b + i, tall, cols, cols - i);
    for (size_t r = 0; r < tall; r++) v_sum4(sums[r][0], sums[r][1], sums[r][2], sums[r][3], out + r * stride);
}

/* The dot products of `tall` rows of a with all of b. */
INLINE void cross_band(const float *a, const float *b, float *out, size_t tall, size_t rows_b, size_t cols,
                       size_t stride) {
    size_t c = 0;
    for (; c + 4 <= rows_b; c += 4) cross_tile(a, b + c * cols, out + c, tall, cols, stride);
    for (; c < rows_b; c++)
        for (size_t r = 0; r < tall; r++) out[r * stride + c] = dot_f32(a + r * cols, b + c * cols, cols);
}

/* Rows of b go by in panels that stay in the second-level cache while every row of a passes over them. */
static void cross_dot_f32(const float *a, const float *b, float *out, size_t rows_a, size_t rows_b, size_t cols,
                          size_t stride) {
    const size_t fitting = 65536 / (cols + 1) / 4 * 4, panel = fitting ? fitting : 4;
    for (size_t start = 0; start < rows_b; start += panel) {
        const size_t here = rows_b - start < panel ? rows_b - start : panel;
        const float *rows = b + start * cols;
        size_t r = 0;
        for (; r + V_TALL <= rows_a; r += V_TALL)
            cross_band(a + r * cols, rows, out + r * stride + start, V_TALL, here, cols, stride);
        for (; r < rows_a; r++) cross_band(a + r * cols, rows, out + r * stride + start, 1, here, cols, stride);
    }
}

/* `tall` rows of a (of `inner` numbers) times `wide` vectors of columns of b (`left` columns, the last vector in part).
 */
INLINE void product_tile(const float *a, const float *b, float *out, size_t tall, size_t wide, size_t inner,
                         size_t stride, size_t left) {
    V sums[V_TALL][V_WIDE];
    for (size_t r = 0; r < tall; r++)
        for (size_t c = 0; c < wide; c++) sums[r][c] = v_set(0);
    for (size_t i = 0; i < inner; i++) {
        V right[V_WIDE];
        for (size_t c = 0; c < wide; c++) right[c] = v_at(b + i * stride + c * V_LANES, left - c * V_LANES);
        for (size_t r = 0; r < tall; r++) {
            const V factor = v_set(a[r * inner + i]);
            for (size_t c = 0; c < wide; c++) sums[r][c] = v_fma(factor, right[c], sums[r][c]);
        }
    }
    for (size_t r = 0; r < tall; r++)
        for (size_t c = 0; c < wide; c++) v_put(out + r * stride + c * V_LANES, sums[r][c], left - c * V_LANES);
}

/* `tall` rows of a times all of b. */
INLINE void product_band(const float *a, const float *b, float *out, size_t tall, size_t inner, size_t cols,
                         size_t stride) {
    size_t c = 0;
    for (; c + V_WIDE * V_LANES <= cols; c += V_WIDE * V_LANES)
        product_tile(a, b + c, out + c, tall, V_WIDE, inner, stride, V_WIDE * V_LANES);
    for (; c < cols; c += V_LANES)
        product_tile(a, b + c, out + c, tall, 1, inner, stride, cols - c < V_LANES ? cols - c : V_LANES);
}

static void matmul_f32(const float *a, const float *b, float *out, size_t rows, size_t inner, size_t cols,
                       size_t stride) {
    size_t r = 0;
    for (; r + V_TALL <= rows; r += V_TALL) product_band(a + r * inner, b, out + r * stride, V_TALL, inner, cols, stride);
    for (; r < rows; r++) product_band(a + r * inner, b, out + r * stride, 1, inner, cols, stride);
}
#undef INLINE
