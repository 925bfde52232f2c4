/* HNSW over int8 codes: scan, search, insertion. Similarity is scale_a * scale_b * dot(a, b), greater is nearer; for unit
 * vectors of 384 dimensions it is the cosine to about 0.0006, which the caller mends by scoring the best in float. Codes
 * rather than floats quarter both the memory and the cache lines a hop costs. */
#include "rv.h"
#include "rv_heap.h"
#include "rv_index.h"

#include <math.h>

enum { AT_ONCE = 64 }; /* rows scored in one call: more than 4 rows of codes are on their way from memory */

static inline float similarity(const rv_codes *v, const int8_t *query, size_t row) {
    return v->scales[row] * (float)rv_dot_i8(v->codes + row * v->cols, query, v->cols);
}

/* The similarities of up to AT_ONCE rows within bounds. */
static void similarities(const rv_codes *v, const int8_t *query, const int32_t *rows, size_t count, float *scores) {
    int32_t dots[AT_ONCE];
    for (size_t i = 0; i < count; i++) __builtin_prefetch(v->scales + rows[i]);
    rv_picked_dot_i8(v->codes, query, rows, dots, count, v->cols);
    for (size_t i = 0; i < count; i++) scores[i] = v->scales[rows[i]] * (float)dots[i];
}

void rv_encode_rows(const float *vectors, size_t rows, size_t cols, int8_t *codes, float *scales) {
    for (size_t r = 0; r < rows; r++, vectors += cols, codes += cols) {
        float greatest = 0;
        for (size_t c = 0; c < cols; c++) greatest = fmaxf(greatest, fabsf(vectors[c]));
        scales[r] = greatest / 127;
        const float steps = greatest > 1e-30f ? 127 / greatest : 0;
        for (size_t c = 0; c < cols; c++) codes[c] = (int8_t)rintf(vectors[c] * steps);
    }
}

size_t rv_scan_codes(const rv_codes *vectors, const int8_t *query, const uint8_t *keep, size_t first, size_t end,
                     size_t k, int32_t *top_rows, float *top_scores, const volatile int *cancel) {
    rv_heap best = {top_rows, top_scores, 0};
    if (end > vectors->rows) end = vectors->rows;
    for (size_t row = first; row < end;) {
        if (cancel && *cancel) return 0;
        int32_t rows[AT_ONCE];
        float scores[AT_ONCE];
        size_t count = 0;
        for (; row < end && count < AT_ONCE; row++) {
            rows[count] = (int32_t)row;
            count += !keep || keep[row];
        }
        similarities(vectors, query, rows, count, scores);
        for (size_t i = 0; i < count; i++) heap_offer(&best, k, rows[i], scores[i]);
    }
    return heap_sort(&best);
}

void rv_score_codes(const rv_codes *vectors, const int8_t *query, const int32_t *rows, size_t count, float *scores) {
    for (size_t i = 0; i < count; i++)
        scores[i] = (size_t)rows[i] < vectors->rows ? similarity(vectors, query, (size_t)rows[i]) : 0;
}

/* The links of a row on a level, `*count` of them at most; NULL when the index is damaged. */
static int32_t *links_of(const rv_graph *graph, int32_t row, size_t level, size_t *count) {
    if (!level) {
        *count = 2 * graph->degree;
        return graph->near + (size_t)row * *count;
    }
    *count = graph->degree;
    const size_t list = (size_t)graph->far_at[row] + level - 1;
    return graph->far_at[row] >= 0 && list < graph->far_lists ? graph->far + list * *count : NULL;
}

static inline int is_row(const rv_graph *graph, int32_t row) { return row >= 0 && (size_t)row < graph->vectors.rows; }

static inline int is_new(rv_scratch *scratch, int32_t row) {
    const uint64_t bit = (uint64_t)1 << (row & 63);
    if (scratch->visited[row >> 6] & bit) return 0;
    scratch->visited[row >> 6] |= bit;
    scratch->seen[scratch->seen_count++] = row;
    return 1;
}

static void forget_visited(rv_scratch *scratch) {
    for (size_t i = 0; i < scratch->seen_count; i++) scratch->visited[scratch->seen[i] >> 6] = 0;
    scratch->seen_count = 0;
}

/* Walks to the row most similar to the query on one level, from `row`. */
static int32_t descend(const rv_graph *graph, const int8_t *query, size_t level, int32_t row) {
    float best = similarity(&graph->vectors, query, (size_t)row);
    for (int moved = 1; moved;) {
        moved = 0;
        size_t count;
        const int32_t *links = links_of(graph, row, level, &count);
        for (size_t i = 0; links && i < count && is_row(graph, links[i]); i++) {
            const float score = similarity(&graph->vectors, query, (size_t)links[i]);
            if (score > best) {
                best = score;
                row = links[i];
                moved = 1;
            }
        }
    }
    return row;
}

/* Fills the scratch's beam with a heap of the `ef` best kept rows of a level that are reachable from `start`, walking
 * through rows not kept, and returns its size. */
static size_t search_level(const rv_graph *graph, rv_scratch *scratch, const int8_t *query, const uint8_t *keep,
                           size_t level, size_t ef, int32_t start, const volatile int *cancel) {
    const rv_codes *vectors = &graph->vectors;
    rv_heap best = {scratch->beam_rows, scratch->beam_scores, 0};
    rv_heap frontier = {scratch->frontier_rows, scratch->frontier_scores, 0};
    const float first = similarity(vectors, query, (size_t)start);
    is_new(scratch, start);
    heap_push(&frontier, start, -first);
    if (!keep || keep[start]) heap_push(&best, start, first);
    while (frontier.size && !(cancel && *cancel)) {
        const int32_t row = frontier.rows[0];
        if (best.size == ef && -frontier.scores[0] < best.scores[0]) break;
        heap_pop(&frontier);
        size_t count;
        const int32_t *links = links_of(graph, row, level, &count);
        for (size_t at = 0; links && at < count && is_row(graph, links[at]);) {
            int32_t rows[AT_ONCE];
            float scores[AT_ONCE];
            size_t fresh = 0;
            for (; at < count && fresh < AT_ONCE && is_row(graph, links[at]); at++)
                if (is_new(scratch, links[at])) rows[fresh++] = links[at];
            if (frontier.size && !level) {
                const int32_t *next = graph->near + 2 * graph->degree * (size_t)frontier.rows[0];
                __builtin_prefetch(next), __builtin_prefetch(next + 16);
            }
            similarities(vectors, query, rows, fresh, scores);
            for (size_t i = 0; i < fresh; i++) {
                if (best.size == ef && scores[i] <= best.scores[0]) continue;
                heap_push(&frontier, rows[i], -scores[i]);
                if (!keep || keep[rows[i]]) heap_offer(&best, ef, rows[i], scores[i]);
            }
        }
    }
    forget_visited(scratch);
    return best.size;
}

size_t rv_graph_search(const rv_graph *graph, rv_scratch *scratch, const int8_t *query, const uint8_t *keep, size_t ef,
                       const volatile int *cancel) {
    if (!is_row(graph, graph->entry) || !ef) return 0;
    int32_t row = graph->entry;
    for (size_t level = graph->levels[row]; level; level--) row = descend(graph, query, level, row);
    rv_heap best = {scratch->beam_rows, scratch->beam_scores, 0};
    best.size = search_level(graph, scratch, query, keep, 0, ef, row, cancel);
    return heap_sort(&best);
}

static float similarity_of(const rv_codes *v, size_t a, size_t b) {
    return v->scales[a] * similarity(v, v->codes + a * v->cols, b);
}

/* Chooses up to `limit` of `rows`, best first: those nearer to the base than to any already chosen, so that links point in
 * different directions; then the best of the rest, so that duplicates do not cut each other off. `scores` are similarities
 * with the base. Chosen ones move to the front; returns how many. */
static size_t choose(const rv_codes *vectors, int32_t *rows, float *scores, size_t count, size_t limit) {
    size_t chosen = 0;
    for (size_t i = 0; i < count && chosen < limit; i++) {
        size_t j = 0;
        while (j < chosen && similarity_of(vectors, (size_t)rows[i], (size_t)rows[j]) < scores[i]) j++;
        if (j < chosen) continue;
        const int32_t row = rows[i];
        const float score = scores[i];
        for (size_t at = i; at > chosen; at--) {
            rows[at] = rows[at - 1];
            scores[at] = scores[at - 1];
        }
        rows[chosen] = row;
        scores[chosen++] = score;
    }
    return chosen < limit ? (count < limit ? count : limit) : chosen;
}

/* Adds a link from `row` to `other`; when the list is full, the best of the old and the new are kept. */
static void link_back(const rv_graph *graph, rv_scratch *scratch, int32_t row, int32_t other, size_t level) {
    size_t count;
    int32_t *links = links_of(graph, row, level, &count);
    if (!links) return;
    size_t used = 0;
    while (used < count && is_row(graph, links[used])) used++;
    if (used < count) {
        links[used] = other;
        return;
    }
    rv_heap heap = {scratch->frontier_rows, scratch->frontier_scores, 0};
    for (size_t i = 0; i < used; i++)
        heap_push(&heap, links[i], similarity_of(&graph->vectors, (size_t)row, (size_t)links[i]));
    heap_push(&heap, other, similarity_of(&graph->vectors, (size_t)row, (size_t)other));
    heap_sort(&heap);
    const size_t chosen = choose(&graph->vectors, heap.rows, heap.scores, heap.size, count);
    for (size_t i = 0; i < count; i++) links[i] = i < chosen ? heap.rows[i] : -1;
}

/* The rows from `first` up to `row` that reach the level, scored one and all, are offered to the beam as well: a search
 * of the graph cannot find them yet. */
static void offer_newest(const rv_graph *graph, rv_heap *best, const int8_t *query, size_t first, size_t row,
                         size_t level, size_t ef) {
    while (first < row) {
        int32_t rows[AT_ONCE];
        float scores[AT_ONCE];
        size_t count = 0;
        for (; first < row && count < AT_ONCE; first++)
            if (graph->levels[first] >= level) rows[count++] = (int32_t)first;
        similarities(&graph->vectors, query, rows, count, scores);
        for (size_t i = 0; i < count; i++) heap_offer(best, ef, rows[i], scores[i]);
    }
}

static int32_t nearest_of(const rv_heap *heap) {
    size_t nearest = 0;
    for (size_t i = 1; i < heap->size; i++)
        if (heap_ranks_below(heap->scores[nearest], heap->rows[nearest], heap->scores[i], heap->rows[i])) nearest = i;
    return heap->rows[nearest];
}

static size_t level_of(const rv_graph *graph, size_t row) {
    return graph->levels[row] < RV_GRAPH_LEVELS ? graph->levels[row] : RV_GRAPH_LEVELS - 1;
}

static void pick_for(const rv_graph *graph, rv_scratch *scratch, size_t first, size_t row, size_t ef, int32_t *picks) {
    const rv_codes *vectors = &graph->vectors;
    const int8_t *query = vectors->codes + row * vectors->cols;
    const size_t own = level_of(graph, row);
    int32_t start = is_row(graph, graph->entry) ? graph->entry : -1;
    size_t linked = start < 0 ? 0 : (size_t)graph->levels[start] + 1; /* levels that the graph has */
    for (; linked > own + 1; linked--) start = descend(graph, query, linked - 1, start);
    for (size_t level = own + 1; level--;) {
        rv_heap best = {scratch->beam_rows, scratch->beam_scores, 0};
        if (level < linked) {
            best.size = search_level(graph, scratch, query, NULL, level, ef, start, NULL);
            start = nearest_of(&best);
        }
        offer_newest(graph, &best, query, first, row, level, ef);
        heap_sort(&best);
        for (size_t i = 0; i < best.size; i++) best.scores[i] *= vectors->scales[row];
        const size_t chosen = choose(vectors, best.rows, best.scores, best.size, graph->degree);
        for (size_t i = 0; i < graph->degree; i++) picks[level * graph->degree + i] = i < chosen ? best.rows[i] : -1;
    }
}

void rv_graph_pick(const rv_graph *graph, rv_scratch *scratch, size_t first, size_t from, size_t end, size_t ef,
                   int32_t *picks) {
    const size_t each = RV_GRAPH_LEVELS * graph->degree;
    for (size_t row = from; row < end && row < graph->vectors.rows; row++)
        pick_for(graph, scratch, first, row, ef, picks + (row - first) * each);
}

void rv_graph_link(rv_graph *graph, rv_scratch *scratch, size_t first, size_t end, size_t part, size_t parts,
                   const int32_t *picks) {
    for (size_t row = first; row < end && row < graph->vectors.rows; row++)
        for (size_t level = level_of(graph, row) + 1; level--;) {
            const int32_t *picked = picks + ((row - first) * RV_GRAPH_LEVELS + level) * graph->degree;
            size_t count;
            int32_t *links = row % parts == part ? links_of(graph, (int32_t)row, level, &count) : NULL;
            for (size_t i = 0; i < graph->degree && is_row(graph, picked[i]); i++) {
                if (links) links[i] = picked[i];
                if ((size_t)picked[i] % parts == part) link_back(graph, scratch, picked[i], (int32_t)row, level);
            }
        }
}
