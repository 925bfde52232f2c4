/* BM25 over postings, a term at a time, weightiest first. Once no row untouched so far could reach the k-th best even with
 * every term still to come (the MaxScore bound, Turtle & Flood 1995), the remaining, frequent terms are only looked up in
 * the rows still in the race, by galloping search: the cost follows the rare terms, not the size of the collection. */
#include "rv_heap.h"
#include "rv_index.h"

#include <math.h>
#include <stdlib.h>

enum { EXACT = 8192, SAMPLE = 4096 };

static inline int is_kept(const rv_bm25 *query, int32_t row) {
    return row >= 0 && (size_t)row < query->rows && (!query->keep || query->keep[row]);
}

/* What posting i adds to its row: weight * (k1 + 1) * count / (count + k1 * (1 - b + b * length / mean)). */
static inline float share(const rv_bm25 *query, const rv_postings *part, size_t i) {
    const float count = part->counts[i], length = query->lengths[part->rows[i]];
    const float norm = query->k1 * (1 - query->b + query->b * length / query->mean);
    return part->weight * (query->k1 + 1) * count / (count + norm);
}

size_t rv_postings_find(const uint32_t *known, size_t known_count, const int64_t *starts, const int32_t *rows,
                        const uint16_t *counts, const uint32_t *terms, size_t count, rv_postings *parts) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = 0, end = known_count;
        while (at < end) {
            const size_t middle = at + (end - at) / 2;
            if (known[middle] < terms[i])
                at = middle + 1;
            else
                end = middle;
        }
        if (at == known_count || known[at] != terms[i] || starts[at + 1] <= starts[at]) continue;
        const rv_postings part = {rows + starts[at], counts + starts[at], (uint64_t)(starts[at + 1] - starts[at]),
                                  (uint32_t)i, 0};
        parts[found++] = part;
    }
    return found;
}

static void count_kept(const rv_bm25 *query, double *frequencies) {
    for (size_t term = 0; term < query->terms; term++) frequencies[term] = 0;
    for (size_t p = 0; p < query->part_count; p++) {
        const rv_postings *part = &query->parts[p];
        const size_t step = part->size > EXACT ? part->size / SAMPLE | 1 : 1;
        size_t seen = 0, kept = 0;
        for (size_t i = 0; i < part->size; i += step, seen++) kept += (size_t)is_kept(query, part->rows[i]);
        if (seen) frequencies[part->term] += (double)kept * (double)part->size / (double)seen;
    }
}

/* For qsort: the heaviest first, a term's parts in the order of their rows. */
static int heaviest_first(const void *a, const void *b) {
    const rv_postings *x = a, *y = b;
    if (x->weight != y->weight) return x->weight < y->weight ? 1 : -1;
    if (x->term != y->term) return x->term < y->term ? -1 : 1;
    return (x->rows[0] > y->rows[0]) - (x->rows[0] < y->rows[0]);
}

void rv_bm25_weigh(rv_bm25 *query, double kept, double *frequencies, float *idf) {
    count_kept(query, frequencies);
    for (size_t term = 0; term < query->terms; term++) {
        const double without = kept - frequencies[term] + 0.5;
        idf[term] = frequencies[term] > 0 ? (float)log1p((without > 0 ? without : 0) / (frequencies[term] + 0.5)) : 0;
    }
    for (rv_postings *part = query->parts; part < query->parts + query->part_count; part++) part->weight = idf[part->term];
    qsort(query->parts, query->part_count, sizeof *query->parts, heaviest_first);
}

/* The first index from `at` on whose row is not below `wanted`, by doubling steps and bisection. */
static size_t gallop(const rv_postings *part, size_t at, int32_t wanted) {
    size_t end = at;
    for (size_t step = 1; end < part->size && part->rows[end] < wanted; step *= 2) {
        at = end + 1;
        end += step;
    }
    if (end > part->size) end = part->size;
    while (at < end) {
        const size_t middle = at + (end - at) / 2;
        if (part->rows[middle] < wanted)
            at = middle + 1;
        else
            end = middle;
    }
    return at;
}

/* The parts of the term that part `first` belongs to: one past their last, and their total size. */
static size_t term_end(const rv_bm25 *query, size_t first, size_t *size) {
    size_t end = first;
    *size = 0;
    while (end < query->part_count && query->parts[end].term == query->parts[first].term)
        *size += query->parts[end++].size;
    return end;
}

/* Adds a part's shares to every kept row that has the term; rows touched for the first time are appended. */
static size_t scan(const rv_bm25 *query, const rv_postings *part, float *scores, int32_t *touched, size_t count) {
    for (size_t i = 0; i < part->size; i++) {
        const int32_t row = part->rows[i];
        if (!is_kept(query, row)) continue;
        const float more = share(query, part, i);
        if (!(more > 0)) continue; /* so that no row is ever touched twice */
        if (scores[row] == 0) touched[count++] = row;
        scores[row] += more;
    }
    return count;
}

/* The k best of the touched rows, as a heap. */
static size_t gather(const float *scores, const int32_t *touched, size_t count, size_t k, int32_t *rows, float *best) {
    rv_heap heap = {rows, best, 0};
    for (size_t i = 0; i < count; i++) heap_offer(&heap, k, touched[i], scores[touched[i]]);
    return heap.size;
}

/* Lets go of the touched rows that stay under `least` even with `remaining` more. */
static size_t drop_hopeless(float *scores, int32_t *touched, size_t count, float remaining, float least) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (scores[touched[i]] + remaining < least)
            scores[touched[i]] = 0;
        else
            touched[kept++] = touched[i];
    }
    return kept;
}

static int ascending(const void *a, const void *b) {
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

size_t rv_bm25_top(const rv_bm25 *query, size_t k, float *scores, int32_t *touched, int32_t *top_rows, float *top_scores) {
    float remaining = 0;
    size_t count = 0, size, first = 0;
    for (size_t p = 0; p < query->part_count; p = term_end(query, p, &size))
        remaining += query->parts[p].weight * (query->k1 + 1);
    for (size_t end; first < query->part_count; first = end) {
        end = term_end(query, first, &size);
        if (k && count >= k && size > count) {
            gather(scores, touched, count, k, top_rows, top_scores);
            if (top_scores[0] > remaining) {
                count = drop_hopeless(scores, touched, count, remaining, top_scores[0]);
                break;
            }
        }
        for (size_t p = first; p < end; p++) count = scan(query, &query->parts[p], scores, touched, count);
        remaining -= query->parts[first].weight * (query->k1 + 1);
    }
    if (first < query->part_count) qsort(touched, count, sizeof *touched, ascending);
    for (size_t p = first; p < query->part_count; p++) {
        const rv_postings *part = &query->parts[p];
        for (size_t i = 0, at = 0; i < count && at < part->size; i++) {
            at = gallop(part, at, touched[i]);
            if (at < part->size && part->rows[at] == touched[i])
                scores[touched[i]] += share(query, part, at);
        }
    }
    rv_heap best = {top_rows, top_scores, gather(scores, touched, count, k, top_rows, top_scores)};
    for (size_t i = 0; i < count; i++) scores[touched[i]] = 0;
    return heap_sort(&best);
}

void rv_bm25_at(const rv_bm25 *query, const int32_t *rows, size_t count, float *scores) {
    for (size_t i = 0; i < count; i++) scores[i] = 0;
    for (size_t p = 0; p < query->part_count; p++) {
        const rv_postings *part = &query->parts[p];
        for (size_t i = 0, at = 0; i < count && at < part->size; i++) {
            at = gallop(part, at, rows[i]);
            if (at < part->size && part->rows[at] == rows[i] && rows[i] >= 0 && (size_t)rows[i] < query->rows)
                scores[i] += share(query, part, at);
        }
    }
}

size_t rv_postings_merge(const rv_postings *parts, size_t part_count, const int32_t *renamed, size_t rows,
                         int64_t *starts, int32_t *out_rows, uint16_t *out_counts) {
    size_t written = 0, terms = 0;
    for (size_t p = 0; p < part_count; p++) {
        if (!p || parts[p].term != parts[p - 1].term) starts[terms++] = (int64_t)written;
        for (size_t i = 0; i < parts[p].size; i++) {
            const int32_t row = parts[p].rows[i];
            if (row < 0 || (size_t)row >= rows || renamed[row] < 0) continue;
            out_rows[written] = renamed[row];
            out_counts[written++] = parts[p].counts[i];
        }
    }
    starts[terms] = (int64_t)written;
    return terms;
}
