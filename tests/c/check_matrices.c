/* Products of matrices, with every remainder that a tile of rows or columns can leave. */
#include "check.h"

#include <math.h>
#include <string.h>

enum { A, B, OUT };

static float *filled(int slot, size_t n, enum place place) {
    float *numbers = placed(slot, n * sizeof *numbers, sizeof *numbers, place);
    fill(f32, numbers, n, NORMAL);
    return numbers;
}

/* Compares rows x cols results with sums over `inner` products of a[r * inner + i] and b[c * across + i * down]. */
static void judge(const char *name, const float *a, const float *b, const float *out, size_t rows, size_t cols,
                  size_t inner, size_t across, size_t down, size_t stride) {
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < cols; c++) {
            double want = 0, size = 0;
            for (size_t i = 0; i < inner; i++) {
                const double term = (double)a[r * inner + i] * b[c * across + i * down];
                want += term, size += fabs(term);
            }
            expect(name, out[r * stride + c], want, 4 * rounding(inner, size)); /* one sum an element, not four */
        }
    }
}

static void expect_gap(const char *name, const float *out, size_t rows, size_t cols, size_t stride) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = cols; c < stride; c++)
            if (!isnan(out[r * stride + c])) fail(name, "wrote into the gap after row %zu", r);
}

static void check_cross_dot(size_t rows_a, size_t rows_b, size_t cols, size_t gap) {
    const float *a = filled(A, rows_a * cols, AT_END), *b = filled(B, rows_b * cols, AT_END);
    const size_t stride = rows_b + gap, bytes = rows_a * stride * sizeof(float);
    float *out = memset(placed(OUT, bytes, sizeof *out, AT_END), 0xff, bytes);
    set.cross_dot_f32(a, b, out, rows_a, rows_b, cols, stride);
    judge("cross_dot_f32", a, b, out, rows_a, rows_b, cols, cols, 1, stride);
    expect_gap("cross_dot_f32", out, rows_a, rows_b, stride);
    expect_surroundings_untouched("cross_dot_f32", OUT, out, bytes);
}

static void check_matmul(size_t rows, size_t inner, size_t cols, size_t gap) {
    const size_t stride = cols + gap, bytes = rows * stride * sizeof(float);
    const float *a = filled(A, rows * inner, AT_END), *b = filled(B, inner * stride, AT_END);
    float *out = memset(placed(OUT, bytes, sizeof *out, AT_END), 0xff, bytes);
    set.matmul_f32(a, b, out, rows, inner, cols, stride);
    judge("matmul_f32", a, b, out, rows, cols, inner, 1, stride, stride);
    expect_gap("matmul_f32", out, rows, cols, stride);
    expect_surroundings_untouched("matmul_f32", OUT, out, bytes);
}

void check_matrices(void) {
    for (size_t rows_a = 0; rows_a <= 13; rows_a++)
        for (size_t rows_b = 0; rows_b <= 9; rows_b++)
            for (size_t cols = 0; cols <= 37; cols += 1 + cols / 8) check_cross_dot(rows_a, rows_b, cols, rows_a % 3);
    check_cross_dot(7, 11, 20000, 0); /* many stretches of a row */
    check_cross_dot(16, 50, 1537, 1); /* with every set's remainder */
    report("cross_dot_f32");
    for (size_t rows = 0; rows <= 13; rows++)
        for (size_t inner = 0; inner <= 17; inner += 1 + inner / 4)
            for (size_t cols = 0; cols <= 140; cols += 1 + cols / 5) check_matmul(rows, inner, cols, inner % 3);
    report("matmul_f32");
}
