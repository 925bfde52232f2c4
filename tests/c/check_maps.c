/* Operations that turn a vector into one of the same length, at every length and place, into another array and in
 * place. */
#include "check.h"

#include <math.h>
#include <string.h>

enum { X, Y, GAIN, BIAS, OUT, N = 4099 };

/* Everything a map may be given; gain and bias may be NULL. */
typedef struct inputs {
    const float *x, *y, *gain, *bias;
    float factor;
    size_t n;
} inputs;

typedef struct map {
    const char *name;
    void (*run)(const inputs *in, float *out);
    void (*judge)(const inputs *in, double *want, double *allowed);
} map;

#define RV_MAP(op)                                                                                                     \
    static void run_##op(const inputs *in, float *out) { set.op##_f32(in->x, out, in->n); }
#define RV_ZIP(op)                                                                                                     \
    static void run_##op(const inputs *in, float *out) { set.op##_f32(in->x, in->y, out, in->n); }
#define RV_KERNEL(result, kernel, parameters, arguments)
#include "rv_kernels.def"

static void run_scale(const inputs *in, float *out) { set.scale_f32(in->x, in->factor, out, in->n); }
static void run_softmax(const inputs *in, float *out) { set.softmax_f32(in->x, fabsf(in->factor), out, in->n); }
static void run_log_softmax(const inputs *in, float *out) { set.log_softmax_f32(in->x, fabsf(in->factor), out, in->n); }
static void run_rms_norm(const inputs *in, float *out) { set.rms_norm_f32(in->x, in->gain, 1e-5f, out, in->n); }
static void run_layer_norm(const inputs *in, float *out) {
    set.layer_norm_f32(in->x, in->gain, in->bias, 1e-5f, out, in->n);
}
static void run_axpy(const inputs *in, float *out) {
    memmove(out, in->y, in->n * sizeof *out); /* the one map that adds to what is there; never run in place here */
    set.axpy_f32(in->factor, in->x, out, in->n);
}

/* judge_NAME: what element i is to be, x being in->x[i], and how far from it a float may be. */
#define JUDGE(NAME, WANT, ALLOWED)                                                                                     \
    static void judge_##NAME(const inputs *in, double *want, double *allowed) {                                        \
        for (size_t i = 0; i < in->n; i++) {                                                                           \
            const double x = in->x[i], is = WANT;                                                                      \
            want[i] = is, allowed[i] = ALLOWED;                                                                        \
        }                                                                                                              \
    }
#define TINY 0x1p-126 /* where subnormal numbers begin, which may be flushed to 0 */

JUDGE(relu, x < 0 ? 0 : x, 0)
JUDGE(gelu, x == -INFINITY ? 0 : 0.5 * x * erfc(-x * 0.70710678118654752440), (1e-6 + 1e-7 * x * x) * fabs(is) + TINY)
JUDGE(silu, x == -INFINITY ? 0 : x / (1 + exp(-x)), 1e-6 * fabs(is) + 100 * TINY)
JUDGE(sigmoid, 1 / (1 + exp(-x)), 1e-6 * is + TINY)
JUDGE(tanh, tanh(x), 3e-7)
JUDGE(add, x + in->y[i], rounding(1, fabs(is)))
JUDGE(mul, x * in->y[i], rounding(1, fabs(is)))
JUDGE(scale, in->factor *x, rounding(1, fabs(is)))
JUDGE(axpy, in->factor *x + in->y[i], rounding(1, fabs(in->factor *x) + fabs((double)in->y[i])))

static void judge_normalize(const inputs *in, double *want, double *allowed) {
    double squares = 0;
    for (size_t i = 0; i < in->n; i++) squares += (double)in->x[i] * in->x[i];
    for (size_t i = 0; i < in->n; i++) {
        want[i] = squares == 0 ? 0 : in->x[i] / sqrt(squares);
        allowed[i] = rounding(in->n, fabs(want[i]));
    }
}

static double log_of_sum(const inputs *in, double temperature, double *top) {
    double sum = 0;
    *top = -INFINITY;
    for (size_t i = 0; i < in->n; i++) *top = fmax(*top, in->x[i]);
    for (size_t i = 0; i < in->n; i++) sum += exp((in->x[i] - *top) / temperature);
    return log(sum);
}

/* The exponent itself is rounded: an error relative to how far below the top an element is. */
static void judge_softmax(const inputs *in, double *want, double *allowed) {
    const double temperature = fabs((double)in->factor);
    double top;
    const double logarithm = log_of_sum(in, temperature, &top);
    for (size_t i = 0; i < in->n; i++) {
        const double below = (in->x[i] - top) / temperature;
        want[i] = exp(below - logarithm);
        allowed[i] = rounding(in->n, want[i]) + 3e-7 * fabs(below) * want[i] + 10 * TINY;
    }
}

static void judge_log_softmax(const inputs *in, double *want, double *allowed) {
    const double temperature = fabs((double)in->factor);
    double top;
    const double logarithm = log_of_sum(in, temperature, &top);
    for (size_t i = 0; i < in->n; i++) {
        const double below = (in->x[i] - top) / temperature;
        want[i] = below - logarithm;
        allowed[i] = rounding(in->n, 1) + 3e-7 * (fabs(below) + logarithm);
    }
}

/* (x - mean) / sqrt(variance + epsilon) * gain + bias. The mean and what is left of it are rounded before they are scaled. */
static void judge_norm(const inputs *in, double mean, const float *bias, double *want, double *allowed) {
    double squares = 0, size = 0;
    for (size_t i = 0; i < in->n; i++) {
        squares += (in->x[i] - mean) * (in->x[i] - mean);
        size += fabs((double)in->x[i]) / (double)in->n;
    }
    const double scale = 1 / sqrt(squares / (double)in->n + (double)1e-5f);
    for (size_t i = 0; i < in->n; i++) {
        const double gain = in->gain ? in->gain[i] : 1, scaled = (in->x[i] - mean) * scale * gain;
        want[i] = scaled + (bias ? bias[i] : 0);
        allowed[i] = rounding(in->n, fabs(scaled) + fabs(size * scale * gain)) + 1e-7 * fabs(want[i]) +
                     0x1p-148 * scale * fabs(gain);
    }
}

static void judge_rms_norm(const inputs *in, double *want, double *allowed) { judge_norm(in, 0, NULL, want, allowed); }

static void judge_layer_norm(const inputs *in, double *want, double *allowed) {
    double sum = 0;
    for (size_t i = 0; i < in->n; i++) sum += in->x[i];
    judge_norm(in, sum / (double)in->n, in->bias, want, allowed);
}

static const map maps[] = {
#define RV_MAP(op) {#op "_f32", run_##op, judge_##op},
#define RV_ZIP(op) {#op "_f32", run_##op, judge_##op},
#define RV_KERNEL(result, kernel, parameters, arguments)
#include "rv_kernels.def"
    {"scale_f32", run_scale, judge_scale},
    {"axpy_f32", run_axpy, judge_axpy},
    {"softmax_f32", run_softmax, judge_softmax},
    {"log_softmax_f32", run_log_softmax, judge_log_softmax},
    {"layer_norm_f32", run_layer_norm, judge_layer_norm},
    {"rms_norm_f32", run_rms_norm, judge_rms_norm},
};

static const float *filled(int slot, size_t n, enum pattern pattern, enum place place) {
    void *numbers = placed(slot, n * sizeof(float), sizeof(float), place);
    fill(f32, numbers, n, pattern);
    return numbers;
}

static void compare(const map *map, const inputs *in, const float *got) {
    static double want[N], allowed[N];
    map->judge(in, want, allowed);
    for (size_t i = 0; i < in->n; i++) expect(map->name, got[i], want[i], allowed[i]);
}

static void check_map(const map *map, size_t n, enum pattern pattern, enum place place) {
    static float before[N];
    const bool has_gain = random_bits() & 1, has_bias = random_bits() & 1;
    float *x = (float *)filled(X, n, pattern, place);
    const inputs in = {.x = memcpy(before, x, n * sizeof *x),
                       .y = filled(Y, n, pattern, place),
                       .gain = has_gain ? filled(GAIN, n, NORMAL, place) : NULL,
                       .bias = has_bias ? filled(BIAS, n, NORMAL, place) : NULL,
                       .factor = (float)(1.5 + fabs(random_normal())),
                       .n = n};
    inputs there = in;
    there.x = x;
    float *out = placed(OUT, n * sizeof *out, sizeof *out, PLACES - 1 - place);
    map->run(&there, out);
    compare(map, &in, out);
    expect_surroundings_untouched(map->name, OUT, out, n * sizeof *out);
    expect_surroundings_untouched(map->name, X, x, n * sizeof *x);
    if (map->run == run_axpy) return;
    map->run(&there, x);
    compare(map, &in, x);
    expect_surroundings_untouched(map->name, X, x, n * sizeof *x);
}

/* NaN and infinities, one at a time and anywhere. Only softmax and the norms spread them over the whole result. */
static void check_map_with_specials(const map *map, size_t n) {
    static const float specials[] = {NAN, INFINITY, -INFINITY};
    for (size_t s = 0; s < sizeof specials / sizeof *specials; s++) {
        float *x = (float *)filled(X, n, NORMAL, AT_END);
        x[random_bits() % n] = specials[s];
        const inputs in = {.x = x, .y = filled(Y, n, NORMAL, AT_START), .factor = 2, .n = n};
        float *out = placed(OUT, n * sizeof *out, sizeof *out, AT_END);
        map->run(&in, out);
        compare(map, &in, out);
    }
}

void check_maps(void) {
    for (const map *map = maps; map < maps + sizeof maps / sizeof *maps; map++) {
        for (size_t i = 0; i < LENGTHS; i++)
            for (enum pattern pattern = NORMAL; pattern < PATTERNS; pattern++)
                check_map(map, length(i), pattern, (enum place)(i + pattern) % PLACES);
        for (size_t n = 1; n < 70; n++) check_map_with_specials(map, n);
        report(map->name);
    }
}
