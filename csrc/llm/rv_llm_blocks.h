/* The blocks of GGUF's quantised types, as files hold them: unaligned, little-endian.
 *
 *   Q4_0  f16 d, 16 bytes              value = d * (q - 8), number i in the low half of byte i, i + 16 in its high half
 *   Q5_0  f16 d, u32 fifth bits, 16 bytes   the same with 5 bits and q - 16
 *   Q8_0  f16 d, 32 int8               value = d * q
 *   Q4_K  f16 d, f16 least, 12 bytes of 6-bit scales and minima, 128 bytes: 8 runs of 32,
 *         value = d * scale * q - least * minimum; a run's numbers are the low or high halves of 32 bytes
 *   Q5_K  the same with 32 bytes of fifth bits before the 128: bit r of byte i belongs to number i of run r
 *   Q6_K  128 bytes of low halves, 64 of upper pairs of bits, 16 int8 scales, f16 d: 16 runs of 16,
 *         value = d * scale * (q - 32) */
#ifndef RV_LLM_BLOCKS_H
#define RV_LLM_BLOCKS_H
#include "../rv_scalar.h"
#include "rv_llm.h"

enum {
    RV_SMALL_BLOCK = 32, /* numbers in a block of Q4_0, Q5_0, Q8_0 */
    RV_LARGE_BLOCK = 256, /* of Q4_K, Q5_K, Q6_K */
    RV_Q4_0_BYTES = 18,
    RV_Q5_0_BYTES = 22,
    RV_Q8_0_BYTES = 34,
    RV_Q4_K_BYTES = 144,
    RV_Q5_K_BYTES = 176,
    RV_Q6_K_BYTES = 210,
};

static inline uint16_t rv_u16_at(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static inline float rv_half_at(const uint8_t *p) { return float_of_f16(rv_u16_at(p)); }

/* q of a block, less its offset. */
static inline void rv_q4_0_codes(const uint8_t *block, int8_t *q) {
    for (int i = 0; i < 16; i++) {
        q[i] = (int8_t)((block[2 + i] & 15) - 8);
        q[i + 16] = (int8_t)((block[2 + i] >> 4) - 8);
    }
}

static inline void rv_q5_0_codes(const uint8_t *block, int8_t *q) {
    const uint32_t fifth = rv_u16_at(block + 2) | (uint32_t)rv_u16_at(block + 4) << 16;
    for (int i = 0; i < 16; i++) {
        q[i] = (int8_t)((block[6 + i] & 15) + 16 * (int)(fifth >> i & 1) - 16);
        q[i + 16] = (int8_t)((block[6 + i] >> 4) + 16 * (int)(fifth >> (i + 16) & 1) - 16);
    }
}

/* The 8 scales and 8 minima of a Q4_K or Q5_K block, and q as they are. */
static inline void rv_q4_k_scales(const uint8_t *block, uint8_t *scales, uint8_t *minima) {
    const uint8_t *packed = block + 4;
    for (int i = 0; i < 4; i++) {
        scales[i] = packed[i] & 63;
        minima[i] = packed[i + 4] & 63;
        scales[i + 4] = (uint8_t)((packed[i + 8] & 15) | packed[i] >> 6 << 4);
        minima[i + 4] = (uint8_t)(packed[i + 8] >> 4 | packed[i + 4] >> 6 << 4);
    }
}

static inline void rv_q4_k_codes(const uint8_t *block, int8_t *q) {
    for (int run = 0; run < 4; run++)
        for (int i = 0; i < 32; i++) {
            q[64 * run + i] = block[16 + 32 * run + i] & 15;
            q[64 * run + 32 + i] = block[16 + 32 * run + i] >> 4;
        }
}

static inline void rv_q5_k_codes(const uint8_t *block, int8_t *q) {
    rv_q4_k_codes(block + 32, q);
    for (int run = 0; run < 8; run++)
        for (int i = 0; i < 32; i++) q[32 * run + i] |= (int8_t)((block[16 + i] >> run & 1) << 4);
}

static inline const int8_t *rv_q6_k_scales(const uint8_t *block) { return (const int8_t *)block + 192; }

static inline void rv_q6_k_codes(const uint8_t *block, int8_t *q) {
    for (int half = 0; half < 2; half++, q += 128) {
        const uint8_t *low = block + 64 * half, *upper = block + 128 + 32 * half;
        for (int i = 0; i < 32; i++) {
            q[i] = (int8_t)((low[i] & 15) + ((upper[i] & 3) << 4) - 32);
            q[i + 32] = (int8_t)((low[i + 32] & 15) + ((upper[i] >> 2 & 3) << 4) - 32);
            q[i + 64] = (int8_t)((low[i] >> 4) + ((upper[i] >> 4 & 3) << 4) - 32);
            q[i + 96] = (int8_t)((low[i + 32] >> 4) + (upper[i] >> 6 << 4) - 32);
        }
    }
}

#endif
