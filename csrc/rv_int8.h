/* The int8 kernels once, exact, over the operations that rv_bytes.h lists and
 *
 *   i_add_dot(sum, a, b)      sum plus products of int8, in any lanes
 *   i_add_sqdist(sum, a, b)   sum plus squared differences of int8 */
#define ELEMENT rv_i8
#define NAME dot_i8
#define TERM i_add_dot
#include "rv_sums.h"
#define NAME sqdist_i8
#define TERM i_add_sqdist
#include "rv_sums.h"
#undef ELEMENT

static float dist_i8(const int8_t *a, const int8_t *b, size_t n) { return (float)sqrt(sqdist_i8(a, b, n)); }

static float cosine_i8(const int8_t *a, const int8_t *b, size_t n) {
    return cosine_of(dot_i8(a, b, n), dot_i8(a, a, n), dot_i8(b, b, n));
}

static void many_cosine_i8(const int8_t *m, const int8_t *x, float *out, size_t rows, size_t cols) {
    const int32_t xx = dot_i8(x, x, cols);
    for (size_t r = 0; r < rows; r++) {
        const int8_t *row = m + r * cols;
        out[r] = cosine_of(dot_i8(row, x, cols), dot_i8(row, row, cols), xx);
    }
}
