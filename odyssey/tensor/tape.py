"""The tape: what a Tensor remembers of how it came to be, and the walk back over it.

Each differentiable operation leaves one `Node`: the function that turns the gradient of its output into those of its
inputs, what that function needs to know, and one edge per input. An edge is another `Node`, a `Leaf` (a Tensor the
user made with `requires_grad=True`) or None where no gradient is wanted.

Nodes carry a running number, and the walk always takes the pending node with the highest one. A node's consumers were
all made after it, hence its gradient is complete when its turn comes, and no sort of the graph is needed. Nodes and the
walk are compiled (`odyssey/_kernels/tape.pyx`), because a small network at batch 1 is bounded by their cost.

A backward function looks like this:

    def _tanh_backward(grad, node):
        (y,) = node.saved
        return (ops.tanh_backward(grad, y, grad if node.owned else None),)

It returns one gradient per input, in order; for an edge that is None it may return None and save the work. Each array
it returns must be the gradient it was given, a view, or a new array: the tape tells these apart, adds into new arrays
in place and never writes to the others. `node.owned` says that the gradient it was given belongs to nobody else and may
be overwritten. `edge.out()` is a buffer to write an input's gradient into, or None. `node.saved` stays as it is: with
`retain_graph` the function is called again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np

from odyssey._kernels.tape import Leaf, Node, is_grad_enabled, recording, run_backward

__all__ = [
    "Array",
    "BackwardFunction",
    "Edge",
    "Gradients",
    "Leaf",
    "Node",
    "enable_grad",
    "is_grad_enabled",
    "no_grad",
    "operation_name",
    "run_backward",
]

Array = np.ndarray[Any, np.dtype[Any]]
Edge: TypeAlias = "Node | Leaf | None"
Gradients: TypeAlias = "tuple[Array | None, ...]"
BackwardFunction: TypeAlias = "Callable[[Array, Node], Gradients]"

P = ParamSpec("P")
R = TypeVar("R")


def operation_name(node: Node) -> str:
    """What a node's operation is called: "multiply" for one whose backward is `_multiply_backward`."""
    function = node.backward
    return "an operation" if function is None else function.__name__.strip("_").removesuffix("_backward")


class no_grad:
    """Record nothing while the context lasts: no tape, no gradients, no memory kept for them.

    A context manager and a decorator. It holds for the current thread (and the current asyncio task) only.

    Example:
        >>> import odyssey as od
        >>> w = od.Tensor([1.0, 2.0], requires_grad=True)
        >>> with od.no_grad():
        ...     y = w * 2.0
        >>> y.requires_grad
        False
    """

    _enabled = False

    def __init__(self) -> None:
        self._tokens: list[Any] = []

    def __enter__(self) -> None:
        self._tokens.append(recording.set(self._enabled))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        recording.reset(self._tokens.pop())

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, run in this context."""
        context = type(self)

        @wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            with context():
                return function(*args, **kwargs)

        return wrapper


class enable_grad(no_grad):
    """Record again inside a `no_grad` context."""

    _enabled = True
