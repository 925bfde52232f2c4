/* The sign-bit kernel by table look-up: for instruction sets that look up many half-bytes in one instruction. The tokens are
 * turned so that one vector holds the same half-byte of B_BYTES of them, and the query's rough tables bound each one's sum
 * from above (after André, Kermarrec and Le Scouarnec's Quick ADC, arXiv:1704.07355); only where the bound exceeds the
 * greatest sum so far is the sum made, best bound first. Beyond what rv_signs_spread.h lists:
 *
 *   b_zip_low(a, b) b_zip_high(a, b)   the bytes of a and b in turns, of the lower or upper halves of each 16
 *   b_rows(p, q)        16 bytes from p; with 32 to a vector, those from q behind them
 *   b_table(p)          16 bytes from p for b_look_up(table, indices), which looks up indices below 16
 *   b_low_half(v) b_high_half(v)       each byte's half, below 16
 *   b_add8 b_add16 b_sub16             sums of bytes and of pairs of bytes
 *   b_upper16(v) b_raise16(v)          a pair's upper byte as a number; its lower one as the upper
 *   b_above16(v, least)                two bits for each pair, lowest pair first, set where it is above `least`
 *   b_greatest16(a, b)                 the greatest pair of both */
#include "rv_signs_spread.h"

typedef struct turned {
    uint8_t halves[2 * RV_SIGN_DIMS / 8 * B_BYTES], spread[B_BYTES * RV_SIGN_DIMS];
    uint32_t is_spread;
} turned;

/* 16 bytes of a row from `at` on, 0 beyond its end; in `part` if they are not all there. */
static inline const uint8_t *row_part(const uint8_t *row, size_t at, size_t bytes, uint8_t *part) {
    if (at + 16 <= bytes) return row + at;
    memset(part, 0, 16);
    memcpy(part, row + at, bytes - at);
    return part;
}

/* Sixteen rows of sixteen bytes each change places with their columns in four shuffles like a pack of cards'. */
static void turn(const uint8_t *bits, size_t tokens, size_t bytes, turned *to) {
    to->is_spread = 0;
    for (size_t at = 0; at < bytes; at += 16) {
        B rows[16], next[16];
        for (size_t t = 0; t < 16; t++) {
            uint8_t part[2][16];
            const size_t first = t < tokens ? t : tokens - 1, second = t + 16 < tokens ? t + 16 : tokens - 1;
            rows[t] = b_rows(row_part(bits + first * bytes, at, bytes, part[0]),
                             row_part(bits + second * bytes, at, bytes, part[1]));
        }
        for (size_t round = 0; round < 2; round++) {
            for (size_t i = 0; i < 8; i++) {
                next[2 * i] = b_zip_low(rows[i], rows[i + 8]);
                next[2 * i + 1] = b_zip_high(rows[i], rows[i + 8]);
            }
            for (size_t i = 0; i < 8; i++) {
                rows[2 * i] = b_zip_low(next[i], next[i + 8]);
                rows[2 * i + 1] = b_zip_high(next[i], next[i + 8]);
            }
        }
        for (size_t i = 0; i < 16 && at + i < bytes; i++) {
            uint8_t *halves = to->halves + 2 * (at + i) * B_BYTES;
            b_store(halves, b_low_half(rows[i]));
            b_store(halves + B_BYTES, b_high_half(rows[i]));
        }
    }
}

/* The bounds of B_BYTES tokens in units, of the even ones and of the odd ones: pairs of look-ups fit a byte, and a pair of bytes
 * is summed up whole and by its upper byte alone. */
static inline void sum_rough(const uint8_t *rough, const uint8_t *halves, size_t bytes, B *even, B *odd) {
    B both = i_zero(), upper = both;
    for (size_t at = 0; at < bytes; at++) {
        const B low = b_look_up(b_table(rough + 32 * at), b_load(halves + 2 * at * B_BYTES));
        const B high = b_look_up(b_table(rough + 32 * at + 16), b_load(halves + (2 * at + 1) * B_BYTES));
        const B two = b_add8(low, high);
        both = b_add16(both, two);
        upper = b_add16(upper, b_upper16(two));
    }
    *even = b_sub16(both, b_raise16(upper));
    *odd = upper;
}

/* A token's sum. */
static int32_t sum_whole(const int8_t *first, const int8_t *second, const uint8_t *spread, size_t dims) {
    P upper = p_zero(), lower = upper;
    for (size_t at = 0; at < dims; at += B_BYTES) {
        const B ones = b_load(spread + at);
        upper = p_add(upper, ones, b_load(first + at));
        lower = p_add(lower, ones, b_load(second + at));
    }
    return 128 * i_sum(p_sum(upper)) + i_sum(p_sum(lower));
}

/* Which tokens' bounds are above so many units, a bit each. */
static inline uint32_t above(B even, B odd, int32_t units) {
    return (b_above16(even, units) & 0x55555555u) | (b_above16(odd, units) & 0xaaaaaaaau);
}

/* Which tokens' bounds exceed `best`. */
static inline uint32_t promising(B even, B odd, int32_t best, int32_t unit, size_t bytes) {
    const int64_t least = (int64_t)best + (int64_t)unit * 2 * RV_ROUGH_ZERO * (int64_t)bytes; /* for unit times the sum */
    return least < 0 ? UINT32_MAX : above(even, odd, (int32_t)(least / unit));
}

static int32_t sum_token(const rv_signs *query, size_t q, const uint8_t *bits, size_t t, turned *some) {
    const int8_t *first = query->rows + 2 * q * query->stride;
    uint8_t *spread = some->spread + t * query->stride;
    if (!(some->is_spread >> t & 1)) spread_row(bits + t * query->bytes, query->bytes, spread);
    some->is_spread |= 1u << t;
    return sum_whole(first, first + query->stride, spread, query->bytes * 8);
}

static inline int32_t best_of(const rv_signs *query, size_t q, const uint8_t *bits, size_t tokens, turned *some,
                              int32_t best) {
    const uint32_t all = (uint32_t)((UINT64_C(1) << tokens) - 1);
    B even, odd;
    sum_rough(query->rough + 4 * q * query->stride, some->halves, query->bytes, &even, &odd);
    uint32_t next = above(even, odd, b_greatest16(even, odd) - 1) & all;
    for (uint32_t left = promising(even, odd, best, query->unit[q], query->bytes) & all; left; next = left) {
        const size_t t = (size_t)__builtin_ctz(next);
        const int32_t sum = sum_token(query, q, bits, t, some);
        best = sum > best ? sum : best;
        left &= ~(1u << t) & promising(even, odd, best, query->unit[q], query->bytes);
    }
    return best;
}

static void best_signs_i15(const rv_signs *query, const uint8_t *bits, size_t tokens, int32_t *best) {
    turned some;
    for (size_t q = 0; q < query->count; q++) best[q] = INT32_MIN;
    for (size_t start = 0; start < tokens; start += B_BYTES) {
        const size_t size = tokens - start < B_BYTES ? tokens - start : B_BYTES;
        const uint8_t *from = bits + start * query->bytes;
        turn(from, size, query->bytes, &some);
        for (size_t q = 0; q < query->count; q++) best[q] = best_of(query, q, from, size, &some, best[q]);
    }
}
