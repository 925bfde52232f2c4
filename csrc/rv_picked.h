/* picked_dot_i8: many_dot_i8 over rows that lie anywhere. Defined by whoever includes it: PICKED_NAME and
 *
 *   TERM(sum, a, b)   sum plus products of int8, b's in [-127, 127]
 *
 * Four rows at a time, so that a load of x serves four of them; the rows after next are asked for meanwhile, because
 * they are seldom in the cache. */
static inline void fetch_row(const int8_t *row, size_t cols) {
    for (size_t at = 0; at < cols; at += 64) __builtin_prefetch(row + at);
}

static void PICKED_NAME(const int8_t *m, const int8_t *x, const int32_t *rows, int32_t *out, size_t count,
                        size_t cols) {
    enum { AHEAD = 8 };
    for (size_t r = 0; r < count && r < AHEAD; r++) fetch_row(m + (size_t)rows[r] * cols, cols);
    for (size_t r = 0; r < count; r += 4) {
        const size_t last = count - 1;
        for (size_t i = r + AHEAD; i < r + AHEAD + 4 && i < count; i++) fetch_row(m + (size_t)rows[i] * cols, cols);
        const int8_t *m0 = m + (size_t)rows[r] * cols, *m1 = m + (size_t)rows[r + 1 < last ? r + 1 : last] * cols;
        const int8_t *m2 = m + (size_t)rows[r + 2 < last ? r + 2 : last] * cols;
        const int8_t *m3 = m + (size_t)rows[r + 3 < last ? r + 3 : last] * cols;
        I s0 = i_zero(), s1 = s0, s2 = s0, s3 = s0;
        size_t at = 0;
        for (; at + B_BYTES <= cols; at += B_BYTES) {
            const B v = b_load(x + at);
            s0 = TERM(s0, b_load(m0 + at), v);
            s1 = TERM(s1, b_load(m1 + at), v);
            s2 = TERM(s2, b_load(m2 + at), v);
            s3 = TERM(s3, b_load(m3 + at), v);
        }
        if (at < cols) {
            const B v = b_load_part(x + at, cols - at);
            s0 = TERM(s0, b_load_part(m0 + at, cols - at), v);
            s1 = TERM(s1, b_load_part(m1 + at, cols - at), v);
            s2 = TERM(s2, b_load_part(m2 + at, cols - at), v);
            s3 = TERM(s3, b_load_part(m3 + at, cols - at), v);
        }
        int32_t sums[4];
        i_sum4(s0, s1, s2, s3, sums);
        for (size_t i = 0; i < 4 && r + i < count; i++) out[r + i] = sums[i];
    }
}
#undef TERM
#undef PICKED_NAME
