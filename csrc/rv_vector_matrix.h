/* Matrix products as tiles of accumulators kept in registers. With V_TALL rows on one side and V_WIDE on the other,
 * each step loads V_TALL + V_WIDE vectors for V_TALL * V_WIDE multiply-adds: enough that arithmetic, not loading, is
 * the limit. rv_vector.h includes this. */
enum { V_TALL = V_REGISTERS >= 32 ? 6 : 3, V_WIDE = V_REGISTERS >= 32 ? 4 : 3 };
#define INLINE static inline __attribute__((always_inline))

/* Four rows of b meet all rows of a before the next four do, a stretch that fits the first-level cache at a time. Sums go to
 * `stride` numbers a row and, but for the first stretch, are added to what is there. */
enum { V_STRETCH = 96 * V_LANES };
typedef struct stretch {
    size_t cols, length, stride;
    int is_first;
} stretch;

/* sums += one vector of each of `tall` rows of a times one of each of four rows of b, `left` numbers of it. With three rows that
 * takes sixteen registers. */
INLINE void cross_step(V sums[V_TALL][4], const float *a, const float *b, size_t tall, size_t cols, size_t left) {
    V rows[V_TALL];
    for (size_t r = 0; r < tall; r++) rows[r] = v_at(a + r * cols, left);
    for (size_t c = 0; c < 4; c++) {
        const V right = v_at(b + c * cols, left);
        for (size_t r = 0; r < tall; r++) sums[r][c] = v_fma(rows[r], right, sums[r][c]);
    }
}

/* The dot products of `tall` rows of a with four rows of b. Beside them it fetches a row that comes later, NULL for none; past
 * the end that does nothing. */
INLINE void cross_tile(const float *a, const float *b, float *out, size_t tall, stretch s, const float *later) {
    V sums[V_TALL][4];
    for (size_t r = 0; r < tall; r++)
        for (size_t c = 0; c < 4; c++) sums[r][c] = v_set(0);
    size_t i = 0;
    for (; i + V_LANES <= s.length; i += V_LANES) {
        if (later && i % (RV_LINE / sizeof *b) == 0) __builtin_prefetch(later + i);
        cross_step(sums, a + i, b + i, tall, s.cols, V_LANES);
    }
    if (i < s.length) cross_step(sums, a + i, b + i, tall, s.cols, s.length - i);
    for (size_t r = 0; r < tall; r++) {
        float four[4];
        v_sum4(sums[r][0], sums[r][1], sums[r][2], sums[r][3], four);
        for (size_t c = 0; c < 4; c++) out[r * s.stride + c] = s.is_first ? four[c] : out[r * s.stride + c] + four[c];
    }
}

/* The dot products of `rows_a` rows of a with four rows of b, while the next four come one by one. Two rows still keep the
 * multipliers busy, one does not. */
static void cross_four(const float *a, const float *b, float *out, size_t rows_a, stretch s) {
    const float *later = b + 4 * s.cols, *const end = b + 8 * s.cols;
    size_t r = 0;
    for (; r + V_TALL <= rows_a && r + 4 != rows_a && later < end; r += V_TALL, later += s.cols)
        cross_tile(a + r * s.cols, b, out + r * s.stride, V_TALL, s, later);
    for (; r + V_TALL <= rows_a && r + 4 != rows_a; r += V_TALL)
        cross_tile(a + r * s.cols, b, out + r * s.stride, V_TALL, s, NULL);
    for (; r + 2 <= rows_a; r += 2) cross_tile(a + r * s.cols, b, out + r * s.stride, 2, s, NULL);
    if (r < rows_a) cross_tile(a + r * s.cols, b, out + r * s.stride, 1, s, NULL);
}

static void cross_dot_f32(const float *a, const float *b, float *out, size_t rows_a, size_t rows_b, size_t cols,
                          size_t stride) {
    size_t c = 0;
    for (; c + 4 <= rows_b; c += 4) {
        size_t at = 0;
        do {
            const size_t left = cols - at;
            const stretch s = {cols, left < V_STRETCH ? left : V_STRETCH, stride, at == 0};
            cross_four(a + at, b + c * cols + at, out + c, rows_a, s);
            at += V_STRETCH;
        } while (at < cols);
    }
    for (; c < rows_b; c++)
        for (size_t r = 0; r < rows_a; r++) out[r * stride + c] = dot_f32(a + r * cols, b + c * cols, cols);
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
