/* Shared parts of the kernel tests: numbers to feed in, memory with guard pages to feed them from, and a report.
 *
 * Every operation runs on every instruction set this CPU has and is judged against float64 arithmetic written here, not
 * against another kernel. Inputs end or begin flush with a page that cannot be read or written, so that one byte too
 * far ends the program; what lies between an output and its guard is compared with what was there before. */
#ifndef CHECK_H
#define CHECK_H

#include "rv.h"

#include <stdbool.h>

/* The instruction set under test. */
extern const char *set_name;
extern rv_table set;

/* Counts a failure and says what failed, as printf would. The first few of an operation are printed. */
void fail(const char *operation, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One line for an operation that is done: the set, its layer, how many results were compared, the greatest error seen
 * as a share of the error allowed. */
void report(const char *operation);

/* Compares one result: an error above `allowed`, a NaN or infinity where there is none in `want`, or the other way
 * round, is a failure. Where `want` is too great for a float, infinity is right. */
void expect(const char *operation, double got, double want, double allowed);

/* Memory between two guard pages. There are 8 slots, each lives until it is placed again. */
enum { SLOTS = 8, SLOT_BYTES = 1 << 20 };
enum place { AT_START, PAST_START, AT_END, PLACES };

/* `bytes` in a slot: at its very start, one element of `size` bytes after it, or up to its very end. All else in the
 * slot is filled with a pattern. */
void *placed(int slot, size_t bytes, size_t size, enum place place);

/* Fails unless everything in the slot but those `bytes` still holds the pattern. */
void expect_surroundings_untouched(const char *operation, int slot, const void *at, size_t bytes);

/* Random numbers, the same on every run. */
void seed_random(uint64_t seed);
uint64_t random_bits(void);
double random_normal(void);

/* Kinds of numbers by name. */
enum kind { f32, f16, bf16, i8, b1 };
size_t kind_size(enum kind kind);

/* Element i as a double, and the other way round, rounded to the kind's nearest. A b1 has 8 numbers an element. */
double read_number(enum kind kind, const void *from, size_t i);
void write_number(enum kind kind, void *to, size_t i, double number);
size_t numbers_in(enum kind kind, size_t elements);

/* Sorts of input. */
enum pattern { NORMAL, LARGE, SMALL, ZERO, EQUAL, EXTREME, PATTERNS };
void fill(enum kind kind, void *to, size_t elements, enum pattern pattern);

/* Lengths worth trying: 0 to 130 and some large ones, odd and round. length(LENGTHS - 1) is the greatest. */
enum { LENGTHS = 140 };
size_t length(size_t i);

/* The rounding error of a float sum of n terms that add up to `magnitude` in absolute value, in any order that keeps at
 * least four partial sums. */
double rounding(size_t n, double magnitude);

/* The groups of checks, run once for each instruction set. */
void check_pairs(void);
void check_maps(void);
void check_matrices(void);
void check_codes(void);
void check_scans(void);
void check_layers(void);
void check_rated(void);
void check_encoder(void);
void check_llm(void);
void check_strings(void);
void check_terms(void);
void check_markers(void);

/* The same for times; not one of the above, as sanitisers and emulators have other ones. */
void check_cancel(void);

#endif
