/* Vectors of 64 bytes: what the AVX-512 files that work on int8 and bits share. */
typedef __m512i B, I, P;
enum { B_BYTES = 64 };

static inline B b_load(const void *p) { return _mm512_loadu_si512(p); }
static inline B b_load_part(const void *p, size_t n) { return _mm512_maskz_loadu_epi8(((__mmask64)1 << n) - 1, p); }
static inline void b_store(void *p, B v) { _mm512_storeu_si512(p, v); }
static inline B b_and(B a, B b) { return _mm512_and_si512(a, b); }
static inline B b_or(B a, B b) { return _mm512_or_si512(a, b); }
static inline B b_xor(B a, B b) { return _mm512_xor_si512(a, b); }
static inline B b_spread(const uint8_t *p) {
    __mmask64 bits;
    memcpy(&bits, p, sizeof bits);
    return _mm512_maskz_set1_epi8(bits, 1);
}

static inline I i_zero(void) { return _mm512_setzero_si512(); }
static inline I i_add(I a, I b) { return _mm512_add_epi32(a, b); }
static inline int32_t i_sum(I v) { return _mm512_reduce_add_epi32(v); }
static inline __m256i i_folded(I v) {
    return _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
}
static inline void i_sum4(I a, I b, I c, I d, int32_t *out) {
    const __m256i ab = _mm256_hadd_epi32(i_folded(a), i_folded(b)), cd = _mm256_hadd_epi32(i_folded(c), i_folded(d));
    const __m256i sums = _mm256_hadd_epi32(ab, cd);
    _mm_storeu_si128((void *)out, _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1)));
}
