/* The reference kernels by name, rv_scalar_dot_f32 and so on, and the conversions they rest on. Faster versions fall
 * back on them where numbers leave float's comfortable range. */
#ifndef RV_SCALAR_H
#define RV_SCALAR_H

#include "rv.h"

#include <math.h>
#include <string.h>

#define RV_JOIN_NOW(a, b) a##b
#define RV_JOIN(a, b) RV_JOIN_NOW(a, b)

#define RV_KERNEL(result, kernel, parameters, arguments) result rv_scalar_##kernel parameters;
#include "rv_kernels.def"

/* A cosine from a dot product and two squared lengths. */
static inline float cosine_of(double dot, double aa, double bb) {
    if (aa == 0 || bb == 0) return 0;
    const double cosine = dot / sqrt(aa * bb); /* squares of floats: their product is far within a double */
    return (float)(cosine > 1 ? 1 : cosine < -1 ? -1 : cosine);
}

/* Whether a float32 sum of squares is far enough from both ends of the range to have lost nothing. NaN is not. */
static inline int is_comfortable(float square) { return square > 1e-30f && square < 1e30f; }

static inline float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE 754 binary16: sign, 5 bits of exponent biased by 15, 10 of fraction. */
static inline float float_of_f16(rv_f16 half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 0x3ff;
    if (exponent == 31) return float_of_bits(sign | 0x7f800000 | fraction << 13);
    const float size = exponent ? ldexpf((float)(1024 + fraction), (int)exponent - 25) : ldexpf((float)fraction, -24);
    return sign ? -size : size;
}

/* bfloat16: the upper half of a float. */
static inline float float_of_bf16(rv_bf16 upper) { return float_of_bits((uint32_t)upper << 16); }

#endif
