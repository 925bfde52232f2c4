/* The float kernels once, over a handful of vector operations. An instruction set's file defines those operations and
 * then includes this one (rv.h and math.h come before):
 *
 *   V, V_LANES                         the vector type and its floats
 *   v_load(p) v_store(p, v)            unaligned
 *   v_load_part(p, n) v_store_part(p, v, n)   n < V_LANES; the lanes past n read as 0 and are not touched in memory
 *   v_set(x) v_add v_sub v_mul v_max v_fma(a, b, c) = a * b + c
 *   v_round(v) v_power_of_two(v)       to the nearest whole number; 2^v for whole v in [-126, 127]
 *   v_sum(v) v_greatest(v)             over all lanes, always in the same order
 *   bytes_dot(a, b, n)                 int8 dot product, exact
 *
 * Sums run in four accumulators of float32: the rounding error grows with n / (4 * V_LANES). Lengths whose square leaves
 * float32's comfortable range are left to the scalar reference, which sums in double. */
extern const rv_table rv_scalar_table;

static inline V v_at(const float *p, size_t left) { return left >= V_LANES ? v_load(p) : v_load_part(p, left); }

static inline void v_put(float *p, V v, size_t left) {
    if (left >= V_LANES)
        v_store(p, v);
    else
        v_store_part(p, v, left);
}

/* Sum over i of TERM(accumulator, vector of a, vector of b), four accumulators wide. */
#define V_ACCUMULATE(a, b, n, TERM)                                                             \
    V s0 = v_set(0), s1 = s0, s2 = s0, s3 = s0;                                                 \
    size_t i = 0;                                                                               \
    for (; i + 4 * V_LANES <= (n); i += 4 * V_LANES) {                                          \
        s0 = TERM(s0, v_load((a) + i), v_load((b) + i));                                        \
        s1 = TERM(s1, v_load((a) + i + V_LANES), v_load((b) + i + V_LANES));                    \
        s2 = TERM(s2, v_load((a) + i + 2 * V_LANES), v_load((b) + i + 2 * V_LANES));            \
        s3 = TERM(s3, v_load((a) + i + 3 * V_LANES), v_load((b) + i + 3 * V_LANES));            \
    }                                                                                           \
    for (; i < (n); i += V_LANES) s0 = TERM(s0, v_at((a) + i, (n) - i), v_at((b) + i, (n) - i)); \
    const float total = v_sum(v_add(v_add(s0, s1), v_add(s2, s3)));

static inline V product(V sum, V a, V b) { return v_fma(a, b, sum); }

static inline V squared_difference(V sum, V a, V b) {
    const V difference = v_sub(a, b);
    return v_fma(difference, difference, sum);
}

static float dot_f32(const float *a, const float *b, size_t n) {
    V_ACCUMULATE(a, b, n, product)
    return total;
}

static float sqdist_f32(const float *a, const float *b, size_t n) {
    V_ACCUMULATE(a, b, n, squared_difference)
    return total;
}

static float dist_f32(const float *a, const float *b, size_t n) { return sqrtf(sqdist_f32(a, b, n)); }

static inline int is_comfortable(float square) { return square > 1e-30f && square < 1e30f; }

static float cosine_f32(const float *a, const float *b, size_t n) {
    V ab = v_set(0), aa = ab, bb = ab;
    for (size_t i = 0; i < n; i += V_LANES) {
        const V va = v_at(a + i, n - i), vb = v_at(b + i, n - i);
        ab = v_fma(va, vb, ab);
        aa = v_fma(va, va, aa);
        bb = v_fma(vb, vb, bb);
    }
    const float squares_a = v_sum(aa), squares_b = v_sum(bb);
    if (!is_comfortable(squares_a) || !is_comfortable(squares_b)) return rv_scalar_table.cosine_f32(a, b, n);
    const float cosine = v_sum(ab) / (sqrtf(squares_a) * sqrtf(squares_b));
    return cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;
}

static void normalize_f32(const float *x, float *out, size_t n) {
    const float squares = dot_f32(x, x, n);
    if (!is_comfortable(squares)) {
        rv_scalar_table.normalize_f32(x, out, n);
        return;
    }
    const V scale = v_set(1 / sqrtf(squares));
    for (size_t i = 0; i < n; i += V_LANES) v_put(out + i, v_mul(v_at(x + i, n - i), scale), n - i);
}

/* e^v for v <= 88: 2^k e^r with k = round(v / ln 2), r reduced in two steps, e^r by Taylor's series to r^7 / 7!
 * (relative error below 2e-7 on |r| <= ln(2) / 2). Below -87 it is e^-87, as good as 0 beside a term of 1. */
static inline V v_exp(V v) {
    v = v_max(v_set(-87.0f), v);
    const V k = v_round(v_mul(v, v_set(1.44269504f)));
    V r = v_fma(k, v_set(-0.693359375f), v);
    r = v_fma(k, v_set(2.12194440e-4f), r);
    V p = v_set(1.0f / 5040);
    p = v_fma(p, r, v_set(1.0f / 720));
    p = v_fma(p, r, v_set(1.0f / 120));
    p = v_fma(p, r, v_set(1.0f / 24));
    p = v_fma(p, r, v_set(1.0f / 6));
    p = v_fma(p, r, v_set(0.5f));
    p = v_fma(p, r, v_set(1));
    p = v_fma(p, r, v_set(1));
    return v_mul(p, v_power_of_two(k));
}

static void softmax_f32(const float *x, float *out, size_t n) {
    if (!n) return;
    V greatest = v_set(x[0]);
    size_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES) greatest = v_max(v_load(x + i), greatest);
    float top = v_greatest(greatest);
    for (; i < n; i++) top = x[i] > top ? x[i] : top;
    if (!(top < INFINITY && top > -INFINITY)) { /* NaN, or an infinity: as the reference has it */
        rv_scalar_table.softmax_f32(x, out, n);
        return;
    }
    const V shift = v_set(top);
    V sums = v_set(0);
    for (i = 0; i + V_LANES <= n; i += V_LANES) {
        const V e = v_exp(v_sub(v_load(x + i), shift));
        v_store(out + i, e);
        sums = v_add(sums, e);
    }
    float sum = v_sum(sums);
    if (i < n) {
        float tail[V_LANES];
        const V e = v_exp(v_sub(v_load_part(x + i, n - i), shift));
        v_store(tail, e);
        v_store_part(out + i, e, n - i);
        for (size_t j = 0; j < n - i; j++) sum += tail[j];
    }
    const V scale = v_set(1 / sum);
    for (i = 0; i < n; i += V_LANES) v_put(out + i, v_mul(v_at(out + i, n - i), scale), n - i);
}

static void matvec_f32(const float *m, const float *x, float *out, size_t rows, size_t cols) {
    for (size_t r = 0; r < rows; r++) out[r] = dot_f32(m + r * cols, x, cols);
}

static int32_t dot_i8(const int8_t *a, const int8_t *b, size_t n) { return bytes_dot(a, b, n); }
