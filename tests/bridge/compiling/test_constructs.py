"""Each construct gives compiled what it gives interpreted: value, type, and what it leaves in its arrays."""

import constructs
import numpy as np
import pytest

from odyssey.bridge.compiling import kinds
from odyssey.bridge.compiling.functions import compile_together

pytestmark = [pytest.mark.xdist_group("jit"), pytest.mark.filterwarnings("ignore::RuntimeWarning")]

WIDENED = {"two_tuples", "reused"}
"""A variable and a result have one type: int on one way and float on another is a float."""


@pytest.fixture(autouse=True, scope="module")
def ready():
    compile_together([(function, signature) for function, signature, _ in constructs.ROWS])


def copied(given):
    return [one.copy() if isinstance(one, np.ndarray) else one for one in given]


def described(value):
    if isinstance(value, tuple):
        return tuple(map(described, value))
    return type(value), repr(value)


@pytest.mark.parametrize(
    ("function", "given"),
    [
        pytest.param(function, given, id=f"{function.__name__}-{i}")
        for i, (function, _, given) in enumerate(constructs.ROWS)
    ],
)
def test_it_gives_what_the_interpreter_gives(function, given):
    ours, theirs = copied(given), copied(given)
    got, wanted = function(*ours), function.__wrapped__(*theirs)
    assert got == wanted if function.__name__ in WIDENED else described(got) == described(wanted)
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(one, other)


def test_a_loop_that_leaves_its_array_in_its_condition_raises():
    with pytest.raises(IndexError, match="a: index 3 is out of bounds"):
        constructs.loop_until(np.array([1.0, 2.0, 3.0]))


def test_kinds_join_to_what_holds_both_or_to_none():
    one, strided = kinds.ArrayKind("float64", 1, True), kinds.ArrayKind("float64", 1, False)
    assert kinds.join(one, strided) == strided
    assert kinds.join(one, kinds.ArrayKind("float32", 1, True)) is None
    pair, other = kinds.TupleKind((kinds.INT, kinds.FLOAT)), kinds.TupleKind((kinds.FLOAT, kinds.FLOAT))
    assert kinds.join(pair, other) == other
    assert kinds.join(pair, kinds.TupleKind((one, kinds.FLOAT))) is None
    assert "jit" in str(kinds.FunctionKind(constructs.neighbours))
