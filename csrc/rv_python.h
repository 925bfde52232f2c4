/* The pair kernels as Python functions of two buffers, for the module that keeps the GIL.
 *
 * CFFI takes pointers, and making one from an array (`ffi.from_buffer`) costs as much as a whole call, twice. These read
 * both arrays through the buffer protocol instead, about 100 ns a call all told. They answer None unless both are
 * one-dimensional, contiguous, aligned, of the kernel's kind and of one length of at least 1; the caller then takes the way
 * that converts or explains. Included by the module's own C file only, after Python.h. */
#include "rv.h"

#include <string.h>

#define RV_FORMAT_f32 "f"
#define RV_FORMAT_f16 "e"
#define RV_FORMAT_bf16 "H"
#define RV_FORMAT_i8 "b"
#define RV_FORMAT_b1 "B"

static int rv_is_plain(const Py_buffer *view, const char *format, size_t size) {
    return view->ndim == 1 && view->len > 0 && !strcmp(view->format, format) && (uintptr_t)view->buf % size == 0;
}

#define RV_TO_PYTHON(number) _Generic((number), float: PyFloat_FromDouble, int32_t: PyLong_FromLong)(number)

#define RV_PAIR(result, op, kind)                                                                                      \
    static PyObject *rv_python_##op##_##kind(PyObject *self, PyObject *const *arrays, Py_ssize_t count) {              \
        (void)self;                                                                                                    \
        Py_buffer a, b;                                                                                                \
        PyObject *answer = NULL;                                                                                       \
        if (count != 2 || PyObject_GetBuffer(arrays[0], &a, PyBUF_ND | PyBUF_FORMAT)) {                                \
            PyErr_Clear();                                                                                             \
            Py_RETURN_NONE;                                                                                            \
        }                                                                                                              \
        if (!PyObject_GetBuffer(arrays[1], &b, PyBUF_ND | PyBUF_FORMAT)) {                                             \
            if (a.len == b.len && rv_is_plain(&a, RV_FORMAT_##kind, sizeof(rv_##kind)) &&                              \
                rv_is_plain(&b, RV_FORMAT_##kind, sizeof(rv_##kind)))                                                  \
                answer = RV_TO_PYTHON(rv_##op##_##kind(a.buf, b.buf, (size_t)a.len / sizeof(rv_##kind)));              \
            PyBuffer_Release(&b);                                                                                      \
        } else                                                                                                         \
            PyErr_Clear();                                                                                             \
        PyBuffer_Release(&a);                                                                                          \
        if (answer || PyErr_Occurred()) return answer;                                                                 \
        Py_RETURN_NONE;                                                                                                \
    }
#define RV_KERNEL(result, kernel, parameters, arguments)
#include "rv_kernels.def"

/* The Python function of that pair kernel, a new reference as a number (CFFI knows no PyObject), or 0. */
static uintptr_t rv_python_pair(const char *kernel) {
    static PyMethodDef methods[] = {
#define RV_PAIR(result, op, kind)                                                                                      \
    {#op "_" #kind, (PyCFunction)(void (*)(void))rv_python_##op##_##kind, METH_FASTCALL, NULL},
#define RV_KERNEL(result, kernel, parameters, arguments)
#include "rv_kernels.def"
        {NULL, NULL, 0, NULL}};
    for (PyMethodDef *method = methods; method->ml_name; method++)
        if (!strcmp(method->ml_name, kernel)) return (uintptr_t)PyCFunction_New(method, NULL);
    return 0;
}
