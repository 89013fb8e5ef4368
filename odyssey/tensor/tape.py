"""The tape: what a Tensor remembers of how it came to be, and the walk back over it.

Each differentiable operation leaves one `Node`: the function that turns the gradient of its output into those of its
inputs, what that function needs to know, and one edge per input. An edge is another `Node`, a `Leaf` (a Tensor the
user made with `requires_grad=True`) or None where no gradient is wanted.

A small network at batch 1 is bounded by the cost of this file, so it stays flat: nodes carry a running number, and
the walk always takes the pending node with the highest one. A node's consumers were all made after it, hence its
gradient is complete when its turn comes, and no sort of the graph is needed.

A backward function looks like this:

    def _tanh_backward(grad, node):
        (y,) = node.saved
        return (ops.tanh_backward(grad, y, grad if node.owned else None),)

It returns one gradient per input, in order; for an edge that is None it may return None and save the work. Each array
it returns must be the gradient it was given, a view, or a new array: the tape tells these apart, adds into new arrays
in place and never writes to the others. `node.owned` says that the gradient it was given belongs to nobody else and may
be overwritten. `edge.out()` is a buffer to write an input's gradient into, or None.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from heapq import heappop, heappush
from sys import getrefcount
from types import TracebackType
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np

from odyssey._kernels.array import Block
from odyssey.tensor import ops

Array = np.ndarray[Any, np.dtype[Any]]
Gradients: TypeAlias = "tuple[Array | None, ...]"
BackwardFunction: TypeAlias = "Callable[[Array, Node], Gradients]"

P = ParamSpec("P")
R = TypeVar("R")

_recording: ContextVar[bool] = ContextVar("odyssey_recording", default=True)
is_grad_enabled = _recording.get
_next_number = itertools.count().__next__


class Leaf:
    """Where the gradient of a Tensor that the user made is kept.

    `clear` sets the gradient to None and remembers its array, and the next step's gradient is written straight into
    it: a training loop allocates its gradients once. An array that anybody else still holds (a user who kept last
    step's `p.grad`, or a view of it) is not reused; the reference count tells.
    """

    __slots__ = ("_spare", "grad")

    def __init__(self) -> None:
        self.grad: Array | None = None
        self._spare: Array | None = None

    def out(self) -> Array | None:
        """An array that this step's gradient may be written into, once; None where there is none."""
        if self._spare is None or self.grad is not None or getrefcount(self._spare) > 2:  # ours and the argument
            return None
        spare, self._spare = self._spare, None
        return spare

    def receive(self, grad: Array, fresh: bool) -> None:
        """Add `grad`; `fresh` if it is a new array that may be kept."""
        if self.grad is not None:
            ops.add(self.grad, grad, self.grad)
        elif fresh:
            self.grad = grad
        else:
            self.grad = np.array(grad, order="C")  # a view or shared: the optimizer needs its own

    def clear(self) -> None:
        """Set the gradient to None, and keep its array for the next."""
        if self.grad is not None:
            self._spare, self.grad = self.grad, None


class Node:
    """One operation on the tape."""

    __slots__ = ("backward", "grad", "inputs", "number", "owned", "saved")

    def __init__(self, backward: BackwardFunction, inputs: tuple[Node | Leaf | None, ...], saved: Any) -> None:
        self.backward: BackwardFunction | None = backward
        self.inputs = inputs
        self.saved = saved
        self.number = _next_number()
        self.grad: Array | None = None
        self.owned = False

    def out(self) -> Array | None:
        """None, as said of `Leaf.out`."""
        return None  # an intermediate gradient has no buffer of its own; the kernel allocates

    def receive(self, grad: Array, fresh: bool) -> None:
        """Add `grad`; `fresh` if it is a new array that may be written to."""
        if self.grad is None:
            self.grad = grad
            self.owned = fresh
        elif self.owned:
            ops.add(self.grad, grad, self.grad)
        else:
            self.grad = np.asarray(ops.add(self.grad, grad))
            self.owned = True


def run_backward(root: Node | Leaf, grad: Array) -> None:
    """Carry `grad`, the gradient with respect to `root`'s output, back to every leaf; free the tape on the way."""
    if isinstance(root, Leaf):
        root.receive(grad, fresh=False)
        return
    root.grad = grad
    root.owned = False
    pending = [(-root.number, root)]
    ndarray = np.ndarray
    try:
        while pending:
            node = heappop(pending)[1]
            backward = node.backward
            if backward is None:
                raise RuntimeError(
                    "backward: expected a tape that has not been used, found one that an earlier backward() has "
                    "freed; run the forward pass again, or add the losses and call backward() once"
                )
            incoming, node.grad = node.grad, None
            assert incoming is not None
            for edge, outgoing in zip(node.inputs, backward(incoming, node), strict=True):
                if edge is None or outgoing is None:
                    continue
                if type(outgoing) is not ndarray:
                    outgoing = np.asarray(outgoing)  # NumPy gives a scalar where an array has no axes left
                base: Any = outgoing.base
                fresh = outgoing is not incoming and (base is None or type(base) is Block)
                if edge.grad is None and type(edge) is Node:
                    heappush(pending, (-edge.number, edge))
                edge.receive(outgoing, fresh)
            node.backward = node.saved = None
            node.inputs = ()
    finally:
        for _, node in pending:  # only after an error: leave no half-summed gradient for a later backward()
            node.grad = None


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
        self._tokens.append(_recording.set(self._enabled))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _recording.reset(self._tokens.pop())

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
