"""Random functions give, compiled, what they give interpreted: the same values of the same types, the same exceptions,
the same bytes in the arrays they wrote to."""

import importlib.util
import math
import os
import random
import sys
import warnings

import numpy as np
import pytest
from random_programs import module

from odyssey.bridge import jit
from odyssey.bridge.compiling.functions import compile_together

FIRST = int(os.environ.get("ODYSSEY_PROGRAMS_FROM", "0"))
COUNT = int(os.environ.get("ODYSSEY_PROGRAMS", "14"))
CALLS = 25
SIGNATURE = "int, int, float, float, bool, float64[::1], int64[::1], float64[:, ::1], float32[:]"


def load(folder, text):
    path = folder / f"odyssey_programs_{FIRST}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    found = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = found
    spec.loader.exec_module(found)
    return found


def arguments(draw):
    n = draw.choice([0, 1, 3, 4, 6])
    return (
        draw.randint(-9, 9), draw.randint(-9, 9), draw.choice([0.0, -0.0, 1.5, -2.25, draw.gauss(0, 3), math.inf, math.nan]),
        draw.gauss(0, 2), draw.random() < 0.5, np.array([draw.gauss(0, 1) for _ in range(n)]),
        np.array([draw.randint(-5, 9) for _ in range(draw.choice([4, 5]))], np.int64),
        np.array([draw.gauss(0, 1) for _ in range(12)]).reshape(4, 3),
        np.array([draw.gauss(0, 1) for _ in range(10)], np.float32)[::2],
    )  # fmt: skip


def outcome(function, given):
    """What it gives or raises, and what it leaves in its arrays."""
    copies = [one[:].copy() if isinstance(one, np.ndarray) else one for one in given]
    copies[-1] = np.repeat(given[-1], 2)[::2]
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = tuple(describe(one) for one in function(*copies))
    except Exception as error:
        result = type(error).__name__
    return result, [one.tobytes() for one in canonical(copies)]


def describe(value):
    if isinstance(value, (bool, np.bool_)):
        return type(value).__name__, bool(value)
    return type(value).__name__, "nan" if value != value else repr(value)


def canonical(arrays):
    """nan is nan, whatever its bits."""
    for one in arrays:
        if isinstance(one, np.ndarray):
            yield np.where(np.isnan(one), np.array(np.nan, one.dtype), one) if one.dtype.kind == "f" else one


@pytest.mark.xdist_group("jit")
def test_random_functions_give_compiled_what_they_give_interpreted(tmp_path):
    text = module(range(FIRST, FIRST + COUNT))
    found = load(tmp_path, text)
    functions = {f"f{seed}": jit(getattr(found, f"f{seed}")) for seed in range(FIRST, FIRST + COUNT)}
    compile_together((function, SIGNATURE) for function in functions.values())
    draw = random.Random(FIRST)
    ways = {"values": 0, "errors": 0}
    for name, function in functions.items():
        plain = function.__wrapped__
        for _ in range(CALLS):
            given = arguments(draw)
            want, got = outcome(plain, given), outcome(function, given)
            assert got == want, f"{name}{given}\n{text[text.index(f'def {name}(') :].split(chr(10) * 2 + 'def')[0]}"
            ways["errors" if isinstance(want[0], str) else "values"] += 1
    assert min(ways.values()) > COUNT, ways
