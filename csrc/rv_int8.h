/* The int8 kernels once, exact, over the operations that rv_bytes.h lists and
 *
 *   i_add_dot(sum, a, b)      sum plus products of int8, in any lanes
 *   i_add_sqdist(sum, a, b)   sum plus squared differences of int8
 *   I_ADD_NARROW              if there is a faster i_add_dot for b without -128: its name */
#define ELEMENT rv_i8
#ifdef I_ADD_NARROW
#define NAME wide_dot_i8
#define TERM i_add_dot
#include "rv_sums.h"
#define NAME narrow_dot_i8
#define TERM I_ADD_NARROW
#include "rv_sums.h"

static int32_t dot_i8(const int8_t *a, const int8_t *b, size_t n) { return wide_dot_i8(a, b, n); }

static int has_least(const int8_t *x, size_t n) {
    int found = 0;
    for (size_t i = 0; i < n; i++) found |= x[i] == INT8_MIN;
    return found;
}

static void many_dot_i8(const int8_t *m, const int8_t *x, int32_t *out, size_t rows, size_t cols) {
    (has_least(x, cols) ? many_wide_dot_i8 : many_narrow_dot_i8)(m, x, out, rows, cols);
}
#else
#define NAME dot_i8
#define TERM i_add_dot
#include "rv_sums.h"
#endif
#define NAME sqdist_i8
#define TERM i_add_sqdist
#include "rv_sums.h"
#undef ELEMENT

static float dist_i8(const int8_t *a, const int8_t *b, size_t n) { return (float)sqrt(sqdist_i8(a, b, n)); }

static float cosine_i8(const int8_t *a, const int8_t *b, size_t n) {
    return cosine_of(dot_i8(a, b, n), dot_i8(a, a, n), dot_i8(b, b, n));
}

static void many_cosine_i8(const int8_t *m, const int8_t *x, float *out, size_t rows, size_t cols) {
    enum { BLOCK = 64 };
    int32_t dots[BLOCK];
    const int32_t xx = dot_i8(x, x, cols);
    for (size_t start = 0; start < rows; start += BLOCK) {
        const size_t here = rows - start < BLOCK ? rows - start : BLOCK;
        many_dot_i8(m + start * cols, x, dots, here, cols);
        for (size_t r = 0; r < here; r++) {
            const int8_t *row = m + (start + r) * cols;
            out[start + r] = cosine_of(dots[r], dot_i8(row, row, cols), xx);
        }
    }
}

#ifdef I_ADD_NARROW
#define TERM I_ADD_NARROW
#else
#define TERM i_add_dot
#endif
#define PICKED_NAME picked_dot_i8
#include "rv_picked.h"
