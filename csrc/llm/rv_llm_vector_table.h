/* The table of a set that has all kernels of rv_llm_vector.h, its own rows, and its own float16 or (NULL) another's. */
#define RV_LLM_VECTOR_TABLE(HALVES)                                                                                          \
    {                                                                                                                  \
        .quantize = quantize,                                                                                          \
        .halves = HALVES,                                                                                              \
        .attend = attend,                                                                                              \
        .rows = {rows_f32, rows_f16, rows_bf16, rows_q4_0, rows_q5_0, rows_q8_0, rows_q4_k, rows_q5_k, rows_q6_k},                \
        .panel_rows = PANEL,                                                                                           \
        .unpack = {unpack_f32, unpack_f16, unpack_bf16, unpack_q4_0, unpack_q5_0, unpack_q8_0, unpack_q4_k,            \
                   unpack_q5_k, unpack_q6_k},                                                                                       \
        .panel = {panel_floats, panel_floats, panel_floats, panel_q4_0, panel_q5_0, panel_q8_0, panel_q4_k,            \
                  panel_q5_k, panel_q6_k},                                                                                         \
    }
