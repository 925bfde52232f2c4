/* Vectors and matrices checked once, as Python types, so that an operation on them is one call into C. rv_python.h includes
 * this. Their Python subclasses (`simd/handles.py`) hand them a plain array that nobody else writes to, and take over, by
 * `_general`, whatever is not served here. */
typedef struct rv_python_vector {
    PyObject_HEAD
    Py_buffer view;
    size_t n;
} rv_python_vector;

typedef void (*rv_rows_kernel)(const void *m, const void *x, void *out, size_t rows, size_t cols);

/* The operations of a matrix, in the order of rv_row_operations; NULL where its kind has none. */
enum { RV_ROW_OPERATIONS = 5 };
static const char *const rv_row_operations[RV_ROW_OPERATIONS] = {"dot", "cosine", "sqdist", "hamming", "jaccard"};

typedef struct rv_python_matrix {
    PyObject_HEAD
    Py_buffer view;
    size_t rows, cols, size;
    const struct rv_rows *operations[RV_ROW_OPERATIONS];
} rv_python_matrix;

static PyTypeObject *rv_vector_type, *rv_matrix_type;

/* Below this many bytes a scan is over before another thread would have taken the GIL. */
enum { RV_BRIEF = 1 << 17 };

/* What the Python subclass makes of a call that is not served here. */
static PyObject *rv_general(PyObject *self, const char *operation, PyObject *other) {
    return PyErr_Occurred() ? NULL : PyObject_CallMethod(self, "_general", "sO", operation, other);
}

static PyObject *rv_vector_new(PyTypeObject *type, PyObject *arguments, PyObject *names) {
    (void)names;
    rv_python_vector *self = (rv_python_vector *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    if (PyTuple_GET_SIZE(arguments) != 1 || !rv_open_floats(PyTuple_GET_ITEM(arguments, 0), &self->view, 0)) {
        Py_DECREF(self);
        PyErr_SetString(PyExc_TypeError, "takes a plain float32 vector");
        return NULL;
    }
    self->n = (size_t)self->view.len / sizeof(float);
    return (PyObject *)self;
}

/* Of both types: the view comes first. */
static void rv_handle_free(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyBuffer_Release(&((rv_python_vector *)self)->view);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *rv_handle_array(PyObject *self, void *unused) {
    (void)unused;
    PyObject *array = ((rv_python_vector *)self)->view.obj;
    Py_INCREF(array);
    return array;
}

static PyGetSetDef rv_handle_fields[] = {{"array", rv_handle_array, NULL, "The numbers, read-only.", NULL}, {0}};

#define RV_VECTOR_OPERATION(op)                                                                                        \
    static PyObject *rv_vector_##op(PyObject *self, PyObject *other) {                                                 \
        const rv_python_vector *a = (const rv_python_vector *)self, *b = (const rv_python_vector *)other;              \
        if (!PyObject_TypeCheck(other, rv_vector_type) || a->n != b->n) return rv_general(self, #op, other);           \
        return PyFloat_FromDouble((double)rv_##op##_f32(a->view.buf, b->view.buf, a->n));                              \
    }
RV_VECTOR_OPERATION(dot)
RV_VECTOR_OPERATION(cosine)
RV_VECTOR_OPERATION(sqdist)
RV_VECTOR_OPERATION(dist)

static PyMethodDef rv_vector_methods[] = {
    {"dot", rv_vector_dot, METH_O, "Sum of products."},
    {"cosine", rv_vector_cosine, METH_O, "Cosine of the angle between the two, in [-1, 1]; 0.0 for a zero vector."},
    {"squared_distance", rv_vector_sqdist, METH_O, "Sum of squared differences."},
    {"distance", rv_vector_dist, METH_O, "Square root of the sum of squared differences."},
    {0}};

/* Every one-to-many kernel under one signature. */
#define RV_MANY(result, op, kind)                                                                                      \
    static void rv_rows_##op##_##kind(const void *m, const void *x, void *out, size_t rows, size_t cols) {             \
        rv_many_##op##_##kind(m, x, out, rows, cols);                                                                  \
    }
#define RV_KERNEL(result, kernel, parameters, arguments)
#include "rv_kernels.def"

static const struct rv_rows {
    const char *operation, *kind, *format;
    size_t size;
    int is_whole;
    rv_rows_kernel run;
} rv_all_rows[] = {
#define RV_MANY(result, op, kind)                                                                                      \
    {#op, #kind, RV_FORMAT_##kind, sizeof(rv_##kind), _Generic((result)0, int32_t: 1, float: 0), rv_rows_##op##_##kind},
#define RV_KERNEL(result, kernel, parameters, arguments)
#include "rv_kernels.def"
};

static PyObject *rv_matrix_new(PyTypeObject *type, PyObject *arguments, PyObject *names) {
    (void)names;
    PyObject *array;
    const char *kind;
    if (!PyArg_ParseTuple(arguments, "Os", &array, &kind)) return NULL;
    rv_python_matrix *self = (rv_python_matrix *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    for (size_t i = 0; i < sizeof rv_all_rows / sizeof *rv_all_rows; i++) {
        const struct rv_rows *rows = &rv_all_rows[i];
        if (strcmp(rows->kind, kind)) continue;
        if (!self->size && !rv_open(array, &self->view, rows->format, rows->size, 2)) break;
        self->size = rows->size;
        for (size_t at = 0; at < RV_ROW_OPERATIONS; at++)
            if (!strcmp(rv_row_operations[at], rows->operation)) self->operations[at] = rows;
    }
    if (!self->size) {
        Py_DECREF(self);
        PyErr_SetString(PyExc_TypeError, "takes a plain matrix of the kind");
        return NULL;
    }
    self->rows = (size_t)self->view.shape[0];
    self->cols = (size_t)self->view.shape[1];
    return (PyObject *)self;
}

static PyObject *rv_matrix_run(const rv_python_matrix *self, const struct rv_rows *by, const void *x) {
    Py_buffer out;
    PyObject *result = rv_new_array(self->rows, by->is_whole ? rv_numpy.i32 : rv_numpy.f32, &out);
    if (!result) return NULL;
    if ((size_t)self->view.len > RV_BRIEF) {
        PyThreadState *state = PyEval_SaveThread();
        by->run(self->view.buf, x, out.buf, self->rows, self->cols);
        PyEval_RestoreThread(state);
    } else
        by->run(self->view.buf, x, out.buf, self->rows, self->cols);
    PyBuffer_Release(&out);
    return result;
}

/* x as the matrix's operation `by` takes it, NULL if it is not plain. `view` is to be released unless it is still empty. */
static const void *rv_matrix_other(const rv_python_matrix *self, const struct rv_rows *by, PyObject *x, Py_buffer *view) {
    view->obj = NULL;
    if (PyObject_TypeCheck(x, rv_vector_type)) {
        const rv_python_vector *vector = (const rv_python_vector *)x;
        return vector->n == self->cols && !strcmp(by->kind, "f32") ? vector->view.buf : NULL;
    }
    if (!rv_open(x, view, by->format, by->size, 1)) view->obj = NULL;
    return view->obj && (size_t)view->len == self->cols * self->size ? view->buf : NULL;
}

static PyObject *rv_matrix_operation(PyObject *matrix, PyObject *x, size_t at) {
    const rv_python_matrix *self = (const rv_python_matrix *)matrix;
    const struct rv_rows *by = self->operations[at];
    if (!by) return rv_general(matrix, rv_row_operations[at], x);
    Py_buffer view;
    const void *other = rv_matrix_other(self, by, x, &view);
    PyObject *result = other ? rv_matrix_run(self, by, other) : NULL;
    PyBuffer_Release(&view);
    return result ? result : rv_general(matrix, rv_row_operations[at], x);
}

static size_t rv_matrix_topk(const rv_python_matrix *self, const struct rv_rows *by, const void *x, const uint8_t *keep,
                             size_t k, int32_t *rows, float *scores, const volatile int *cancel) {
    char metric[32];
    snprintf(metric, sizeof metric, "%s_%s", by->operation, by->kind);
    const int is_long = (size_t)self->view.len > RV_BRIEF;
    PyThreadState *state = is_long ? PyEval_SaveThread() : NULL;
    const size_t found = rv_topk(metric, self->view.buf, x, self->rows, self->cols, keep, k, rows, scores, cancel);
    if (is_long) PyEval_RestoreThread(state);
    return found;
}

/* _topk(operation, x, k, keep, cancel): the best rows, int64, and their scores, k places each, and how many were found. None
 * if x or keep (packed bits, or None) is not plain; `cancel` is a flag's address. 1 <= k <= rows. */
static PyObject *rv_matrix_ranked(PyObject *matrix, PyObject *const *given, Py_ssize_t count) {
    const rv_python_matrix *self = (const rv_python_matrix *)matrix;
    if (count != 5) return PyErr_Format(PyExc_TypeError, "takes 5 arguments");
    const size_t at = PyLong_AsSize_t(given[0]), k = PyLong_AsSize_t(given[2]);
    const volatile int *cancel = PyLong_AsVoidPtr(given[4]);
    if (PyErr_Occurred()) return NULL;
    const struct rv_rows *by = at < RV_ROW_OPERATIONS ? self->operations[at] : NULL;
    if (!by || !k || k > self->rows) Py_RETURN_NONE;
    Py_buffer view, keep = {0}, rows_out, scores_out;
    const void *x = rv_matrix_other(self, by, given[1], &view);
    int fits = x != NULL;
    if (fits && given[3] != Py_None)
        fits = rv_open(given[3], &keep, RV_FORMAT_b1, 1, 1) && (size_t)keep.len >= (self->rows + 7) / 8;
    int32_t *scratch = fits ? PyMem_Malloc(k * sizeof *scratch) : NULL;
    PyObject *rows = scratch ? rv_new_array(k, rv_numpy.i64, &rows_out) : NULL;
    PyObject *scores = rows ? rv_new_array(k, rv_numpy.f32, &scores_out) : NULL;
    size_t found = 0;
    if (scores) {
        found = rv_matrix_topk(self, by, x, given[3] == Py_None ? NULL : keep.buf, k, scratch, scores_out.buf, cancel);
        for (size_t i = 0; i < found; i++) ((int64_t *)rows_out.buf)[i] = scratch[i];
        PyBuffer_Release(&scores_out);
    }
    if (rows) PyBuffer_Release(&rows_out);
    PyMem_Free(scratch);
    PyBuffer_Release(&keep);
    PyBuffer_Release(&view);
    if (scores) return Py_BuildValue("NNn", rows, scores, (Py_ssize_t)found);
    Py_XDECREF(rows);
    if (PyErr_Occurred()) return NULL;
    if (fits && !scratch) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* operation(x), or operation(x, cancel=...), which Python takes over. */
static PyObject *rv_matrix_call(PyObject *matrix, PyObject *const *given, Py_ssize_t count, PyObject *names, size_t at) {
    if (count == 1 && !names) return rv_matrix_operation(matrix, given[0], at);
    const Py_ssize_t all = count + (names ? PyTuple_GET_SIZE(names) : 0);
    if (all > 2) return PyErr_Format(PyExc_TypeError, "takes a vector and a flag");
    PyObject *arguments[4] = {matrix, PyUnicode_FromString(rv_row_operations[at])};
    PyObject *method = PyUnicode_FromString("_general");
    for (Py_ssize_t i = 0; i < all; i++) arguments[2 + i] = given[i];
    PyObject *result = method && arguments[1] ? PyObject_VectorcallMethod(method, arguments, 2 + (size_t)count, names) : NULL;
    Py_XDECREF(arguments[1]);
    Py_XDECREF(method);
    return result;
}

#define RV_MATRIX_OPERATION(op, at)                                                                                    \
    static PyObject *rv_matrix_##op(PyObject *self, PyObject *const *given, Py_ssize_t count, PyObject *names) {       \
        return rv_matrix_call(self, given, count, names, at);                                                          \
    }
RV_MATRIX_OPERATION(dot, 0)
RV_MATRIX_OPERATION(cosine, 1)
RV_MATRIX_OPERATION(sqdist, 2)
RV_MATRIX_OPERATION(hamming, 3)
RV_MATRIX_OPERATION(jaccard, 4)

#define METHOD(name, function, flags, text) {name, (PyCFunction)(void (*)(void))function, flags, text}
static PyMethodDef rv_matrix_methods[] = {
    METHOD("dot", rv_matrix_dot, METH_FASTCALL | METH_KEYWORDS, "Each row's sum of products with x."),
    METHOD("cosine", rv_matrix_cosine, METH_FASTCALL | METH_KEYWORDS, "Each row's cosine with x, in [-1, 1]; 0 for a zero vector."),
    METHOD("squared_distance", rv_matrix_sqdist, METH_FASTCALL | METH_KEYWORDS, "Each row's sum of squared differences from x."),
    METHOD("hamming", rv_matrix_hamming, METH_FASTCALL | METH_KEYWORDS, "In how many bits each row differs from x."),
    METHOD("jaccard", rv_matrix_jaccard, METH_FASTCALL | METH_KEYWORDS, "Each row's bits in both over bits in either; 1 where neither has any."),
    METHOD("_topk", rv_matrix_ranked, METH_FASTCALL, NULL),
    {0}};
#undef METHOD

/* The type "Vector" or "Matrix", a new reference as a number. */
static uintptr_t rv_python_type(const char *name) {
    static PyType_Slot vector_slots[] = {{Py_tp_new, (void *)rv_vector_new},
                                         {Py_tp_dealloc, (void *)rv_handle_free},
                                         {Py_tp_getset, rv_handle_fields},
                                         {Py_tp_methods, rv_vector_methods},
                                         {0, NULL}};
    static PyType_Slot matrix_slots[] = {{Py_tp_new, (void *)rv_matrix_new},
                                         {Py_tp_dealloc, (void *)rv_handle_free},
                                         {Py_tp_getset, rv_handle_fields},
                                         {Py_tp_methods, rv_matrix_methods},
                                         {0, NULL}};
    static PyType_Spec vector = {"ruvllm_mcp.native.Vector", sizeof(rv_python_vector), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, vector_slots};
    static PyType_Spec matrix = {"ruvllm_mcp.native.Matrix", sizeof(rv_python_matrix), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, matrix_slots};
    if (!rv_find_numpy()) return 0;
    if (!rv_vector_type) rv_vector_type = (PyTypeObject *)PyType_FromSpec(&vector);
    if (!rv_matrix_type) rv_matrix_type = (PyTypeObject *)PyType_FromSpec(&matrix);
    return (uintptr_t)(strcmp(name, "Matrix") ? rv_vector_type : rv_matrix_type);
}
