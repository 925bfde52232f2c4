/* 32 codes of 8 rows into a panel, on 256-bit vectors, for AVX2 and AVX-512: see place_rows in rv_llm_vector.h. */
enum { ROWS_ABREAST = 8 };

/* In each half of the vectors, from four rows' 16 bytes: the four bytes 4 k of each, for k from 0 to 3. */
static inline void place_four(const __m256i *rows, __m256i *fours) {
    const __m256i a = _mm256_unpacklo_epi32(rows[0], rows[1]), b = _mm256_unpacklo_epi32(rows[2], rows[3]);
    const __m256i c = _mm256_unpackhi_epi32(rows[0], rows[1]), d = _mm256_unpackhi_epi32(rows[2], rows[3]);
    fours[0] = _mm256_unpacklo_epi64(a, b);
    fours[1] = _mm256_unpackhi_epi64(a, b);
    fours[2] = _mm256_unpacklo_epi64(c, d);
    fours[3] = _mm256_unpackhi_epi64(c, d);
}

static inline void place_rows(uint8_t *to, size_t stride, uint8_t q[ROWS_ABREAST][32]) {
    __m256i rows[8], first[4], last[4];
    for (size_t i = 0; i < 8; i++) rows[i] = _mm256_loadu_si256((const __m256i *)(const void *)q[i]);
    place_four(rows, first);
    place_four(rows + 4, last);
    for (size_t k = 0; k < 4; k++) {
        const __m256i low = _mm256_permute2x128_si256(first[k], last[k], 0x20);
        const __m256i high = _mm256_permute2x128_si256(first[k], last[k], 0x31);
        memcpy(to + k * stride, &low, sizeof low);
        memcpy(to + (k + 4) * stride, &high, sizeof high);
    }
}
