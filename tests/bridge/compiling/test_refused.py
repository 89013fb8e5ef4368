"""What cannot be compiled is an error that names the line, points at the construct and says what to write instead."""

import math

import numpy as np
import pytest

from odyssey.bridge import jit
from odyssey.bridge.compiling.functions import generated
from odyssey.errors import CompileError

TABLE = np.zeros(3)
TEXT = "text"


def comprehension(a):
    return [x for x in a]


def text(n):
    s = "a"
    return n


def handled(n):
    try:
        n += 1
    except ValueError:
        pass
    return n


def managed(n):
    with open("x"):
        pass
    return n


def method(a):
    return a.sum()


def attribute(a):
    return a.T


def sliced(a):
    return a[1:]


def whole_array(a):
    return a + 1.0


def outside_array(n):
    return TABLE[n]


def outside_text(n):
    return TEXT


def unknown(n):
    return nowhere + n


def two_kinds(a, n):
    x = a
    x = n
    return x


def two_results(n):
    if n > 2:
        return n
    return None


def float_index(a, x):
    return a[x]


def too_many(a):
    return a[0, 0]


def rounding(x):
    return round(x, 2)


def distance(x):
    return math.hypot(x, x)


def imported(n):
    import os

    return n


def asked(a):
    return 3 in a


def huge():
    return 2**70


def printed(n):
    print(n)
    return n


def caught(n):
    raise KeyboardInterrupt


def nested(n):
    def inner():
        return n

    return n


def product(a):
    return a @ a


def endless(n):
    return endless_jit(n + 1)


endless_jit = jit(endless)
A, N, X = "float64[::1]", "int", "float"

ROWS = [
    (comprehension, [A], "a list comprehension cannot be compiled", "[x for x in a]", "write the loop out"),
    (text, [N], "a string cannot be compiled", '"a"', ""),
    (handled, [N], "try cannot be compiled", "try:", "test for"),
    (managed, [N], "with cannot be compiled", "with", "outside"),
    (method, [A], "the method .sum cannot be compiled", "a.sum()", "write the loop"),
    (attribute, [A], "the attribute .T", "a.T", ".shape"),
    (sliced, [A], "a slice cannot be compiled", "1:", "loop over"),
    (whole_array, [A], "expected a number, found an array", "a + 1.0", "in a loop"),
    (outside_array, [N], "the array TABLE from outside", "TABLE", "argument"),
    (outside_text, [N], "a str from outside", "TEXT", ""),
    (unknown, [N], "the name nowhere is not defined", "nowhere", ""),
    (two_kinds, [A, N], "x is float64[::1] before and int here", "x = n", "two names"),
    (two_results, [N], "it returns int on one way and None on another", "return None", "one type"),
    (float_index, [A, X], "expected an integer, found a float", "x", "int("),
    (too_many, [A], "a has 1 axes, found 2 indices", "a[0, 0]", ""),
    (rounding, [X], "round with digits", "round(x, 2)", "round(x * 100)"),
    (distance, [X], "a call of math.hypot", "math.hypot(x, x)", "math.sqrt"),
    (imported, [N], "import cannot be compiled", "import os", "outside"),
    (asked, [A], "in cannot be compiled", "3 in a", "write the loop"),
    (huge, [], "", "", ""),
    (printed, [N], "a call of print", "print(n)", "return what"),
    (caught, [N], "expected to raise one of", "raise KeyboardInterrupt", ""),
    (nested, [N], "a function inside a function", "def inner", "move it out"),
    (product, [A], "@ cannot be compiled", "a @ a", "matmul"),
]


@pytest.mark.parametrize(
    ("function", "tokens", "problem", "construct", "remedy"), ROWS, ids=lambda row: getattr(row, "__name__", None)
)
def test_the_error_points_at_the_construct(function, tokens, problem, construct, remedy):
    if not problem:
        generated([(jit(function), tuple(tokens))])  # it wraps, when it runs
        return
    with pytest.raises(CompileError) as caught_error:
        generated([(jit(function), tuple(tokens))])
    message = str(caught_error.value).splitlines()
    assert message[0].startswith(f"{function.__name__}: ")
    assert problem in message[0]
    assert f"test_refused.py:{function.__code__.co_firstlineno}"[:15] in message[1]
    caret = message[3].index("^")
    assert message[2][caret:].startswith(construct.splitlines()[0])
    assert remedy in "\n".join(message[4:])


def test_a_function_without_text_says_so():
    names = {}
    exec("def f(x):\n    return x\n", names)
    with pytest.raises(CompileError, match="expected the function's source"):
        jit(names["f"])(1.0)


def test_only_functions_with_plain_arguments_are_taken():
    def spread(*args):
        return 1

    def named(x, *, y):
        return x

    def generator(n):
        yield n

    for one in (spread, named, generator):
        with pytest.raises(CompileError):
            jit(one)
    with pytest.raises(CompileError, match="expected a function"):
        jit(3)
    with pytest.raises(CompileError, match="above @jit"):
        jit(staticmethod(text))
    with pytest.raises(CompileError, match="def"):
        jit(lambda x: x)(1.0)


def test_recursion_without_end_is_named():
    with pytest.raises(CompileError, match="without calling itself"):
        generated([(endless_jit, ("int",))])
