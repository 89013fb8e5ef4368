"""What cannot be compiled, construct by construct: the first line of the error says what it was."""

import math

import numpy as np
import pytest

from odyssey.bridge import jit
from odyssey.bridge.compiling.functions import generated
from odyssey.errors import CompileError

PAIR = (1, 2.5)


@jit
def two(x):
    return x, x + 1


@jit
def first_of(a, k=0):
    return a[k]


def made_none(n):
    x = two
    y = None
    return n


def several_targets(n):
    a = b = two(n)
    return n


def matrix_in_place(a):
    a @= a
    return 0


def row_arithmetic(m):
    m[0] += 1.0
    return 0


def attribute_target(a):
    a.shape += 1
    return 0


def starred(n):
    *x, y = n, n
    return y


def no_tuple(n):
    a, b = n
    return a


def other_tuple(n):
    a, b, c = n, n
    return a


def whole_row(m):
    m[0] = 1.0
    return 0


def enumerate_from(a):
    for i, x in enumerate(a, 1):
        pass
    return 0


def range_of_nothing(n):
    for i in range(stop=n):
        pass
    return 0


def range_into_an_element(a, n):
    for a[0] in range(n):
        pass
    return 0


def loop_over_a_number(n):
    for i in n:
        pass
    return 0


def gives_a_function(n):
    return two


def raises_a_made_text(n):
    raise ValueError(n)


def asserts_a_made_text(n):
    assert n > 0, n
    return n


def range_of_a_float(x):
    for i in range(x):
        pass
    return 0


def complex_number(n):
    return 1j


def bytes_in_it(n):
    return b"a"


def module_attribute(n):
    return math.nothing


def module_function_as_value(n):
    return np.linalg


def unknown_attribute(m):
    return m.flags


def tuple_in_a_tuple(n):
    return two(n), n


def matrix_product(a):
    return a @ a


def identity(n):
    return n is n


def varying_place(n):
    return PAIR[n]


def index_of_a_number(n):
    return n[0]


def index_of_a_call(a):
    return two(a[0])[0]


def unknown_function(n):
    return nothing_of_this_name(n)


def sorted_numbers(a):
    return sorted(a)


def keywords(x):
    return max(x, default=1)


def long_length(a):
    return len(a, a)


def length_of_a_number(n):
    return len(n)


def wrong_keyword(a):
    return first_of(a, no=1)


def too_many_arguments(a):
    return first_of(a, 1, 2)


def tuple_argument(n):
    return first_of((n, n))


def zeros_of_too_much(n):
    return np.zeros(n, np.float64, 3)[0]


def zeros_in_an_order(n):
    a = np.zeros(n, order="F")
    return 0


def full_of_nothing(n):
    a = np.full(n)
    return 0


def like_a_number(n):
    a = np.zeros_like(n)
    return 0


def text_as_dtype(n):
    a = np.zeros(n, dtype="no such type")
    return 0


A, M, N, X = "float64[::1]", "float64[:, ::1]", "int", "float"
ROWS = [
    (made_none, N, "None cannot be compiled"), (several_targets, N, "several targets"), (matrix_in_place, A, "@ cannot"),
    (row_arithmetic, M, "arithmetic of whole rows"), (attribute_target, A, "cannot be compiled"), (starred, N, "* cannot"),
    (no_tuple, N, "expected a tuple of 2"), (other_tuple, N, "found one of 2"), (whole_row, M, "assigning a whole row"),
    (enumerate_from, A, "enumerate in this form"), (range_of_nothing, N, "one to three numbers"),
    (range_into_an_element, f"{A}, {N}", "a name for the loop's variable"), (loop_over_a_number, N, "a loop over this"),
    (gives_a_function, N, "a function as a result"), (raises_a_made_text, N, "a text that is known"),
    (asserts_a_made_text, N, "a text that is known"), (range_of_a_float, X, "expected an integer, found a float"),
    (complex_number, N, "a complex number"), (bytes_in_it, N, "bytes"), (module_attribute, N, "does not exist"),
    (module_function_as_value, N, "cannot be compiled"), (unknown_attribute, M, "the attribute .flags"),
    (tuple_in_a_tuple, N, "a tuple in a tuple"), (matrix_product, A, "@ cannot"), (identity, N, "is cannot"),
    (varying_place, N, "expected a known place in a tuple of 2"), (index_of_a_number, N, "an index into int"),
    (index_of_a_call, A, "expected a tuple with a name"), (unknown_function, N, "a call of nothing_of_this_name"),
    (sorted_numbers, A, "a call of sorted"), (keywords, X, "with keywords"), (long_length, A, "one argument for len"),
    (length_of_a_number, N, "len of int"), (wrong_keyword, A, "takes a, k"), (too_many_arguments, A, "takes a, k"),
    (tuple_argument, N, "as an argument"), (zeros_of_too_much, N, "with these arguments"),
    (zeros_in_an_order, N, "with order="), (full_of_nothing, N, "expected np.full(shape, fill_value, dtype)"),
    (like_a_number, N, "expected an array with a name"), (text_as_dtype, N, "expected a dtype"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "tokens", "problem"), ROWS, ids=[row[0].__name__ for row in ROWS])
def test_it_is_refused_by_its_name(function, tokens, problem):
    with pytest.raises(CompileError) as refused:
        generated([(jit(function), tuple(tokens.split(", ") if tokens.count("[") < 1 else _split(tokens)))])
    first, where, *_ = str(refused.value).splitlines()
    assert first.startswith(f"{function.__name__}: ")
    assert problem in first
    assert "test_refused_in_detail.py:" in where


def _split(tokens):
    """The tokens of a signature, whose brackets may hold commas."""
    parts, depth, start = [], 0, 0
    for i, letter in enumerate(tokens):
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append(tokens[start:i].strip())
            start = i + 1
    return [*parts, tokens[start:].strip()]


def negative_truth(f):
    return -f[0]


def inverted_float(x):
    return ~x


def difference_of_truths(f):
    return f[0] - f[1]


def bits_of_floats(x):
    return x & x


def shifted_truths(f):
    return f[0] << f[1]


def rounded_element(a):
    return round(a[0])


def smallest_of_one(a):
    return min(a[0])


def largest_of_truths(f):
    return np.maximum(f[0], f[1])


def root_of_a_byte(b):
    return np.sqrt(b[0])


def floor_of_an_integer(n):
    return np.floor(n)


def negative_of_a_truth(f):
    return np.negative(f[0])


def sine_of_two(x):
    return math.sin(x, x)


def loop_over_elements(a):
    for a.x in range(3):
        pass
    return 0


def never_given(n):
    if n > 0:
        return never_given_jit(n)
    return never_given_jit(n - 1)


never_given_jit = jit(never_given)
F, B = "bool[::1]", "int8[::1]"
OPERATIONS = [
    (negative_truth, F, "NumPy has no -"), (inverted_float, X, "~ of a float"), (difference_of_truths, F, "two truth values"),
    (bits_of_floats, X, "of floats"), (shifted_truths, F, "two truth values"), (rounded_element, A, "round of a NumPy number"),
    (smallest_of_one, A, "min of one argument"), (largest_of_truths, F, "of truth values"),
    (root_of_a_byte, B, "half precision"), (floor_of_an_integer, N, "of an integer"), (negative_of_a_truth, F, "truth value"),
    (sine_of_two, X, "expected 1 arguments, found 2"), (loop_over_elements, A, "a name for the loop's variable"),
    (never_given, N, "without calling itself"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "tokens", "problem"), OPERATIONS, ids=[row[0].__name__ for row in OPERATIONS])
def test_an_operation_that_numbers_lack_is_refused(function, tokens, problem):
    test_it_is_refused_by_its_name(function, tokens, problem)
