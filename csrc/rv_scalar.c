/* The reference: what each kernel means, in the plainest C. Every other file is tested against this one and against
 * float64. Sums run in double here, so that the reference is the accurate one. */
#include "rv.h"

#include <math.h>

static float dot_f32(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return (float)sum;
}

static float cosine_f32(const float *a, const float *b, size_t n) {
    double dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        dot += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    if (aa == 0 || bb == 0) return 0;
    const double cosine = dot / (sqrt(aa) * sqrt(bb));
    return (float)(cosine > 1 ? 1 : cosine < -1 ? -1 : cosine);
}

static float sqdist_f32(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return (float)sum;
}

static float dist_f32(const float *a, const float *b, size_t n) { return sqrtf(sqdist_f32(a, b, n)); }

static void normalize_f32(const float *x, float *out, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    const double length = sqrt(sum);
    for (size_t i = 0; i < n; i++) out[i] = length == 0 ? 0 : (float)(x[i] / length);
}

static void softmax_f32(const float *x, float *out, size_t n) {
    float greatest = -INFINITY;
    for (size_t i = 0; i < n; i++) greatest = x[i] > greatest ? x[i] : greatest;
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += exp((double)x[i] - greatest);
    for (size_t i = 0; i < n; i++) out[i] = (float)(exp((double)x[i] - greatest) / sum);
}

static void matvec_f32(const float *m, const float *x, float *out, size_t rows, size_t cols) {
    for (size_t r = 0; r < rows; r++) out[r] = dot_f32(m + r * cols, x, cols);
}

static int32_t dot_i8(const int8_t *a, const int8_t *b, size_t n) {
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void best_signs_i15(const int8_t *query, size_t count, size_t stride, const uint8_t *bits, size_t tokens,
                           size_t bytes, int32_t *best) {
    for (size_t q = 0; q < count; q++) {
        const int8_t *high = query + 2 * q * stride, *low = high + stride;
        best[q] = INT32_MIN;
        for (size_t t = 0; t < tokens; t++) {
            int32_t sum = 0;
            for (size_t d = 0; d < bytes * 8; d++)
                if (bits[t * bytes + d / 8] >> (d % 8) & 1) sum += 128 * high[d] + low[d];
            best[q] = sum > best[q] ? sum : best[q];
        }
    }
}

const rv_table rv_scalar_table = {
    .name = "scalar",
#define RV_KERNEL(result, kernel, parameters, arguments) .kernel = kernel,
#include "rv_kernels.def"
};
