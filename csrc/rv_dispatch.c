/* From an instruction set's name to its table, and the public functions that call through the one in use. */
#include "rv.h"

#include <string.h>

extern const rv_table rv_scalar_table;
#if defined(__x86_64__)
extern const rv_table rv_sse41_table, rv_avx2_table, rv_avx512_table;
#elif defined(__aarch64__)
extern const rv_table rv_neon_table;
#endif

/* Worst first; the scalar reference needs no feature. */
static const struct {
    const rv_table *table;
    unsigned needs;
} sets[] = {
    {&rv_scalar_table, 0},
#if defined(__x86_64__)
    {&rv_sse41_table, RV_HAS_SSE41},
    {&rv_avx2_table, RV_HAS_AVX2},
    {&rv_avx512_table, RV_HAS_AVX512},
#elif defined(__aarch64__)
    {&rv_neon_table, RV_HAS_NEON},
#endif
};
enum { SETS = sizeof sets / sizeof sets[0] };

static const rv_table *in_use = &rv_scalar_table;

const rv_table *rv_table_named(const char *name) {
    const unsigned features = rv_cpu_features();
    for (size_t i = 0; i < SETS; i++)
        if (!strcmp(sets[i].table->name, name) && (features & sets[i].needs) == sets[i].needs) return sets[i].table;
    return NULL;
}

int rv_has(const char *name) { return rv_table_named(name) != NULL; }

int rv_use(const char *name) {
    const rv_table *table = rv_table_named(name);
    if (table) in_use = table;
    return table != NULL;
}

const char *rv_in_use(void) { return in_use->name; }

#define RV_KERNEL(result, kernel, parameters, arguments) \
    result rv_##kernel parameters { return in_use->kernel arguments; }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" /* returning a void call's result from a void function */
#include "rv_kernels.def"
#pragma GCC diagnostic pop
#undef RV_KERNEL
