/* The sign-bit kernel once, over the operations that rv_bytes.h lists and
 *
 *   b_spread(p)         B_BYTES bits from B_BYTES / 8 bytes at p, lowest bit first, as bytes that are 0 or 1
 *   P, p_zero()         running sums of bytes
 *   p_add(p, ones, v)   p plus the int8 of v where ones is 1, up to RV_SIGN_DIMS / B_BYTES times without overflow
 *   p_sum(p)            lanes of I, whose sum is that of p's */
enum { GROUP = 4, SPREAD_TOKENS = 32 };

/* Bits of one document token as bytes 0 and 1, zero from its end to the next multiple of B_BYTES. */
static inline void spread_row(const uint8_t *bits, size_t bytes, uint8_t *spread) {
    size_t at = 0;
    for (; at + B_BYTES / 8 <= bytes; at += B_BYTES / 8) b_store(spread + at * 8, b_spread(bits + at));
    if (at == bytes) return;
    uint8_t tail[B_BYTES / 8] = {0};
    for (size_t i = at; i < bytes; i++) tail[i - at] = bits[i];
    b_store(spread + at * 8, b_spread(tail));
}

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
static void best_signs_i15(const int8_t *query, size_t count, size_t stride, const uint8_t *bits, size_t tokens,
                           size_t bytes, const int32_t *second_most, int32_t *best) {
    uint8_t spread[SPREAD_TOKENS * RV_SIGN_DIMS];
    for (size_t q = 0; q < count; q++) best[q] = INT32_MIN;
    for (size_t start = 0; start < tokens; start += SPREAD_TOKENS) {
        const size_t some = tokens - start < SPREAD_TOKENS ? tokens - start : SPREAD_TOKENS;
        const size_t groups = (some + GROUP - 1) / GROUP;
        for (size_t t = 0; t < groups * GROUP; t++)
            spread_row(bits + (start + (t < some ? t : some - 1)) * bytes, bytes, spread + t * stride);
        for (size_t q = 0; q < count; q++) {
            const int8_t *first = query + 2 * q * stride, *second = first + stride;
            int32_t sums[SPREAD_TOKENS], most[SPREAD_TOKENS / GROUP];
            size_t promising = 0;
            for (size_t g = 0; g < groups; g++) {
                sum_four(first, spread + g * GROUP * stride, stride, bytes * 8, sums + g * GROUP);
                most[g] = 128 * greatest_of_four(sums + g * GROUP) + second_most[q];
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
