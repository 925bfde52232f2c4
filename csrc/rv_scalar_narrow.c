/* The reference for narrow numbers: float16, bfloat16, int8, single bits, and the codes of product quantisation. */
#include "rv_scalar.h"

/* The three float operations for a kind that FLOAT_OF turns into float. */
#define PAIRS(kind, FLOAT_OF)                                                                                          \
    float rv_scalar_dot_##kind(const rv_##kind *a, const rv_##kind *b, size_t n) {                                     \
        double sum = 0;                                                                                                \
        for (size_t i = 0; i < n; i++) sum += (double)FLOAT_OF(a[i]) * FLOAT_OF(b[i]);                                 \
        return (float)sum;                                                                                             \
    }                                                                                                                  \
    static double sqdist_##kind(const rv_##kind *a, const rv_##kind *b, size_t n) {                                    \
        double sum = 0;                                                                                                \
        for (size_t i = 0; i < n; i++) {                                                                               \
            const double difference = (double)FLOAT_OF(a[i]) - FLOAT_OF(b[i]);                                         \
            sum += difference * difference;                                                                            \
        }                                                                                                              \
        return sum;                                                                                                    \
    }                                                                                                                  \
    float rv_scalar_sqdist_##kind(const rv_##kind *a, const rv_##kind *b, size_t n) {                                  \
        return (float)sqdist_##kind(a, b, n);                                                                          \
    }                                                                                                                  \
    float rv_scalar_dist_##kind(const rv_##kind *a, const rv_##kind *b, size_t n) {                                    \
        return (float)sqrt(sqdist_##kind(a, b, n));                                                                    \
    }                                                                                                                  \
    float rv_scalar_cosine_##kind(const rv_##kind *a, const rv_##kind *b, size_t n) {                                  \
        double dot = 0, aa = 0, bb = 0;                                                                                \
        for (size_t i = 0; i < n; i++) {                                                                               \
            const double x = FLOAT_OF(a[i]), y = FLOAT_OF(b[i]);                                                       \
            dot += x * y;                                                                                              \
            aa += x * x;                                                                                               \
            bb += y * y;                                                                                               \
        }                                                                                                              \
        return cosine_of(dot, aa, bb);                                                                                 \
    }

PAIRS(f16, float_of_f16)
PAIRS(bf16, float_of_bf16)

int32_t rv_scalar_dot_i8(const int8_t *a, const int8_t *b, size_t n) {
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

int32_t rv_scalar_sqdist_i8(const int8_t *a, const int8_t *b, size_t n) {
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

float rv_scalar_dist_i8(const int8_t *a, const int8_t *b, size_t n) {
    return (float)sqrt(rv_scalar_sqdist_i8(a, b, n));
}

float rv_scalar_cosine_i8(const int8_t *a, const int8_t *b, size_t n) {
    return cosine_of(rv_scalar_dot_i8(a, b, n), rv_scalar_dot_i8(a, a, n), rv_scalar_dot_i8(b, b, n));
}

static int32_t set_bits(uint8_t byte) {
    int32_t set = 0;
    for (; byte; byte >>= 1) set += byte & 1;
    return set;
}

int32_t rv_scalar_hamming_b1(const uint8_t *a, const uint8_t *b, size_t n) {
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += set_bits(a[i] ^ b[i]);
    return sum;
}

float rv_scalar_jaccard_b1(const uint8_t *a, const uint8_t *b, size_t n) {
    int32_t both = 0, either = 0;
    for (size_t i = 0; i < n; i++) {
        both += set_bits(a[i] & b[i]);
        either += set_bits(a[i] | b[i]);
    }
    return either ? (float)both / (float)either : 1;
}

void rv_scalar_picked_dot_i8(const int8_t *m, const int8_t *x, const int32_t *rows, int32_t *out, size_t count,
                             size_t cols) {
    for (size_t i = 0; i < count; i++) out[i] = rv_scalar_dot_i8(m + (size_t)rows[i] * cols, x, cols);
}

void rv_scalar_adc_u8(const float *table, const uint8_t *codes, float *out, size_t rows, size_t parts) {
    for (size_t r = 0; r < rows; r++) {
        double sum = 0;
        for (size_t p = 0; p < parts; p++) sum += table[p * 256 + codes[r * parts + p]];
        out[r] = (float)sum;
    }
}

void rv_scalar_best_signs_i15(const rv_signs *query, const uint8_t *bits, size_t tokens, int32_t *best) {
    for (size_t q = 0; q < query->count; q++) {
        const int8_t *high = query->rows + 2 * q * query->stride, *low = high + query->stride;
        best[q] = INT32_MIN;
        for (size_t t = 0; t < tokens; t++) {
            int32_t sum = 0;
            for (size_t d = 0; d < query->bytes * 8; d++)
                if (bits[t * query->bytes + d / 8] >> (d % 8) & 1) sum += 128 * high[d] + low[d];
            best[q] = sum > best[q] ? sum : best[q];
        }
    }
}
