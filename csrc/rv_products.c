/* The kernels that fill whole arrays, as long calls: block by block, each of well under a millisecond, with a look at the
 * cancel flag between them. */
#include "rv.h"
#include "rv_blocks.h"

#include <string.h>

/* Numbers worked on in a block. The scalar set takes up to 17 ns for one of float16. */
enum { BLOCK = 1 << 15 };

static size_t block_of(size_t cost, size_t left) {
    const size_t fitting = BLOCK / (cost + 1) / 12 * 12, most = fitting ? fitting : 1; /* whole tiles of rows */
    return left < most ? left : most;
}

#define RV_MANY(result, op, kind)                                                                                      \
    static void run_##op##_##kind(const void *m, size_t start, const void *x, void *out, size_t rows, size_t cols) {   \
        rv_many_##op##_##kind((const rv_##kind *)m + start * cols, x, (result *)out + start, rows, cols);              \
    }
#define RV_KERNEL(result, kernel, parameters, arguments)
#include "rv_kernels.def"

static const struct metric {
    const char *name;
    void (*run)(const void *m, size_t start, const void *x, void *out, size_t rows, size_t cols);
} metrics[] = {
#define RV_MANY(result, op, kind) {#op "_" #kind, run_##op##_##kind},
#define RV_KERNEL(result, kernel, parameters, arguments)
#include "rv_kernels.def"
};

int rv_many(const char *metric, const void *m, const void *x, void *out, size_t rows, size_t cols,
            const volatile int *cancel) {
    const struct metric *by = metrics;
    while (strcmp(by->name, metric))
        if (++by == metrics + sizeof metrics / sizeof *metrics) return 0;
    for (size_t start = 0, here; start < rows; start += here) {
        if (cancel && *cancel) return 0;
        here = block_of(cols, rows - start);
        by->run(m, start, x, out, here, cols);
    }
    return 1;
}

int rv_cross_dot(const float *a, const float *b, float *out, size_t rows_a, size_t rows_b, size_t cols,
                 const volatile int *cancel) {
    const size_t band = cross_band(rows_a, cols);
    for (size_t r = 0; r < rows_a; r += band)
        if (!cross_blocks(a + r * cols, b, out + r * rows_b, least(band, rows_a - r), rows_b, cols, rows_b, cancel)) return 0;
    return 1;
}

/* Tiles are whole ones of every instruction set's kernel, and smaller the more numbers go into each of their sums. */
int rv_matmul(const float *a, const float *b, float *out, size_t rows, size_t inner, size_t cols,
              const volatile int *cancel) {
    size_t tall = 12, wide = 192;
    while (tall * wide * inner > 16 * BLOCK && wide > 64) wide -= 64;
    while (tall * wide * inner > 16 * BLOCK && tall > 1) tall /= 2;
    while (tall * wide * inner > 16 * BLOCK && wide > 16) wide /= 2;
    for (size_t c = 0; c < cols; c += wide) {
        const size_t across = cols - c < wide ? cols - c : wide;
        for (size_t r = 0; r < rows; r += tall) {
            if (cancel && *cancel) return 0;
            rv_matmul_f32(a + r * inner, b + c, out + r * cols + c, rows - r < tall ? rows - r : tall, inner, across, cols);
        }
    }
    return 1;
}

int rv_adc(const float *table, const uint8_t *codes, float *out, size_t rows, size_t parts, const volatile int *cancel) {
    for (size_t start = 0, here; start < rows; start += here) {
        if (cancel && *cancel) return 0;
        here = block_of(parts, rows - start);
        rv_adc_u8(table, codes + start * parts, out + start, here, parts);
    }
    return 1;
}
