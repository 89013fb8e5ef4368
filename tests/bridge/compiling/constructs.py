"""One small function for each construct that is compiled: what it gives interpreted is what it has to give compiled."""

import math

import numpy as np

from odyssey.bridge.compiling.decorator import jit

SWITCH = False
HALF = np.float32(0.5)
YES = np.bool_(True)
PAIR = (3, 4.5)


@jit
def neighbours(x):
    return x, x + 1


@jit
def first_of(a, k=0):
    return a[k]


@jit
def raised(a, i):
    a[i] += 1
    return a[i]


def outer(seven):
    def closed(x):
        return x + seven

    return jit(closed)


closed = outer(7)


@jit
def annotated(x):
    y: float = x * 2
    z: int  # noqa: F842
    pass
    return y


@jit
def switched(x):
    if SWITCH:
        return x * 2
    return x


@jit
def chosen(x):
    return x + 1 if 1 < 2 else x


@jit
def element_and_call(a, i):
    a[i] += raised(a, i)
    return a[i]


@jit
def far(a):
    n = 0
    for i in range(a[0]):
        n += i
    return n


@jit
def outside_numbers(x):
    if YES:
        return x * HALF
    return x


@jit
def axes(m):
    return m.ndim + len(m.shape) + len(m[0])


@jit
def signs(n):
    return ~n, -(n > 2), +(n > 2), ~(n > 2), not n


@jit
def inverted(flags):
    out = 0
    for i in range(len(flags)):
        if ~flags[i]:
            out += 1
    return out


@jit
def halves(n):
    return n / 2, n / 2.0, 7 % 3, n % 4, n // 3


@jit
def powers(n, x):
    return n**2, 2**-1, x**2, pow(x, 2), np.power(x, 2.0), np.negative(n)


@jit
def together(flags, i, n):
    both = flags[i] & flags[0]
    return both, (n > 1) | (n < 0), (n > 1) ^ True, n & 6, n << 2


@jit
def across_signs(big, n):
    return big[0] > n, n < big[0], big[0] == n


@jit
def within(a, i):
    n = len(a)
    return a[min(i, n - 1)] + a[max(i, 0) // 2] + a[i * 1] + a[-1 - i // 4] + a[i % n]


@jit
def two_tuples(n):
    if n > 0:
        return n, 1.5
    return 2.5, n


@jit
def rows_or_all(m, n):
    row = m[0]
    if n > 0:
        row = m[1]
    return row[0] + len(row)


@jit
def made_like(a, n):
    lengths = (n, 2)
    b = np.zeros(lengths, dtype=a.dtype)
    c = np.full((n, 2), 3)
    d = np.ones(n, bool)
    return b[0, 0] + c[0, 1] + d[0]


@jit
def by_keyword(a):
    return first_of(a, k=1) + first_of(k=0, a=a)


@jit
def evaluated(n):
    neighbours(n)
    n + 1
    (n, n + 1)
    np.zeros(n)
    return n


@jit
def constants():
    return -(2**63), math.nan, -0.0, math.inf


@jit
def cast(n, x):
    return np.uint8(n), np.int64(x), np.float32(x), int(x), bool(n), float(n)


@jit
def rounded(x):
    return round(x), abs(x), abs(x > 1), min(x, 2.0, 1.0), max(1, 2)


@jit
def unsigned(a):
    return abs(a[0]), int(a[0])


@jit
def given_anew(a, b):
    s = 0.0
    for x in a:
        a = b
        s += x + a[0]
    return s


@jit
def reused(x):
    for x in range(3):  # noqa: B007
        pass
    return x


@jit
def loop_until(a):
    i = 0
    while a[i] > 0:
        i += 1
    return i


@jit
def loop_with_break(n):
    i = 0
    while True:
        if i > n:
            break
        i += 1
    else:
        i = -1
    return i


@jit
def compared(n, x):
    return 0 < n < x, n == 1 or x > 2, n > 0 and x > 1


@jit
def climbing(n):
    if n > 1:
        below = climbing(n - 1)
        more = -below
        both = (below, more)
        low = min(below, more) if below < more else below
        for i in range(below):
            low += i
        if below and not more:
            low += 1
        return low + both[0] - abs(more) + (below > 0)
    return n


@jit
def in_turn(a, n):
    if n > 0:
        k = in_turn(a, n - 1)
        a[k] = a[k] + k
        a[k] += k
        x, y = neighbours(k)
        return x + y - k
    return 0


F1, F2 = "float64[::1]", "float64[:, ::1]"
FLAGS = np.array([True, False, True])


def floats(n=6):
    return np.arange(1.0, n + 1)


ROWS = [
    (annotated, "float", (1.5,)), (switched, "int", (3,)), (chosen, "int", (3,)),
    (element_and_call, f"{F1}, int", (floats(), 2)), (far, "uint64[::1]", (np.array([4], np.uint64),)),
    (outside_numbers, "float32", (np.float32(3),)), (axes, F2, (np.zeros((2, 5)),)), (signs, "int", (3,)),
    (signs, "int", (0,)), (inverted, "bool[::1]", (FLAGS,)), (halves, "int", (-7,)), (powers, "int, float", (3, 1.5)),
    (together, "bool[::1], int, int", (FLAGS, 1, 2)), (across_signs, "uint64[::1], int", (np.array([2**63], np.uint64), -1)),
    (within, f"{F1}, int", (floats(), 3)), (two_tuples, "int", (1,)), (two_tuples, "int", (0,)),
    (rows_or_all, f"{F2}, int", (np.arange(6.0).reshape(2, 3), 1)), (made_like, f"{F1}, int", (floats(), 2)),
    (by_keyword, F1, (floats(),)), (evaluated, "int", (3,)), (constants, "", ()), (cast, "int, float", (200, 2.75)),
    (rounded, "float", (2.5,)), (unsigned, "uint8[::1]", (np.array([200], np.uint8),)),
    (given_anew, f"{F1}, {F1}", (floats(3), floats(4))), (reused, "float", (1.5,)), (loop_until, F1, (np.array([1.0, 2, 0]),)),
    (loop_with_break, "int", (5,)), (compared, "int, float", (1, 2.5)), (climbing, "int", (5,)),
    (in_turn, f"{F1}, int", (floats(40), 4)), (closed, "int", (1,)),
]  # fmt: skip
