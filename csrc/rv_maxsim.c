/* Late interaction (ColBERT's MaxSim, arXiv:2004.12832) between float query tokens and document tokens of which only
 * the signs are kept. The query is turned into 15-bit whole numbers once, so that the sums and maxima after it are
 * exact and the same on every instruction set; the rounding moves a token's score by at most sqrt(dims) / 32638 of the
 * greatest number in it. */
#include "rv.h"
#include "rv_pool.h"

#include <math.h>

enum { GREATEST = 127 * 128 + 63, MOST_THREADS = 8, AT_ONCE = 8, WORTH_SHARING = 4000000 };

typedef struct query {
    rv_signs signs;
    int32_t *sums; /* of each token's whole numbers */
    float *sizes;  /* of the greatest number they stand for */
    int32_t *best; /* for each thread, the best matches */
} query;

static size_t padded(size_t dims) { return (dims + 63) / 64 * 64; }

/* Numbers that a thread's best matches take, so that no two threads write to one cache line. */
static size_t room(size_t count) { return (count + 15) / 16 * 16 + 16; }

/* What the scratch space holds: for each query token second_most, unit, the sum and the size; the threads' best matches; then
 * for each token its two rows and its rough tables. */
size_t rv_maxsim_scratch(size_t count, size_t dims) {
    return count * (4 + padded(dims) / 2 + padded(dims)) + MOST_THREADS * room(count);
}

static query placed(int32_t *scratch, size_t count, size_t dims) {
    int32_t *best = scratch + 4 * count, *rows = best + MOST_THREADS * room(count);
    return (query){.signs = {.count = count,
                             .bytes = dims / 8,
                             .stride = padded(dims),
                             .rows = (int8_t *)rows,
                             .second_most = scratch,
                             .unit = scratch + count,
                             .rough = (uint8_t *)(rows + count * padded(dims) / 2)},
                   .sums = scratch + 2 * count,
                   .sizes = (float *)(scratch + 3 * count),
                   .best = best};
}

/* What four numbers add up to, for each choice among them. */
static void sum_choices(const int8_t *first, const int8_t *second, int32_t *sums) {
    sums[0] = 0;
    for (size_t d = 0; d < 4; d++)
        for (size_t i = 0; i < (size_t)1 << d; i++) sums[i + ((size_t)1 << d)] = sums[i] + 128 * first[d] + second[d];
}

static void bound_token(rv_signs *query, size_t q) {
    const int8_t *first = query->rows + 2 * q * query->stride, *second = first + query->stride;
    uint8_t *rough = query->rough + 4 * q * query->stride;
    int32_t sums[16], greatest = 1, second_most = 0;
    for (size_t d = 0; d < query->stride; d += 4) {
        int32_t above = 0, below = 0;
        for (size_t i = d; i < d + 4; i++) {
            const int32_t whole = 128 * first[i] + second[i];
            above += whole > 0 ? whole : 0;
            below -= whole < 0 ? whole : 0;
            second_most += second[i] > 0 ? second[i] : 0;
        }
        greatest = above > greatest ? above : below > greatest ? below : greatest;
    }
    query->second_most[q] = second_most;
    query->unit[q] = (greatest + RV_ROUGH_ZERO - 1) / RV_ROUGH_ZERO;
    const float inverse = 1.0f / (float)query->unit[q];
    for (size_t d = 0; d < query->stride; d += 4) {
        sum_choices(first + d, second + d, sums);
        for (size_t i = 0; i < 16; i++) /* rounded up: a sum is above a multiple of the unit by far more than float errs */
            rough[4 * d + i] = (uint8_t)(RV_ROUGH_GREATEST - (int32_t)(RV_ROUGH_GREATEST - RV_ROUGH_ZERO - (float)sums[i] * inverse));
    }
}

void rv_signs_bound(rv_signs *query) {
    for (size_t q = 0; q < query->count; q++) bound_token(query, q);
}

/* The greatest absolute value, NaN if there is anything that is not finite. */
static float greatest_size(const float *x, size_t n) {
    float greatest = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) return NAN;
        greatest = fabsf(x[i]) > greatest ? fabsf(x[i]) : greatest;
    }
    return greatest;
}

static void quantise(query *to, size_t q, const float *token, size_t dims) {
    int8_t *high = to->signs.rows + 2 * q * to->signs.stride, *low = high + to->signs.stride;
    const float greatest = greatest_size(token, dims);
    const double factor = greatest > 0 ? GREATEST / (double)greatest : 0;
    to->sums[q] = 0;
    for (size_t d = 0; d < to->signs.stride; d++) {
        const int32_t whole = d < dims && factor > 0 ? (int32_t)lrint(token[d] * factor) : 0;
        const int32_t upper = (whole + 64 + 128 * 128) / 128 - 128; /* (whole + 64) / 128 rounded down */
        high[d] = (int8_t)upper;
        low[d] = (int8_t)(whole - 128 * upper);
        to->sums[q] += whole;
    }
    to->sizes[q] = greatest;
}

/* One call, as its threads see it. */
typedef struct search {
    query query;
    size_t count, dims, docs;
    const float *weights;
    double total;
    const uint8_t *bits;
    const int64_t *starts, *counts;
    float *scores;
    const volatile int *cancel;
    rv_pool_step step;
    struct worker {
        struct search *search;
        int32_t *best;
    } worker[MOST_THREADS];
} search;

static void score(const struct worker *w, size_t doc) {
    const search *s = w->search;
    const size_t start = (size_t)s->starts[doc], length = (size_t)s->counts[doc], row = s->dims / 8;
    s->scores[doc] = 0;
    if (!length || s->total == 0) return;
    rv_best_signs_i15(&s->query.signs, s->bits + start * row, length, w->best);
    double score = 0; /* a sum over set bits minus the sum over clear ones is twice the first minus the whole */
    for (size_t q = 0; q < s->count; q++)
        score += (double)s->weights[q] * s->query.sizes[q] * (2.0 * w->best[q] - s->query.sums[q]);
    s->scores[doc] = (float)(score / (s->total * GREATEST * sqrt((double)s->dims)));
}

static void score_some(void *worker, size_t i) {
    const struct worker *w = worker;
    const size_t end = (i + 1) * AT_ONCE < w->search->docs ? (i + 1) * AT_ONCE : w->search->docs;
    for (size_t doc = i * AT_ONCE; doc < end && !(w->search->cancel && *w->search->cancel); doc++) score(w, doc);
}

static void score_all(void *shared, size_t thread) {
    search *s = shared;
    rv_pool_share(&s->step, (s->docs + AT_ONCE - 1) / AT_ONCE, score_some, &s->worker[thread]);
}

/* Whether there is more to do than waking a thread takes. */
static int is_worth_sharing(const search *s) {
    uint64_t tokens = 0;
    for (size_t doc = 0; doc < s->docs; doc++) tokens += (uint64_t)s->counts[doc];
    return tokens * s->count * s->dims > WORTH_SHARING;
}

int rv_maxsim_bits(const float *tokens, const float *weights, size_t count, size_t dims, const uint8_t *bits,
                   const int64_t *starts, const int64_t *counts, size_t docs, int32_t *scratch, float *scores,
                   const volatile int *cancel) {
    search s = {placed(scratch, count, dims), count, dims, docs, weights, 0, bits, starts, counts, scores, cancel, {0}, {{0}}};
    for (size_t q = 0; q < count; q++) {
        quantise(&s.query, q, tokens + q * dims, dims);
        s.total += weights[q];
    }
    rv_signs_bound(&s.query.signs);
    for (size_t i = 0; i < MOST_THREADS; i++) s.worker[i] = (struct worker){&s, s.query.best + i * room(count)};
    rv_pool_help(score_all, &s, is_worth_sharing(&s) ? MOST_THREADS : 1);
    return !(cancel && *cancel);
}
