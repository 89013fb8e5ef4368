"""Distances on the number line, and tolerances that fail where they must."""

import doctest
import importlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from odyssey.testing.call import call
from odyssey.testing.tolerance import ByOption, Exact, Gamma, Ulp, ulp_distance

FLOATS = {np.float32: st.floats(width=32), np.float64: st.floats(width=64)}
ANY_FLOAT = st.sampled_from([np.float32, np.float64]).flatmap(
    lambda dtype: st.tuples(st.just(dtype), FLOATS[dtype], FLOATS[dtype], FLOATS[dtype])
)
FAR = 2**64 - 1


@given(ANY_FLOAT)
def test_distance_is_symmetric_and_zero_to_itself(drawn):
    dtype, a, b, _ = drawn
    a, b = dtype(a), dtype(b)
    assert ulp_distance(a, b) == ulp_distance(b, a)
    assert ulp_distance(a, a) == 0


@given(ANY_FLOAT)
def test_distance_is_zero_only_between_equals(drawn):
    dtype, a, b, _ = drawn
    a, b = dtype(a), dtype(b)
    assert (ulp_distance(a, b) == 0) == (a == b or (math.isnan(a) and math.isnan(b)))


@given(ANY_FLOAT)
def test_distances_add_up_along_the_line(drawn):
    dtype, *values = drawn
    values = sorted(dtype(v) for v in values if not math.isnan(v))
    if len(values) == 3:
        a, b, c = values
        assert int(ulp_distance(a, b)) + int(ulp_distance(b, c)) == int(ulp_distance(a, c))


@given(ANY_FLOAT)
def test_the_next_number_is_one_step_away(drawn):
    dtype, a, _, _ = drawn
    a = dtype(a)
    if math.isfinite(a):
        with np.errstate(all="ignore"):
            above, below = np.nextafter(a, dtype(np.inf)), np.nextafter(a, dtype(-np.inf))
        assert ulp_distance(a, above) == ulp_distance(a, below) == 1


@given(ANY_FLOAT)
def test_nan_is_far_from_every_number(drawn):
    dtype, a, _, _ = drawn
    if not math.isnan(a):
        assert ulp_distance(dtype(a), dtype(np.nan)) == FAR


def test_distance_crosses_zero_step_by_step():
    tiny = np.finfo(np.float32).smallest_subnormal
    assert ulp_distance(-tiny, tiny) == 2
    assert ulp_distance(np.float32(0), tiny) == 1
    assert ulp_distance(np.float32(-0.0), tiny) == 1
    normal = np.finfo(np.float64).smallest_normal
    assert ulp_distance(np.float64(0), normal) == 2**52


def test_distance_from_end_to_end_does_not_overflow():
    assert ulp_distance(np.float64(-np.inf), np.float64(np.inf)) == 2 * 0x7FF0000000000000


def test_signed_zeros_count_when_asked():
    assert ulp_distance(np.float32(0.0), np.float32(-0.0)) == 0
    assert ulp_distance(np.float32(0.0), np.float32(-0.0), signed_zeros=True) == 1
    assert ulp_distance(np.float32(-0.0), np.float32(-0.0), signed_zeros=True) == 0


def test_distance_broadcasts_and_keeps_shape():
    assert ulp_distance(np.ones((2, 3), np.float32), np.float32(1)).shape == (2, 3)
    assert ulp_distance(np.ones(0, np.float32), np.ones(0, np.float32)).shape == (0,)


@pytest.mark.parametrize("other", [np.float64(1), np.int32(1), np.float16(1)])
def test_distance_between_types_is_refused(other):
    with pytest.raises(TypeError, match="float32"):
        ulp_distance(np.float32(1), other)


def test_exact_takes_equals_and_nothing_else():
    x = np.float32([1, np.nan, -0.0, np.inf])
    assert Exact().check(x, np.float32([1, np.nan, 0.0, np.inf])) is None
    assert Exact(signed_zeros=True).check(x, np.float32([1, np.nan, 0.0, np.inf])) is not None
    off = x.copy()
    off[0] = np.nextafter(off[0], np.float32(2))
    assert "[0]" in Exact().check(off, x)
    assert Exact().check(np.array([1, 2]), np.array([1, 2])) is None
    assert Exact().check(np.array([1, 2]), np.array([1, 3])) is not None


def test_ulp_allows_its_number_and_not_one_more():
    one = np.float32([1])
    near = np.nextafter(one, np.float32(2))
    further = np.nextafter(near, np.float32(2))
    assert Ulp(1).check(near, one) is None
    assert "2 ulp where 1 is allowed" in Ulp(1).check(further, one)
    assert Ulp(0, float64=2).check(near, one) is not None
    assert Ulp(0, float64=1).check(np.nextafter([1.0], 2), np.array([1.0])) is None


def test_the_message_names_the_worst_element_and_both_values():
    reference = np.ones((2, 3), np.float32)
    fast = reference.copy()
    fast[0, 1] += 2e-7
    fast[1, 2] = 3
    message = Ulp(1).check(fast, reference)
    assert "[1, 2]" in message
    assert "3.0" in message
    assert "1.0" in message
    assert "2 of 6" in message


@pytest.mark.parametrize("tolerance", [Exact(), Ulp(4), Gamma(4, lambda: 1e30)])
def test_nothing_excuses_nan_a_shape_or_a_type(tolerance):
    x = np.ones(3, np.float32)
    assert tolerance.check(np.float32([1, np.nan, 1]), x) is not None
    assert tolerance.check(x, np.float32([1, np.nan, 1])) is not None
    assert "shape" in tolerance.check(x[:2], x)
    assert "dtype" in tolerance.check(x.astype(np.float64), x)
    assert tolerance.check(np.zeros(0, np.float32), np.zeros(0, np.float32)) is None


def _sum_of(x):
    return np.sum(np.abs(x).astype(np.float64))


def test_gamma_takes_any_order_of_summation():
    rng = np.random.default_rng(0)
    bound = Gamma(lambda x: x.size, _sum_of)
    for _ in range(20):
        x = (rng.standard_normal(1000) * 10.0 ** rng.integers(-3, 4, 1000)).astype(np.float32)
        reference = np.float32(np.sum(x, dtype=np.float64))
        for order in (x, x[::-1], np.sort(x), rng.permutation(x)):
            chain = np.add.accumulate(order, dtype=np.float32)[-1]
            assert bound.check(chain, reference, call(x)) is None


def test_gamma_fails_where_an_element_was_lost():
    x = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    lost = np.float32(np.sum(x[:-1], dtype=np.float64))
    assert Gamma(lambda x: x.size, _sum_of).check(lost, np.float32(np.sum(x, dtype=np.float64)), call(x)) is not None


def test_gamma_lets_a_sum_overflow_only_where_its_terms_do():
    big = np.float32([3e38, 3e38, -3e38, -3e38])
    bound = Gamma(4, _sum_of)
    assert bound.check(np.float32(np.inf), np.float32(0), call(big)) is None
    assert bound.check(np.float32(np.inf), np.float32(0), call(big / 1000)) is not None


def test_gamma_wants_the_infinities_and_nans_of_the_reference():
    x = np.float32([np.inf, 1])
    bound = Gamma(2, _sum_of)
    assert bound.check(np.float32(np.inf), np.float32(np.inf), call(x)) is None
    assert bound.check(np.float32(-np.inf), np.float32(np.inf), call(x)) is not None
    assert bound.check(np.float32(1), np.float32(np.inf), call(x)) is not None
    assert bound.check(np.float32(np.nan), np.float32(np.inf), call(x)) is not None


def test_gamma_forgives_underflow_by_its_steps():
    tiny = np.finfo(np.float32).smallest_subnormal
    bound = Gamma(4, lambda: 0.0)
    assert bound.check(2 * tiny, np.float32(0)) is None
    assert bound.check(9 * tiny, np.float32(0)) is not None


def test_gamma_forgives_more_where_a_large_factor_follows_an_underflow():
    tiny = np.finfo(np.float32).smallest_subnormal
    bound = Gamma(4, lambda grad: 0.0, underflow=lambda grad: grad)
    assert bound.check(100 * tiny, np.float32(0), call(np.float32(1))) is not None
    assert bound.check(100 * tiny, np.float32(0), call(np.float32(50))) is None


def test_a_definition_summed_in_float64_is_given_twice_the_room_there():
    reference = np.array([1.0])
    off = reference + 8 * np.finfo(np.float64).eps
    assert Gamma(10, lambda: 1.0).check(off, reference) is not None
    assert Gamma(10, lambda: 1.0, wide_reference=False).check(off, reference) is None
    off32 = (np.float32([1]) + 8 * np.finfo(np.float32).eps).astype(np.float32)
    assert Gamma(10, lambda: 1.0, wide_reference=False).check(off32, np.float32([1])) is not None


def test_by_option_follows_the_call():
    tolerance = ByOption("approximate", "none", {"none": Exact(), "tanh": Ulp(1)})
    one, near = np.float32(1), np.nextafter(np.float32(1), np.float32(2))
    assert tolerance.check(near, one, call()) is not None
    assert tolerance.check(near, one, call(approximate="tanh")) is None


@pytest.mark.parametrize("module", ["tolerance", "gradcheck"])
def test_the_examples_are_true(module):
    result = doctest.testmod(importlib.import_module(f"odyssey.testing.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
