/* Rows of quantised matrices straight from the file's layout, on 128-bit vectors, for SSE4.1 and NEON, over the operations of
 * rv_llm_vector.h and
 *
 *   i_dots(sum, weights, x)   dot products of signed bytes with those of x, by fours, added
 *   i_and(a, b), i_or(a, b)   bit by bit
 *   i_bytes(x)                one byte in every place
 *   i_left(v, n), i_right(v, n)   every byte shifted by n, with bits of its neighbour where it leaves room, or zeros
 *   i_of(low, high)           16 bytes from two numbers
 *
 * A block's sums are made whole before they meet its scale: 32 or 256 products a lane. */
enum { Q8_0, Q4_0, Q5_0, Q4_K, Q5_K, Q6_K };

#define BEGIN_ROWS                                                                                                     \
    V sums[STREAMS][RV_LLM_TOGETHER];                                                                                  \
    for (size_t n = 0; n < count; n++)                                                                                 \
        for (size_t t = 0; t < tokens; t++) sums[n][t] = v_set(0)
#define END_ROWS                                                                                                       \
    for (size_t n = 0; n < count; n++)                                                                                 \
        for (size_t t = 0; t < tokens; t++) out[t * stride + n * apart] = v_sum(sums[n][t])

INLINE I low_halves(I bytes) { return i_and(bytes, i_bytes(15)); }
INLINE I high_halves(I bytes) { return i_and(i_right(bytes, 4), i_bytes(15)); }

/* Sixteen bits as 16 or 0 in each of 16 bytes. */
INLINE uint64_t eight_fifths(uint8_t bits) {
    const uint64_t own = bits * UINT64_C(0x0101010101010101) & UINT64_C(0x8040201008040201);
    return ((own + UINT64_C(0x7f7f7f7f7f7f7f7f)) | own) >> 3 & UINT64_C(0x1010101010101010);
}
INLINE I fifths(const uint8_t *bits) { return i_of(eight_fifths(bits[0]), eight_fifths(bits[1])); }

/* The codes of a block of 32. */
INLINE void small_codes(const uint8_t *block, const int kind, I *codes) {
    if (kind == Q8_0) {
        codes[0] = i_load(block + 2);
        codes[1] = i_load(block + 18);
        return;
    }
    const I both = i_load(block + (kind == Q4_0 ? 2 : 6));
    codes[0] = low_halves(both);
    codes[1] = high_halves(both);
    if (kind == Q4_0) return;
    codes[0] = i_or(codes[0], fifths(block + 2));
    codes[1] = i_or(codes[1], fifths(block + 4));
}

/* Each of the four lanes takes its share of the codes' offset off. */
INLINE I small_dots(const I *codes, const int8_t *x, const int16_t *x_sums, const int kind) {
    const I first = i_load(x), second = i_load(x + 16);
    if (kind == Q8_0) return i_dots(i_dots(i_set(0), codes[0], first), codes[1], second);
    const I dots = d_whole(d_add(d_add(d_zero(), codes[0], first), codes[1], second));
    return i_sub(dots, i_set((kind == Q4_0 ? 2 : 4) * (x_sums[0] + x_sums[1])));
}

INLINE void rows_small(const uint8_t *row, const size_t count, size_t apart, const rv_llm_activations *a, size_t token,
                       const size_t tokens, const int kind, float *out, size_t stride) {
    const size_t bytes = kind == Q8_0 ? RV_Q8_0_BYTES : kind == Q4_0 ? RV_Q4_0_BYTES : RV_Q5_0_BYTES;
    const size_t blocks = a->cols / 32, step = apart * blocks * bytes;
    BEGIN_ROWS;
    for (size_t b = 0; b < blocks; b++, row += bytes)
        for (size_t n = 0; n < count; n++) {
            I codes[2];
            small_codes(row + n * step, kind, codes);
            const float d = half(row + n * step);
            for (size_t t = 0; t < tokens; t++) {
                const size_t at = (token + t) * blocks + b;
                const I dots = small_dots(codes, a->q + 32 * at, a->sums + 2 * at, kind);
                sums[n][t] = v_fma(i_float(dots), v_set(d * a->scales[at]), sums[n][t]);
            }
        }
    END_ROWS;
}

/* 32 products of codes below 32 times one scale. */
INLINE I scaled_run(I dots, const I *codes, const int8_t *x, int16_t scale) {
    const D run = d_add(d_add(d_zero(), codes[0], i_load(x)), codes[1], i_load(x + 16));
    return i_add(dots, d_scaled(run, i_twice(scale)));
}

INLINE I with_fifth(I codes, I bits, const int bit) {
    return i_or(codes, i_and(bit < 4 ? i_left(bits, 4 - bit) : i_right(bits, bit - 4), i_bytes(16)));
}

INLINE void block_with_least(const uint8_t *block, const rv_llm_activations *a, size_t token, size_t b,
                             const size_t tokens, const int kind, V *sums) {
    const uint8_t *halves = block + (kind == Q5_K ? 48 : 16);
    uint8_t scales[8], minima[8];
    rv_q4_k_scales(block, scales, minima);
    I dots[RV_LLM_TOGETHER];
    for (size_t t = 0; t < tokens; t++) dots[t] = i_set(0);
#pragma GCC unroll 4
    for (int run = 0; run < 4; run++) {
        I low[2], high[2];
        for (int i = 0; i < 2; i++) {
            const I both = i_load(halves + 32 * run + 16 * i);
            low[i] = low_halves(both);
            high[i] = high_halves(both);
            if (kind == Q4_K) continue;
            low[i] = with_fifth(low[i], i_load(block + 16 + 16 * i), 2 * run);
            high[i] = with_fifth(high[i], i_load(block + 16 + 16 * i), 2 * run + 1);
        }
        for (size_t t = 0; t < tokens; t++) {
            const int8_t *x = a->q + (token + t) * a->cols + 256 * b + 64 * run;
            dots[t] = scaled_run(dots[t], low, x, scales[2 * run]);
            dots[t] = scaled_run(dots[t], high, x + 32, scales[2 * run + 1]);
        }
    }
    const float d = half(block), least = half(block + 2);
    for (size_t t = 0; t < tokens; t++) {
        const int16_t *x_sums = a->sums + (token + t) * a->cols / RV_SUM + 16 * b;
        const float scale = a->scales[(token + t) * a->cols / 256 + b];
        int32_t of = 0;
        for (size_t i = 0; i < 16; i++) of += minima[i / 2] * x_sums[i];
        sums[t] = v_fma(i_float(dots[t]), v_set(d * scale), sums[t]);
        sums[t] = v_fma(v_set((float)of), v_set(-least * scale / 4), sums[t]);
    }
}

INLINE void block_q6_k(const uint8_t *block, const rv_llm_activations *a, size_t token, size_t b, const size_t tokens,
                       V *sums) {
    const int8_t *scales = rv_q6_k_scales(block);
    I dots[RV_LLM_TOGETHER];
    for (size_t t = 0; t < tokens; t++) {
        const int16_t *x_sums = a->sums + (token + t) * a->cols / RV_SUM + 16 * b;
        int32_t of = 0;
        for (size_t i = 0; i < 16; i++) of += scales[i] * x_sums[i];
        dots[t] = i_set(-8 * of); /* 32 times that, in four lanes */
    }
    for (int part = 0; part < 2; part++)
        for (int i = 0; i < 2; i++) {
            const I first = i_load(block + 64 * part + 16 * i), second = i_load(block + 64 * part + 32 + 16 * i);
            const I upper = i_load(block + 128 + 32 * part + 16 * i);
            const I codes[4] = {
                i_or(low_halves(first), i_and(i_left(upper, 4), i_bytes(0x30))),
                i_or(low_halves(second), i_and(i_left(upper, 2), i_bytes(0x30))),
                i_or(high_halves(first), i_and(upper, i_bytes(0x30))),
                i_or(high_halves(second), i_and(i_right(upper, 2), i_bytes(0x30))),
            };
#pragma GCC unroll 4
            for (int run = 0; run < 4; run++) {
                const I by = i_twice(scales[8 * part + 2 * run + i]);
                for (size_t t = 0; t < tokens; t++) {
                    const int8_t *x = a->q + (token + t) * a->cols + 256 * b + 128 * part + 32 * run + 16 * i;
                    dots[t] = i_add(dots[t], d_scaled(d_add(d_zero(), codes[run], i_load(x)), by));
                }
            }
        }
    const float d = half(block + 208);
    for (size_t t = 0; t < tokens; t++)
        sums[t] = v_fma(i_float(dots[t]), v_set(d * a->scales[(token + t) * a->cols / 256 + b]), sums[t]);
}

INLINE void rows_large(const uint8_t *row, const size_t count, size_t apart, size_t bytes, const rv_llm_activations *a,
                       size_t token, const size_t tokens, const int kind, float *out, size_t stride) {
    const size_t step = apart * (a->cols / 256) * bytes;
    BEGIN_ROWS;
    for (size_t b = 0; b < a->cols / 256; b++, row += bytes)
        for (size_t n = 0; n < count; n++) {
            if (kind == Q6_K) block_q6_k(row + n * step, a, token, b, tokens, sums[n]);
            else block_with_least(row + n * step, a, token, b, tokens, kind, sums[n]);
        }
    END_ROWS;
}

#include "rv_llm_rows_kinds.h"
