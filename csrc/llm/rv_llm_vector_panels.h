/* Products with panels of quantised rows; rv_llm_vector.h includes this. */

/* Puts one row's 256 codes into their places, four at a time. */
INLINE void place_codes(uint8_t *codes, size_t row, const void *from) {
    for (size_t k = 0; k < 64; k++) memcpy(codes + (k * PANEL + row) * 4, (const uint8_t *)from + 4 * k, 4);
}

INLINE void place_twice(uint8_t *to, size_t row, int16_t number) {
    const int16_t pair[2] = {number, number};
    memcpy(to + 4 * row, pair, sizeof pair);
}

/* So many blocks of all rows are placed before the next ones: what is written to stays in the nearest cache. */
enum { BLOCKS_AT_ONCE = 32 };

/* Q4_0 and Q5_0 are placed as unsigned codes, Q8_0 as signed; rows that are not there as zeros. Rows go ROWS_ABREAST at a time, whose
 * blocks are read in step. */
#define UNPACK_SMALL(kind, BYTES, SIZE, HEAD, CODES_OF)                                                                \
    static void unpack_##kind(const uint8_t *weights, size_t rows, size_t row_bytes, size_t cols, void *to) {          \
        const size_t blocks = cols / 32;                                                                               \
        for (size_t first = 0; first < blocks; first += BLOCKS_AT_ONCE)                                                \
            for (size_t r = 0; r < PANEL; r += ROWS_ABREAST)                                                           \
                for (size_t b = first; b < blocks && b < first + BLOCKS_AT_ONCE; b++) {                                \
                    uint8_t *panel = (uint8_t *)to + b * SIZE, q[ROWS_ABREAST][32];                                    \
                    for (size_t i = 0; i < ROWS_ABREAST; i++) {                                                        \
                        const uint8_t *block = weights + (r + i) * row_bytes + b * BYTES;                              \
                        const float scale = r + i < rows ? half(block) : 0;                                            \
                        memcpy(panel + 4 * (r + i), &scale, sizeof scale);                                             \
                        if (r + i < rows) CODES_OF;                                                                    \
                        else memset(q[i], 0, sizeof q[i]);                                                             \
                    }                                                                                                  \
                    place_rows(panel + HEAD + 4 * r, CODES, q);                                                               \
                }                                                                                                      \
    }

/* Eight bytes at a time; see rv_llm_blocks.h. */
INLINE void nibbles(const uint8_t *from, uint8_t *q) {
    uint64_t bytes[2];
    memcpy(bytes, from, sizeof bytes);
    for (size_t i = 0; i < 2; i++) {
        const uint64_t low = bytes[i] & 0x0f0f0f0f0f0f0f0f, high = bytes[i] >> 4 & 0x0f0f0f0f0f0f0f0f;
        memcpy(q + 8 * i, &low, sizeof low);
        memcpy(q + 16 + 8 * i, &high, sizeof high);
    }
}

INLINE void add_fifth_bits(const uint8_t *from, uint8_t *q) {
    for (size_t i = 0; i < 4; i++) {
        uint64_t some;
        memcpy(&some, q + 8 * i, sizeof some);
        const uint64_t own = from[i] * UINT64_C(0x0101010101010101) & UINT64_C(0x8040201008040201);
        const uint64_t set = (own | (own + UINT64_C(0x7f7f7f7f7f7f7f7f))) & UINT64_C(0x8080808080808080);
        some |= set >> 3;
        memcpy(q + 8 * i, &some, sizeof some);
    }
}

UNPACK_SMALL(q8_0_codes, RV_Q8_0_BYTES, Q8_0_PANEL, (1 + STARTS) * 4 * PANEL, memcpy(q[i], block + 2, sizeof q[i]))
UNPACK_SMALL(q4_0, RV_Q4_0_BYTES, SMALL_PANEL, 4 * PANEL, nibbles(block + 2, q[i]))
UNPACK_SMALL(q5_0, RV_Q5_0_BYTES, SMALL_PANEL, 4 * PANEL, (nibbles(block + 6, q[i]), add_fifth_bits(block + 2, q[i])))

static void unpack_q8_0(const uint8_t *weights, size_t rows, size_t row_bytes, size_t cols, void *to) {
    unpack_q8_0_codes(weights, rows, row_bytes, cols, to);
    for (uint8_t *panel = to; STARTS && panel < (uint8_t *)to + cols / 32 * Q8_0_PANEL; panel += Q8_0_PANEL)
        for (size_t n = 0; n < 2; n++) {
            uint8_t *starts = panel + (PANEL + n * V_LANES) * 4;
            I sum = i_set(0);
            for (size_t k = 0; k < 8; k++) sum = i_signed(sum, s_load(starts + 4 * PANEL + k * CODES), i_set(0));
            sum = i_sub(i_set(0), sum);
            memcpy(starts, &sum, sizeof sum);
        }
}

INLINE void unpack_with_least(const uint8_t *weights, size_t rows, size_t row_bytes, size_t cols, void *to,
                              const int is_q5_k) {
    const size_t bytes = is_q5_k ? RV_Q5_K_BYTES : RV_Q4_K_BYTES;
    if (rows < PANEL) memset(to, 0, cols / 256 * Q4_K_PANEL);
    for (size_t b = 0; b < cols / 256; b++)
        for (size_t r = 0; r < rows; r++) {
            const uint8_t *block = weights + r * row_bytes + b * bytes;
            uint8_t *panel = (uint8_t *)to + b * Q4_K_PANEL, *twice = panel + 8 * PANEL, scales[8], minima[8];
            const float d = half(block), least = half(block + 2);
            int8_t q[256];
            rv_q4_k_scales(block, scales, minima);
            if (is_q5_k) rv_q5_k_codes(block, q);
            else rv_q4_k_codes(block, q);
            memcpy(panel + 4 * r, &d, sizeof d);
            memcpy(panel + 4 * PANEL + 4 * r, &least, sizeof least);
            for (size_t i = 0; i < 8; i++) {
                place_twice(twice + i * CODES, r, scales[i]);
                place_twice(twice + (8 + i) * CODES, r, minima[i]);
            }
            place_codes(twice + 16 * CODES, r, q);
        }
}

static void unpack_q4_k(const uint8_t *weights, size_t rows, size_t row_bytes, size_t cols, void *to) {
    unpack_with_least(weights, rows, row_bytes, cols, to, 0);
}

static void unpack_q5_k(const uint8_t *weights, size_t rows, size_t row_bytes, size_t cols, void *to) {
    unpack_with_least(weights, rows, row_bytes, cols, to, 1);
}

static void unpack_q6_k(const uint8_t *weights, size_t rows, size_t row_bytes, size_t cols, void *to) {
    if (rows < PANEL) memset(to, 0, cols / 256 * Q6_K_PANEL);
    for (size_t b = 0; b < cols / 256; b++)
        for (size_t r = 0; r < rows; r++) {
            const uint8_t *block = weights + r * row_bytes + b * RV_Q6_K_BYTES;
            uint8_t *panel = (uint8_t *)to + b * Q6_K_PANEL, *twice = panel + 4 * PANEL;
            const int8_t *scales = rv_q6_k_scales(block);
            const float d = half(block + 208);
            int8_t q[256];
            rv_q6_k_codes(block, q);
            for (size_t i = 0; i < 256; i++) q[i] = (int8_t)(q[i] + 32);
            memcpy(panel + 4 * r, &d, sizeof d);
            for (size_t i = 0; i < 16; i++) place_twice(twice + i * CODES, r, scales[i]);
            for (size_t i = 0; i < 8; i++) {
                const int16_t pair[2] = {(int16_t)(32 * scales[2 * i]), (int16_t)(32 * scales[2 * i + 1])};
                memcpy(twice + (16 + i) * CODES + 4 * r, pair, sizeof pair);
            }
            place_codes(twice + 24 * CODES, r, q);
        }
}

/* Sums over `runs` runs of `steps` products, each run times its scales (runs_a_scale 0: times 1). */
INLINE void add_runs(I dots[][2], const uint8_t *codes, const uint8_t *scales, const int8_t *q, size_t cols,
                     const size_t tokens, const size_t runs, const size_t runs_a_scale, const size_t steps) {
    for (size_t run = 0; run < runs; run++, codes += steps * CODES) {
        D sums[TILE_TOKENS][2];
        for (size_t t = 0; t < tokens; t++) sums[t][0] = sums[t][1] = d_zero();
#pragma GCC unroll 8
        for (size_t k = 0; k < steps; k++) {
            const I low = i_load(codes + k * CODES), high = i_load(codes + k * CODES + 4 * V_LANES);
            for (size_t t = 0; t < tokens; t++) {
                const I x = i_spread(q + t * cols + 4 * (run * steps + k));
                sums[t][0] = d_add(sums[t][0], low, x);
                sums[t][1] = d_add(sums[t][1], high, x);
            }
        }
        for (size_t n = 0; n < 2; n++) {
            if (!runs_a_scale) {
                for (size_t t = 0; t < tokens; t++) dots[t][n] = i_add(dots[t][n], d_whole(sums[t][n]));
                continue;
            }
            const I by = i_load(scales + run / runs_a_scale * CODES + n * 4 * V_LANES);
            for (size_t t = 0; t < tokens; t++) dots[t][n] = i_add(dots[t][n], d_scaled(sums[t][n], by));
        }
    }
}

/* The products of 8 times PANEL pairs of int16 with a token's sums. */
INLINE void add_pairs(I dots[][2], const uint8_t *pairs, const int16_t *sums, size_t stride, const size_t tokens) {
    for (size_t i = 0; i < 8; i++)
        for (size_t n = 0; n < 2; n++) {
            const I pair = i_load(pairs + i * CODES + n * 4 * V_LANES);
            for (size_t t = 0; t < tokens; t++)
                dots[t][n] = i_add(dots[t][n], i_pairs(pair, i_spread(sums + t * stride + 2 * i)));
        }
}

#define BEGIN_TILE                                                                                                     \
    const size_t cols = a->cols;                                                                                       \
    const int8_t *q = a->q + token * cols;                                                                             \
    const float *scales = a->scales + token * cols / a->group;                                                         \
    const int16_t *q_sums = a->sums + token * cols / RV_SUM;                                                           \
    V sums[Q8_0_TOKENS][2];                                                                                           \
    for (size_t t = 0; t < tokens; t++) sums[t][0] = sums[t][1] = v_set(0)
#define END_TILE                                                                                                       \
    for (size_t t = 0; t < tokens; t++)                                                                                \
        for (size_t n = 0; n < 2; n++) v_store(out + t * stride + n * V_LANES, sums[t][n])

INLINE void tile_q8_0(const uint8_t *panel, const rv_llm_activations *a, size_t token, const size_t tokens, float *out,
                      size_t stride) {
    BEGIN_TILE;
    for (size_t b = 0; b < cols / 32; b++, panel += Q8_0_PANEL) {
        const uint8_t *starts = panel + 4 * PANEL, *codes = starts + STARTS * 4 * PANEL;
        I dots[Q8_0_TOKENS][2];
        for (size_t t = 0; t < tokens; t++)
            for (size_t n = 0; n < 2; n++)
                dots[t][n] = i_start(starts + n * 4 * V_LANES, q_sums + t * cols / RV_SUM + 2 * b);
#pragma GCC unroll 8
        for (size_t k = 0; k < 8; k++) {
            const S low = s_load(codes + k * CODES), high = s_load(codes + k * CODES + 4 * V_LANES);
            for (size_t t = 0; t < tokens; t++) {
                const I x = i_spread(q + t * cols + 32 * b + 4 * k);
                dots[t][0] = i_signed(dots[t][0], low, x);
                dots[t][1] = i_signed(dots[t][1], high, x);
            }
        }
        for (size_t n = 0; n < 2; n++) {
            const V rows = v_load((const float *)(const void *)panel + n * V_LANES);
            for (size_t t = 0; t < tokens; t++)
                sums[t][n] = v_fma(i_float(dots[t][n]), v_mul(rows, v_set(scales[t * cols / 32 + b])), sums[t][n]);
        }
    }
    END_TILE;
}

INLINE void tile_small(const uint8_t *panel, const rv_llm_activations *a, size_t token, const size_t tokens, float *out,
                       size_t stride, const int16_t offset, const size_t steps) {
    BEGIN_TILE;
    const I offsets = i_twice((int16_t)-offset);
    for (size_t b = 0; b < cols / 32; b++, panel += SMALL_PANEL) {
        I dots[TILE_TOKENS][2];
        for (size_t t = 0; t < tokens; t++)
            dots[t][0] = dots[t][1] = i_pairs(i_spread(q_sums + t * cols / RV_SUM + 2 * b), offsets);
        add_runs(dots, panel + 4 * PANEL, NULL, q + 32 * b, cols, tokens, 8 / steps, 0, steps);
        for (size_t n = 0; n < 2; n++) {
            const V rows = v_load((const float *)(const void *)panel + n * V_LANES);
            for (size_t t = 0; t < tokens; t++)
                sums[t][n] = v_fma(i_float(dots[t][n]), v_mul(rows, v_set(scales[t * cols / 32 + b])), sums[t][n]);
        }
    }
    END_TILE;
}

/* Each scale is for a run, or for two. */
INLINE void tile_with_least(const uint8_t *panel, const rv_llm_activations *a, size_t token, const size_t tokens,
                            float *out, size_t stride, const size_t runs_a_scale) {
    BEGIN_TILE;
    for (size_t b = 0; b < cols / 256; b++, panel += Q4_K_PANEL) {
        const uint8_t *twice = panel + 8 * PANEL;
        I dots[TILE_TOKENS][2], least[TILE_TOKENS][2];
        for (size_t t = 0; t < tokens; t++) dots[t][0] = dots[t][1] = i_set(0);
        add_runs(dots, twice + 16 * CODES, twice, q + 256 * b, cols, tokens, 8 * runs_a_scale, runs_a_scale,
                 8 / runs_a_scale);
        for (size_t n = 0; n < 2; n++) {
            const V rows = v_load((const float *)(const void *)panel + n * V_LANES);
            for (size_t t = 0; t < tokens; t++)
                sums[t][n] = v_fma(i_float(dots[t][n]), v_mul(rows, v_set(scales[t * cols / 256 + b])), sums[t][n]);
        }
        for (size_t t = 0; t < tokens; t++) least[t][0] = least[t][1] = i_set(0);
        add_pairs(least, twice + 8 * CODES, q_sums + 16 * b, cols / RV_SUM, tokens);
        for (size_t n = 0; n < 2; n++) {
            const V rows = v_load((const float *)(const void *)panel + PANEL + n * V_LANES);
            for (size_t t = 0; t < tokens; t++)
                sums[t][n] = v_fma(i_float(least[t][n]), v_mul(rows, v_set(-scales[t * cols / 256 + b])), sums[t][n]);
        }
    }
    END_TILE;
}

INLINE void tile_q6_k(const uint8_t *panel, const rv_llm_activations *a, size_t token, const size_t tokens, float *out,
                      size_t stride) {
    BEGIN_TILE;
    for (size_t b = 0; b < cols / 256; b++, panel += Q6_K_PANEL) {
        const uint8_t *twice = panel + 4 * PANEL;
        I dots[TILE_TOKENS][2], excess[TILE_TOKENS][2];
        for (size_t t = 0; t < tokens; t++) excess[t][0] = excess[t][1] = dots[t][0] = dots[t][1] = i_set(0);
        add_pairs(excess, twice + 16 * CODES, q_sums + 16 * b, cols / RV_SUM, tokens);
        for (size_t t = 0; t < tokens; t++)
            for (size_t n = 0; n < 2; n++) dots[t][n] = i_sub(dots[t][n], excess[t][n]);
        add_runs(dots, twice + 24 * CODES, twice, q + 256 * b, cols, tokens, 32, 2, 2);
        for (size_t n = 0; n < 2; n++) {
            const V rows = v_load((const float *)(const void *)panel + n * V_LANES);
            for (size_t t = 0; t < tokens; t++)
                sums[t][n] = v_fma(i_float(dots[t][n]), v_mul(rows, v_set(scales[t * cols / 256 + b])), sums[t][n]);
        }
    }
    END_TILE;
}

#define PANELS(kind, TILE, MOST)                                                                                        \
    static void panel_##kind(const void *panel, const rv_llm_activations *a, size_t token, size_t tokens, float *out,  \
                             size_t stride) {                                                                          \
        size_t t = 0;                                                                                                  \
        for (; t + MOST <= tokens; t += MOST) TILE(MOST);                                                              \
        for (; t + 2 <= tokens; t += 2) TILE(2);                                                                       \
        if (t < tokens) TILE(1);                                                                                       \
    }
#define TILE_Q8_0(count) tile_q8_0(panel, a, token + t, count, out + t * stride, stride)
#define TILE_Q4_0(count) tile_small(panel, a, token + t, count, out + t * stride, stride, 8, 8)
#define TILE_Q5_0(count) tile_small(panel, a, token + t, count, out + t * stride, stride, 16, 4)
#define TILE_Q4_K(count) tile_with_least(panel, a, token + t, count, out + t * stride, stride, 1)
#define TILE_Q5_K(count) tile_with_least(panel, a, token + t, count, out + t * stride, stride, 2)
#define TILE_Q6_K(count) tile_q6_k(panel, a, token + t, count, out + t * stride, stride)

PANELS(q8_0, TILE_Q8_0, Q8_0_TOKENS)
PANELS(q4_0, TILE_Q4_0, TILE_TOKENS)
PANELS(q5_0, TILE_Q5_0, TILE_TOKENS)
PANELS(q4_k, TILE_Q4_K, TILE_TOKENS)
PANELS(q5_k, TILE_Q5_K, TILE_TOKENS)
PANELS(q6_k, TILE_Q6_K, TILE_TOKENS)
