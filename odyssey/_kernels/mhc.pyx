"""Hyper-connections through the C ABI (odyssey/odyssey.h): a handle with its own parameters and memory, for inference."""
cimport cython
from cpython.object cimport PyObject
from libc.stddef cimport size_t
from libc.string cimport memcpy
from numpy cimport (NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_WRITEABLE, NPY_FLOAT, PyArray_CHKFLAGS, PyArray_DATA, PyArray_DIMS,
                    PyArray_NBYTES, PyArray_NDIM, PyArray_SIZE, ndarray, npy_intp)
cimport numpy as cnp

from odyssey._kernels.array cimport (as_array, check_overlap, checked_out, contiguous, describe, new_like, real_type,
                                     same_type)
from odyssey._kernels.dispatch cimport K, mhc_create, mhc_destroy, mhc_forward, mhc_get_metrics, status_text
from odyssey._kernels.odyssey cimport (ODY_INVALID_DIMENSION, ODY_OK, ODY_OUT_OF_MEMORY, ody_mhc, ody_mhc_config,
                                       ody_mhc_metrics, ody_status)

import threading

import numpy as np

from odyssey.errors import KernelError, ShapeError

cnp.import_array()


cdef object failure(ody_status status, str what):
    """The exception that stands for a status."""
    message = f"MHC: {what}: {status_text(status).decode()}"
    if status == ODY_OUT_OF_MEMORY:
        return MemoryError(message)
    if status == ODY_INVALID_DIMENSION:
        return ShapeError(message)
    return KernelError(message, <int> status)


@cython.final
cdef class Call:
    """A Python layer on its way through C: the function, the shape of its arrays, and what it raised."""
    cdef object layer, error
    cdef tuple lead
    cdef size_t hidden


cdef int call_layer(void *context, const float *collapsed, float *f, size_t tokens) noexcept nogil:
    with gil:
        return call_python(<Call> <PyObject *> context, collapsed, f, tokens)


cdef int call_python(Call call, const float *collapsed, float *f, size_t tokens) noexcept:
    cdef npy_intp dims[2]
    cdef ndarray seen, made
    dims[0] = <npy_intp> tokens
    dims[1] = <npy_intp> call.hidden
    try:
        seen = cnp.PyArray_SimpleNewFromData(2, dims, NPY_FLOAT, <void *> collapsed)
        result = call.layer(seen.reshape(call.lead + (call.hidden,)).copy())
        made = np.ascontiguousarray(getattr(result, "data", result) if hasattr(result, "requires_grad") else result)
        if (<object> made).dtype != np.float32 or (<object> made).shape != call.lead + (call.hidden,):
            raise ShapeError(f"MHC: the layer must return {call.lead + (call.hidden,)} float32\n  it returned: {describe(made)}")
        memcpy(f, PyArray_DATA(made), <size_t> PyArray_NBYTES(made))
        return 0
    except BaseException as error:
        call.error = error
        return 1


@cython.final
cdef class MHC:
    """A hyper-connection around a layer, for inference: parameters and scratch memory belong to it, and after the first call of
    a size nothing is allocated but the result.

    Args:
        fn: ((2 + streams) streams, streams · hidden) float32. base: ((2 + streams) streams,). scale: (3,). Copied.
        streams: 1 to 8.
        iterations, eps, norm_eps, variant: as of `hyper_pre`.

    Raises:
        ShapeError, DTypeError: for arrays that do not fit.
        MemoryError, KernelError: as the C ABI's status says; a KernelError has it as `.status`.

    Calls of one handle from several threads wait for each other: give each thread its own.

    >>> mhc = od.MHC(np.zeros((8, 6), np.float32), np.zeros(8, np.float32), np.ones(3, np.float32), streams=2)
    >>> mhc.forward(np.ones((1, 2, 3), np.float32)).round(3)
    array([[[2., 2., 2.],
            [2., 2., 2.]]], dtype=float32)
    >>> mhc.metrics()["iterations"]
    20
    """
    cdef ody_mhc *handle
    cdef size_t streams, hidden
    cdef object lock

    def __cinit__(
        self,
        fn: ArrayLike,
        base: ArrayLike,
        scale: ArrayLike,
        streams: int = 4,
        iterations: int = 20,
        eps: float = 1e-6,
        norm_eps: float = 1e-6,
        variant: str = "default",
    ):
        cdef ody_mhc_config config
        cdef ody_status status
        cdef ndarray f = contiguous(as_array(fn, "MHC")), b = contiguous(as_array(base, "MHC"))
        cdef ndarray s = contiguous(as_array(scale, "MHC"))
        for name, one in (("fn", f), ("base", b), ("scale", s)):
            same_type(one, NPY_FLOAT, "MHC", name)
        if variant not in ("default", "paper"):
            raise ValueError(f"MHC: variant must be one of default, paper, found {variant!r}")
        if streams < 1 or iterations < 1:
            raise ShapeError(f"MHC: streams and iterations must be at least 1, found {streams} and {iterations}")
        outputs = (2 + streams) * streams
        if (PyArray_NDIM(f) != 2 or PyArray_DIMS(f)[0] != outputs or PyArray_DIMS(f)[1] % streams
                or (<object> b).shape != (outputs,) or (<object> s).shape != (3,)):
            raise ShapeError(f"MHC: {streams} streams need fn ({outputs}, {streams} hidden), base ({outputs},) and scale (3,)\n"
                             f"  fn: {describe(f)}    base: {describe(b)}    scale: {describe(s)}")
        self.lock = threading.Lock()
        self.streams = config.streams = streams
        self.hidden = config.hidden = <size_t> (PyArray_DIMS(f)[1] // <npy_intp> self.streams)
        config.iterations = iterations
        config.eps = eps
        config.norm_eps = norm_eps
        config.paper = variant == "paper"
        config.fn = <const float *> PyArray_DATA(f)
        config.base = <const float *> PyArray_DATA(b)
        config.scale = <const float *> PyArray_DATA(s)
        config.isa = K.name
        status = mhc_create(&config, &self.handle)
        if status != ODY_OK:
            raise failure(status, "not made")

    def __dealloc__(self):
        mhc_destroy(self.handle)

    def forward(self, x: ArrayLike, layer: Callable[[Array], Array] | None = None, out: Array | None = None) -> Array:
        """The streams after the layer.

        Args:
            x: (..., streams, hidden) float32.
            layer: takes collapsed (..., hidden) and returns an array of its shape. None: the identity.
            out: where to write, of x's shape; may be x.

        Raises:
            KernelError: with status 4 where a weight is not finite, as of NaN in x.
            What the layer raises.
        """
        cdef ndarray given = as_array(x, "MHC"), a, result, target
        cdef int ndim = PyArray_NDIM(given)
        cdef size_t tokens
        cdef ody_status status
        cdef const float *read
        cdef float *written
        cdef Call call
        same_type(given, NPY_FLOAT, "MHC", "x")
        if ndim < 2 or PyArray_DIMS(given)[ndim - 2] != <npy_intp> self.streams or PyArray_DIMS(given)[ndim - 1] != <npy_intp> self.hidden:
            raise ShapeError(f"MHC: x must be (..., {self.streams}, {self.hidden})\n  x: {describe(given)}")
        a = contiguous(given)
        if out is None:
            result = target = new_like(a, NPY_FLOAT)
        else:
            result = checked_out(out, ndim, PyArray_DIMS(given), NPY_FLOAT, "MHC")
            check_overlap(result, given, "MHC", "x")
            target = result if contiguous(result) is result else new_like(a, NPY_FLOAT)
        tokens = <size_t> PyArray_SIZE(a) // (self.streams * self.hidden)
        read = <const float *> PyArray_DATA(a)
        written = <float *> PyArray_DATA(target)
        with self.lock:
            if layer is None:
                with nogil:
                    status = mhc_forward(self.handle, read, tokens, NULL, NULL, written)
            else:
                call = Call()
                call.layer = layer
                call.lead = (<object> a).shape[:ndim - 2]
                call.hidden = self.hidden
                with nogil:
                    status = mhc_forward(self.handle, read, tokens, call_layer, <void *> <PyObject *> call, written)
                if call.error is not None:
                    raise call.error
        if status != ODY_OK:
            raise failure(status, "forward")
        if target is not result:
            cnp.PyArray_CopyInto(result, target)
        return result if out is None else out

    def metrics(self) -> dict[str, float]:
        """calls, tokens, allocations, memory (bytes held), and of the last call bytes moved, seconds, and the largest
        distances of its matrices' row and column sums from 1; iterations."""
        cdef ody_mhc_metrics m
        with self.lock:
            mhc_get_metrics(self.handle, &m)
        return {
            "calls": m.calls, "tokens": m.tokens, "allocations": m.allocations, "memory": m.memory, "bytes": m.bytes_,
            "seconds": m.seconds, "row_residual": m.row_residual, "column_residual": m.column_residual,
            "iterations": m.iterations,
        }
