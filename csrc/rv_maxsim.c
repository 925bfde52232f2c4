/* Late interaction (ColBERT's MaxSim, arXiv:2004.12832) between float query tokens and document tokens of which only
 * the signs are kept. The query is turned into 15-bit whole numbers once, so that the sums and maxima after it are
 * exact and the same on every instruction set; the rounding moves a token's score by at most sqrt(dims) / 32638 of the
 * greatest number in it. */
#include "rv.h"

#include <math.h>

enum { GREATEST = 127 * 128 + 63 };

/* What the scratch space holds: for each query token its best match, the sum of its whole numbers and the size of the
 * greatest number they stand for; then the whole numbers, split as 128 * high + low, in rows of `stride` bytes. */
typedef struct query {
    int32_t *best, *sums;
    float *sizes;
    int8_t *rows;
    size_t stride;
} query;

static size_t padded(size_t dims) { return (dims + 63) / 64 * 64; }

size_t rv_maxsim_scratch(size_t count, size_t dims) { return count * (3 + padded(dims) / 2); }

static query placed(int32_t *scratch, size_t count, size_t dims) {
    return (query){.best = scratch,
                   .sums = scratch + count,
                   .sizes = (float *)(scratch + 2 * count),
                   .rows = (int8_t *)(scratch + 3 * count),
                   .stride = padded(dims)};
}

/* The greatest absolute value, NaN if there is anything that is not finite. */
static float greatest_size(const float *x, size_t n) {
    float greatest = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) return NAN;
        greatest = fabsf(x[i]) > greatest ? fabsf(x[i]) : greatest;
    }
    return greatest;
}

static void quantise(query *to, size_t q, const float *token, size_t dims) {
    int8_t *high = to->rows + 2 * q * to->stride, *low = high + to->stride;
    const float greatest = greatest_size(token, dims);
    const double factor = greatest > 0 ? GREATEST / (double)greatest : 0;
    to->sums[q] = 0;
    for (size_t d = 0; d < to->stride; d++) {
        const int32_t whole = d < dims && factor > 0 ? (int32_t)lrint(token[d] * factor) : 0;
        const int32_t upper = (whole + 64 + 128 * 128) / 128 - 128; /* (whole + 64) / 128 rounded down */
        high[d] = (int8_t)upper;
        low[d] = (int8_t)(whole - 128 * upper);
        to->sums[q] += whole;
    }
    to->sizes[q] = greatest;
}

int rv_maxsim_bits(const float *tokens, const float *weights, size_t count, size_t dims, const uint8_t *bits,
                   const int64_t *starts, const int64_t *counts, size_t docs, int32_t *scratch, float *scores,
                   const volatile int *cancel) {
    query prepared = placed(scratch, count, dims);
    double total = 0;
    for (size_t q = 0; q < count; q++) {
        quantise(&prepared, q, tokens + q * dims, dims);
        total += weights[q];
    }
    for (size_t doc = 0; doc < docs; doc++) {
        if (cancel && *cancel) return 0;
        const size_t start = (size_t)starts[doc], length = (size_t)counts[doc];
        scores[doc] = 0;
        if (!length || total == 0) continue;
        rv_best_signs_i15(prepared.rows, count, prepared.stride, bits + start * (dims / 8), length, dims / 8,
                          prepared.best);
        double score = 0; /* a sum over set bits minus the sum over clear ones is twice the first minus the whole */
        for (size_t q = 0; q < count; q++)
            score += (double)weights[q] * prepared.sizes[q] * (2.0 * prepared.best[q] - prepared.sums[q]);
        scores[doc] = (float)(score / (total * GREATEST * sqrt((double)dims)));
    }
    return 1;
}
