/* How many-to-many calls are cut into blocks: each of well under a millisecond on every instruction set, from rows of one side
 * that stay in the second-level cache while those of the other pass by. */
#ifndef RV_BLOCKS_H
#define RV_BLOCKS_H

#include "rv.h"

enum { RV_BAND = 192, RV_BAND_NUMBERS = 1 << 16, RV_BLOCK_PRODUCTS = 1 << 19 };

static inline size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Rows that meet all of the other side's at a time: `rows` in equal bands of at most RV_BAND, by sixes as kernels take them. */
static inline size_t cross_band(size_t rows, size_t cols) {
    const size_t fitting = least(RV_BAND_NUMBERS / (cols + 1), RV_BAND) / 6 * 6, most = fitting ? fitting : 1;
    const size_t bands = (rows + most - 1) / most;
    return bands ? least(most, ((rows + bands - 1) / bands + 5) / 6 * 6) : 1;
}

/* The dot products of `band` rows of a with all of b, as rv_cross_dot_f32. Returns 0 if *cancel (may be NULL) ended it. */
static inline int cross_blocks(const float *a, const float *b, float *out, size_t band, size_t rows, size_t cols,
                               size_t stride, const volatile int *cancel) {
    const size_t fitting = RV_BLOCK_PRODUCTS / (band * (cols + 1)), fours = fitting / 4 * 4;
    const size_t block = fours ? fours : fitting ? fitting : 1; /* by fours as kernels take them */
    for (size_t start = 0; start < rows; start += block) {
        if (cancel && *cancel) return 0;
        rv_cross_dot_f32(a, b + start * cols, out + start, band, least(block, rows - start), cols, stride);
    }
    return 1;
}

#endif
