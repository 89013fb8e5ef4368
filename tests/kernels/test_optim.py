"""Optimizer steps: many steps against a plain definition, in place, whole or in pieces, and their errors."""

import array
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import odyssey as od

DTYPES = (np.float32, np.float64)
SGD = [
    {},
    {"lr": 0.1, "weight_decay": 0.02},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.1, "momentum": 0.9, "dampening": 0.4, "weight_decay": 0.02},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.02},
]
ADAM = [{}, {"lr": 0.01, "beta1": 0.8, "beta2": 0.99, "eps": 1e-6, "weight_decay": 0.1}, {"beta1": 0.0, "beta2": 0.0}]


def equal(found, expected):
    np.testing.assert_array_equal(found, expected, strict=True)


def draw(seed, count, n, dtype):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(n).astype(dtype) for _ in range(count)]


@pytest.mark.parametrize("options", SGD)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sgd_over_many_steps(isa, options, dtype):
    param, _ = draw(1, 2, 100, dtype)
    buffer = np.zeros_like(param)
    p, b = param.astype(np.float64), np.zeros(100)
    has_buffer = "momentum" in options
    for step in range(1, 40):
        (grad,) = draw(step, 1, 100, dtype)
        first = step == 1 and has_buffer
        assert od.sgd_step(param, grad, buffer if has_buffer else None, **options, first=first) is None
        g = grad + options.get("weight_decay", 0) * p
        momentum = options.get("momentum", 0)
        b = g if step == 1 else momentum * b + (1 - options.get("dampening", 0)) * g
        direction = (g + momentum * b if options.get("nesterov") else b) if has_buffer else g
        p = p - options.get("lr", 0.01) * direction
    np.testing.assert_allclose(param, p, rtol=0, atol=200 * np.finfo(dtype).eps)
    if has_buffer:
        np.testing.assert_allclose(buffer, b, rtol=0, atol=200 * np.finfo(dtype).eps)


@pytest.mark.parametrize("options", ADAM)
@pytest.mark.parametrize("name", ["adam_step", "adamw_step"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_adam_over_many_steps(isa, name, options, dtype):
    (param,) = draw(1, 1, 100, dtype)
    average, square = np.zeros_like(param), np.zeros_like(param)
    p, m, v = param.astype(np.float64), np.zeros(100), np.zeros(100)
    given = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8} | options
    lr, beta1, beta2 = given["lr"], given["beta1"], given["beta2"]
    decay = given.get("weight_decay", 0.01 if name == "adamw_step" else 0.0)
    for step in range(1, 200):
        (grad,) = draw(step, 1, 100, dtype)
        assert getattr(od, name)(param, grad, average, square, step, **options) is None
        g = grad.astype(np.float64)
        if name == "adamw_step":
            p = p * (1 - lr * decay)
        else:
            g = g + decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        p = p - lr * (m / (1 - beta1**step)) / (np.sqrt(v / (1 - beta2**step)) + given["eps"])
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(average, m, rtol=0, atol=20 * eps)
    np.testing.assert_allclose(square, v, rtol=100 * eps, atol=0)
    np.testing.assert_allclose(param, p, rtol=0, atol=200 * eps)


def test_float32_averages_do_not_drift(isa):
    # beta and 1 - beta, each rounded to float32, would not add up to one: of a constant gradient's square, a part in
    # thirty thousand would be missing
    param, grad = np.zeros(16, np.float32), np.full(16, 3, np.float32)
    average, square = np.full(16, 3, np.float32), np.full(16, 9, np.float32)
    for step in range(1, 5000):
        od.adam_step(param, grad, average, square, step)
    np.testing.assert_allclose(average, 3, rtol=1e-6)
    np.testing.assert_allclose(square, 9, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 15, 16, 17, 100, 50_000])
def test_a_step_in_pieces_is_the_step_on_the_whole(isa, threads, dtype, n):
    whole = draw(3, 4, n, dtype)
    whole[3] = np.abs(whole[3])
    pieces = [x.copy() for x in whole]
    od.adamw_step(*whole, step=7, lr=0.1)
    cut = n // 3
    od.adamw_step(*[x[:cut] for x in pieces], step=7, lr=0.1)
    od.adamw_step(*[x[cut:] for x in pieces], step=7, lr=0.1)
    for one, other in zip(whole, pieces, strict=True):
        equal(one, other)


@pytest.mark.parametrize("n", [0, 1, 5, 16, 33])
def test_nothing_around_the_arrays_is_touched(isa, n):
    memory = [np.full(n + 40, 2, np.float32) for _ in range(4)]
    od.adam_step(*[x[20 : 20 + n] for x in memory], step=1)
    od.sgd_step(*[x[20 : 20 + n] for x in memory[:3]], momentum=0.5)
    for x in memory:
        assert (x[:20] == 2).all()
        assert (x[20 + n :] == 2).all()
    assert (memory[1] == 2).all()


def test_first_does_not_read_the_buffer(isa):
    param, grad = np.ones(20, np.float32), np.ones(20, np.float32)
    buffer = np.full(20, np.nan, np.float32)
    od.sgd_step(param, grad, buffer, lr=0.5, momentum=0.9, first=True)
    equal(param, np.full(20, 0.5, np.float32))
    equal(buffer, grad)


def test_the_thread_count_changes_no_bit(isa):
    found = []
    for count in (1, 2, 3):
        arrays = draw(5, 4, 200_001, np.float32)
        arrays[3] = np.abs(arrays[3])
        with od.threads.limit(count):
            od.adamw_step(*arrays, step=3)
        found.append(arrays)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            equal(one, two)


def test_steps_from_many_python_threads(isa):
    def work(seed):
        one, two = draw(seed, 4, 30_000, np.float32), draw(seed, 4, 30_000, np.float32)
        for arrays in (one, two):
            arrays[3] = np.abs(arrays[3])
            for step in range(1, 6):
                od.adamw_step(*arrays, step=step)
        return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(12)))


def test_gradients_need_only_memory(isa):
    for grad in (
        array.array("f", [2.0] * 8),
        memoryview(np.full(8, 2, np.float32)),
        np.frombuffer(b"\0\0\0@" * 8, "f4"),
    ):
        param = np.ones(8, np.float32)
        od.sgd_step(param, grad, lr=0.25)
        equal(param, np.full(8, 0.5, np.float32))


class Named(np.ndarray):
    pass


def test_subclasses_are_updated_where_they_lie(isa):
    param = np.ones(8, np.float32)
    od.sgd_step(param.view(Named), np.ones(8, np.float32), lr=0.5)
    equal(param, np.full(8, 0.5, np.float32))


def test_a_scalar_parameter_is_an_array_without_axes(isa):
    param = np.array(1, np.float32)
    od.sgd_step(param, np.array(2, np.float32), lr=0.25)
    assert param == 0.5


# ---- errors ----------------------------------------------------------------------------------------------------------


def arrays():
    return [np.ones((2, 3), np.float32) for _ in range(4)]


def adam(**changes):
    given = dict(zip(("param", "grad", "exp_avg", "exp_avg_sq"), arrays(), strict=True)) | {"step": 1} | changes
    before = {name: np.array(value) for name, value in given.items()}
    try:
        od.adam_step(**given)
    finally:
        for name, value in given.items():
            assert np.array_equal(before[name], value, equal_nan=True)  # an error leaves everything as it was


def read_only():
    x = np.ones((2, 3), np.float32)
    x.setflags(write=False)
    return x


SHARED = np.ones((3, 3), np.float32)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"param": np.ones((2, 3), np.float16)},
            "DTypeError: adam_step: param must be float32 or float64\n"
            "  param: (2, 3) float16\n"
            "  remedy: param.astype(np.float32), which copies",
        ),
        (
            {"exp_avg": np.ones((2, 3))},
            "DTypeError: adam_step: all arrays must have one dtype; expected float32, as the first has\n"
            "  exp_avg: (2, 3) float64\n"
            "  remedy: exp_avg.astype(np.float32), which copies",
        ),
        (
            {"grad": np.ones((3, 2), np.float32)},
            "ShapeError: adam_step: grad must have the shape of param\n  param: (2, 3) float32    grad: (3, 2) float32",
        ),
        (
            {"grad": np.ones((3, 2), np.float32).T},
            "LayoutError: adam_step: grad must be C-contiguous and aligned\n"
            "  grad: (2, 3) float32, strides (4, 8)\n"
            "  remedy: grad = np.ascontiguousarray(grad), which copies, once and for all steps",
        ),
        (
            {"exp_avg_sq": read_only()},
            "LayoutError: adam_step: exp_avg_sq is updated in place and is read-only\n"
            "  exp_avg_sq: (2, 3) float32\n"
            "  remedy: pass a writable array",
        ),
        (
            {"param": [[1.0, 2.0]]},
            "LayoutError: adam_step: param is updated in place and must be a NumPy array\n"
            "  found: list\n"
            "  remedy: np.asarray(...) of anything with a buffer shares its memory",
        ),
        (
            {"exp_avg": SHARED[:2], "exp_avg_sq": SHARED[1:]},
            "LayoutError: adam_step: exp_avg and exp_avg_sq overlap in memory\n"
            "  exp_avg: (2, 3) float32    exp_avg_sq: (2, 3) float32\n"
            "  remedy: every array of a step needs memory of its own",
        ),
        ({"step": 0}, "ValueError: adam_step: step counts from 1\n  found: 0"),
        (
            {"beta2": 1.0},
            "ValueError: adam_step: beta1 and beta2 must be in [0, 1)\n  found: beta1=0.9, beta2=1.0",
        ),
    ],
)
def test_errors_say_what_was_expected_what_was_found_and_what_to_do(changes, expected):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is compared below
        adam(**changes)
    assert f"{type(caught.value).__name__}: {caught.value}" == expected


def test_momentum_needs_a_buffer():
    param, grad, *_ = arrays()
    with pytest.raises(ValueError, match=r"(?s)momentum needs a momentum_buffer.*found: momentum=0.9.*np.zeros_like"):
        od.sgd_step(param, grad, momentum=0.9)


def test_late_steps_have_no_correction_left():
    param, grad, average, square = (np.ones(4) for _ in range(4))
    od.adam_step(param, grad, average, square, step=10**9, lr=0.5)
    np.testing.assert_allclose(param, 1 - 0.5 / (math.sqrt(1) + 1e-8), rtol=1e-15)
