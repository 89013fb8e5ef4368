"""The exhaustive sweep: its measure of an error, that it sees what is wrong, and that it covers every function asked of it."""

import math
from dataclasses import replace

import numpy as np
import pytest

import odyssey as od
from odyssey.testing import exhaustive
from odyssey.testing.exhaustive import INPUTS, Function, Sweep, functions, sweep, sweep_part, ulp_errors

EXP = Function("exp", (), 1.0)
SETS = od.isa.available()


def errors(got, want):
    return ulp_errors(np.float32(got), np.float64(want)).tolist()


def test_an_error_counts_last_places_of_the_exact_result():
    assert errors([1, 1 + 2**-23, 4], [1, 1, 4 + 2**-22]) == [0, 1, 0.5]
    assert errors([1 - 2**-24], [1]) == [0.5]  # below a power of two floats lie twice as close
    assert errors([2**-149, 3 * 2**-149], [2**-149, 2**-148]) == [0, 1]


def test_infinity_is_the_number_after_the_largest():
    largest = float(np.finfo(np.float32).max)
    assert errors([np.inf, np.inf, largest, -np.inf], [2.0**128, 1e300, 2.0**128, -(2.0**130)]) == [0, 0, 1, 0]


def test_confusing_nan_or_a_zeros_sign_is_infinitely_wrong():
    assert errors([np.nan, np.nan, 1], [np.nan, 1, np.nan]) == [0, math.inf, math.inf]
    assert errors([0.0, -0.0, -0.0], [-1e-300, -1e-300, 0.0]) == [math.inf, pytest.approx(0), math.inf]


def test_every_function_of_the_goal_is_there_with_its_bound():
    bounds = {one.name: one.bound for one in functions()}
    for name in ("exp", "log", "log2", "sin", "cos", "tanh", "sigmoid", "erf"):
        assert bounds[name] <= 1
    for name in ("gelu", "gelu(approximate='tanh')", "silu", "softplus", "mish"):
        assert bounds[name] <= 2
    assert bounds["sqrt"] == 0.5


def test_a_sample_of_every_function_passes_on_every_instruction_set():
    for function in functions():
        part = sweep_part(function, SETS, 0, INPUTS // 999_983, 999_983)
        assert part.passes(function), part


def test_an_exceeded_bound_and_differing_bits_fail():
    part = sweep_part(EXP, SETS, 0, 100_000, 42_949)
    assert part.inputs == 100_000
    assert part.passes(EXP)
    assert not part.passes(replace(EXP, bound=0.5))
    assert not replace(part, differing={"scalar": 1}).passes(EXP)


def test_parts_add_up_to_the_whole():
    whole = sweep_part(EXP, SETS[:1], 0, 200_000, 20_011)
    first, second = (sweep_part(EXP, SETS[:1], start, 100_000, 20_011) for start in (0, 100_000))
    assert replace(first + second, seconds=0) == replace(whole, seconds=0)


def test_processes_find_what_one_finds_and_go_on_from_where_they_were(monkeypatch):
    stride = 40_009
    count = -(-INPUTS // stride)
    expected = replace(sweep_part(EXP, SETS[:1], 0, count, stride), seconds=0)
    parts = [total for _, total in sweep([EXP], SETS[:1], stride=stride, jobs=2)]
    assert [part.inputs for part in parts] == sorted(part.inputs for part in parts)
    assert replace(parts[-1], seconds=0) == expected
    begun = {"exp": sweep_part(EXP, SETS[:1], 0, 50_000, stride)}
    *_, (_, last) = sweep([EXP], SETS[:1], stride=stride, jobs=1, begun=begun)
    assert replace(last, seconds=0) == expected


def test_a_wrong_result_is_seen(monkeypatch):
    def wrong(x, out):
        np.exp(x, out=out)
        if x.dtype == np.float32:
            out[x == 1] = 2.7182827

    monkeypatch.setattr(od, "exp", wrong)
    part = sweep_part(EXP, SETS[:1], 0x3F800000 - 10, 20)
    assert part.worst_at == 1
    assert 2 < part.worst < 8


def test_a_sweep_knows_nothing_before_it_begins():
    assert Sweep("exp", ("scalar",)).passes(EXP)
    with pytest.raises(ValueError, match="expected one of"):
        exhaustive.sweep_part(EXP, ["sse9"], 0, 1)
