/* Between Python's objects and C's values, for the ways in. */
#ifndef ODYSSEY_JIT_WRAP_H
#define ODYSSEY_JIT_WRAP_H

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#include <Python.h>
#include <numpy/arrayobject.h>
#include <numpy/arrayscalars.h>

#include "runtime.h"

/* The numbers of two C types may stand for one dtype: long and long long. */
ODY_INLINE int ody_is_array(PyObject *o, int one, int other, int ndim, int contiguous) {
    PyArrayObject *a = (PyArrayObject *)o;
    int flags = NPY_ARRAY_ALIGNED | (contiguous ? NPY_ARRAY_C_CONTIGUOUS : 0);
    return PyArray_Check(o) && (PyArray_TYPE(a) == one || PyArray_TYPE(a) == other) && PyArray_NDIM(a) == ndim
        && (PyArray_FLAGS(a) & flags) == flags && PyArray_ISNBO(PyArray_DESCR(a)->byteorder);
}
ODY_INLINE char *ody_data(PyObject *o) { return PyArray_BYTES((PyArrayObject *)o); }
ODY_INLINE int64_t ody_length(PyObject *o, int axis) { return PyArray_DIM((PyArrayObject *)o, axis); }
ODY_INLINE int64_t ody_stride(PyObject *o, int axis) { return PyArray_STRIDE((PyArrayObject *)o, axis); }
ODY_INLINE int ody_is_writable(PyObject *o) { return PyArray_ISWRITEABLE((PyArrayObject *)o); }

/* 1 for an int, 0 for something else, -1 with an exception for one of more than 64 bits. */
ODY_INLINE int ody_take_int(PyObject *o, int64_t *value) {
    int over;
    if (!PyLong_CheckExact(o)) return 0;
    *value = PyLong_AsLongLongAndOverflow(o, &over);
    if (!over) return 1;
    PyErr_SetString(PyExc_OverflowError, "a Python integer that does not fit into the 64 bits of a compiled function's");
    return -1;
}
ODY_INLINE int ody_take_float(PyObject *o, double *value) {
    if (!PyFloat_CheckExact(o)) return 0;
    *value = PyFloat_AS_DOUBLE(o);
    return 1;
}
ODY_INLINE int ody_take_bool(PyObject *o, int *value) {
    *value = o == Py_True;
    return *value || o == Py_False;
}

#define ODY_SCALAR(name, type, code, other)                                                                    \
    ODY_INLINE int ody_take_##name(PyObject *o, type *value) {                                                 \
        if (PyArray_IsScalar(o, code)) *value = (type)PyArrayScalar_VAL(o, code);                              \
        else if (PyArray_IsScalar(o, other)) *value = (type)PyArrayScalar_VAL(o, other);                       \
        else return 0;                                                                                         \
        return 1;                                                                                              \
    }                                                                                                          \
    ODY_INLINE PyObject *ody_give_##name(type value) {                                                         \
        PyObject *o = PyArrayScalar_New(code);                                                                 \
        if (o) PyArrayScalar_ASSIGN(o, code, value);                                                           \
        return o;                                                                                              \
    }
ODY_SCALAR(int8, int8_t, Byte, Byte)
ODY_SCALAR(int16, int16_t, Short, Short)
ODY_SCALAR(int32, int32_t, Int, Int)
ODY_SCALAR(uint8, uint8_t, UByte, UByte)
ODY_SCALAR(uint16, uint16_t, UShort, UShort)
ODY_SCALAR(uint32, uint32_t, UInt, UInt)
ODY_SCALAR(float32, float, Float, Float)
ODY_SCALAR(float64, double, Double, Double)
#if NPY_SIZEOF_LONG == 8
ODY_SCALAR(int64, int64_t, Long, LongLong)
ODY_SCALAR(uint64, uint64_t, ULong, ULongLong)
#else
ODY_SCALAR(int64, int64_t, LongLong, LongLong)
ODY_SCALAR(uint64, uint64_t, ULongLong, ULongLong)
#endif
ODY_INLINE int ody_take_bool_(PyObject *o, int *value) {
    if (!PyArray_IsScalar(o, Bool)) return 0;
    *value = PyArrayScalar_VAL(o, Bool);
    return 1;
}
ODY_INLINE PyObject *ody_give_bool(int value) {
    PyObject *o = value ? PyArrayScalar_True : PyArrayScalar_False;
    Py_INCREF(o);
    return o;
}

/* ---- arrays that a function returns ---- */

static void ody_release(PyObject *capsule) {
    ody_block *block = (ody_block *)PyCapsule_GetPointer(capsule, "odyssey.jit");
    if (block && --block->holders == 0) {
        free(block->data);
        free(block);
    }
}

/* One that was made inside belongs to the array from now on; others are an argument, or a view of one. */
static __attribute__((unused)) PyObject *ody_give_array(
    char *data, ody_block *block, int ndim, const int64_t *lengths, const int64_t *strides, int type, PyObject *given
) {
    npy_intp dims[32], steps[32];
    PyObject *base, *array;
    int writable = NPY_ARRAY_WRITEABLE;
    for (int i = 0; i < ndim; i++) {
        dims[i] = (npy_intp)lengths[i];
        steps[i] = (npy_intp)strides[i];
    }
    if (!block) {
        for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(given); k++) {
            PyArrayObject *one = (PyArrayObject *)PyTuple_GET_ITEM(given, k);
            if (!PyArray_ISWRITEABLE(one)) writable = 0;
            if (PyArray_BYTES(one) != data || PyArray_NDIM(one) != ndim || PyArray_DESCR(one)->type_num != type) continue;
            if (ndim && memcmp(PyArray_DIMS(one), dims, sizeof(npy_intp) * (size_t)ndim)) continue;
            if (ndim && memcmp(PyArray_STRIDES(one), steps, sizeof(npy_intp) * (size_t)ndim)) continue;
            Py_INCREF(one);
            return (PyObject *)one;
        }
        base = given;
        Py_INCREF(base);
    } else {
        if (block->slot) { /* nobody's but ours: no longer in the call's list */
            *block->slot = block->next;
            if (block->next) block->next->slot = block->slot;
            block->slot = NULL;
            block->next = NULL;
        }
        base = PyCapsule_New(block, "odyssey.jit", ody_release);
        if (!base) return NULL;
    }
    array = PyArray_New(&PyArray_Type, ndim, dims, type, steps, data, 0, writable | NPY_ARRAY_ALIGNED, NULL);
    if (!array) {
        Py_DECREF(base);
        return NULL;
    }
    PyArray_UpdateFlags((PyArrayObject *)array, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_F_CONTIGUOUS);
    if (PyArray_SetBaseObject((PyArrayObject *)array, base) < 0) {
        Py_DECREF(array);
        return NULL;
    }
    return array;
}
#endif
