/* A binary heap over two parallel arrays. Its root is the row that ranks lowest: a lower score, or the same score and a
 * later row. With scores negated it serves as a queue whose root ranks highest. */
#ifndef RV_HEAP_H
#define RV_HEAP_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    int32_t *rows;
    float *scores;
    size_t size;
} rv_heap;

static inline int heap_ranks_below(float score_a, int32_t row_a, float score_b, int32_t row_b) {
    return score_a < score_b || (score_a == score_b && row_a > row_b);
}

static inline void heap_sift_down(rv_heap *heap, size_t at, int32_t row, float score) {
    for (size_t child; (child = 2 * at + 1) < heap->size; at = child) {
        if (child + 1 < heap->size && heap_ranks_below(heap->scores[child + 1], heap->rows[child + 1],
                                                       heap->scores[child], heap->rows[child]))
            child++;
        if (!heap_ranks_below(heap->scores[child], heap->rows[child], score, row)) break;
        heap->rows[at] = heap->rows[child];
        heap->scores[at] = heap->scores[child];
    }
    heap->rows[at] = row;
    heap->scores[at] = score;
}

static inline void heap_push(rv_heap *heap, int32_t row, float score) {
    size_t at = heap->size++;
    while (at) {
        const size_t parent = (at - 1) / 2;
        if (!heap_ranks_below(score, row, heap->scores[parent], heap->rows[parent])) break;
        heap->rows[at] = heap->rows[parent];
        heap->scores[at] = heap->scores[parent];
        at = parent;
    }
    heap->rows[at] = row;
    heap->scores[at] = score;
}

/* Takes the root away. */
static inline void heap_pop(rv_heap *heap) {
    heap->size--;
    if (heap->size) heap_sift_down(heap, 0, heap->rows[heap->size], heap->scores[heap->size]);
}

/* Keeps the `limit` rows that rank highest. */
static inline void heap_offer(rv_heap *heap, size_t limit, int32_t row, float score) {
    if (heap->size < limit)
        heap_push(heap, row, score);
    else if (limit && heap_ranks_below(heap->scores[0], heap->rows[0], score, row))
        heap_sift_down(heap, 0, row, score);
}

/* Turns the heap into a list, highest rank first, and returns its size. */
static inline size_t heap_sort(rv_heap *heap) {
    const size_t total = heap->size;
    while (heap->size > 1) {
        const int32_t row = heap->rows[0];
        const float score = heap->scores[0];
        heap_pop(heap);
        heap->rows[heap->size] = row;
        heap->scores[heap->size] = score;
    }
    heap->size = total;
    return total;
}

#endif
