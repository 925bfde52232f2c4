/* The sign-bit kernel by multiplying bytes: for instruction sets that add up products of bytes in one instruction, or have no
 * fast table look-up. */
#include "rv_signs_spread.h"

enum { GROUP = 4, SPREAD_TOKENS = 32 };

/* The sums of a row of numbers over the ones of four spread tokens, so that every load of it serves four. */
static inline void sum_four(const int8_t *numbers, const uint8_t *spread, size_t stride, size_t dims, int32_t *sums) {
    P sum0 = p_zero(), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    for (size_t at = 0; at < dims; at += B_BYTES) {
        const B v = b_load(numbers + at);
        sum0 = p_add(sum0, b_load(spread + at), v);
        sum1 = p_add(sum1, b_load(spread + stride + at), v);
        sum2 = p_add(sum2, b_load(spread + 2 * stride + at), v);
        sum3 = p_add(sum3, b_load(spread + 3 * stride + at), v);
    }
    i_sum4(p_sum(sum0), p_sum(sum1), p_sum(sum2), p_sum(sum3), sums);
}

static inline int32_t greatest_of_four(const int32_t *x) {
    const int32_t a = x[0] > x[1] ? x[0] : x[1], b = x[2] > x[3] ? x[2] : x[3];
    return a > b ? a : b;
}

/* The first numbers are summed up for all tokens, the second ones only where they could still make a greatest sum; the token
 * that is best by the first is looked at before all others, so that they seldom can. A short last group repeats its last
 * token, which a maximum does not notice. */
static void best_signs_i15(const rv_signs *query, const uint8_t *bits, size_t tokens, int32_t *best) {
    uint8_t spread[SPREAD_TOKENS * RV_SIGN_DIMS];
    const size_t stride = query->stride, bytes = query->bytes;
    for (size_t q = 0; q < query->count; q++) best[q] = INT32_MIN;
    for (size_t start = 0; start < tokens; start += SPREAD_TOKENS) {
        const size_t some = tokens - start < SPREAD_TOKENS ? tokens - start : SPREAD_TOKENS;
        const size_t groups = (some + GROUP - 1) / GROUP;
        for (size_t t = 0; t < groups * GROUP; t++)
            spread_row(bits + (start + (t < some ? t : some - 1)) * bytes, bytes, spread + t * stride);
        for (size_t q = 0; q < query->count; q++) {
            const int8_t *first = query->rows + 2 * q * stride, *second = first + stride;
            int32_t sums[SPREAD_TOKENS], most[SPREAD_TOKENS / GROUP];
            size_t promising = 0;
            for (size_t g = 0; g < groups; g++) {
                sum_four(first, spread + g * GROUP * stride, stride, bytes * 8, sums + g * GROUP);
                most[g] = 128 * greatest_of_four(sums + g * GROUP) + query->second_most[q];
                if (most[g] > most[promising]) promising = g;
            }
            for (size_t i = 0; i < groups; i++) {
                const size_t g = i == 0 ? promising : i == promising ? 0 : i;
                if (most[g] <= best[q]) continue;
                int32_t whole[GROUP];
                sum_four(second, spread + g * GROUP * stride, stride, bytes * 8, whole);
                for (size_t t = 0; t < GROUP; t++) whole[t] += 128 * sums[g * GROUP + t];
                const int32_t found = greatest_of_four(whole);
                best[q] = found > best[q] ? found : best[q];
            }
        }
    }
}
