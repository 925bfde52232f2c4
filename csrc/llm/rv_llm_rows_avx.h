/* Rows of quantised matrices straight from the file's layout, on 256-bit vectors, for AVX2 and for AVX-512 with VNNI, which
 * define
 *
 *   dot_unsigned_two(a, x, b, y)   8 sums of four products of unsigned codes below 32 with signed bytes, a * x + b * y
 *   dot_signed_two(a, x, b, y)     the same of signed bytes in [-128, 127] with signed bytes in [-127, 127]
 *
 * Small blocks are taken two at a time, one in each half of a vector, so that both halves of their bytes go through the same
 * instructions; eight scales are widened and multiplied by the activations' at once. Of large blocks two rows are taken at a
 * time, one in each half, so that 16 numbers that share a scale fill a half. */
typedef __m256i W;

INLINE W w_load(const void *p) { return _mm256_loadu_si256(p); }
INLINE W w_zero(void) { return _mm256_setzero_si256(); }

/* A sum that the compiler may not take apart: it would keep many products first, in memory, and add them up afterwards. */
INLINE W w_add(W sum, W some) {
    sum = _mm256_add_epi32(sum, some);
    __asm__("" : "+x"(sum));
    return sum;
}

/* Sums of four products of codes below 64 with signed bytes, each times the scale that stands in both halves of its lane. */
INLINE W dot_scaled(W codes, W x, W scales) { return _mm256_madd_epi16(_mm256_maddubs_epi16(codes, x), scales); }

/* The same of codes below 32, a * x + b * y. */
INLINE W dot_scaled_two(W a, W x, W b, W y, W scales) {
    return _mm256_madd_epi16(_mm256_add_epi16(_mm256_maddubs_epi16(a, x), _mm256_maddubs_epi16(b, y)), scales);
}

INLINE W w_two(const void *low, const void *high) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(low)), _mm_loadu_si128(high), 1);
}

#define BEGIN_ROWS                                                                                                     \
    __m256 sums[STREAMS][RV_LLM_TOGETHER];                                                                             \
    for (size_t n = 0; n < count; n++)                                                                                 \
        for (size_t t = 0; t < tokens; t++) sums[n][t] = _mm256_setzero_ps()
#define END_ROWS                                                                                                       \
    for (size_t n = 0; n < count; n++)                                                                                 \
        for (size_t t = 0; t < tokens; t++) out[t * stride + n * apart] = w_sum(sums[n][t])

enum { Q8_0, Q4_0, Q5_0, Q4_K, Q5_K, Q6_K };

/* The scales of 2 * pairs blocks (1, 2 or 4 pairs): the first of each pair in the low half, the second in the high one, others
 * 0. */
INLINE __m256 scales_of(const uint8_t *block, const size_t bytes, const size_t pairs) {
    __m128i halves = _mm_cvtsi32_si128(rv_u16_at(block));
    halves = _mm_insert_epi16(halves, rv_u16_at(block + bytes), 4);
    if (pairs > 1) {
        halves = _mm_insert_epi16(halves, rv_u16_at(block + 2 * bytes), 1);
        halves = _mm_insert_epi16(halves, rv_u16_at(block + 3 * bytes), 5);
    }
    if (pairs > 2) {
        halves = _mm_insert_epi16(halves, rv_u16_at(block + 4 * bytes), 2);
        halves = _mm_insert_epi16(halves, rv_u16_at(block + 6 * bytes), 3);
        halves = _mm_insert_epi16(halves, rv_u16_at(block + 5 * bytes), 6);
        halves = _mm_insert_epi16(halves, rv_u16_at(block + 7 * bytes), 7);
    }
    return _mm256_cvtph_ps(halves);
}

/* What 2 * pairs blocks of a token have: one number of 32 bits each, others 0. */
INLINE W of_pairs(const void *p, const size_t pairs) {
    return pairs == 4   ? w_load(p)
           : pairs == 2 ? _mm256_zextsi128_si256(_mm_loadu_si128(p))
                        : _mm256_zextsi128_si256(_mm_loadl_epi64(p));
}

/* Number `pair` of each half in all of the half. */
INLINE __m256 spread_pair(__m256 v, const int pair) {
    return pair == 0   ? _mm256_permute_ps(v, 0)
           : pair == 1 ? _mm256_permute_ps(v, 0x55)
           : pair == 2 ? _mm256_permute_ps(v, 0xaa)
                       : _mm256_permute_ps(v, 0xff);
}

/* A token's bytes, scales and sums, from some block on. */
typedef struct token_at {
    const int8_t *q;
    const float *scales;
    const int16_t *sums;
} token_at;

/* The fifth bits of a pair of blocks as 16 or 0 in each byte: those of each block's first (part 0) or last 16 numbers. */
INLINE W fifth_bits(W blocks, const int part) {
    const W which = part ? _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0303030303030303, 0x0202020202020202)
                         : _mm256_set_epi64x(0x0101010101010101, 0, 0x0101010101010101, 0);
    const W own = _mm256_set1_epi64x((long long)0x8040201008040201);
    const W mine = _mm256_and_si256(_mm256_shuffle_epi8(blocks, which), own);
    return _mm256_and_si256(_mm256_cmpeq_epi8(mine, own), _mm256_set1_epi8(16));
}

/* `pairs` (at most four) pairs of blocks of `count` rows, `step` bytes apart, for some tokens. A vector's low half belongs to the
 * first block of a pair, the high one to the second. */
INLINE void add_pairs_of_blocks(const uint8_t *row, const size_t count, size_t step, const token_at *x,
                                const size_t tokens, const size_t pairs, const int kind,
                                __m256 sums[][RV_LLM_TOGETHER]) {
    const size_t bytes = kind == Q8_0 ? RV_Q8_0_BYTES : kind == Q4_0 ? RV_Q4_0_BYTES : RV_Q5_0_BYTES;
    const __m256i by_pairs = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
    __m256 scales[STREAMS][RV_LLM_TOGETHER];
    for (size_t n = 0; n < count; n++) scales[n][0] = scales_of(row + n * step, bytes, pairs);
    for (size_t n = 0; n < count; n++)
        for (size_t t = tokens; t-- > 0;) {
            const __m256 of = _mm256_castsi256_ps(of_pairs(x[t].scales, pairs));
            scales[n][t] = _mm256_mul_ps(scales[n][0], _mm256_permutevar8x32_ps(of, by_pairs));
            if (kind == Q8_0) continue;
            const W offsets = _mm256_madd_epi16(of_pairs(x[t].sums, pairs), _mm256_set1_epi16(kind == Q4_0 ? -8 : -16));
            const __m256 numbers = _mm256_permutevar8x32_ps(_mm256_cvtepi32_ps(offsets), by_pairs);
            sums[n][t] = _mm256_fmadd_ps(numbers, scales[n][t], sums[n][t]);
        }
#pragma GCC unroll 4
    for (size_t pair = 0; pair < pairs; pair++) {
        W low_x[RV_LLM_TOGETHER], high_x[RV_LLM_TOGETHER];
        for (size_t t = 0; t < tokens; t++) {
            const W first = w_load(x[t].q + 64 * pair), second = w_load(x[t].q + 64 * pair + 32);
            low_x[t] = _mm256_permute2x128_si256(first, second, 0x20);
            high_x[t] = _mm256_permute2x128_si256(first, second, 0x31);
        }
        for (size_t n = 0; n < count; n++) {
            const uint8_t *block = row + n * step + 2 * pair * bytes;
            const uint8_t *codes = block + bytes - (kind == Q8_0 ? 32 : 16);
            W low = w_two(codes, codes + bytes), high;
            if (kind == Q8_0) high = w_two(codes + 16, codes + bytes + 16);
            else {
                high = _mm256_and_si256(_mm256_srli_epi16(low, 4), _mm256_set1_epi8(15));
                low = _mm256_and_si256(low, _mm256_set1_epi8(15));
            }
            if (kind == Q5_0) {
                const W bits = w_two(block + 2, block + bytes + 2);
                low = _mm256_or_si256(low, fifth_bits(bits, 0));
                high = _mm256_or_si256(high, fifth_bits(bits, 1));
            }
            for (size_t t = 0; t < tokens; t++) {
                const W dots = kind == Q8_0 ? dot_signed_two(low, low_x[t], high, high_x[t])
                                            : dot_unsigned_two(low, low_x[t], high, high_x[t]);
                sums[n][t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots), spread_pair(scales[n][t], (int)pair), sums[n][t]);
            }
        }
    }
}

/* `count` rows, `apart` of them apart. A block that is left alone at the end gets an empty one for company. */
INLINE void rows_small(const uint8_t *row, const size_t count, size_t apart, const rv_llm_activations *a, size_t token,
                       const size_t tokens, const int kind, float *out, size_t stride) {
    const size_t bytes = kind == Q8_0 ? RV_Q8_0_BYTES : kind == Q4_0 ? RV_Q4_0_BYTES : RV_Q5_0_BYTES;
    const size_t blocks = a->cols / 32, step = apart * blocks * bytes;
    token_at x[RV_LLM_TOGETHER];
    for (size_t t = 0; t < tokens; t++)
        x[t] = (token_at){a->q + (token + t) * a->cols, a->scales + (token + t) * blocks,
                          a->sums + (token + t) * blocks * 2};
    BEGIN_ROWS;
    size_t b = 0;
    for (; b + 8 <= blocks; b += 8, row += 8 * bytes) {
        add_pairs_of_blocks(row, count, step, x, tokens, 4, kind, sums);
        for (size_t t = 0; t < tokens; t++) x[t].q += 256, x[t].scales += 8, x[t].sums += 16;
    }
    if (b + 4 <= blocks) {
        add_pairs_of_blocks(row, count, step, x, tokens, 2, kind, sums);
        for (size_t t = 0; t < tokens; t++) x[t].q += 128, x[t].scales += 4, x[t].sums += 8;
        b += 4, row += 4 * bytes;
    }
    if (b + 2 <= blocks) {
        add_pairs_of_blocks(row, count, step, x, tokens, 1, kind, sums);
        for (size_t t = 0; t < tokens; t++) x[t].q += 64, x[t].scales += 2, x[t].sums += 4;
        b += 2, row += 2 * bytes;
    }
    if (b < blocks) {
        uint8_t pair[STREAMS * 2 * RV_Q8_0_BYTES] = {0};
        int8_t q[RV_LLM_TOGETHER][64] = {0};
        float scales[RV_LLM_TOGETHER][2] = {0};
        int16_t q_sums[RV_LLM_TOGETHER][4] = {0};
        for (size_t n = 0; n < count; n++) memcpy(pair + n * 2 * bytes, row + n * step, bytes);
        for (size_t t = 0; t < tokens; t++) {
            memcpy(q[t], x[t].q, 32);
            memcpy(q_sums[t], x[t].sums, 2 * sizeof(int16_t));
            scales[t][0] = x[t].scales[0];
            x[t] = (token_at){q[t], scales[t], q_sums[t]};
        }
        add_pairs_of_blocks(pair, count, 2 * bytes, x, tokens, 1, kind, sums);
    }
    END_ROWS;
}

enum { PAIRS = STREAMS / 2 };

typedef struct two_rows {
    const uint8_t *first, *second;
} two_rows;

INLINE W both_at(two_rows of, size_t at) { return w_two(of.first + at, of.second + at); }

/* Sixteen bytes of x for both rows. */
INLINE W w_both(const void *p) { return _mm256_broadcastsi128_si256(_mm_loadu_si128(p)); }

/* The int16 number i of each half in all of its int16. */
INLINE W w_spread_number(W numbers, int i) {
    return _mm256_shuffle_epi8(numbers, _mm256_set1_epi16((short)((2 * i + 1) << 8 | 2 * i)));
}

/* Each row's 8 scales, then its 8 minima, of Q4_K or Q5_K, a byte each: four of each are the low 6 bits of a byte, the others a
 * half of a byte and two bits that those left over. */
INLINE W q4_k_scales(two_rows of) {
    const W words = both_at(of, 4);
    const W six = _mm256_shuffle_epi32(words, 0x50), four = _mm256_shuffle_epi32(words, 0xaa);
    const W low = _mm256_and_si256(six, _mm256_set1_epi64x(0x3f3f3f3f));
    const W top = _mm256_and_si256(_mm256_srli_epi32(six, 2), _mm256_set1_epi64x(0x3030303000000000));
    const W shifted = _mm256_srlv_epi32(four, _mm256_setr_epi32(0, 0, 0, 4, 0, 0, 0, 4));
    const W rest = _mm256_and_si256(shifted, _mm256_set1_epi64x(0x0f0f0f0f00000000));
    return _mm256_or_si256(low, _mm256_or_si256(top, rest));
}

/* Sixteen codes of each row's run `run` of Q4_K or Q5_K, from number i on. */
INLINE W q4_k_codes(two_rows of, const int run, const int i, const int kind) {
    const W both = both_at(of, (kind == Q5_K ? 48 : 16) + run / 2 * 32 + i);
    const W half = _mm256_and_si256(run % 2 ? _mm256_srli_epi16(both, 4) : both, _mm256_set1_epi8(15));
    if (kind == Q4_K) return half;
    const W bits = both_at(of, 16 + i);
    const W fifth = run < 4 ? _mm256_slli_epi16(bits, 4 - run) : _mm256_srli_epi16(bits, run - 4);
    return _mm256_or_si256(half, _mm256_and_si256(fifth, _mm256_set1_epi8(16)));
}

INLINE void add_with_least(const two_rows *rows, const size_t pairs, const rv_llm_activations *a, size_t token, size_t b,
                           const size_t tokens, const int kind, __m256 sums[][RV_LLM_TOGETHER]) {
    W scales[PAIRS], minima[PAIRS], dots[PAIRS][RV_LLM_TOGETHER];
    for (size_t n = 0; n < pairs; n++) {
        const W bytes = q4_k_scales(rows[n]);
        scales[n] = _mm256_unpacklo_epi8(bytes, w_zero());
        minima[n] = _mm256_unpackhi_epi8(bytes, w_zero());
        for (size_t t = 0; t < tokens; t++) dots[n][t] = w_zero();
    }
#pragma GCC unroll 8
    for (int run = 0; run < 8; run++)
        for (size_t t = 0; t < tokens; t++) {
            const int8_t *x = a->q + (token + t) * a->cols + 256 * b + 32 * run;
            const W low_x = w_both(x), high_x = w_both(x + 16);
            for (size_t n = 0; n < pairs; n++) {
                const W low = q4_k_codes(rows[n], run, 0, kind), high = q4_k_codes(rows[n], run, 16, kind);
                const W by = w_spread_number(scales[n], run);
                dots[n][t] = w_add(dots[n][t], dot_scaled_two(low, low_x, high, high_x, by));
            }
        }
    for (size_t t = 0; t < tokens; t++) {
        const int16_t *x_sums = a->sums + (token + t) * a->cols / RV_SUM + 16 * b;
        const W by_sixteen = w_load(x_sums);
        const W by_runs = _mm256_permute4x64_epi64(_mm256_hadd_epi16(by_sixteen, by_sixteen), 0x88);
        const __m256 x_scale = _mm256_set1_ps(a->scales[(token + t) * a->cols / 256 + b]);
        for (size_t n = 0; n < pairs; n++) {
            const __m128i first = _mm_loadl_epi64((const void *)rows[n].first);
            const __m128i second = _mm_loadl_epi64((const void *)rows[n].second);
            const __m256 d_least = _mm256_mul_ps(_mm256_cvtph_ps(_mm_unpacklo_epi64(first, second)), x_scale);
            const __m256 least = _mm256_cvtepi32_ps(_mm256_madd_epi16(minima[n], by_runs));
            sums[n][t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[n][t]), _mm256_permute_ps(d_least, 0), sums[n][t]);
            sums[n][t] = _mm256_fnmadd_ps(least, _mm256_permute_ps(d_least, 0x55), sums[n][t]);
        }
    }
}

/* Sixteen codes of each row's run `run` of Q6_K: every eight runs, 64 bytes hold the low halves of four and the high ones of the
 * other four, and 32 bytes the upper bits of all. */
INLINE W q6_k_codes(two_rows of, const int run) {
    const int part = run / 8, piece = run % 8 / 2, i = run % 2 * 16;
    const W low = both_at(of, part * 64 + piece % 2 * 32 + i), upper = both_at(of, 128 + part * 32 + i);
    const W half = _mm256_and_si256(piece < 2 ? low : _mm256_srli_epi16(low, 4), _mm256_set1_epi8(15));
    const W bits = piece < 2    ? _mm256_slli_epi16(upper, 4 - 2 * piece)
                   : piece == 2 ? upper
                                : _mm256_srli_epi16(upper, 2);
    return _mm256_or_si256(half, _mm256_and_si256(bits, _mm256_set1_epi8(0x30)));
}

INLINE void add_q6_k(const two_rows *rows, const size_t pairs, const rv_llm_activations *a, size_t token, size_t b,
                     const size_t tokens, __m256 sums[][RV_LLM_TOGETHER]) {
    W scales[PAIRS][2], dots[PAIRS][RV_LLM_TOGETHER];
    for (size_t n = 0; n < pairs; n++) {
        const W bytes = both_at(rows[n], 192);
        scales[n][0] = _mm256_srai_epi16(_mm256_unpacklo_epi8(bytes, bytes), 8);
        scales[n][1] = _mm256_srai_epi16(_mm256_unpackhi_epi8(bytes, bytes), 8);
        for (size_t t = 0; t < tokens; t++) { /* the offset: 32 times scales with sums */
            const int16_t *x_sums = a->sums + (token + t) * a->cols / RV_SUM + 16 * b;
            const W excess = _mm256_add_epi32(_mm256_madd_epi16(scales[n][0], w_both(x_sums)),
                                              _mm256_madd_epi16(scales[n][1], w_both(x_sums + 8)));
            dots[n][t] = _mm256_sub_epi32(w_zero(), _mm256_slli_epi32(excess, 5));
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) { /* those whose codes share bytes together: 0, 2, 4, 6, 1, 3, 5, 7, 8 and so on */
        const int run = i / 8 * 8 + i % 4 * 2 + i / 4 % 2;
        for (size_t t = 0; t < tokens; t++) {
            const W x = w_both(a->q + (token + t) * a->cols + 256 * b + 16 * run);
            for (size_t n = 0; n < pairs; n++) {
                const W by = w_spread_number(scales[n][run / 8], run % 8);
                dots[n][t] = w_add(dots[n][t], dot_scaled(q6_k_codes(rows[n], run), x, by));
            }
        }
    }
    for (size_t n = 0; n < pairs; n++) {
        const __m256 d = _mm256_set_m128(_mm_set1_ps(half(rows[n].second + 208)), _mm_set1_ps(half(rows[n].first + 208)));
        for (size_t t = 0; t < tokens; t++) {
            const __m256 scale = _mm256_mul_ps(d, _mm256_set1_ps(a->scales[(token + t) * a->cols / 256 + b]));
            sums[n][t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[n][t]), scale, sums[n][t]);
        }
    }
}

/* `count` rows, `apart` of them apart; a single one goes with itself. */
INLINE void rows_large(const uint8_t *row, const size_t count, size_t apart, size_t bytes, const rv_llm_activations *a,
                       size_t token, const size_t tokens, const int kind, float *out, size_t stride) {
    const size_t step = apart * (a->cols / 256) * bytes, pairs = (count + 1) / 2;
    __m256 sums[PAIRS][RV_LLM_TOGETHER];
    two_rows rows[PAIRS];
    for (size_t n = 0; n < pairs; n++) {
        rows[n] = (two_rows){row + 2 * n * step, row + (count > 1 ? 2 * n + 1 : 0) * step};
        for (size_t t = 0; t < tokens; t++) sums[n][t] = _mm256_setzero_ps();
    }
    for (size_t b = 0; b < a->cols / 256; b++) {
        if (kind == Q6_K) add_q6_k(rows, pairs, a, token, b, tokens, sums);
        else add_with_least(rows, pairs, a, token, b, tokens, kind, sums);
        for (size_t n = 0; n < pairs; n++) rows[n].first += bytes, rows[n].second += bytes;
    }
    for (size_t n = 0; n < count; n++)
        for (size_t t = 0; t < tokens; t++) {
            const __m256 both = sums[n / 2][t];
            const __m128 four = n % 2 ? _mm256_extractf128_ps(both, 1) : _mm256_castps256_ps128(both);
            const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            out[t * stride + n * apart] = _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
        }
}

#include "rv_llm_rows_kinds.h"
