/* The sign-bit kernel once, over the operations that rv_bytes.h lists and
 *
 *   b_spread(p)         B_BYTES bits from B_BYTES / 8 bytes at p, lowest bit first, as bytes that are 0 or 1
 *   P, p_zero()         running sums of bytes
 *   p_add(p, ones, v)   p plus the int8 of v where ones is 1, up to RV_SIGN_DIMS / B_BYTES times without overflow
 *   p_join(high, low)   128 * high + low in lanes of I, whose sum is that of theirs */
enum { SPREAD_TOKENS = 4 };

/* Bits of one document token as bytes 0 and 1, zero from its end to the next multiple of B_BYTES. */
static inline void spread_row(const uint8_t *bits, size_t bytes, uint8_t *spread) {
    size_t at = 0;
    for (; at + B_BYTES / 8 <= bytes; at += B_BYTES / 8) b_store(spread + at * 8, b_spread(bits + at));
    if (at == bytes) return;
    uint8_t tail[B_BYTES / 8] = {0};
    for (size_t i = at; i < bytes; i++) tail[i - at] = bits[i];
    b_store(spread + at * 8, b_spread(tail));
}

/* Four document tokens at a time, so that every load of the query serves four sums; a short last group repeats its last
 * token, which a maximum does not notice. */
static void best_signs_i15(const int8_t *query, size_t count, size_t stride, const uint8_t *bits, size_t tokens,
                           size_t bytes, int32_t *best) {
    uint8_t spread[SPREAD_TOKENS][RV_SIGN_DIMS];
    for (size_t q = 0; q < count; q++) best[q] = INT32_MIN;
    for (size_t t = 0; t < tokens; t += SPREAD_TOKENS) {
        for (size_t i = 0; i < SPREAD_TOKENS; i++)
            spread_row(bits + (t + i < tokens ? t + i : tokens - 1) * bytes, bytes, spread[i]);
        for (size_t q = 0; q < count; q++) {
            const int8_t *high = query + 2 * q * stride, *low = high + stride;
            P high0 = p_zero(), high1 = high0, high2 = high0, high3 = high0;
            P low0 = high0, low1 = high0, low2 = high0, low3 = high0;
            for (size_t at = 0; at < bytes * 8; at += B_BYTES) {
                const B h = b_load(high + at), l = b_load(low + at);
                const B ones0 = b_load(spread[0] + at), ones1 = b_load(spread[1] + at);
                const B ones2 = b_load(spread[2] + at), ones3 = b_load(spread[3] + at);
                high0 = p_add(high0, ones0, h), low0 = p_add(low0, ones0, l);
                high1 = p_add(high1, ones1, h), low1 = p_add(low1, ones1, l);
                high2 = p_add(high2, ones2, h), low2 = p_add(low2, ones2, l);
                high3 = p_add(high3, ones3, h), low3 = p_add(low3, ones3, l);
            }
            int32_t sums[SPREAD_TOKENS];
            i_sum4(p_join(high0, low0), p_join(high1, low1), p_join(high2, low2), p_join(high3, low3), sums);
            for (size_t i = 0; i < SPREAD_TOKENS; i++) best[q] = sums[i] > best[q] ? sums[i] : best[q];
        }
    }
}
