/* The kernels of the instruction set in use: each set's table laid over the ones below it. */
#include "../rv.h"
#include "rv_llm_kernels.h"

#include <string.h>

extern const rv_llm_kernels rv_llm_scalar;
#if defined(__x86_64__)
extern const rv_llm_kernels rv_llm_sse41, rv_llm_avx2, rv_llm_avx512;
#elif defined(__aarch64__)
extern const rv_llm_kernels rv_llm_neon, rv_llm_neon_dotprod;
#endif

static __attribute__((unused)) void lay(rv_llm_kernels *to, const rv_llm_kernels *over) {
    if (over->quantize) to->quantize = over->quantize;
    if (over->halves) to->halves = over->halves;
    if (over->attend) to->attend = over->attend;
    for (size_t i = 0; i < RV_KINDS; i++)
        if (over->rows[i]) to->rows[i] = over->rows[i];
    if (!over->panel_rows) return;
    to->panel_rows = over->panel_rows;
    memcpy(to->unpack, over->unpack, sizeof to->unpack);
    memcpy(to->panel, over->panel, sizeof to->panel);
}

/* AVX-512 without VNNI multiplies bytes no better than AVX2 does. */
rv_llm_kernels rv_llm_kernels_in_use(void) {
    rv_llm_kernels kernels = rv_llm_scalar;
    const char *name = rv_in_use();
#if defined(__x86_64__)
    if (!strcmp(name, "sse41")) lay(&kernels, &rv_llm_sse41);
    if (!strcmp(name, "avx2") || !strcmp(name, "avx512")) lay(&kernels, &rv_llm_avx2);
    if (!strcmp(name, "avx512") && rv_cpu_features() & RV_HAS_VNNI) lay(&kernels, &rv_llm_avx512);
#elif defined(__aarch64__)
    if (!strcmp(name, "neon")) lay(&kernels, rv_cpu_features() & RV_HAS_DOTPROD ? &rv_llm_neon_dotprod : &rv_llm_neon);
#endif
    (void)name;
    return kernels;
}
