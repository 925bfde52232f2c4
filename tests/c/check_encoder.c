/* The encoder's kernels against their definitions in float64; quantised bytes and whole dot products exactly. */
#include "check.h"
#include "encoder/rv_encoder_kernels.h"

#include <math.h>
#include <string.h>

enum { BLOCKS = 3, COLS = BLOCKS * RV_BLOCK, TOKENS = 13, KEYS = 70 };

static const rv_encoder_kernels *kernels;

static float *normals(int slot, size_t count, double size) {
    float *to = placed(slot, count * sizeof *to, sizeof *to, AT_END);
    for (size_t i = 0; i < count; i++) to[i] = (float)(size * random_normal());
    return to;
}

static void check_quantize(void) {
    float *x = normals(0, TOKENS * COLS, 3);
    memset(x + RV_BLOCK, 0, RV_BLOCK * sizeof *x);
    int8_t *q = placed(1, TOKENS * COLS, 1, AT_END);
    float *scales = placed(2, TOKENS * BLOCKS * 4, 4, AT_END);
    int32_t *excess = placed(3, TOKENS * BLOCKS * 4, 4, AT_END);
    kernels->quantize(x, TOKENS, COLS, BLOCKS, q, scales, excess, BLOCKS);
    for (size_t b = 0; b < TOKENS * BLOCKS; b++) {
        float top = 0;
        for (size_t i = 0; i < RV_BLOCK; i++) top = fmaxf(top, fabsf(x[b * RV_BLOCK + i]));
        const float scale = top / 127, inverse = scale > 0 ? 1 / scale : 0;
        int32_t sum = 0;
        for (size_t i = 0; i < RV_BLOCK; i++) {
            const float whole = rintf(x[b * RV_BLOCK + i] * inverse);
            expect("quantize", q[b * RV_BLOCK + i], whole, 1e-9);
            sum += (int32_t)whole;
        }
        expect("quantize", scales[b], scale, 1e-30);
        expect("quantize", excess[b], -128.0 * sum, 1e-9);
    }
    expect_surroundings_untouched("quantize", 1, q, TOKENS * COLS);
    report("quantize");
}

/* Bytes of any size up to 127 both ways, scales of 1: the result is a whole number that float32 holds. */
static void check_panel(void) {
    for (size_t tokens = 1; tokens <= TOKENS; tokens++) {
        uint8_t *packed = placed(0, BLOCKS * RV_PANEL_BLOCK, 4, AT_END);
        int8_t *q = placed(1, tokens * COLS, 1, AT_END), w[RV_PANEL][COLS];
        float *scales = placed(2, tokens * BLOCKS * 4, 4, AT_END), *bias = normals(4, RV_PANEL, 0);
        int32_t *excess = placed(3, tokens * BLOCKS * 4, 4, AT_END);
        float *out = normals(5, tokens * RV_PANEL, 0);
        for (size_t r = 0; r < RV_PANEL; r++) {
            bias[r] = (float)r;
            for (size_t c = 0; c < COLS; c++) {
                const size_t b = c / RV_BLOCK, k = c % RV_BLOCK;
                w[r][c] = (int8_t)(r % 3 == 0 ? 127 : r % 3 == 1 ? -127 : (int)(random_bits() % 255) - 127);
                const float one = 1;
                memcpy(packed + b * RV_PANEL_BLOCK + 4 * r, &one, 4);
                packed[b * RV_PANEL_BLOCK + 4 * RV_PANEL + (k / 4 * RV_PANEL + r) * 4 + k % 4] = (uint8_t)w[r][c];
            }
        }
        for (size_t t = 0; t < tokens; t++)
            for (size_t b = 0; b < BLOCKS; b++) {
                int32_t sum = 0;
                for (size_t i = 0; i < RV_BLOCK; i++) {
                    int8_t *x = &q[t * COLS + b * RV_BLOCK + i];
                    sum += *x = (int8_t)(t % 3 == 0 ? 127 : t % 3 == 1 ? -127 : (int)(random_bits() % 255) - 127);
                }
                scales[t * BLOCKS + b] = 1;
                excess[t * BLOCKS + b] = -128 * sum;
            }
        for (int onto = 0; onto < 2; onto++) {
            for (size_t i = 0; i < tokens * RV_PANEL; i++) out[i] = 1000;
            kernels->panel(packed, BLOCKS, q, scales, excess, tokens, bias, onto ? out : NULL, out, RV_PANEL);
            for (size_t t = 0; t < tokens; t++)
                for (size_t r = 0; r < RV_PANEL; r++) {
                    double want = bias[r] + 1000.0 * onto;
                    for (size_t c = 0; c < COLS; c++) want += w[r][c] * q[t * COLS + c];
                    expect("panel", out[t * RV_PANEL + r], want, 1e-9);
                }
        }
        expect_surroundings_untouched("panel", 5, out, tokens * RV_PANEL * sizeof *out);
    }
    report("panel");
}

static void check_attend(void) {
    static const size_t lengths[] = {1, 2, 7, 9, 31, 32, 33, 64, KEYS};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        const size_t n = lengths[l], stride = KEYS + RV_HEAD;
        float *q = normals(0, n * RV_HEAD, 1), *keys = normals(1, RV_HEAD * stride, 1), *v = normals(2, n * RV_HEAD, 1);
        for (size_t d = 0; d < RV_HEAD; d++)
            for (size_t j = n; j < stride; j++) keys[d * stride + j] = NAN; /* what lies beyond must not show */
        float *scores = normals(3, RV_QUERIES * stride, 0), *out = normals(4, n * RV_HEAD, 0);
        kernels->attend(q, keys, stride, v, n, scores, out);
        for (size_t t = 0; t < n; t++) {
            double weights[KEYS], sum = 0, top = -INFINITY;
            for (size_t j = 0; j < n; j++) {
                weights[j] = 0;
                for (size_t d = 0; d < RV_HEAD; d++) weights[j] += (double)q[t * RV_HEAD + d] * keys[d * stride + j];
                top = fmax(top, weights[j]);
            }
            for (size_t j = 0; j < n; j++) sum += weights[j] = exp(weights[j] - top);
            for (size_t d = 0; d < RV_HEAD; d++) {
                double want = 0;
                for (size_t j = 0; j < n; j++) want += weights[j] / sum * v[j * RV_HEAD + d];
                expect("attend", out[t * RV_HEAD + d], want, 2e-5);
            }
        }
        expect_surroundings_untouched("attend", 4, out, n * RV_HEAD * sizeof *out);
    }
    report("attend");
}

static void check_norm_and_gelu(void) {
    float *x = normals(0, TOKENS * COLS, 2), *gain = normals(1, COLS, 1), *shift = normals(2, COLS, 1), was[TOKENS * COLS];
    memcpy(was, x, sizeof was);
    kernels->norm(x, TOKENS, COLS, gain, shift, 1e-6f);
    for (size_t t = 0; t < TOKENS; t++) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < COLS; i++) mean += was[t * COLS + i] / (double)COLS;
        for (size_t i = 0; i < COLS; i++) variance += pow(was[t * COLS + i] - mean, 2) / COLS;
        for (size_t i = 0; i < COLS; i++)
            expect("norm", x[t * COLS + i], (was[t * COLS + i] - mean) / sqrt(variance + 1e-6) * gain[i] + shift[i], 2e-5);
    }
    report("norm");
    for (size_t i = 0; i < TOKENS * COLS; i++) x[i] = was[i] = (float)(16 * (double)i / (TOKENS * COLS) - 8);
    kernels->gelu(x, TOKENS * COLS);
    for (size_t i = 0; i < TOKENS * COLS; i++) expect("gelu", x[i], was[i] * 0.5 * (1 + erf(was[i] * sqrt(0.5))), 2e-6);
    report("gelu");
}

void check_encoder(void) {
    kernels = rv_encoder_kernels_in_use();
    check_quantize();
    check_panel();
    check_attend();
    check_norm_and_gelu();
}
