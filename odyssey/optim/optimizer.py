"""What every optimizer has: parameters, a learning rate, and state that can be saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from odyssey.errors import FormatError, ShapeError
from odyssey.protocols import Parameterized
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["Optimizer"]


class Optimizer:
    """The base of optimizers: parameters are updated in place, one kernel call each.

    They come as Tensors, or as a model that has them (`odyssey.protocols.Parameterized`).

    State arrays, such as momentum, are kept by the names in `slots`, one per parameter, and made when a parameter has
    its first gradient.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, params: Iterable[Tensor] | Parameterized, lr: float) -> None:
        self.params = list(params.parameters() if isinstance(params, Parameterized) else params)
        if not self.params:
            raise ValueError(f"{type(self).__name__}: expected at least one parameter, found none")
        for i, p in enumerate(self.params):
            if not isinstance(p, Tensor) or not p.requires_grad:
                raise ValueError(
                    f"{type(self).__name__}: expected Tensors with requires_grad=True, found {p!r} at {i}; "
                    "pass model.parameters()"
                )
        self.lr = _not_negative("lr", lr)
        self.steps = 0
        self.state: list[dict[str, Array] | None] = [None] * len(self.params)

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        raise NotImplementedError

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients; their arrays are kept for the next ones. See `Tensor.zero_grad`."""
        for p in self.params:
            p.zero_grad(set_to_none)

    def _start(self, index: int) -> dict[str, Array]:
        """Make the state of a parameter that is updated for the first time."""
        data = self.params[index].data
        state = self.state[index] = {slot: np.zeros_like(data, order="C") for slot in self.slots}
        return state

    def state_dict(self) -> dict[str, Any]:
        """All that a later run needs to go on to the same bits: `steps` and each array as "<index>.<slot>".

        The arrays are the optimizer's own, not copies. The settings (lr, momentum ...) are the caller's and not part
        of it.
        """
        arrays = {
            f"{i}.{slot}": array for i, state in enumerate(self.state) if state for slot, array in state.items()
        }
        return {"steps": self.steps, **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; the arrays are copied. On an error nothing has changed.

        Raises:
            FormatError: names are missing or unexpected.
            ShapeError: an array does not have its parameter's shape.
        """
        if "steps" not in state:
            raise FormatError(f"{type(self).__name__}: expected state with 'steps', found none; is it an optimizer's?")
        fresh: list[dict[str, Array] | None] = [None] * len(self.params)
        for name, value in state.items():
            if name == "steps":
                continue
            index, _, slot = name.partition(".")
            if slot not in self.slots or not index.isdecimal() or int(index) >= len(self.params):
                raise FormatError(
                    f"{type(self).__name__}: expected {', '.join(self.slots) or 'no arrays'} of "
                    f"{len(self.params)} parameters, found {name!r}; was it saved by another optimizer?"
                )
            data = self.params[int(index)].data
            array = np.array(value, dtype=data.dtype, order="C")
            if array.shape != data.shape:
                raise ShapeError(f"{type(self).__name__}: expected {name} {data.shape}, found {array.shape}")
            entry = fresh[int(index)]
            if entry is None:
                entry = fresh[int(index)] = {}
            entry[slot] = array
        for i, entry in enumerate(fresh):
            if entry is not None and len(entry) != len(self.slots):
                missing = ", ".join(f"{i}.{slot}" for slot in self.slots if slot not in entry)
                raise FormatError(f"{type(self).__name__}: expected {missing}, found them missing")
        self.steps = int(state["steps"])
        self.state = fresh


def _not_negative(name: str, value: float) -> float:
    if not value >= 0.0:
        raise ValueError(f"{name}: expected a number that is not negative, found {value}")
    return float(value)
