/* One operation that is a sum over the elements of two vectors: NAME for a pair and many_NAME for every row of a matrix
 * with one vector. Included once an operation and kind of number, with these defined:
 *
 *   NAME ELEMENT RESULT     dot_f32, float, float
 *   TERM(sum, a, b)         a vector of sums plus one vector's worth of terms
 *   SUM ZERO PLUS           the type of those sums, none yet, two added
 *   TOTAL(sum) TOTAL4(s0, s1, s2, s3, out)   across the lanes, of one and of four
 *   VECTOR STEP LOAD(p) LOAD_PART(p, n)   the vector of elements, how many, a whole one, one of n < STEP followed by 0
 *
 * A pair runs in four sums, so that one addition need not wait for the last; rows go by in fours, so that a load of x
 * serves four of them. */
#ifndef RV_SUMS_H
#define RV_SUMS_H
enum { RV_LINE = 64, RV_NEAR = 1 << 23 }; /* bytes of a cache line, and of what may well be in the caches */
#endif

static RESULT NAME(const ELEMENT *a, const ELEMENT *b, size_t n) {
    SUM s0 = ZERO, s1 = ZERO, s2 = ZERO, s3 = ZERO;
    size_t i = 0;
    for (; i + 4 * STEP <= n; i += 4 * STEP) {
        s0 = TERM(s0, LOAD(a + i), LOAD(b + i));
        s1 = TERM(s1, LOAD(a + i + STEP), LOAD(b + i + STEP));
        s2 = TERM(s2, LOAD(a + i + 2 * STEP), LOAD(b + i + 2 * STEP));
        s3 = TERM(s3, LOAD(a + i + 3 * STEP), LOAD(b + i + 3 * STEP));
    }
    for (; i + STEP <= n; i += STEP) s0 = TERM(s0, LOAD(a + i), LOAD(b + i));
    if (i < n) s1 = TERM(s1, LOAD_PART(a + i, n - i), LOAD_PART(b + i, n - i));
    return TOTAL(PLUS(PLUS(s0, s1), PLUS(s2, s3)));
}

/* Four rows. `is_far` fetches the next four, a cache line at a time, because the CPU's own prefetching starts anew at each
 * row; past the end that does nothing. */
static inline __attribute__((always_inline)) void RV_JOIN(four_, NAME)(const ELEMENT *m, const ELEMENT *x, RESULT *out,
                                                                       size_t cols, const int is_far) {
    const ELEMENT *m0 = m, *m1 = m0 + cols, *m2 = m1 + cols, *m3 = m2 + cols;
    SUM s0 = ZERO, s1 = ZERO, s2 = ZERO, s3 = ZERO;
    size_t i = 0;
    for (; i + STEP <= cols; i += STEP) {
        const VECTOR v = LOAD(x + i);
        if (is_far && i % (RV_LINE / sizeof *m) == 0) {
            __builtin_prefetch(m3 + cols + i);
            __builtin_prefetch(m3 + 2 * cols + i);
            __builtin_prefetch(m3 + 3 * cols + i);
            __builtin_prefetch(m3 + 4 * cols + i);
        }
        s0 = TERM(s0, LOAD(m0 + i), v);
        s1 = TERM(s1, LOAD(m1 + i), v);
        s2 = TERM(s2, LOAD(m2 + i), v);
        s3 = TERM(s3, LOAD(m3 + i), v);
    }
    if (i < cols) {
        const VECTOR v = LOAD_PART(x + i, cols - i);
        s0 = TERM(s0, LOAD_PART(m0 + i, cols - i), v);
        s1 = TERM(s1, LOAD_PART(m1 + i, cols - i), v);
        s2 = TERM(s2, LOAD_PART(m2 + i, cols - i), v);
        s3 = TERM(s3, LOAD_PART(m3 + i, cols - i), v);
    }
    TOTAL4(s0, s1, s2, s3, out);
}

static void RV_JOIN(many_, NAME)(const ELEMENT *m, const ELEMENT *x, RESULT *out, size_t rows, size_t cols) {
    size_t r = 0;
    if (rows * cols * sizeof *m > RV_NEAR)
        for (; r + 4 <= rows; r += 4) RV_JOIN(four_, NAME)(m + r * cols, x, out + r, cols, 1);
    for (; r + 4 <= rows; r += 4) RV_JOIN(four_, NAME)(m + r * cols, x, out + r, cols, 0);
    for (; r < rows; r++) out[r] = NAME(m + r * cols, x, cols);
}

#undef NAME
#undef TERM
