/* The reference for floats: what each kernel means, in the plainest C. Every other file is tested against this one and
 * against float64. Sums run in double here, so that the reference is the accurate one. */
#include "rv_scalar.h"

float rv_scalar_dot_f32(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return (float)sum;
}

float rv_scalar_cosine_f32(const float *a, const float *b, size_t n) {
    double dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        dot += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return cosine_of(dot, aa, bb);
}

static double sqdist_f32(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sum;
}

float rv_scalar_sqdist_f32(const float *a, const float *b, size_t n) { return (float)sqdist_f32(a, b, n); }

float rv_scalar_dist_f32(const float *a, const float *b, size_t n) { return (float)sqrt(sqdist_f32(a, b, n)); }

void rv_scalar_cross_dot_f32(const float *a, const float *b, float *out, size_t rows_a, size_t rows_b, size_t cols,
                             size_t stride) {
    for (size_t r = 0; r < rows_a; r++) rv_scalar_many_dot_f32(b, a + r * cols, out + r * stride, rows_b, cols);
}

void rv_scalar_matmul_f32(const float *a, const float *b, float *out, size_t rows, size_t inner, size_t cols,
                          size_t stride) {
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < cols; c++) {
            double sum = 0;
            for (size_t i = 0; i < inner; i++) sum += (double)a[r * inner + i] * b[i * stride + c];
            out[r * stride + c] = (float)sum;
        }
    }
}

void rv_scalar_normalize_f32(const float *x, float *out, size_t n) {
    double squares = 0;
    for (size_t i = 0; i < n; i++) squares += (double)x[i] * x[i];
    const double length = sqrt(squares);
    for (size_t i = 0; i < n; i++) out[i] = length == 0 ? 0 : (float)(x[i] / length);
}

void rv_scalar_relu_f32(const float *x, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = x[i] < 0 ? 0 : x[i];
}

void rv_scalar_gelu_f32(const float *x, float *out, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = x[i] == -INFINITY ? 0 : (float)(0.5 * x[i] * erfc(-x[i] * 0.70710678118654752440));
}

void rv_scalar_sigmoid_f32(const float *x, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = (float)(1 / (1 + exp(-(double)x[i])));
}

void rv_scalar_silu_f32(const float *x, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = x[i] == -INFINITY ? 0 : (float)(x[i] / (1 + exp(-(double)x[i])));
}

void rv_scalar_tanh_f32(const float *x, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = (float)tanh(x[i]);
}

void rv_scalar_add_f32(const float *a, const float *b, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = a[i] + b[i];
}

void rv_scalar_mul_f32(const float *a, const float *b, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = a[i] * b[i];
}

void rv_scalar_scale_f32(const float *x, float factor, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = factor * x[i];
}

void rv_scalar_axpy_f32(float factor, const float *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = (float)((double)factor * x[i] + y[i]);
}

static double greatest(const float *x, size_t n) {
    double top = -INFINITY;
    for (size_t i = 0; i < n; i++) top = x[i] > top ? x[i] : top;
    return top;
}

static double sum_of_exponentials(const float *x, double temperature, double top, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += exp((x[i] - top) / temperature);
    return sum;
}

void rv_scalar_softmax_f32(const float *x, float temperature, float *out, size_t n) {
    const double top = greatest(x, n), sum = sum_of_exponentials(x, temperature, top, n);
    for (size_t i = 0; i < n; i++) out[i] = (float)(exp((x[i] - top) / temperature) / sum);
}

void rv_scalar_log_softmax_f32(const float *x, float temperature, float *out, size_t n) {
    const double top = greatest(x, n), logarithm = log(sum_of_exponentials(x, temperature, top, n));
    for (size_t i = 0; i < n; i++) out[i] = (float)((x[i] - top) / temperature - logarithm);
}

void rv_scalar_layer_norm_f32(const float *x, const float *gain, const float *bias, float epsilon, float *out,
                              size_t n) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    const double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    const double scale = 1 / sqrt(squares / (double)n + epsilon);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)((x[i] - mean) * scale * (gain ? gain[i] : 1) + (bias ? bias[i] : 0));
}

void rv_scalar_rms_norm_f32(const float *x, const float *gain, float epsilon, float *out, size_t n) {
    double squares = 0;
    for (size_t i = 0; i < n; i++) squares += (double)x[i] * x[i];
    const double scale = 1 / sqrt(squares / (double)n + epsilon);
    for (size_t i = 0; i < n; i++) out[i] = (float)(x[i] * scale * (gain ? gain[i] : 1));
}

/* Every one-to-many kernel is the pair kernel, row after row. */
#define RV_MANY(result, op, kind)                                                                                      \
    void rv_scalar_many_##op##_##kind(const rv_##kind *m, const rv_##kind *x, result *out, size_t rows, size_t cols) { \
        for (size_t r = 0; r < rows; r++) out[r] = rv_scalar_##op##_##kind(m + r * cols, x, cols);                     \
    }
#define RV_KERNEL(result, kernel, parameters, arguments)
#include "rv_kernels.def"

const rv_table rv_scalar_table = {
    .name = "scalar",
#define RV_KERNEL(result, kernel, parameters, arguments) .kernel = rv_scalar_##kernel,
#include "rv_kernels.def"
};
