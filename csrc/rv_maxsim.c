/* Late interaction (ColBERT's MaxSim, arXiv:2004.12832) between float query tokens and document tokens of which only
 * the signs are kept. The query is turned into 15-bit whole numbers once, so that the sums and maxima after it are
 * exact and the same on every instruction set; the rounding moves a token's score by at most sqrt(dims) / 32638 of the
 * greatest number in it. */
#include "rv.h"
#include "rv_pool.h"

#include <math.h>

enum { GREATEST = 127 * 128 + 63, MOST_THREADS = 8, AT_ONCE = 8, WORTH_SHARING = 4000000 };

/* What the scratch space holds: for each query token the sum of its whole numbers, what the low parts of any of them add up
 * to at most, the size of the greatest number they stand for and, for each thread, its best match; then the whole numbers,
 * split as 128 * high + low, in rows of `stride` bytes. */
typedef struct query {
    int32_t *sums, *low_most;
    float *sizes;
    int32_t *best;
    int8_t *rows;
    size_t stride;
} query;

static size_t padded(size_t dims) { return (dims + 63) / 64 * 64; }

/* Numbers that a thread's best matches take, so that no two threads write to one cache line. */
static size_t room(size_t count) { return (count + 15) / 16 * 16 + 16; }

size_t rv_maxsim_scratch(size_t count, size_t dims) { return count * (3 + padded(dims) / 2) + MOST_THREADS * room(count); }

static query placed(int32_t *scratch, size_t count, size_t dims) {
    return (query){.sums = scratch,
                   .low_most = scratch + count,
                   .sizes = (float *)(scratch + 2 * count),
                   .best = scratch + 3 * count,
                   .rows = (int8_t *)(scratch + 3 * count + MOST_THREADS * room(count)),
                   .stride = padded(dims)};
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
    int8_t *high = to->rows + 2 * q * to->stride, *low = high + to->stride;
    const float greatest = greatest_size(token, dims);
    const double factor = greatest > 0 ? GREATEST / (double)greatest : 0;
    to->sums[q] = to->low_most[q] = 0;
    for (size_t d = 0; d < to->stride; d++) {
        const int32_t whole = d < dims && factor > 0 ? (int32_t)lrint(token[d] * factor) : 0;
        const int32_t upper = (whole + 64 + 128 * 128) / 128 - 128; /* (whole + 64) / 128 rounded down */
        high[d] = (int8_t)upper;
        low[d] = (int8_t)(whole - 128 * upper);
        to->sums[q] += whole;
        to->low_most[q] += low[d] > 0 ? low[d] : 0;
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
    rv_best_signs_i15(s->query.rows, s->count, s->query.stride, s->bits + start * row, length, row,
                      s->query.low_most, w->best);
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
    for (size_t i = 0; i < MOST_THREADS; i++) s.worker[i] = (struct worker){&s, s.query.best + i * room(count)};
    rv_pool_help(score_all, &s, is_worth_sharing(&s) ? MOST_THREADS : 1);
    return !(cancel && *cancel);
}
