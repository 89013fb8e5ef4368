"""The libraries an operation races against, when they are installed.

A peer is a function from the arguments of a call to another that takes none and does the work once, everything prepared
beforehand; or to None where the library is absent. Where the library can write into a given array, it does: so does
odyssey.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from odyssey.testing.call import Call
from odyssey.testing.placement import place

__all__ = ["Peer", "numpy_call", "numpy_out", "torch_call", "torch_out"]

Peer: TypeAlias = Callable[[Call], "Callable[[], object] | None"]


def numpy_out(function: Callable[..., Any]) -> Peer:
    """A NumPy function that takes `out`."""

    def prepare(call: Call) -> Callable[[], object]:
        out = place(np.asarray(function(*call.args, **call.kwargs)))
        return partial(function, *call.args, **call.kwargs, out=out)

    return prepare


def numpy_call(function: Callable[..., Any]) -> Peer:
    """An expression in NumPy that allocates its result."""
    return lambda call: partial(function, *call.args, **call.kwargs)


def torch_out(name: str) -> Peer:
    """`torch.<name>`, written into a tensor of its own."""

    def prepare(call: Call) -> Callable[[], object] | None:
        torch = _torch()
        if torch is None:
            return None
        function = getattr(torch, name)
        args = _tensors(torch, call)
        out = torch.from_numpy(place(function(*args, **call.kwargs).numpy()))
        return partial(function, *args, **call.kwargs, out=out)

    return prepare


def torch_call(function: Callable[..., Any]) -> Peer:
    """`function(torch, *args, **kwargs)`, the arrays turned into tensors over the same memory."""

    def prepare(call: Call) -> Callable[[], object] | None:
        torch = _torch()
        return None if torch is None else partial(function, torch, *_tensors(torch, call), **call.kwargs)

    return prepare


@cache
def _torch() -> ModuleType | None:
    try:
        return import_module("torch")  # at the first race: it takes a second to import
    except ImportError:
        return None


def _tensors(torch: ModuleType, call: Call) -> list[Any]:
    return [torch.from_numpy(value) if isinstance(value, np.ndarray) else value for value in call.args]
