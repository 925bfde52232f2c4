/* Pools a text's rows of an int8 table into one unit vector. */
#include "rv.h"

void rv_static_pool(const int8_t *table, const float *scales, size_t dims, const int32_t *ids, const int64_t *ends,
                    size_t texts, float *out) {
    int64_t at = 0;
    for (size_t i = 0; i < texts; i++, out += dims) {
        for (size_t d = 0; d < dims; d++) out[d] = 0;
        for (; at < ends[i]; at++) {
            const int8_t *row = table + (size_t)ids[at] * dims;
            const float scale = scales[ids[at]];
            for (size_t d = 0; d < dims; d++) out[d] += scale * (float)row[d];
        }
        rv_normalize_f32(out, out, dims);
    }
}
