/* The memory's two indexes: a navigable small-world graph over int8 vectors, and BM25 over postings. Neither allocates:
 * the caller owns every array, so that an index can live in a mapped file. Rows are 0-based positions. `keep` holds one
 * byte a row, 0 passes over the row; NULL keeps all. Whatever is read from index arrays is checked against the bounds
 * given here before it is followed, so a damaged index gives wrong answers at worst. */
#ifndef RV_INDEX_H
#define RV_INDEX_H

#ifndef RV_CDEF
#include <stddef.h>
#include <stdint.h>
#endif

/* A vector is `scale * code`, cols int8 codes; similarity is the dot product of two vectors. */
typedef struct {
    const int8_t *codes; /* rows x cols */
    const float *scales; /* rows */
    size_t rows, cols;
} rv_codes;

/* Makes `rows` vectors of `cols` floats into codes in [-127, 127] and scales (greatest magnitude / 127); finite, and
 * zero codes where all are below 1e-30. */
void rv_encode_rows(const float *vectors, size_t rows, size_t cols, int8_t *codes, float *scales);

/* The best k rows by similarity with the query (cols codes, scale 1), best first, ties by lower row. */
size_t rv_scan_codes(const rv_codes *vectors, const int8_t *query, const uint8_t *keep, size_t first, size_t end,
                     size_t k, int32_t *top_rows, float *top_scores, const volatile int *cancel);

/* The similarities of the named rows (0 for a row out of bounds). */
void rv_score_codes(const rv_codes *vectors, const int8_t *query, const int32_t *rows, size_t count, float *scores);

/* HNSW (Malkov & Yashunin 2018). Level 0: `near`, rows x 2 degree links, -1 after the last. A row on level l > 0 has
 * `degree` links at far[(far_at[row] + l - 1) * degree]; far_at is -1 for rows on level 0 alone. */
typedef struct {
    rv_codes vectors;
    size_t degree;
    int32_t *near;
    int32_t *far;
    const int32_t *far_at;
    const uint8_t *levels;
    size_t far_lists;
    int32_t entry; /* -1: empty */
} rv_graph;

/* What a search or an insertion works in. `visited` has a bit a row, in words, all 0 and left so, `seen` room for every
 * row; the frontier is rows + 2 degree + 1 long, the beam `ef`. */
typedef struct {
    uint64_t *visited;
    int32_t *seen;
    size_t seen_count;
    int32_t *frontier_rows;
    float *frontier_scores;
    int32_t *beam_rows;
    float *beam_scores;
} rv_scratch;

/* The rows most similar to the query that a beam of `ef` finds, best first, in scratch->beam_rows and beam_scores.
 * Returns how many: at most ef. */
size_t rv_graph_search(const rv_graph *graph, rv_scratch *scratch, const int8_t *query, const uint8_t *keep, size_t ef,
                       const volatile int *cancel);

/* Rows join in batches [first, end), in two steps that any number of threads share, each with a scratch of its own. The
 * graph that results does not depend on how many they are. */
enum { RV_GRAPH_LEVELS = 13 }; /* of new rows; higher ones count as the last */

/* For each row of [from, end): what it is to be linked to, found by a beam of `ef` in the graph as it is and among all rows
 * of its batch before it. Only reads the graph. `picks`: the batch's rows x RV_GRAPH_LEVELS x degree, -1 after the last. */
void rv_graph_pick(const rv_graph *graph, rv_scratch *scratch, size_t first, size_t from, size_t end, size_t ef,
                   int32_t *picks);

/* Once all is picked: writes the lists of the rows whose number is `part` modulo `parts`. The new rows' codes, levels and
 * lists are in place (links all -1); the entry is the caller's to move. */
void rv_graph_link(rv_graph *graph, rv_scratch *scratch, size_t first, size_t end, size_t part, size_t parts,
                   const int32_t *picks);

/* A part of one term's postings: rows ascending, how often the term occurs in each. The parts of a term follow each other
 * with the same `term` number. */
typedef struct {
    const int32_t *rows;
    const uint16_t *counts;
    uint64_t size;
    uint32_t term;
    float weight; /* the term's idf, never negative */
} rv_postings;

/* The parts of `terms` (count, in any order) in an index of `known` terms, ascending, the postings of term i being those
 * from starts[i] to starts[i + 1]. Each is numbered by its place among `terms`; returns how many there are, at most count. */
size_t rv_postings_find(const uint32_t *known, size_t known_count, const int64_t *starts, const int32_t *rows,
                        const uint16_t *counts, const uint32_t *terms, size_t count, rv_postings *parts);

/* A BM25 question over the rows kept: `terms` terms, `lengths` in terms a row, `mean` length. */
typedef struct {
    rv_postings *parts;
    size_t part_count, terms;
    const float *lengths;
    const uint8_t *keep;
    size_t rows;
    float mean, k1, b;
} rv_bm25;

/* In how many of the `kept` rows each term occurs, `frequencies`, and ln(1 + (kept - frequency + 0.5) / (frequency + 0.5)),
 * `idf`, 0 where it does not (both: terms). Exact for parts of up to 8,192 postings, estimated from 4,096 of them beyond.
 * Gives the parts their weights and puts the heaviest first, as the two below want them. */
void rv_bm25_weigh(rv_bm25 *query, double kept, double *frequencies, float *idf);

/* The k best of the rows where a term occurs, best first, ties by lower row. `scores` (rows, all 0, left all 0) and
 * `touched` (rows) are worked in. */
size_t rv_bm25_top(const rv_bm25 *query, size_t k, float *scores, int32_t *touched, int32_t *top_rows, float *top_scores);

/* The scores of the named rows, which ascend and are within bounds, kept or not. */
void rv_bm25_at(const rv_bm25 *query, const int32_t *rows, size_t count, float *scores);

/* Writes the parts, sorted by term, back to back under new row numbers (`renamed`, rows; -1 drops a row; ascending where
 * not dropped). `starts` (terms + 1) says where each term begins; the outputs have room for every posting. Returns how
 * many distinct terms there are. */
size_t rv_postings_merge(const rv_postings *parts, size_t part_count, const int32_t *renamed, size_t rows,
                         int64_t *starts, int32_t *out_rows, uint16_t *out_counts);

#endif
