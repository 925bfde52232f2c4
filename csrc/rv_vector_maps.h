/* Element by element and row by row: activations, normalisations, softmax. rv_vector.h includes this. */

#include "rv_vector_exp.h"

/* e^v, for v <= 88. Below -87 it is 0. */
static inline V v_exp(V v) { return v_flush(v_exp_within(v_max(v_set(-87), v)), v, -87); }

/* 1 / (1 + e^-v). Below -87 it is 0. */
static inline V v_sigmoid(V v) {
    const V e = v_exp(v_min(v_set(87), v_sub(v_set(0), v)));
    return v_flush(v_div(v_set(1), v_add(v_set(1), e)), v, -87);
}

/* tanh v = 2 sigmoid(2 v) - 1, exact to 2e-7 of 1, not of itself. */
static inline V v_tanh(V v) { return v_fma(v_set(2), v_sigmoid(v_add(v, v)), v_set(-1)); }

/* erfc(z) for z >= 0, relative error below 1.2e-7 + 1e-7 z^2: Chebyshev fit of Numerical Recipes, 6.2. */
static inline V v_erfc(V z) {
    static const float terms[] = {0.17087277f,  -0.82215223f, 1.48851587f, -1.13520398f, 0.27886807f,
                                  -0.18628806f, 0.09678418f,  0.37409196f, 1.00002368f,  -1.26551223f};
    const V t = v_div(v_set(1), v_fma(v_set(0.5f), z, v_set(1)));
    V p = v_set(terms[0]);
    for (size_t i = 1; i < sizeof terms / sizeof *terms; i++) p = v_fma(p, t, v_set(terms[i]));
    return v_mul(t, v_exp(v_sub(p, v_mul(z, z))));
}

/* x times the normal distribution's share below x: max(x, 0) less |x| times the share beyond |x|. */
static inline V v_gelu(V x) {
    const V size = v_min(v_set(20), v_max(x, v_sub(v_set(0), x))); /* nothing is left to take away beyond 20 */
    const V beyond = v_mul(v_set(0.5f), v_erfc(v_mul(size, v_set(0.70710678f))));
    return v_sub(v_max(v_set(0), x), v_mul(size, beyond));
}

static inline V v_relu(V x) { return v_max(v_set(0), x); }

static inline V v_silu(V x) { return v_mul(v_max(v_set(-100), x), v_sigmoid(x)); }

/* out = FUNCTION(x), element by element. */
#define V_MAP(kernel, FUNCTION)                                                                                        \
    static void kernel(const float *x, float *out, size_t n) {                                                         \
        size_t i = 0;                                                                                                  \
        for (; i + V_LANES <= n; i += V_LANES) v_store(out + i, FUNCTION(v_load(x + i)));                              \
        if (i < n) v_store_part(out + i, FUNCTION(v_load_part(x + i, n - i)), n - i);                                  \
    }

V_MAP(relu_f32, v_relu)
V_MAP(gelu_f32, v_gelu)
V_MAP(silu_f32, v_silu)
V_MAP(sigmoid_f32, v_sigmoid)
V_MAP(tanh_f32, v_tanh)

/* out = FUNCTION(a, b), element by element. */
#define V_ZIP(kernel, FUNCTION)                                                                                        \
    static void kernel(const float *a, const float *b, float *out, size_t n) {                                         \
        for (size_t i = 0; i < n; i += V_LANES)                                                                        \
            v_put(out + i, FUNCTION(v_at(a + i, n - i), v_at(b + i, n - i)), n - i);                                   \
    }

V_ZIP(add_f32, v_add)
V_ZIP(mul_f32, v_mul)

static void scale_f32(const float *x, float factor, float *out, size_t n) {
    const V by = v_set(factor);
    for (size_t i = 0; i < n; i += V_LANES) v_put(out + i, v_mul(by, v_at(x + i, n - i)), n - i);
}

static void axpy_f32(float factor, const float *x, float *y, size_t n) {
    const V by = v_set(factor);
    for (size_t i = 0; i < n; i += V_LANES) v_put(y + i, v_fma(by, v_at(x + i, n - i), v_at(y + i, n - i)), n - i);
}

static void normalize_f32(const float *x, float *out, size_t n) {
    const float squares = dot_f32(x, x, n);
    if (is_comfortable(squares))
        scale_f32(x, 1 / sqrtf(squares), out, n);
    else
        rv_scalar_normalize_f32(x, out, n);
}

static float sum_f32(const float *x, size_t n) {
    V s0 = v_set(0), s1 = s0;
    size_t i = 0;
    for (; i + 2 * V_LANES <= n; i += 2 * V_LANES)
        s0 = v_add(s0, v_load(x + i)), s1 = v_add(s1, v_load(x + i + V_LANES));
    for (; i < n; i += V_LANES) s0 = v_add(s0, v_at(x + i, n - i));
    return v_sum(v_add(s0, s1));
}

static float greatest_f32(const float *x, size_t n) {
    V top = v_set(-INFINITY);
    size_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES) top = v_max(v_load(x + i), top);
    float greatest = v_greatest(top);
    for (; i < n; i++) greatest = x[i] > greatest ? x[i] : greatest;
    return greatest;
}

/* out[i] = e^((x[i] - top) / temperature); returns their sum. */
static float exponentials_f32(const float *x, float top, float temperature, float *out, size_t n) {
    const V shift = v_set(top), scale = v_set(1 / temperature);
    V sums = v_set(0);
    size_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES) {
        const V e = v_exp(v_mul(v_sub(v_load(x + i), shift), scale));
        v_store(out + i, e);
        sums = v_add(sums, e);
    }
    float sum = v_sum(sums);
    if (i < n) {
        v_store_part(out + i, v_exp(v_mul(v_sub(v_load_part(x + i, n - i), shift), scale)), n - i);
        for (; i < n; i++) sum += out[i];
    }
    return sum;
}

static void softmax_f32(const float *x, float temperature, float *out, size_t n) {
    const float top = greatest_f32(x, n);
    if (isfinite(top))
        scale_f32(out, 1 / exponentials_f32(x, top, temperature, out, n), out, n);
    else
        rv_scalar_softmax_f32(x, temperature, out, n);
}

/* The exponentials themselves are not wanted, only their sum: they go through a small buffer. */
static void log_softmax_f32(const float *x, float temperature, float *out, size_t n) {
    const float top = greatest_f32(x, n);
    float buffer[256], sum = 0;
    for (size_t i = 0; i < n; i += 256)
        sum += exponentials_f32(x + i, top, temperature, buffer, n - i < 256 ? n - i : 256);
    if (!isfinite(top) || !isfinite(sum)) {
        rv_scalar_log_softmax_f32(x, temperature, out, n);
        return;
    }
    const V shift = v_set(top), scale = v_set(1 / temperature), logarithm = v_set(-logf(sum));
    for (size_t i = 0; i < n; i += V_LANES)
        v_put(out + i, v_fma(v_sub(v_at(x + i, n - i), shift), scale, logarithm), n - i);
}

/* out = (x - mean) * scale * gain + bias, where gain and bias may be NULL. */
static void affine_f32(const float *x, float mean, float scale, const float *gain, const float *bias, float *out,
                       size_t n) {
    const V from = v_set(mean), by = v_set(scale);
    for (size_t i = 0; i < n; i += V_LANES) {
        V v = v_mul(v_sub(v_at(x + i, n - i), from), by);
        if (gain) v = v_mul(v, v_at(gain + i, n - i));
        if (bias) v = v_add(v, v_at(bias + i, n - i));
        v_put(out + i, v, n - i);
    }
}

static void layer_norm_f32(const float *x, const float *gain, const float *bias, float epsilon, float *out, size_t n) {
    const float mean = sum_f32(x, n) / (float)n;
    const V from = v_set(mean);
    V s0 = v_set(0), s1 = s0;
    size_t i = 0;
    for (; i + 2 * V_LANES <= n; i += 2 * V_LANES)
        s0 = v_add_square(s0, v_load(x + i), from), s1 = v_add_square(s1, v_load(x + i + V_LANES), from);
    float squares = v_sum(v_add(s0, s1));
    for (; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    const float variance = squares / (float)n + epsilon;
    if (is_comfortable(variance))
        affine_f32(x, mean, 1 / sqrtf(variance), gain, bias, out, n);
    else
        rv_scalar_layer_norm_f32(x, gain, bias, epsilon, out, n);
}

static void rms_norm_f32(const float *x, const float *gain, float epsilon, float *out, size_t n) {
    const float mean_square = dot_f32(x, x, n) / (float)n + epsilon;
    if (is_comfortable(mean_square))
        affine_f32(x, 0, 1 / sqrtf(mean_square), gain, NULL, out, n);
    else
        rv_scalar_rms_norm_f32(x, gain, epsilon, out, n);
}
