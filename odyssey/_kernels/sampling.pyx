"""Drawing tokens from logits: from all of them, from the k largest, from the heaviest that make up a share p."""
from libc.float cimport DBL_MAX, FLT_MAX
from libc.stddef cimport ptrdiff_t, size_t
from libc.stdint cimport int64_t
from numpy cimport NPY_DOUBLE, NPY_FLOAT, NPY_INT64, PyArray_DATA, PyArray_DIMS, PyArray_ITEMSIZE, PyArray_NDIM, ndarray, npy_intp
cimport numpy as cnp

from odyssey._kernels.array cimport as_array, describe, new_array, no_memory, real_type, row_contiguous
from odyssey._kernels.dispatch cimport K, alloc, free, parallel
from odyssey._kernels.kernels cimport (ODY_SAMPLE_BYTES, ODY_SAMPLE_NAN, ODY_SAMPLE_NONE, ody_sample, ody_sample_fn)

import numpy as np

from odyssey.errors import ShapeError

cnp.import_array()


cdef struct Job:
    ody_sample_fn f
    ody_sample first
    const double *uniform
    ptrdiff_t row_step
    int failed


cdef void task(void *context, size_t row) noexcept nogil:
    """One row: threads share the rows."""
    cdef Job *job = <Job *> context
    cdef ody_sample s = job.first
    s.logits = <const char *> s.logits + <ptrdiff_t> row * job.row_step
    s.uniform = job.uniform[row]
    s.out = s.out + row
    s.workspace = alloc(ODY_SAMPLE_BYTES(s.n))
    if s.workspace == NULL:
        job.failed = 1
        return
    job.f(&s)
    free(s.workspace)


cdef object drawn(const char *op, ody_sample_fn f32, ody_sample_fn f64, object logits, object k, object p,
                  object temperature, object generator):
    cdef Job job
    cdef ndarray x = as_array(logits, op), uniform, out
    cdef int type_num = real_type(x, op, "logits"), ndim = PyArray_NDIM(x)
    cdef npy_intp rows, row
    cdef double heat = temperature
    cdef int64_t *found
    if not 1 <= ndim <= 2:
        raise ShapeError(f"{op.decode()}: logits must be (V,) or (batch, V)\n  logits: {describe(x)}")
    if PyArray_DIMS(x)[ndim - 1] == 0:
        raise ValueError(f"{op.decode()}: there is no token to draw\n  logits: {describe(x)}")
    if not heat >= 0 or heat == float("inf"):
        raise ValueError(f"{op.decode()}: temperature must be 0 or more, and finite; found {temperature!r}")
    rows = PyArray_DIMS(x)[0] if ndim == 2 else 1
    x = row_contiguous(x, &job.row_step)
    if ndim == 1:
        job.row_step = 0
    uniform = (np.random.default_rng() if generator is None else generator).random(rows)
    job.f = f32 if type_num == NPY_FLOAT else f64
    job.first.logits = PyArray_DATA(x)
    job.first.n = <size_t> PyArray_DIMS(x)[ndim - 1]
    job.first.k = 0
    job.first.p = 1
    if k is not None:
        if k < 1:
            raise ValueError(f"{op.decode()}: k must be 1 or more; found {k!r}")
        job.first.k = <size_t> min(int(k), PyArray_DIMS(x)[ndim - 1])
    if p is not None:
        if not 0 < p <= 1:
            raise ValueError(f"{op.decode()}: p must be more than 0 and at most 1; found {p!r}")
        job.first.p = p
    # At temperature 0, and where 1 / temperature is infinite, all weight is on the largest logit: a kept set of one.
    if heat == 0 or 1 / heat > (FLT_MAX if type_num == NPY_FLOAT else DBL_MAX):
        heat = 0
    job.first.inverse = 1 if heat == 0 else 1 / heat
    if heat == 0:
        job.first.k = 1
        job.f = K.topk_sample_f32 if type_num == NPY_FLOAT else K.topk_sample_f64
    job.uniform = <const double *> PyArray_DATA(uniform)
    job.failed = 0
    out = new_array(1, &rows, NPY_INT64)
    found = <int64_t *> PyArray_DATA(out)
    job.first.out = found
    with nogil:
        parallel(task, &job, <size_t> rows)
    if job.failed:
        no_memory(op)
    for row in range(rows):
        if found[row] < 0:
            where = f" in row {row}" if ndim == 2 else ""
            if found[row] == ODY_SAMPLE_NAN:
                raise ValueError(f"{op.decode()}: logits must be finite or -inf; found NaN or +inf{where}\n"
                                 f"  logits: {describe(x)}")
            raise ValueError(f"{op.decode()}: all logits are -inf{where}, so there is no token to draw\n"
                             f"  logits: {describe(x)}")
    return out if ndim == 2 else out[0]


def sample(logits: ArrayLike, temperature: float = 1.0, generator: np.random.Generator | None = None) -> Array:
    """A token for each row, drawn with probability softmax(logits / temperature).

    Args:
        logits: (V,) or (batch, V), float32 or float64; -inf for what must not be drawn.
        temperature: above 1 evens the odds, below 1 sharpens them; at 0 the first largest logit is taken.
        generator: gives one number in [0, 1) for each row, in the order of the rows; by default a new one.

    Returns:
        int64, (batch,), or a scalar: the first index up to which the weights e^((logit - largest) / temperature) sum to
        more than the number times their total.

    The same numbers draw the same tokens on every instruction set and for any thread count. `reference.sample` draws
    them too, unless a number falls within a few ulp of where two tokens meet.

    Raises:
        ValueError: for NaN or +inf among the logits, or nothing but -inf; for a temperature below 0.
        DTypeError, ShapeError: for logits of another type or rank.

    >>> od.sample(np.float32([0, 0, 9]), generator=np.random.default_rng(0))
    np.int64(2)
    """
    return drawn("sample", K.sample_f32, K.sample_f64, logits, None, None, temperature, generator)


def topk_sample(
    logits: ArrayLike, k: int, temperature: float = 1.0, generator: np.random.Generator | None = None
) -> Array:
    """A token for each row, drawn from the k with the largest logits; of equal ones those of the lowest indices.

    Args:
        logits, temperature, generator: as for `sample`.
        k: how many tokens are kept; all of them from V on.

    Returns:
        int64, (batch,), or a scalar.

    Raises:
        ValueError: as `sample`, and for k below 1. DTypeError, ShapeError: for logits of another type or rank.

    >>> od.topk_sample(np.float32([1, 3, 2]), 1)
    np.int64(1)

    Fan, Lewis and Dauphin 2018, "Hierarchical Neural Story Generation".
    """
    return drawn("topk_sample", K.topk_sample_f32, K.topk_sample_f64, logits, k, None, temperature, generator)


def topp_sample(
    logits: ArrayLike, p: float, temperature: float = 1.0, generator: np.random.Generator | None = None
) -> Array:
    """A token for each row, drawn from the nucleus: the fewest of the likeliest tokens that together have probability p.

    Args:
        logits, temperature, generator: as for `sample`. The temperature acts before the nucleus is cut.
        p: in (0, 1]; 1 keeps all tokens. Of those whose weights are equal in the logits' type the first are kept.

    Returns:
        int64, (batch,), or a scalar.

    Raises:
        ValueError: as `sample`, and for p outside of (0, 1]. DTypeError, ShapeError: for logits of another type or rank.

    >>> od.topp_sample(np.float32([1, 5, 2]), 0.9)
    np.int64(1)

    Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration".
    """
    return drawn("topp_sample", K.topp_sample_f32, K.topp_sample_f64, logits, None, p, temperature, generator)
