/* The reference: what each of the encoder's kernels means, in the plainest C. */
#include "rv_encoder_kernels.h"

#include <math.h>

static void quantize(const float *x, size_t count, size_t stride, size_t blocks, int8_t *q, float *scales,
                     int32_t *excess, size_t row_blocks) {
    for (size_t r = 0; r < count; r++)
        for (size_t b = 0; b < blocks; b++) {
            const float *from = x + r * stride + b * RV_BLOCK;
            const size_t at = r * row_blocks + b;
            float top = 0;
            for (size_t i = 0; i < RV_BLOCK; i++) top = fabsf(from[i]) > top ? fabsf(from[i]) : top;
            scales[at] = top / 127;
            const float inverse = scales[at] > 0 ? 1 / scales[at] : 0;
            int32_t sum = 0;
            for (size_t i = 0; i < RV_BLOCK; i++) {
                q[at * RV_BLOCK + i] = (int8_t)lrintf(from[i] * inverse);
                sum += q[at * RV_BLOCK + i];
            }
            excess[at] = -128 * sum;
        }
}

static void panel(const uint8_t *weights, size_t blocks, const int8_t *q, const float *scales, const int32_t *excess,
                  size_t tokens, const float *bias, const float *onto, float *out, size_t stride) {
    (void)excess; /* for those that multiply unsigned bytes */
    for (size_t t = 0; t < tokens; t++)
        for (size_t r = 0; r < RV_PANEL; r++) {
            float sum = bias[r] + (onto ? onto[t * stride + r] : 0);
            for (size_t b = 0; b < blocks; b++) {
                const uint8_t *block = weights + b * RV_PANEL_BLOCK;
                const int8_t *bytes = (const int8_t *)block + 4 * RV_PANEL, *x = q + (t * blocks + b) * RV_BLOCK;
                int32_t dot = 0;
                for (size_t i = 0; i < RV_BLOCK; i++) dot += bytes[(i / 4 * RV_PANEL + r) * 4 + i % 4] * x[i];
                sum += (float)dot * (((const float *)block)[r] * scales[t * blocks + b]);
            }
            out[t * stride + r] = sum;
        }
}

static void attend(const float *q, const float *keys, size_t key_stride, const float *v, size_t n, float *scores,
                   float *out) {
    for (size_t t = 0; t < n; t++, q += RV_HEAD, out += RV_HEAD) {
        float top = -INFINITY, sum = 0;
        for (size_t j = 0; j < n; j++) {
            scores[j] = 0;
            for (size_t d = 0; d < RV_HEAD; d++) scores[j] += q[d] * keys[d * key_stride + j];
            top = scores[j] > top ? scores[j] : top;
        }
        for (size_t d = 0; d < RV_HEAD; d++) out[d] = 0;
        for (size_t j = 0; j < n; j++) {
            const float weight = expf(scores[j] - top);
            sum += weight;
            for (size_t d = 0; d < RV_HEAD; d++) out[d] += weight * v[j * RV_HEAD + d];
        }
        for (size_t d = 0; d < RV_HEAD; d++) out[d] /= sum;
    }
}

static void norm(float *x, size_t count, size_t n, const float *gain, const float *shift, float epsilon) {
    for (size_t r = 0; r < count; r++, x += n) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < n; i++) sum += x[i];
        const double mean = sum / (double)n;
        for (size_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
        const double scale = 1 / sqrt(squares / (double)n + epsilon);
        for (size_t i = 0; i < n; i++) x[i] = (float)((x[i] - mean) * scale * gain[i] + shift[i]);
    }
}

static void gelu(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = 0.5f * x[i] * (1 + erff(x[i] * 0.70710678f));
}

const rv_encoder_kernels rv_encoder_scalar = {quantize, panel, attend, norm, gelu};
