/* What both sign-bit kernels need, over the operations that rv_bytes.h lists and
 *
 *   b_spread(p)         B_BYTES bits from B_BYTES / 8 bytes at p, lowest bit first, as bytes that are 0 or 1
 *   P, p_zero()         running sums of bytes
 *   p_add(p, ones, v)   p plus the int8 of v where ones is 1, up to RV_SIGN_DIMS / B_BYTES times without overflow
 *   p_sum(p)            lanes of I, whose sum is that of p's */

/* Bits of one document token as bytes 0 and 1, zero from its end to the next multiple of B_BYTES. */
static inline void spread_row(const uint8_t *bits, size_t bytes, uint8_t *spread) {
    size_t at = 0;
    for (; at + B_BYTES / 8 <= bytes; at += B_BYTES / 8) b_store(spread + at * 8, b_spread(bits + at));
    if (at == bytes) return;
    uint8_t tail[B_BYTES / 8] = {0};
    for (size_t i = at; i < bytes; i++) tail[i - at] = bits[i];
    b_store(spread + at * 8, b_spread(tail));
}
