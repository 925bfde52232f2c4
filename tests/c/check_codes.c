/* Kernels over codes: product quantisation and sign bits. */
#include "check.h"

#include <math.h>
#include <string.h>

enum { TABLE, CODES, OUT, QUERY, ROUGH };

static void fill_bytes(uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)random_bits();
}

static void check_adc(size_t rows, size_t parts) {
    float *table = placed(TABLE, parts * 256 * sizeof *table, sizeof *table, AT_END);
    uint8_t *codes = placed(CODES, rows * parts, 1, AT_END);
    float *out = placed(OUT, rows * sizeof *out, sizeof *out, AT_END);
    fill(f32, table, parts * 256, NORMAL);
    fill_bytes(codes, rows * parts);
    set.adc_u8(table, codes, out, rows, parts);
    for (size_t r = 0; r < rows; r++) {
        double want = 0, size = 0;
        for (size_t p = 0; p < parts; p++) {
            const double entry = table[p * 256 + codes[r * parts + p]];
            want += entry, size += fabs(entry);
        }
        expect("adc_u8", out[r], want, 4 * rounding(parts, size)); /* one sum a row, not four */
    }
    expect_surroundings_untouched("adc_u8", OUT, out, rows * sizeof *out);
}

/* Any rows, in any order, again and again; and the greatest sums there can be. */
static void check_picked(size_t count, size_t cols, bool greatest) {
    const size_t there = 1 + count / 2;
    int8_t *m = placed(CODES, there * cols, 1, AT_END), *x = placed(QUERY, cols, 1, AT_END);
    int32_t *rows = placed(TABLE, count * sizeof *rows, sizeof *rows, AT_END);
    int32_t *out = placed(OUT, count * sizeof *out, sizeof *out, AT_END);
    for (size_t i = 0; i < there * cols; i++) m[i] = greatest ? -128 : (int8_t)random_bits();
    for (size_t i = 0; i < cols; i++) x[i] = (int8_t)(greatest ? 127 : (int)(random_bits() % 255) - 127);
    for (size_t i = 0; i < count; i++) rows[i] = (int32_t)(random_bits() % there);
    set.picked_dot_i8(m, x, rows, out, count, cols);
    for (size_t i = 0; i < count; i++) {
        double want = 0;
        for (size_t c = 0; c < cols; c++) want += (double)m[(size_t)rows[i] * cols + c] * x[c];
        expect("picked_dot_i8", out[i], want, 0);
    }
    expect_surroundings_untouched("picked_dot_i8", OUT, out, count * sizeof *out);
}

/* The greatest sums, with the greatest numbers a query may hold where the token's bits are all set. */
static void check_best_signs(size_t count, size_t tokens, size_t bytes, bool greatest) {
    const size_t stride = (bytes * 8 + 63) / 64 * 64;
    int32_t second_most[3], unit[3];
    int8_t *query = memset(placed(QUERY, 2 * count * stride, 1, AT_END), 0, 2 * count * stride);
    uint8_t *rough = placed(ROUGH, 4 * count * stride, 1, AT_END);
    rv_signs signs = {count, bytes, stride, query, second_most, unit, rough};
    uint8_t *bits = placed(CODES, tokens * bytes, 1, AT_END);
    int32_t *best = placed(OUT, count * sizeof *best, sizeof *best, AT_END);
    fill_bytes(bits, tokens * bytes);
    if (greatest) memset(bits, 0xff, tokens * bytes);
    for (size_t q = 0; q < count; q++) {
        for (size_t d = 0; d < bytes * 8; d++) {
            const int sign = greatest ? (q % 2 ? -1 : 1) : 0;
            query[2 * q * stride + d] = (int8_t)(sign ? sign * 127 : (int)(random_bits() % 255) - 127);
            query[(2 * q + 1) * stride + d] = (int8_t)(sign ? 63 * sign : (int)(random_bits() % 128) - 64);
        }
    }
    rv_signs_bound(&signs);
    set.best_signs_i15(&signs, bits, tokens, best);
    for (size_t q = 0; q < count; q++) {
        double want = INT32_MIN;
        for (size_t t = 0; t < tokens; t++) {
            double sum = 0;
            for (size_t d = 0; d < bytes * 8; d++)
                if (read_number(b1, bits + t * bytes, d) > 0)
                    sum += 128.0 * query[2 * q * stride + d] + query[(2 * q + 1) * stride + d];
            want = fmax(want, sum);
        }
        expect("best_signs_i15", best[q], want, 0);
    }
    expect_surroundings_untouched("best_signs_i15", OUT, best, count * sizeof *best);
}

void check_codes(void) {
    for (size_t rows = 0; rows <= 9; rows++)
        for (size_t parts = 0; parts <= 50; parts++) check_adc(rows, parts);
    report("adc_u8");
    for (size_t count = 0; count <= 21; count++)
        for (size_t cols = 0; cols <= 140; cols += 1 + cols / 16) check_picked(count, cols, count % 5 == 4);
    report("picked_dot_i8");
    for (size_t bytes = 1; bytes <= RV_SIGN_DIMS / 8; bytes += 1 + bytes / 24)
        for (size_t tokens = 0; tokens <= 70; tokens += 1 + tokens / 9 * 10)
            check_best_signs(1 + tokens % 3, tokens, bytes, tokens % 10 == 5);
    report("best_signs_i15");
}
