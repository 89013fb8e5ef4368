"""Gradients against central differences, in float64, with random cotangents, at several points, in several layouts.

Cotangents of ones hide errors in softmax, norms and routers, whose outputs sum to a constant; differences in float32
hide everything; and what is right for contiguous arrays may be wrong for strided ones. So: float64, and for each point
a random cotangent and another layout in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from odyssey.testing.call import LAYOUTS, Call
from odyssey.testing.case import Case, Sample, namespace
from odyssey.testing.draw import Draw
from odyssey.typing import Array

# A gradient that is right for this many elements is right for more, and differences cost two calls for each.
MOST_ELEMENTS = 120

# How inputs lie in memory: the first point's contiguous, the second's with gaps, the third's back to front.
POINTS_LAYOUTS = ("contiguous", "strided", "reversed")

__all__ = ["GradientError", "check_backward", "check_tape", "gradcheck"]


class GradientError(AssertionError):
    """A gradient that central differences contradict."""


def gradcheck(
    f: Callable[..., Any],
    inputs: Sequence[Any] | Callable[[np.random.Generator], Sequence[Any]],
    *,
    eps: float = 6e-6,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    points: int = 3,
    elements: int = 200,
    seed: int = 0,
    layouts: Sequence[str] = POINTS_LAYOUTS,
) -> None:
    """Check the gradient of `f` with respect to its float64 inputs; other inputs are passed on.

    Args:
        f: Either over Tensors: takes and returns them (anything with `data`, `grad` and `backward(grad)`). Or over
            arrays: returns `(y, backward)`, where `backward(grad)` gives one gradient for each float64 array among the
            inputs, or a single one for a single array.
        inputs: The arguments of `f`, or a function that draws them, for another point each time. They stay as they are:
            `f` is given copies, or Tensors whose data is one for the time.
        eps: The step, for elements smaller than 1; larger ones move in proportion.
        rtol: What gradient and difference may be apart, as a part of the difference ...
        atol: ... and beyond it.
        points: How many points, each with a cotangent of its own.
        elements: How many elements of each input to move at each point; beyond it, as many drawn at random.
        seed: Of the cotangents and the draws.
        layouts: How the float64 inputs lie in memory, names of `testing.call.LAYOUTS`: one for each point, in turn.

    Raises:
        GradientError: where a gradient and the difference disagree, with the worst element and both values.

    >>> gradcheck(lambda x: (x * x, lambda grad: 2 * x * grad), [np.array([1.0, 2.0])])
    """
    rng = np.random.default_rng(seed)
    for point in range(points):
        lay = LAYOUTS[layouts[point % len(layouts)]]
        given = list(inputs(rng) if callable(inputs) else inputs)
        given = [lay(value) if _is_float64(value) else value for value in given]
        moved = [value for value in given if _is_tensor(value) or _is_float64(value)]
        if not moved:
            raise TypeError("gradcheck needs at least one input of float64")
        tensors = [value for value in moved if _is_tensor(value)]
        before = [value.data for value in tensors]
        for value in tensors:
            if value.data.dtype != np.float64:
                raise TypeError(f"gradcheck works in float64; found a Tensor of {value.data.dtype}")
            value.grad = None
        try:
            for value in tensors:
                value.data = lay(value.data)
            y, backward = _forward(f, given)
            cotangent = np.asarray(rng.standard_normal(y.shape))
            for number, (value, gradient) in enumerate(zip(moved, backward(moved, cotangent), strict=True)):
                _compare(f, given, number, _array(value), gradient, cotangent, eps, rtol, atol, elements, rng)
        finally:
            for value, data in zip(tensors, before, strict=True):
                value.data = data


def check_backward(case: Case, ops: Any = None, *, points: int = 3, seed: int = 0) -> int:
    """Check the backward of a row of `testing/cases` against differences of its forward, both from `ops`.

    `ops` is a namespace of array operations, `odyssey` by default. Returns how many inputs were checked: 0 for a row
    without a gradient, or whose gradient has no operation of its own. Raises `GradientError`.
    """
    ops = namespace(ops)
    if isinstance(case.grad, str) or (case.grad.backward is None and not hasattr(ops, f"{case.op}_backward")):
        return 0
    checked = 0
    for sample in _samples(case):
        for point in range(points):
            call = _draw(case, sample, seed + point)
            size = sum(call.args[i].size for i in case.grad.wrt)
            if case.grad.sizes is None and not 0 < size <= MOST_ELEMENTS:
                continue
            try:
                gradcheck(
                    _over_arrays(case, ops, call),
                    [call.args[i] for i in case.grad.wrt],
                    points=1,
                    seed=seed + point,
                    layouts=(POINTS_LAYOUTS[point % len(POINTS_LAYOUTS)],),
                )
            except GradientError as error:
                raise GradientError(f"{case.op}, {sample}: {error}") from None
            checked += 1
    return checked


def check_tape(case: Case, *, samples: int = 4, seed: int = 0) -> int:
    """Check the gradient that Tensors record for a row of `testing/cases`: `nn.functional.<op>` against differences.

    The first `samples` sets of arguments that are small enough are taken, each in another layout. Returns how many were
    checked: 0 for a row without a gradient. Raises `GradientError`.
    """
    from odyssey.nn import functional
    from odyssey.tensor import Tensor

    if isinstance(case.grad, str):
        return 0
    grad = case.grad
    checked = 0
    for sample in _samples(case):
        call = _draw(case, sample, seed)
        size = sum(call.args[i].size for i in grad.wrt)
        if checked == samples or (grad.sizes is None and not 0 < size <= MOST_ELEMENTS):
            continue

        def f(*tensors: Any, call: Call = call) -> Any:
            args = list(call.args)
            for position, tensor in zip(grad.wrt, tensors, strict=True):
                args[position] = tensor
            result = getattr(functional, case.op)(*args, **call.kwargs)
            if grad.outputs is None:
                return result
            return functional.concatenate([functional.reshape(one, -1) for one in result[: grad.outputs]])

        layout = POINTS_LAYOUTS[checked % len(POINTS_LAYOUTS)]
        tensors = [Tensor(call.args[i], requires_grad=True) for i in grad.wrt]
        try:
            gradcheck(f, tensors, points=1, elements=25, seed=seed, layouts=(layout,))
        except GradientError as error:
            raise GradientError(f"nn.functional.{case.op}, {sample}, {layout}: {error}") from None
        checked += 1
    return checked


def _samples(case: Case) -> list[Sample]:
    assert not isinstance(case.grad, str)
    sizes = case.sizes if case.grad.sizes is None else case.grad.sizes
    options = case.options if case.grad.options is None else case.grad.options
    return [Sample(size, option, "normal", "float64") for size in sizes for option in options]


def _draw(case: Case, sample: Sample, seed: int) -> Call:
    """The arguments, in the gradient's domain and away from its kinks."""
    assert not isinstance(case.grad, str)
    rng = np.random.default_rng([seed, len(case.op)])
    inputs = case.grad.inputs or case.inputs
    call = inputs(Draw(rng, np.dtype(np.float64)), sample.size, **sample.options)
    args = [np.array(value) if isinstance(value, np.ndarray) else value for value in call.args]
    for position in case.grad.wrt:
        for kink in case.grad.avoid:
            near = np.abs(args[position] - kink) < 0.01
            args[position] = np.where(near, args[position] + 0.03, args[position])
    return Call(tuple(args), call.kwargs)


def _over_arrays(case: Case, ops: Any, call: Call) -> Callable[..., Any]:
    """The case's operation as a function of its differentiable arguments, for `gradcheck`."""
    grad = case.grad
    assert not isinstance(grad, str)

    def f(*arrays: Array) -> tuple[Array, Callable[[Array], Any]]:
        args = list(call.args)
        for position, array in zip(grad.wrt, arrays, strict=True):
            args[position] = array
        result = getattr(ops, case.op)(*args, **call.kwargs)
        y = np.asarray(result) if grad.outputs is None else _joined(result[: grad.outputs])

        def backward(cotangent: Array) -> Any:
            given = cotangent if grad.outputs is None else _parted(cotangent, result[: grad.outputs])
            if grad.backward is not None:
                return grad.backward(ops, given, y if grad.outputs is None else result, *args, **call.kwargs)
            return getattr(ops, f"{case.op}_backward")(given, *args, **call.kwargs)

        return y, backward

    return f


def _joined(results: tuple[Array, ...]) -> Array:
    return np.concatenate([one.ravel() for one in results])


def _parted(joined: Array, like: tuple[Array, ...]) -> tuple[Array, ...]:
    pieces = np.split(joined, np.cumsum([one.size for one in like])[:-1])
    return tuple(piece.reshape(one.shape) for piece, one in zip(pieces, like, strict=True))


def _forward(f: Callable[..., Any], given: list[Any]) -> tuple[Array, Callable[[list[Any], Array], list[Array]]]:
    """The result of f, and a function from the inputs to check and a cotangent to the gradients."""
    result = f(*given)
    if _is_tensor(result):

        def by_tape(moved: list[Any], cotangent: Array) -> list[Array]:
            result.backward(cotangent)
            return [np.zeros_like(_array(value)) if value.grad is None else _array(value.grad) for value in moved]

        return np.array(result.data), by_tape
    y, backward = result

    def by_function(moved: list[Any], cotangent: Array) -> list[Array]:
        gradients = backward(cotangent)
        return [np.asarray(g) for g in (gradients if isinstance(gradients, tuple) else (gradients,))]

    return np.array(y), by_function


def _compare(
    f: Callable[..., Any],
    given: list[Any],
    number: int,
    array: Array,
    gradient: Array,
    cotangent: Array,
    eps: float,
    rtol: float,
    atol: float,
    elements: int,
    rng: np.random.Generator,
) -> None:
    if gradient.shape != array.shape:
        raise GradientError(f"input {number} has shape {array.shape}, its gradient {gradient.shape}")
    picked = np.arange(array.size) if array.size <= elements else rng.choice(array.size, elements, replace=False)
    worst, message = 0.0, ""
    for flat in picked:
        index = tuple(int(i) for i in np.unravel_index(flat, array.shape))
        expected = _difference(f, given, array, index, cotangent, eps)
        excess = abs(gradient[index] - expected) / (atol + rtol * abs(expected))
        if not excess <= max(1.0, worst):
            worst = excess if excess == excess else np.inf
            message = (
                f"input {number} at {list(index)}: the gradient is {gradient[index]:.10g}, "
                f"central differences give {expected:.10g}"
            )
    if message:
        raise GradientError(message)


def _difference(
    f: Callable[..., Any], given: list[Any], array: Array, index: tuple[int, ...], cotangent: Array, eps: float
) -> float:
    """The slope of Σ cotangent · f along one element."""
    before = array[index]
    step = eps * max(1.0, abs(float(before)))
    above, below = before + step, before - step
    array[index] = above
    y_above = _forward(f, given)[0]
    array[index] = below
    y_below = _forward(f, given)[0]
    array[index] = before
    return float(np.sum(cotangent * (y_above - y_below)) / (above - below))


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "backward") and hasattr(value, "data")


def _is_float64(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float64


def _array(value: Any) -> Array:
    array: Array = value.data if _is_tensor(value) else value
    return array
