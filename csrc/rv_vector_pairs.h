/* Dot product, squared distance and cosine for one KIND of float (f32, f16, bf16), of a pair and of many rows with one
 * vector; rv_vector.h includes this once for each kind. */
#define OF_KIND(name) RV_JOIN(name, KIND)

#define ELEMENT OF_KIND(rv_)
#define RESULT float
#define VECTOR V
#define STEP V_LANES
#define LOAD OF_KIND(v_load_)
#define LOAD_PART OF_KIND(v_load_part_)
#define SUM V
#define ZERO v_set(0)
#define PLUS v_add
#define TOTAL v_sum
#define TOTAL4 v_sum4

#define NAME OF_KIND(dot_)
#define TERM v_add_product
#include "rv_sums.h"
#define NAME OF_KIND(sqdist_)
#define TERM v_add_square
#include "rv_sums.h"

static float OF_KIND(dist_)(const ELEMENT *a, const ELEMENT *b, size_t n) {
    const float square = OF_KIND(sqdist_)(a, b, n);
    return is_comfortable(square) ? sqrtf(square) : OF_KIND(rv_scalar_dist_)(a, b, n);
}

/* The dot product of a and b into *ab and their squared lengths, together: each number is loaded once. */
static inline void OF_KIND(dot_and_squares_)(const ELEMENT *a, const ELEMENT *b, size_t n, float *ab, float *aa,
                                             float *bb) {
    V ab0 = ZERO, ab1 = ZERO, aa0 = ZERO, aa1 = ZERO, bb0 = ZERO, bb1 = ZERO;
    size_t i = 0;
    for (; i + 2 * STEP <= n; i += 2 * STEP) {
        const V a0 = LOAD(a + i), b0 = LOAD(b + i), a1 = LOAD(a + i + STEP), b1 = LOAD(b + i + STEP);
        ab0 = v_fma(a0, b0, ab0), aa0 = v_fma(a0, a0, aa0), bb0 = v_fma(b0, b0, bb0);
        ab1 = v_fma(a1, b1, ab1), aa1 = v_fma(a1, a1, aa1), bb1 = v_fma(b1, b1, bb1);
    }
    if (i + STEP <= n) {
        const V va = LOAD(a + i), vb = LOAD(b + i);
        ab0 = v_fma(va, vb, ab0), aa0 = v_fma(va, va, aa0), bb0 = v_fma(vb, vb, bb0);
        i += STEP;
    }
    if (i < n) {
        const V va = LOAD_PART(a + i, n - i), vb = LOAD_PART(b + i, n - i);
        ab1 = v_fma(va, vb, ab1), aa1 = v_fma(va, va, aa1), bb1 = v_fma(vb, vb, bb1);
    }
    *ab = v_sum(v_add(ab0, ab1)), *aa = v_sum(v_add(aa0, aa1)), *bb = v_sum(v_add(bb0, bb1));
}

static float OF_KIND(cosine_)(const ELEMENT *a, const ELEMENT *b, size_t n) {
    float ab, aa, bb;
    OF_KIND(dot_and_squares_)(a, b, n, &ab, &aa, &bb);
    if (!is_comfortable(aa) || !is_comfortable(bb)) return OF_KIND(rv_scalar_cosine_)(a, b, n);
    return cosine_of(ab, aa, bb);
}

static void OF_KIND(many_cosine_)(const ELEMENT *m, const ELEMENT *x, float *out, size_t rows, size_t cols) {
    for (size_t r = 0; r < rows; r++) out[r] = OF_KIND(cosine_)(m + r * cols, x, cols);
}

#undef KIND
#undef OF_KIND
#undef ELEMENT
#undef RESULT
#undef VECTOR
#undef STEP
#undef LOAD
#undef LOAD_PART
#undef SUM
#undef ZERO
#undef PLUS
#undef TOTAL
#undef TOTAL4
