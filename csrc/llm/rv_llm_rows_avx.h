/* Rows of quantised matrices straight from the file's layout, on 256-bit vectors, for AVX2 and for AVX-512 with VNNI, which define
 *
 *   dot_unsigned(codes, x)   8 sums of four products of unsigned codes below 64 with signed bytes
 *   dot_signed(weights, x)   the same of signed bytes in [-128, 127] with signed bytes in [-127, 127]
 *
 * Scales of eight blocks at a time are widened and multiplied by the activations' scales in one go; each is then read back as
 * a broadcast, which costs no arithmetic. */
typedef __m256i W;

INLINE W w_load(const void *p) { return _mm256_loadu_si256(p); }
INLINE W w_zero(void) { return _mm256_setzero_si256(); }
INLINE W w_spread16(const void *p) { return _mm256_broadcastsi128_si256(_mm_loadu_si128(p)); }

/* Sixteen bytes' low halves, then their high halves. */
INLINE W w_nibbles(const uint8_t *p) {
    const W shifted = _mm256_srlv_epi32(w_spread16(p), _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4));
    return _mm256_and_si256(shifted, _mm256_set1_epi8(15));
}

/* 16 in each byte whose bit is set. */
INLINE W w_fifth(const uint8_t *p) {
    int32_t bits;
    memcpy(&bits, p, sizeof bits);
    const W bytes = _mm256_shuffle_epi8(
        _mm256_set1_epi32(bits), _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
    const W own = _mm256_set1_epi64x((long long)0x8040201008040201);
    return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(bytes, own), own), _mm256_set1_epi8(16));
}

/* The float16 scales of `count` blocks, 0 for the others. */
INLINE __m256 scales_of(const uint8_t *block, size_t bytes, const size_t count) {
    __m128i halves = _mm_setzero_si128();
    if (count == 8) {
        halves = _mm_insert_epi16(halves, rv_u16_at(block), 0);
        halves = _mm_insert_epi16(halves, rv_u16_at(block + bytes), 1);
        halves = _mm_insert_epi16(halves, rv_u16_at(block + 2 * bytes), 2);
        halves = _mm_insert_epi16(halves, rv_u16_at(block + 3 * bytes), 3);
        halves = _mm_insert_epi16(halves, rv_u16_at(block + 4 * bytes), 4);
        halves = _mm_insert_epi16(halves, rv_u16_at(block + 5 * bytes), 5);
        halves = _mm_insert_epi16(halves, rv_u16_at(block + 6 * bytes), 6);
        halves = _mm_insert_epi16(halves, rv_u16_at(block + 7 * bytes), 7);
    } else {
        uint16_t some[8] = {0};
        for (size_t i = 0; i < count; i++) some[i] = rv_u16_at(block + i * bytes);
        halves = _mm_loadu_si128((const void *)some);
    }
    return _mm256_cvtph_ps(halves);
}

#define BEGIN_ROWS                                                                                                     \
    __m256 sums[STREAMS][RV_LLM_TOGETHER];                                                                             \
    for (size_t n = 0; n < count; n++)                                                                                 \
        for (size_t t = 0; t < tokens; t++) sums[n][t] = _mm256_setzero_ps()
#define END_ROWS                                                                                                       \
    for (size_t n = 0; n < count; n++)                                                                                 \
        for (size_t t = 0; t < tokens; t++) out[t * stride + n * apart] = w_sum(sums[n][t])

enum { Q8_0, Q4_0, Q5_0 };

/* Up to eight blocks of one row. */
INLINE void small_blocks(const uint8_t *block, size_t bytes, const rv_llm_activations *a, size_t token, size_t b,
                         const size_t tokens, const size_t count, const int kind, __m256 *sums) {
    const __m256 rows = scales_of(block, bytes, count);
    float scales[RV_LLM_TOGETHER][8];
    const int8_t *x = a->q + token * a->cols + 32 * b;
    for (size_t t = 0; t < tokens; t++) {
        const float *from = a->scales + (token + t) * a->cols / 32 + b;
        const __m256 both = _mm256_mul_ps(rows, count == 8 ? v_load(from) : v_load_part(from, count));
        v_store(scales[t], both);
        if (kind == Q8_0) continue;
        int16_t part[16] = {0};
        const int16_t *of = a->sums + (token + t) * a->cols / RV_SUM + 2 * b;
        if (count < 8) memcpy(part, of, count * 2 * sizeof *of);
        const W offsets = _mm256_madd_epi16(w_load(count == 8 ? of : part), _mm256_set1_epi16(kind == Q4_0 ? -8 : -16));
        sums[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(offsets), both, sums[t]);
    }
    __m256 odd[RV_LLM_TOGETHER]; /* two chains of additions: one would wait for itself */
    for (size_t t = 0; t < tokens; t++) odd[t] = _mm256_setzero_ps();
#pragma GCC unroll 8
    for (size_t i = 0; i < count; i++, block += bytes) {
        W codes;
        if (kind == Q8_0) codes = w_load(block + 2);
        else if (kind == Q4_0) codes = w_nibbles(block + 2);
        else codes = _mm256_or_si256(w_nibbles(block + 6), w_fifth(block + 2));
        for (size_t t = 0; t < tokens; t++) {
            const W bytes_of_x = w_load(x + t * a->cols + 32 * i);
            const W dots = kind == Q8_0 ? dot_signed(codes, bytes_of_x) : dot_unsigned(codes, bytes_of_x);
            __m256 *sum = i % 2 ? &odd[t] : &sums[t];
            *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots), _mm256_broadcast_ss(&scales[t][i]), *sum);
        }
    }
    for (size_t t = 0; t < tokens; t++) sums[t] = _mm256_add_ps(sums[t], odd[t]);
}

/* `count` rows, `apart` of them apart. */
INLINE void rows_small(const uint8_t *row, const size_t count, size_t apart, size_t bytes, const rv_llm_activations *a,
                       size_t token, const size_t tokens, const int kind, float *out, size_t stride) {
    const size_t blocks = a->cols / 32, step = apart * blocks * bytes;
    BEGIN_ROWS;
    size_t b = 0;
    for (; b + 8 <= blocks; b += 8, row += 8 * bytes)
        for (size_t n = 0; n < count; n++) small_blocks(row + n * step, bytes, a, token, b, tokens, 8, kind, sums[n]);
    for (size_t n = 0; b < blocks && n < count; n++)
        small_blocks(row + n * step, bytes, a, token, b, tokens, blocks - b, kind, sums[n]);
    END_ROWS;
}

/* The 8 scales, then the 8 minima, of a Q4_K block as int16. */
INLINE W q4_k_scales(const uint8_t *packed) {
    uint32_t part[3], wide[4];
    memcpy(part, packed, sizeof part);
    wide[0] = part[0] & 0x3f3f3f3f;
    wide[1] = (part[2] & 0x0f0f0f0f) | (part[0] >> 6 & 0x03030303) << 4;
    wide[2] = part[1] & 0x3f3f3f3f;
    wide[3] = (part[2] >> 4 & 0x0f0f0f0f) | (part[1] >> 6 & 0x03030303) << 4;
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)wide));
}

/* The int16 number i of each half in all of its int16. */
INLINE W w_spread_number(W numbers, int i) {
    return _mm256_shuffle_epi8(numbers, _mm256_set1_epi16((short)((2 * i + 1) << 8 | 2 * i)));
}

INLINE void block_q4_k(const uint8_t *block, const rv_llm_activations *a, size_t token, size_t b,
                       const size_t tokens, __m256 *sums) {
    const W both = q4_k_scales(block + 4);
    const W scales = _mm256_permute2x128_si256(both, both, 0), minima = _mm256_permute2x128_si256(both, both, 0x11);
    const W each = _mm256_permutevar8x32_epi32(minima, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
    const W twice = _mm256_shuffle_epi8(
        each, _mm256_setr_epi64x(0x0302030201000100, 0x0b0a0b0a09080908, 0x0302030201000100, 0x0b0a0b0a09080908));
    W dots[RV_LLM_TOGETHER];
    for (size_t t = 0; t < tokens; t++) dots[t] = w_zero();
#pragma GCC unroll 4
    for (int run = 0; run < 4; run++) {
        const W codes = w_load(block + 16 + 32 * run);
        const W low = _mm256_and_si256(codes, _mm256_set1_epi8(15));
        const W high = _mm256_and_si256(_mm256_srli_epi16(codes, 4), _mm256_set1_epi8(15));
        const W low_by = w_spread_number(scales, 2 * run), high_by = w_spread_number(scales, 2 * run + 1);
        for (size_t t = 0; t < tokens; t++) {
            const int8_t *x = a->q + (token + t) * a->cols + 256 * b + 64 * run;
            dots[t] = _mm256_add_epi32(dots[t], dot_scaled(low, w_load(x), low_by));
            dots[t] = _mm256_add_epi32(dots[t], dot_scaled(high, w_load(x + 32), high_by));
        }
    }
    const __m256 d = _mm256_set1_ps(half(block)), least = _mm256_set1_ps(half(block + 2));
    for (size_t t = 0; t < tokens; t++) {
        const __m256 scale = _mm256_set1_ps(a->scales[(token + t) * a->cols / 256 + b]);
        const W of = _mm256_madd_epi16(twice, w_load(a->sums + (token + t) * a->cols / RV_SUM + 16 * b));
        sums[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[t]), _mm256_mul_ps(d, scale), sums[t]);
        sums[t] = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(of), _mm256_mul_ps(least, scale), sums[t]);
    }
}

INLINE void block_q6_k(const uint8_t *block, const rv_llm_activations *a, size_t token, size_t b,
                       const size_t tokens, __m256 *sums) {
    const W two = _mm256_set1_epi8(0x30), four = _mm256_set1_epi8(15);
    const W scales = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)rv_q6_k_scales(block)));
    W dots[RV_LLM_TOGETHER];
    for (size_t t = 0; t < tokens; t++) { /* the offset: 32 times scales with sums, pair by pair */
        const W of = _mm256_madd_epi16(scales, w_load(a->sums + (token + t) * a->cols / RV_SUM + 16 * b));
        dots[t] = _mm256_sub_epi32(w_zero(), _mm256_slli_epi32(of, 5));
    }
#pragma GCC unroll 2
    for (int part = 0; part < 2; part++) {
        const W first = w_load(block + 64 * part), second = w_load(block + 64 * part + 32);
        const W upper = w_load(block + 128 + 32 * part);
        const W eight = part ? _mm256_permute2x128_si256(scales, scales, 0x11)
                             : _mm256_permute2x128_si256(scales, scales, 0);
        const W codes[4] = {
            _mm256_or_si256(_mm256_and_si256(first, four), _mm256_and_si256(_mm256_slli_epi16(upper, 4), two)),
            _mm256_or_si256(_mm256_and_si256(second, four), _mm256_and_si256(_mm256_slli_epi16(upper, 2), two)),
            _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(first, 4), four), _mm256_and_si256(upper, two)),
            _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(second, 4), four),
                            _mm256_and_si256(_mm256_srli_epi16(upper, 2), two)),
        };
#pragma GCC unroll 4
        for (int run = 0; run < 4; run++) { /* 32 numbers: sixteen by one scale, sixteen by the next */
            const W by = _mm256_blend_epi32(w_spread_number(eight, 2 * run), w_spread_number(eight, 2 * run + 1), 0xf0);
            for (size_t t = 0; t < tokens; t++) {
                const int8_t *x = a->q + (token + t) * a->cols + 256 * b + 128 * part + 32 * run;
                dots[t] = _mm256_add_epi32(dots[t], dot_scaled(codes[run], w_load(x), by));
            }
        }
    }
    for (size_t t = 0; t < tokens; t++) {
        const __m256 scale = _mm256_set1_ps(half(block + 208) * a->scales[(token + t) * a->cols / 256 + b]);
        sums[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[t]), scale, sums[t]);
    }
}

INLINE void rows_large(const uint8_t *row, const size_t count, size_t apart, size_t bytes, const rv_llm_activations *a,
                       size_t token, const size_t tokens, const int is_q4_k, float *out, size_t stride) {
    const size_t step = apart * (a->cols / 256) * bytes;
    BEGIN_ROWS;
    for (size_t b = 0; b < a->cols / 256; b++, row += bytes)
        for (size_t n = 0; n < count; n++) {
            if (is_q4_k) block_q4_k(row + n * step, a, token, b, tokens, sums[n]);
            else block_q6_k(row + n * step, a, token, b, tokens, sums[n]);
        }
    END_ROWS;
}

#define ROWS_q8_0(count, apart, tokens) \
    rows_small(weights, count, apart, RV_Q8_0_BYTES, a, token, tokens, Q8_0, out, stride)
#define ROWS_q4_0(count, apart, tokens) \
    rows_small(weights, count, apart, RV_Q4_0_BYTES, a, token, tokens, Q4_0, out, stride)
#define ROWS_q5_0(count, apart, tokens) \
    rows_small(weights, count, apart, RV_Q5_0_BYTES, a, token, tokens, Q5_0, out, stride)
#define ROWS_q4_k(count, apart, tokens) \
    rows_large(weights, count, apart, RV_Q4_K_BYTES, a, token, tokens, 1, out, stride)
#define ROWS_q6_k(count, apart, tokens) \
    rows_large(weights, count, apart, RV_Q6_K_BYTES, a, token, tokens, 0, out, stride)

ROWS(q8_0)
ROWS(q4_0)
ROWS(q5_0)
ROWS(q4_k)
ROWS(q6_k)
