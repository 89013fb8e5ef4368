"""The machine's limits: each function keeps the processor, or the memory, as busy as it can be and returns the work done.

The caller holds the clock. `tasks` equal shares of the work run on the thread pool, so with `odyssey.threads.limit(t)` and
t tasks each thread has one.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uintptr_t

from odyssey._kernels.dispatch cimport K, parallel
from odyssey._kernels.kernels cimport ODY_PARTS, ODY_STREAM, ody_probe, ody_probe_fn

cdef enum:
    MAX_TASKS = 256
    SHARE = 128  # elements: the least a probe takes at a time


cdef struct Job:
    ody_probe_fn f
    ody_probe piece[MAX_TASKS]
    double sink[MAX_TASKS][8]  # a vector for each task, 64 bytes apart
    double work[MAX_TASKS]


cdef void task(void *context, size_t i) noexcept nogil:
    cdef Job *job = <Job *> context
    job.work[i] = job.f(&job.piece[i])


cdef double run(Job *job, size_t tasks) noexcept:
    cdef double work = 0
    cdef size_t i
    with nogil:
        parallel(task, job, tasks)
        for i in range(tasks):
            work += job.work[i]
    return work


cdef int check_tasks(size_t tasks) except -1:
    if not 1 <= tasks <= MAX_TASKS:
        raise ValueError(f"probe: tasks must be 1 to {MAX_TASKS}; found {tasks}")
    return 0


def fma(str dtype, size_t rounds, size_t tasks=1):
    """Fused multiply-adds in registers, in "float32" or "float64", on the active instruction set.

    Returns:
        The floating-point operations done, two for each fma.
    """
    cdef Job job
    cdef size_t i
    check_tasks(tasks)
    if dtype not in ("float32", "float64"):
        raise ValueError(f"probe: dtype must be 'float32' or 'float64'; found {dtype!r}")
    job.f = K.fma_probe_f32 if dtype == "float32" else K.fma_probe_f64
    for i in range(tasks):
        job.piece[i].rounds = rounds
        job.piece[i].out = job.sink[i]
    return run(&job, tasks)


cdef double move(ody_probe_fn f, const float[::1] a, const float[::1] b, float[::1] out, size_t rounds, size_t tasks,
                 bint stream, bint parts) except? -1:
    cdef Job job
    cdef size_t i, n = 0, share
    check_tasks(tasks)
    if a is not None:
        n = <size_t> a.shape[0]
    else:
        n = <size_t> out.shape[0]
    if (b is not None and <size_t> b.shape[0] != n) or (out is not None and <size_t> out.shape[0] != n):
        raise ValueError("probe: arrays must be equally long")
    if n == 0 or n % (SHARE * tasks):
        raise ValueError(f"probe: the length must be a multiple of {SHARE} times the tasks; found {n}")
    share = n // tasks
    job.f = f
    for i in range(tasks):
        job.piece[i].n = share
        job.piece[i].rounds = rounds
        job.piece[i].flags = (ODY_STREAM if stream else 0) | (ODY_PARTS if parts else 0)
        if a is not None:
            job.piece[i].in_[0] = &a[i * share]
        if b is not None:
            job.piece[i].in_[1] = &b[i * share]
        job.piece[i].out = <void *> job.sink[i] if out is None else <void *> &out[i * share]
    if stream and (<uintptr_t> job.piece[0].out) % 64:
        raise ValueError("probe: streaming stores need out on a 64-byte boundary")
    return run(&job, tasks)


def read(const float[::1] x, size_t rounds=1, size_t tasks=1, bint parts=False):
    """Reads x `rounds` times, with `parts` in a few places at once. Returns the bytes read."""
    return move(K.read_probe_f32, x, None, None, rounds, tasks, False, parts)


def write(float[::1] out, size_t rounds=1, size_t tasks=1, bint stream=False, bint parts=False):
    """Fills out `rounds` times, past the caches with `stream`, in a few places at once with `parts`. Returns the bytes written."""
    return move(K.write_probe_f32, None, None, out, rounds, tasks, stream, parts)


def copy(const float[::1] x, float[::1] out, size_t rounds=1, size_t tasks=1, bint stream=False, bint parts=False):
    """Copies x to out `rounds` times. Returns the bytes read and written."""
    return move(K.copy_probe_f32, x, None, out, rounds, tasks, stream, parts)


def add(const float[::1] a, const float[::1] b, float[::1] out, size_t rounds=1, size_t tasks=1, bint stream=False,
        bint parts=False):
    """Writes a + b to out `rounds` times. Returns the bytes read and written."""
    return move(K.add_probe_f32, a, b, out, rounds, tasks, stream, parts)
