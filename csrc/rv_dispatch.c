/* From an instruction set's name to its table. A set is one or more layers, laid over the ones before it: whatever a
 * layer leaves out (NULL) stays as it was, and a layer whose CPU feature is missing is left out whole. The public
 * functions call through the table in use. */
#include "rv.h"

#include <string.h>

extern const rv_table rv_scalar_table;
#if defined(__x86_64__)
extern const rv_table rv_sse41_table, rv_avx2_table, rv_avx512_table, rv_avx512_vnni_table, rv_avx512_popcnt_table,
    rv_avx512_bf16_table;
#elif defined(__aarch64__)
extern const rv_table rv_neon_table, rv_neon_dotprod_table;
#endif

/* Worst first. */
static const struct layer {
    const char *set;
    unsigned needs;
    const rv_table *table;
} layers[] = {
    {"scalar", 0, &rv_scalar_table},
#if defined(__x86_64__)
    {"sse41", RV_HAS_SSE41, &rv_sse41_table},
    {"avx2", RV_HAS_AVX2, &rv_avx2_table},
    {"avx512", RV_HAS_AVX512, &rv_avx512_table},
    {"avx512", RV_HAS_AVX512 | RV_HAS_VNNI, &rv_avx512_vnni_table},
    {"avx512", RV_HAS_AVX512 | RV_HAS_POPCNT, &rv_avx512_popcnt_table},
    {"avx512", RV_HAS_AVX512 | RV_HAS_BF16, &rv_avx512_bf16_table},
#elif defined(__aarch64__)
    {"neon", RV_HAS_NEON, &rv_neon_table},
    {"neon", RV_HAS_NEON | RV_HAS_DOTPROD, &rv_neon_dotprod_table},
#endif
};
enum { LAYERS = sizeof layers / sizeof layers[0] };

static rv_table in_use;

static int is_available(const struct layer *layer) { return (rv_cpu_features() & layer->needs) == layer->needs; }

static void lay(rv_table *table, const rv_table *over) {
#define RV_KERNEL(result, kernel, parameters, arguments)                                                               \
    if (over->kernel) table->kernel = over->kernel;
#include "rv_kernels.def"
}

int rv_resolve(const char *name, rv_table *table) {
    size_t last = LAYERS;
    for (size_t i = 0; i < LAYERS; i++)
        if (!strcmp(layers[i].set, name) && is_available(&layers[i])) last = i;
    if (last == LAYERS) return 0;
    for (size_t i = 0; i <= last; i++)
        if (is_available(&layers[i])) lay(table, layers[i].table);
    table->name = layers[last].set;
    return 1;
}

int rv_use(const char *name) { return rv_resolve(name, &in_use); }

const char *rv_in_use(void) { return in_use.name; }

__attribute__((constructor)) static void use_the_best(void) {
    for (size_t i = LAYERS; i-- > 0;)
        if (rv_use(layers[i].set)) return;
}

const char *rv_kernel_name(size_t i) {
    static const char *const names[] = {
#define RV_KERNEL(result, kernel, parameters, arguments) #kernel,
#include "rv_kernels.def"
        NULL};
    return i < sizeof names / sizeof *names ? names[i] : NULL;
}

const char *rv_kernel_layer(size_t i, const rv_table *table) {
    for (size_t layer = LAYERS; layer-- > 0;) {
        const rv_table *made = layers[layer].table;
        size_t at = 0;
#define RV_KERNEL(result, kernel, parameters, arguments)                                                               \
    if (at++ == i && made->kernel == table->kernel) return made->name;
#include "rv_kernels.def"
    }
    return NULL;
}

#pragma GCC diagnostic ignored "-Wpedantic" /* returning a void call's result from a void function */
#define RV_KERNEL(result, kernel, parameters, arguments)                                                               \
    result rv_##kernel parameters { return in_use.kernel arguments; }
#include "rv_kernels.def"
