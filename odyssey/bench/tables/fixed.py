"""Operations on few elements, typed against arrays; filters compiled for their size against any size and SciPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from odyssey import isa
from odyssey.bench.limits import running
from odyssey.bench.race import PythonCall, race
from odyssey.bench.tables import Line, Request, Section, judged, open_line
from odyssey.testing.call import call
from odyssey.testing.cases.filters import scipy_correlate
from odyssey.testing.placement import place
from odyssey.typing import Array

__all__ = ["sections"]

MOST = 0.5
KERNELS = (3, 5, 7)


def sections(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    yield _typed(request, with_out=True)
    yield _typed(request, with_out=False)
    yield _filters(request)
    yield _convolutions(request)
    yield _large(request)


def _typed(request: Request, *, with_out: bool) -> Section:
    """An operation on 16 floats: a tensor's method against the flat namespace's function of arrays."""
    import odyssey as od
    from odyssey.tensor import Float32Tensor

    def numbers(*shape: int) -> Array:
        array: Array = place(np.random.default_rng(0).random(shape, np.float32) + np.float32(0.5))
        return array

    vector, square = (numbers(16), numbers(16)), (numbers(4, 4), numbers(4, 4))
    lines = []
    for op, operands, out in (
        ("add", vector, numbers(16)),
        ("multiply", vector, numbers(16)),
        ("relu", vector[:1], numbers(16)),
        ("exp", vector[:1], numbers(16)),
        ("softmax", vector[:1], numbers(16)),
        ("sum", vector[:1], np.zeros((), np.float32)),
        ("matmul", square, numbers(4, 4)),
    ):
        options = {"out": out} if with_out else {}
        tensors = [Float32Tensor(one) for one in operands]
        typed_options = {name: Float32Tensor(one) for name, one in options.items()}
        contenders = {
            "typed": partial(getattr(tensors[0], op), *tensors[1:], **typed_options),
            "array": partial(getattr(od, op), *operands, **options),
        }
        lines.append(_ratio(request, f"{op} on 16 floats", contenders, MOST, "x the time of arrays", at_most=True))
    return Section(f"Typed tensors, {'into out' if with_out else 'with new results'}", lines)


def _filters(request: Request) -> Section:
    """filter2d with a kernel whose class knows its size: against an array of the same values, and against SciPy."""
    lines = []
    for side in (64, 256):
        image, out = _image(side), _image(side)
        for size in KERNELS:
            what = f"filter2d {size}x{size}, {side}x{side}"
            fixed, array = _contenders(image, out, size)
            lines.append(_ratio(request, what, {"any size": array, "fixed": fixed}, 1.5, "x any size"))
            lines.append(_against_scipy(request, what, fixed, image, size))
    return Section("Filters of a known size", lines)


def _convolutions(request: Request) -> Section:
    """conv2d of one channel with a fixed kernel, against the same with an array."""
    import odyssey as od

    lines = []
    for side in (32, 128):
        for size in KERNELS:
            x = _image(side)[np.newaxis, np.newaxis]
            fixed = _kernel(size)
            weight = np.array(fixed)[np.newaxis, np.newaxis]
            out = np.empty_like(x)
            both: dict[str, Callable[[], Any]] = {
                "any size": partial(od.conv2d, x, weight, padding=size // 2, out=out),
                "fixed": partial(od.conv2d, x, fixed, padding=size // 2, out=out),
            }
            lines.append(_ratio(request, f"conv2d {size}x{size}, {side}x{side}", both, 1.5, "x any size"))
    return Section("Convolutions with a kernel of a known size", lines)


def _large(request: Request) -> Section:
    """A filter of a megapixel against copying it: the least that memory allows."""
    import odyssey as od

    image, out = _image(1024), _image(1024)
    fixed, _ = _contenders(image, out, 3)
    copy = partial(od.multiply, image, 1.0, out)
    both: dict[str, Callable[[], Any]] = {"copy": copy, "fixed": fixed}
    what = "filter2d 3x3, 1024x1024"
    lines = [_ratio(request, f"{what}, over one pass of multiply", both, None, "of its speed")]
    lines.append(_against_scipy(request, what, fixed, image, 3))
    return Section("Filters at the limit of memory", lines)


def _image(side: int) -> Array:
    image: Array = place(np.random.default_rng(0).standard_normal((side, side), np.float32))
    return image


def _kernel(size: int) -> Any:
    from odyssey.tensor import FixedTensor

    return FixedTensor[size, size](np.random.default_rng(1).standard_normal((size, size), np.float32))


def _contenders(image: Array, out: Array, size: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    import odyssey as od

    fixed = _kernel(size)
    return partial(od.filter2d, image, fixed, out=out), partial(od.filter2d, image, np.array(fixed), out=out)


def _against_scipy(request: Request, what: str, ours: Callable[[], Any], image: Array, size: int) -> Line:
    theirs = scipy_correlate(call(image, np.array(_kernel(size))))
    if theirs is None:
        return open_line(f"{what}, against SciPy", "SciPy is absent", _setting())
    return _ratio(request, f"{what}, against SciPy", {"scipy": theirs, "fixed": ours}, 3.0, "x scipy.ndimage")


def _ratio(
    request: Request,
    what: str,
    contenders: Mapping[str, Callable[[], Any]],
    goal: float | None,
    unit: str,
    *,
    at_most: bool = False,
) -> Line:
    """The first contender's time over the second's."""
    request.progress(what)
    outcome = race(
        [PythonCall(name, each, around=partial(running, 1)) for name, each in contenders.items()], rules=request.rules
    )
    first, second = contenders
    note = ", ".join(f"{name} {1e9 * outcome.seconds(name).median:.4g} ns" for name in contenders)
    return judged(what, _setting(), outcome.ratio(first, second), goal, unit, at_most=at_most, note=note)


def _setting(count: int = 1) -> str:
    return f"{isa.active()}, {count} thread{'s' * (count > 1)}"
