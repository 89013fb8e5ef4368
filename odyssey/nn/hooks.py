"""Hooks: functions called before, after and behind a Module's forward.

Calling a Module is calling its `forward` with nothing in between. The first hook on an instance puts `call_with_hooks`
in between for its class; instances without hooks pay one look-up from then on, other classes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

from odyssey.tensor.tape import Array, BackwardFunction, Gradients, Node
from odyssey.tensor.tensor import Tensor, record

if TYPE_CHECKING:
    from odyssey.nn.module import Module

__all__ = ["BackwardHook", "ForwardHook", "ForwardPreHook", "Handle", "Hooks", "call_with_hooks"]

ForwardPreHook: TypeAlias = "Callable[[Any, tuple[Any, ...]], Any]"
ForwardHook: TypeAlias = "Callable[[Any, tuple[Any, ...], Any], Any]"
BackwardHook: TypeAlias = "Callable[[Any, tuple[Array | None, ...], tuple[Array | None, ...]], Any]"


class Handle:
    """Takes a hook away again: by `remove()`, or at the end of a `with` block."""

    def __init__(self, hooks: dict[Handle, Callable[..., Any]]) -> None:
        self._hooks = hooks

    def remove(self) -> None:
        """Call the hook no more. Removing twice is no error."""
        self._hooks.pop(self, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


class Hooks:
    """A Module's hooks of each kind, in the order in which they came."""

    __slots__ = ("after", "backward", "before")

    def __init__(self) -> None:
        self.before: dict[Handle, Callable[..., Any]] = {}
        self.after: dict[Handle, Callable[..., Any]] = {}
        self.backward: dict[Handle, Callable[..., Any]] = {}

    def add(self, kind: str, hook: Callable[..., Any]) -> Handle:
        """Add one; `kind` is the name of an attribute."""
        hooks = getattr(self, kind)
        handle = Handle(hooks)
        hooks[handle] = hook
        return handle


def call_with_hooks(call: Callable[..., Any]) -> Callable[..., Any]:
    """A class's `__call__` that calls the hooks of the instance, where it has some, around `call`."""

    @wraps(call)
    def hooked(self: Module, *args: Any, **kwargs: Any) -> Any:
        hooks: Hooks | None = vars(self).get("_hooks")
        if hooks is None:
            return call(self, *args, **kwargs)
        for hook in tuple(hooks.before.values()):
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        passage = None
        if hooks.backward:
            passage = _Passage(self, tuple(hooks.backward.values()), args)
            args = passage.inputs
        output = call(self, *args, **kwargs)
        for hook in tuple(hooks.after.values()):
            changed = hook(self, args, output)
            if changed is not None:
                output = changed
        return output if passage is None else passage.out(output)

    hooked.looks_for_hooks = True  # type: ignore[attr-defined]
    return hooked


class _Passage:
    """One call of a Module whose backward is watched.

    Arguments and outputs pass through nodes that note their gradients. Behind those of the outputs stands one node
    that was made before them, and so is reached after all of them; behind those of the arguments another, which calls
    the hooks.
    """

    def __init__(self, module: Module, hooks: tuple[BackwardHook, ...], args: tuple[Any, ...]) -> None:
        self.module = module
        self.hooks = hooks
        self.by_inputs: list[Array | None] = [None] * len(args)
        self.by_outputs: list[Array | None] = []
        self.inputs = self._watched(args, self.by_inputs, _meet_inputs)
        self.called_behind = any(isinstance(arg, Tensor) and arg.requires_grad for arg in args)

    def out(self, output: Any) -> Any:
        """The Module's output, watched."""
        many = isinstance(output, (tuple, list))
        outputs = tuple(output) if many else (output,)
        self.by_outputs = [None] * len(outputs)
        watched = self._watched(outputs, self.by_outputs, _meet_outputs)
        return type(output)(watched) if many else watched[0]

    def _watched(
        self, values: tuple[Any, ...], gradients: list[Array | None], meet: BackwardFunction
    ) -> tuple[Any, ...]:
        edges = tuple(value.node if isinstance(value, Tensor) else None for value in values)
        meeting = record(_NOTHING, meet, edges, self).node
        if meeting is None:
            return values
        return tuple(
            value if edge is None else record(value.data, _note, (meeting,), (gradients, i))
            for i, (value, edge) in enumerate(zip(values, edges, strict=True))
        )

    def call(self) -> tuple[Array | None, ...]:
        """The hooks, one after the other; and the gradients of the arguments that they leave."""
        by_inputs, by_outputs = tuple(self.by_inputs), tuple(self.by_outputs)
        for hook in self.hooks:
            changed = hook(self.module, by_inputs, by_outputs)
            if changed is None:
                continue
            changed = changed if isinstance(changed, tuple) else (changed,)
            if len(changed) != len(by_inputs):
                raise ValueError(
                    f"backward hook of {type(self.module).__name__}: expected {len(by_inputs)} gradients, one for each "
                    f"argument, found {len(changed)}"
                )
            by_inputs = changed
        self.by_inputs[:] = [None] * len(self.by_inputs)
        self.by_outputs[:] = [None] * len(self.by_outputs)
        return by_inputs


_NOTHING = np.empty(0, np.float32)


def _note(grad: Array, node: Node) -> Gradients:
    gradients, place = node.saved
    gradients[place] = grad
    return (np.empty(0, np.float32),)


def _meet_inputs(grad: Array, node: Node) -> Gradients:
    return _views(node.saved.call())


def _meet_outputs(grad: Array, node: Node) -> Gradients:
    passage = node.saved
    by_outputs = tuple(passage.by_outputs)
    if not passage.called_behind:  # nothing behind the Module wants a gradient: the walk will not come there
        passage.call()
    return _views(by_outputs)


def _views(gradients: tuple[Array | None, ...]) -> Gradients:
    """Views, which the tape does not write into: a hook may have kept the arrays."""
    return tuple(None if gradient is None else gradient.view() for gradient in gradients)
