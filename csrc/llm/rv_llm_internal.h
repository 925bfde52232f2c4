/* What the files of this folder share and nobody else uses. */
#ifndef RV_LLM_INTERNAL_H
#define RV_LLM_INTERNAL_H
#include "rv_llm.h"

/* Whether the tensor has a known type, at least one row and number, and all its bytes. */
int rv_llm_tensor_fits(const rv_llm_tensor *tensor);

/* One row as floats. */
void rv_llm_row_floats(int32_t type, const uint8_t *row, size_t cols, float *out);

#endif
