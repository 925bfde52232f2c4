/* Kernels from float32 vectors to one of the same length. rv_python.h includes this. Python gives the arrays first, then a
 * number where the kernel has one; what it may leave out is None. */
enum { RV_MOST_ARRAYS = 3 };

typedef struct rv_map {
    const float *in[RV_MOST_ARRAYS]; /* NULL where left out */
    float number, *out;
    size_t n;
} rv_map;

/* Whether `given` is a float, written to *number. */
static int rv_read_number(PyObject *given, float *number) {
    if (PyFloat_CheckExact(given)) *number = (float)PyFloat_AS_DOUBLE(given);
    return PyFloat_CheckExact(given);
}

/* Runs a map on the arrays given, the first `needed` of which may not be left out, and on a number if there is one more. */
static PyObject *rv_python_run(void (*run)(const rv_map *), PyObject *const *given, Py_ssize_t count, size_t arrays,
                               size_t needed, int has_number) {
    Py_buffer views[RV_MOST_ARRAYS], out;
    PyObject *result = NULL;
    rv_map map = {.n = 0};
    size_t opened = 0;
    int fits = count == (Py_ssize_t)arrays + has_number && (!has_number || rv_read_number(given[arrays], &map.number));
    for (size_t i = 0; i < arrays && fits; i++) {
        if (i >= needed && given[i] == Py_None) continue;
        fits = rv_open_floats(given[i], &views[opened], map.n);
        if (!fits) break;
        map.in[i] = views[opened].buf;
        map.n = (size_t)views[opened++].len / sizeof(float);
    }
    if (fits && (result = rv_new_array(map.n, rv_numpy.f32, &out))) {
        map.out = out.buf;
        run(&map);
        PyBuffer_Release(&out);
    }
    while (opened) PyBuffer_Release(&views[--opened]);
    if (result || PyErr_Occurred()) return result;
    Py_RETURN_NONE;
}

#define RV_PYTHON_MAP(kernel, arrays, needed, has_number, ...)                                                         \
    static void rv_run_##kernel(const rv_map *map) { __VA_ARGS__; }                                                    \
    static PyObject *rv_python_##kernel(PyObject *self, PyObject *const *given, Py_ssize_t count) {                    \
        (void)self;                                                                                                    \
        return rv_python_run(rv_run_##kernel, given, count, arrays, needed, has_number);                               \
    }

#define RV_MAP(op) RV_PYTHON_MAP(op##_f32, 1, 1, 0, rv_##op##_f32(map->in[0], map->out, map->n))
#define RV_ZIP(op) RV_PYTHON_MAP(op##_f32, 2, 2, 0, rv_##op##_f32(map->in[0], map->in[1], map->out, map->n))
#define RV_KERNEL(result, kernel, parameters, arguments)
#include "rv_kernels.def"
RV_PYTHON_MAP(scale_f32, 1, 1, 1, rv_scale_f32(map->in[0], map->number, map->out, map->n))
RV_PYTHON_MAP(axpy_f32, 2, 2, 1, memcpy(map->out, map->in[1], map->n * sizeof(float));
              rv_axpy_f32(map->number, map->in[0], map->out, map->n))
RV_PYTHON_MAP(softmax_f32, 1, 1, 1, rv_softmax_f32(map->in[0], map->number, map->out, map->n))
RV_PYTHON_MAP(log_softmax_f32, 1, 1, 1, rv_log_softmax_f32(map->in[0], map->number, map->out, map->n))
RV_PYTHON_MAP(layer_norm_f32, 3, 1, 1,
              rv_layer_norm_f32(map->in[0], map->in[1], map->in[2], map->number, map->out, map->n))
RV_PYTHON_MAP(rms_norm_f32, 2, 1, 1, rv_rms_norm_f32(map->in[0], map->in[1], map->number, map->out, map->n))
