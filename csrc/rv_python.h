/* Kernels as Python functions of arrays, for the module that keeps the GIL. Included by that module's own C file only,
 * after Python.h.
 *
 * CFFI takes pointers, and making one from an array (`ffi.from_buffer`) costs as much as a whole call, twice. These read
 * arrays through the buffer protocol instead, about 50 ns an array. They answer None unless every array is
 * one-dimensional, contiguous, aligned, of the kernel's kind and of one length of at least 1; the caller then takes the way
 * that converts or explains. */
#include "rv.h"

#include <math.h>
#include <string.h>

#define RV_FORMAT_f32 "f"
#define RV_FORMAT_f16 "e"
#define RV_FORMAT_bf16 "H"
#define RV_FORMAT_i8 "b"
#define RV_FORMAT_b1 "B"

/* numpy.empty and the types of numbers that kernels give, as arguments for it. Set before any function is handed out. */
static struct {
    PyObject *empty, *f32, *i32, *i64;
} rv_numpy;

static int rv_find_numpy(void) {
    if (rv_numpy.empty) return 1;
    PyObject *module = PyImport_ImportModule("numpy");
    if (!module) return 0;
    rv_numpy.f32 = PyObject_CallMethod(module, "dtype", "s", "f4");
    rv_numpy.i32 = PyObject_CallMethod(module, "dtype", "s", "i4");
    rv_numpy.i64 = PyObject_CallMethod(module, "dtype", "s", "i8");
    rv_numpy.empty = PyObject_GetAttrString(module, "empty");
    Py_DECREF(module);
    return rv_numpy.f32 && rv_numpy.i32 && rv_numpy.i64 && rv_numpy.empty;
}

static int rv_is_plain(const Py_buffer *view, const char *format, size_t size, int ndim) {
    return view->ndim == ndim && view->len > 0 && !strcmp(view->format, format) && (uintptr_t)view->buf % size == 0;
}

/* The array's memory, to be released; 0 and nothing to release unless it is plain. */
static int rv_open(PyObject *array, Py_buffer *view, const char *format, size_t size, int ndim) {
    if (PyObject_GetBuffer(array, view, PyBUF_ND | PyBUF_FORMAT)) {
        PyErr_Clear();
        return 0;
    }
    if (rv_is_plain(view, format, size, ndim)) return 1;
    PyBuffer_Release(view);
    return 0;
}

/* The same of a float32 vector of n numbers, any number of them if n is 0. */
static int rv_open_floats(PyObject *array, Py_buffer *view, size_t n) {
    if (!rv_open(array, view, RV_FORMAT_f32, sizeof(float), 1)) return 0;
    if (!n || (size_t)view->len == n * sizeof(float)) return 1;
    PyBuffer_Release(view);
    return 0;
}

/* A new array of n numbers and its memory, to be released; NULL with an error set if there is none to be had. */
static PyObject *rv_new_array(size_t n, PyObject *type, Py_buffer *view) {
    PyObject *arguments[] = {PyLong_FromSize_t(n), type};
    if (!arguments[0]) return NULL;
    PyObject *array = PyObject_Vectorcall(rv_numpy.empty, arguments, 2, NULL);
    Py_DECREF(arguments[0]);
    if (array && PyObject_GetBuffer(array, view, PyBUF_ND | PyBUF_WRITABLE)) Py_CLEAR(array);
    return array;
}

#define RV_TO_PYTHON(number) _Generic((number), float: PyFloat_FromDouble, int32_t: PyLong_FromLong)(number)

#define RV_PAIR(result, op, kind)                                                                                      \
    static PyObject *rv_python_##op##_##kind(PyObject *self, PyObject *const *arrays, Py_ssize_t count) {              \
        (void)self;                                                                                                    \
        Py_buffer a, b;                                                                                                \
        PyObject *answer = NULL;                                                                                       \
        if (count != 2 || !rv_open(arrays[0], &a, RV_FORMAT_##kind, sizeof(rv_##kind), 1)) Py_RETURN_NONE;             \
        if (rv_open(arrays[1], &b, RV_FORMAT_##kind, sizeof(rv_##kind), 1)) {                                          \
            if (a.len == b.len)                                                                                        \
                answer = RV_TO_PYTHON(rv_##op##_##kind(a.buf, b.buf, (size_t)a.len / sizeof(rv_##kind)));              \
            PyBuffer_Release(&b);                                                                                      \
        }                                                                                                              \
        PyBuffer_Release(&a);                                                                                          \
        if (answer || PyErr_Occurred()) return answer;                                                                 \
        Py_RETURN_NONE;                                                                                                \
    }
#define RV_KERNEL(result, kernel, parameters, arguments)
#include "rv_kernels.def"

#include "rv_python_maps.h"

/* The Python function of a kernel, a new reference as a number (CFFI knows no PyObject), or 0. */
static uintptr_t rv_python_function(const char *kernel) {
#define METHOD(kernel) {#kernel, (PyCFunction)(void (*)(void))rv_python_##kernel, METH_FASTCALL, NULL},
    static PyMethodDef methods[] = {
#define RV_PAIR(result, op, kind) METHOD(op##_##kind)
#define RV_MAP(op) METHOD(op##_f32)
#define RV_ZIP(op) METHOD(op##_f32)
#define RV_KERNEL(result, kernel, parameters, arguments)
#include "rv_kernels.def"
        METHOD(scale_f32) METHOD(axpy_f32) METHOD(softmax_f32) METHOD(log_softmax_f32) METHOD(layer_norm_f32)
            METHOD(rms_norm_f32){NULL, NULL, 0, NULL}};
#undef METHOD
    if (!rv_find_numpy()) return 0;
    for (PyMethodDef *method = methods; method->ml_name; method++)
        if (!strcmp(method->ml_name, kernel)) return (uintptr_t)PyCFunction_New(method, NULL);
    return 0;
}

#include "rv_python_handles.h"
