"""Functions that the tests compile, all of them at once."""

import math

import numpy as np

from odyssey.bridge import jit
from odyssey.bridge.compiling.functions import compile_together

LIMIT = 3


@jit
def total(a):
    s = 0.0
    for x in a:
        s += x
    return s


@jit
def pick(a, i):
    return a[i]


@jit
def put(a, i, value):
    a[i] = value


@jit
def swap_often(a, b, n):
    for _ in range(n):
        a, b = b, a
    return a


@jit
def made(n, value):
    out = np.zeros((n, 2))
    for i in range(n):
        row = out[i]
        row[0] = i
        row[1] = value
    again = out
    out = np.ones((1, 1))
    return again, out[0], again[n - 1]


@jit
def many_arrays(n):
    s = 0.0
    keep = np.zeros(3)
    for i in range(n):
        scratch = np.full(1000, float(i))
        s += scratch[i % 1000]
        keep = scratch
    return s + keep[0]


@jit
def fibonacci(n):
    if n < 2:
        return n
    return fibonacci(n - 1) + fibonacci(n - 2)


@jit
def endless(n):
    if n < 0:
        return n
    return endless(n + 1)


@jit
def is_even(n):
    if n == 0:
        return True
    return is_odd(n - 1)


@jit
def is_odd(n):
    if n == 0:
        return False
    return is_even(n - 1)


@jit
def square(x):
    return x * x


@jit
def apply(f, x):
    return f(x) + f(x)


@jit
def with_default(x, factor=2.0):
    return x * factor


@jit
def reciprocal(x):
    return 1.0 / x


@jit
def late(flag):
    if flag:
        value = 1
    return value


@jit
def edges(a, i, j):
    s = 0.0
    for k in range(i, j):
        s += a[k]
    return s


@jit
def gather(a, places):
    s = 0.0
    for k in range(len(places)):
        s += a[places[k]]
    return s


@jit(boundscheck=False)
def trusting(a, n):
    s = 0.0
    for k in range(n):
        s += a[k]
    return s


@jit
def refuse(n):
    if n > LIMIT:
        raise ValueError("too many")
    assert n != 2, "two"
    return n


@jit
def counted(n):
    found = -1
    for i in range(n, 0, -2):
        if i == 3:
            found = i
            break
    else:
        found = math.floor(2.5)
    return found


@jit
def mixed(a):
    """Fills up by rows."""
    n, m = a.shape
    for i in range(n):
        for j in range(m):
            a[i, j] = i * m + j
    return a.size


F1, F2, I1 = "float64[::1]", "float64[:, ::1]", "int64[::1]"
SIGNATURES = [
    (total, F1), (total, "float64[:]"), (total, "float32[::1]"), (total, I1), (pick, f"{F1}, int"), (pick, f"{F2}, int"),
    (pick, "bool[::1], int"), (put, f"{F1}, int, float"), (put, "int8[::1], int, int"), (put, "uint8[::1], int, float"),
    (swap_often, f"{F1}, {F1}, int"), (made, "int, float"), (many_arrays, "int"), (fibonacci, "int"), (endless, "int"),
    (is_even, "int"), (square, "int"), (square, "float"), (square, "float32"), (with_default, "float, float"),
    (reciprocal, "float"), (late, "bool"), (edges, f"{F1}, int, int"), (gather, f"{F1}, {I1}"), (trusting, f"{F1}, int"),
    (refuse, "int"), (counted, "int"), (mixed, "int32[:, :]"),
]  # fmt: skip


def compile_all():
    compile_together(SIGNATURES)
