"""The operations that Tensors run on: the flat namespace, or its definitions in `odyssey.reference`.

Everything above the arrays (the tape, `nn.functional`, the optimizers) calls `ops.linear(...)`, never
`odyssey.linear(...)`. So one switch moves a whole model, with its gradients and its optimizer, from the fast kernels to
the plain NumPy definitions. The names are ordinary attributes of this module which the switch rebinds: a lookup costs
the same as on any module, whichever way the switch stands.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import odyssey

__all__ = ["CallCount", "use_reference"]


def _operations(namespace: types.ModuleType) -> dict[str, Callable[..., Any]]:
    """The functions of the flat namespace: what is public there and neither a class nor a module."""
    return {
        name: value
        for name, value in vars(namespace).items()
        if callable(value) and not isinstance(value, type) and not name.startswith("_")
    }


_bound = _operations(odyssey)
globals().update(_bound)


@contextmanager
def use_reference() -> Iterator[None]:
    """Run every operation on Tensors through `odyssey.reference` while the context lasts.

    The switch is for the whole process, not for one thread: it exists to train and to check a model by the plain
    NumPy definitions, where two threads that disagree would be a mistake. Operations called directly
    (`odyssey.softmax(x)`) stay as they are. Contexts nest.

    Example:
        >>> import odyssey as od
        >>> with od.use_reference():
        ...     y = od.nn.functional.softmax(od.Tensor([[0.0, 0.0]]))
        >>> y.numpy().tolist()
        [[0.5, 0.5]]
    """
    from odyssey import reference

    module = globals()
    before = {name: module[name] for name in _bound}
    module.update({name: getattr(reference, name) for name in before if hasattr(reference, name)})
    try:
        yield
    finally:
        module.update(before)


class CallCount:
    """Counts the operations on Tensors between `begin` and `end`, in the whole process.

    Example:
        >>> import odyssey as od
        >>> counted = CallCount()
        >>> counted.begin()
        >>> y = od.nn.functional.softmax(od.Tensor([[0.0, 0.0]]))
        >>> counted.end()
        >>> counted.count
        1
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[str, Callable[..., Any]] = {}

    def begin(self) -> None:
        """Count from here on."""
        module = globals()
        self._before = self._before or {name: module[name] for name in _bound}
        module.update({name: self._counting(function) for name, function in self._before.items()})

    def end(self) -> None:
        """Count no more."""
        globals().update(self._before)
        self._before = {}

    def _counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            return function(*args, **kwargs)

        return call


if TYPE_CHECKING:
    # The type checker cannot see names that are bound at run time; their signatures are checked where they are
    # written, in the stubs of `odyssey._kernels` and in `odyssey.reference`.
    def __getattr__(name: str) -> Any: ...
