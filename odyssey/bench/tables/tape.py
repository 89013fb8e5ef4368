"""The goals of small operations on Tensors: what the tape adds, against torch's autograd."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from odyssey.bench.limits import running
from odyssey.bench.peers import absent, equal_threads
from odyssey.bench.race import PythonCall, race
from odyssey.bench.tables import Line, Request, Section, judged, open_line
from odyssey.bench.tables.kernels import _setting
from odyssey.typing import Array

__all__ = ["sections"]

ELEMENTS = 16
GOAL = 0.5
OURS = "odyssey"

Call = Callable[..., Any]


def sections(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    yield Section(
        f"An operation on {ELEMENTS} floats that both tapes record",
        [_race(request, what, ours, torchs) for what, ours, torchs in _forward()],
    )
    yield Section(
        f"Operations on {ELEMENTS} floats, forward and backward",
        [_race(request, what, ours, torchs) for what, ours, torchs in _both_ways()],
    )


def _forward() -> list[tuple[str, Call, Call]]:
    """What is computed; with our functions; with torch's, found in the module that is given first."""
    from odyssey.nn import functional

    return [
        ("a + b", operator.add, lambda torch: operator.add),
        ("a * b", operator.mul, lambda torch: operator.mul),
        ("a * 2", lambda a, b: a * 2.0, lambda torch: lambda a, b: a * 2.0),
        ("exp(a)", lambda a, b: functional.exp(a), lambda torch: lambda a, b: torch.exp(a)),
        ("silu(a)", lambda a, b: functional.silu(a), lambda torch: lambda a, b: torch.nn.functional.silu(a)),
        ("a.sum()", lambda a, b: a.sum(), lambda torch: lambda a, b: a.sum()),
        ("a[2:8]", lambda a, b: a[2:8], lambda torch: lambda a, b: a[2:8]),
        ("a.reshape(4, 4)", lambda a, b: a.reshape(4, 4), lambda torch: lambda a, b: a.reshape(4, 4)),
        (
            "matmul(a, b) of 4x4",
            lambda a, b: functional.matmul(a.reshape(4, 4), b.reshape(4, 4)),
            lambda torch: lambda a, b: torch.matmul(a.reshape(4, 4), b.reshape(4, 4)),
        ),
    ]


def _both_ways() -> list[tuple[str, Call, Call]]:
    from odyssey.nn import functional

    ones = np.ones(ELEMENTS, np.float32)

    def product(a: Any, b: Any) -> None:
        (a * b).backward(ones)

    def chain(a: Any, b: Any) -> None:
        (functional.silu(a * b + a) * b).sum().backward()

    def torchs_product(torch: Any) -> Call:
        gradient = torch.from_numpy(ones)

        def product(a: Any, b: Any) -> None:
            (a * b).backward(gradient)

        return product

    def torchs_chain(torch: Any) -> Call:
        def chain(a: Any, b: Any) -> None:
            (torch.nn.functional.silu(a * b + a) * b).sum().backward()

        return chain

    return [("a * b", product, torchs_product), ("(silu(a * b + a) * b).sum()", chain, torchs_chain)]


def _race(request: Request, what: str, ours: Call, torchs: Call) -> Line:
    why = absent("torch")
    if why is not None:
        return open_line(what, why, _setting(1))
    from odyssey.tensor import Tensor

    request.progress(f"{what} on {ELEMENTS} floats")
    torch: Any = import_module("torch")
    arrays = _operands()
    given = [Tensor(array, requires_grad=True) for array in arrays]
    theirs = [torch.from_numpy(array.copy()).requires_grad_() for array in arrays]
    with equal_threads(1):
        contenders = [
            PythonCall(OURS, ours, given, around=partial(running, 1)),
            PythonCall("torch", torchs(torch), theirs),
        ]
        outcome = race(contenders, rules=request.rules)
    note = ", ".join(f"{name} {1e6 * outcome.seconds(name).median:.3g} µs" for name in (OURS, "torch"))
    return judged(what, _setting(1), outcome.ratio(OURS, "torch"), GOAL, "of torch's time", at_most=True, note=note)


def _operands() -> list[Array]:
    generator = np.random.default_rng(0)
    return [generator.uniform(0.5, 2.0, ELEMENTS).astype(np.float32) for _ in range(2)]
