"""What every optimizer has: parameters in groups, a learning rate, and state that can be saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from odyssey.errors import FormatError, ShapeError
from odyssey.protocols import Parameterized
from odyssey.tensor.changes import written
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["Optimizer", "Params"]

Params: TypeAlias = "Iterable[Tensor] | Iterable[Mapping[str, Any]] | Parameterized"


class Optimizer:
    """The base of optimizers: parameters are updated in place, one kernel call each.

    Args:
        params: the Tensors to train, or a model that has them (`odyssey.protocols.Parameterized`); or groups of them
            with settings of their own, each a mapping with "params" and any of the optimizer's arguments by name:
            `[{"params": biases, "weight_decay": 0.0}, {"params": weights}]`.
        settings: what holds for a group that does not say otherwise, "lr" among it.

    `param_groups` is a list of dicts, one for each group, with "params" and every setting; a setting may be changed
    there between steps. State arrays, such as momentum, are kept by name, one per parameter, and made when a parameter
    has its first gradient.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, params: Params, settings: Mapping[str, Any]) -> None:
        name = type(self).__name__
        given: list[Any] = list(params.parameters() if isinstance(params, Parameterized) else params)
        grouped = any(isinstance(one, Mapping) for one in given)
        self.param_groups: list[dict[str, Any]] = []
        for group in given if grouped else [{"params": given}]:
            if not isinstance(group, Mapping) or "params" not in group:
                raise ValueError(
                    f"{name}: expected only groups with 'params', or only Tensors, found {group!r} among them"
                )
            unknown = [key for key in group if key != "params" and key not in settings]
            if unknown:
                raise ValueError(
                    f"{name}: expected settings among {', '.join(settings)} in a group, "
                    f"found {', '.join(map(repr, unknown))}"
                )
            members = group["params"]
            members = [members] if isinstance(members, Tensor) else list(members)
            complete = {**settings, **group, "params": members}
            self._check(complete)
            self.param_groups.append(complete)
        self.params: list[Tensor] = [p for group in self.param_groups for p in group["params"]]
        if not self.params:
            raise ValueError(f"{name}: expected at least one parameter, found none")
        for i, p in enumerate(self.params):
            if not isinstance(p, Tensor) or not p.requires_grad:
                raise ValueError(
                    f"{name}: expected Tensors with requires_grad=True, found {p!r} at {i}; pass model.parameters()"
                )
        if len({id(p) for p in self.params}) != len(self.params):
            raise ValueError(f"{name}: expected each parameter once, found one again; it would be updated twice a step")
        self.steps = 0
        self.state: list[dict[str, Array] | None] = [None] * len(self.params)

    def _check(self, group: dict[str, Any]) -> None:
        """Refuse a group's settings where they make no sense."""
        _not_negative("lr", group["lr"])

    @property
    def lr(self) -> float:
        """The learning rate, of the first group where there are several. Setting it sets that of all groups."""
        return float(self.param_groups[0]["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        for group in self.param_groups:
            group["lr"] = value

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        raise NotImplementedError

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients; their arrays are kept for the next ones. See `Tensor.zero_grad`."""
        for p in self.params:
            p.zero_grad(set_to_none)

    def _due(self) -> Iterator[tuple[int, Tensor, Array, dict[str, Any]]]:
        """The parameters with a gradient: number, parameter, gradient, group."""
        index = 0
        for group in self.param_groups:
            for p in group["params"]:
                grad = p.grad
                if grad is not None:
                    yield index, p, grad, group
                    written(p.data, whole=True)  # a tape retained from before the step must not be walked after it
                index += 1

    def _slots_of(self, group: dict[str, Any]) -> tuple[str, ...]:
        """The names of the state arrays of a group's parameters."""
        return self.slots

    def _start(self, index: int, group: dict[str, Any]) -> dict[str, Array]:
        """Make the state of a parameter that is updated for the first time."""
        data = self.params[index].data
        state = self.state[index] = {slot: np.zeros_like(data, order="C") for slot in self._slots_of(group)}
        return state

    def state_dict(self) -> dict[str, Any]:
        """All that a later run needs to go on to the same bits: `steps` and each array as "<index>.<slot>".

        The arrays are the optimizer's own, not copies. The settings (lr, momentum ...) are the caller's and not part
        of it. Parameters are counted through all groups.
        """
        arrays = {f"{i}.{slot}": array for i, state in enumerate(self.state) if state for slot, array in state.items()}
        return {"steps": self.steps, **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; the arrays are copied. On an error nothing has changed.

        Raises:
            FormatError: names are missing or unexpected.
            ShapeError: an array does not have its parameter's shape.
        """
        if "steps" not in state:
            raise FormatError(f"{type(self).__name__}: expected state with 'steps', found none; is it an optimizer's?")
        slots = [self._slots_of(group) for group in self.param_groups for _ in group["params"]]
        known = sorted({slot for one in slots for slot in one})
        fresh: list[dict[str, Array] | None] = [None] * len(self.params)
        for name, value in state.items():
            if name == "steps":
                continue
            index, _, slot = name.partition(".")
            if not index.isdecimal() or int(index) >= len(self.params) or slot not in slots[int(index)]:
                raise FormatError(
                    f"{type(self).__name__}: expected {', '.join(known) or 'no arrays'} of "
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
            if entry is not None and len(entry) != len(slots[i]):
                missing = ", ".join(f"{i}.{slot}" for slot in slots[i] if slot not in entry)
                raise FormatError(f"{type(self).__name__}: expected {missing}, found them missing")
        self.steps = int(state["steps"])
        self.state = fresh


def _not_negative(name: str, value: float) -> float:
    if not value >= 0.0:
        raise ValueError(f"{name}: expected a number that is not negative, found {value}")
    return float(value)


def _check_betas(betas: tuple[float, float]) -> None:
    for beta in betas:
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"betas: expected two numbers in [0, 1), found {betas}")
