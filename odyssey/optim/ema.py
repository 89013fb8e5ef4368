"""The exponential moving average of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from odyssey.errors import FormatError, ShapeError
from odyssey.tensor import ops
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["EMA"]


class EMA:
    """Averages of parameters over the steps of a training: average = decay * average + (1 - decay) * parameter.

    They begin as the parameters are. A model with averaged parameters is often better than the one at the last step,
    which still carries that step's noise (Polyak and Juditsky 1992). What is no parameter, such as batch norm's running
    statistics, is not averaged.

    Args:
        params: what to average, usually `model.parameters()`.
        decay: in [0, 1], how much of the average is kept at an update.
        warmup: take the smaller of decay and (1 + n) / (10 + n) at update n, counted from 1, so that the first values,
            which are chance, go faster.

    Example:
        >>> import odyssey as od
        >>> w = od.Tensor([0.0], requires_grad=True)
        >>> ema = od.optim.EMA([w], decay=0.75)
        >>> w.data[...] = 4.0  # a step
        >>> ema.update()
        >>> with ema.applied():
        ...     w.item()
        1.0
        >>> w.item()
        4.0
    """

    def __init__(self, params: Iterable[Tensor], decay: float = 0.999, warmup: bool = False) -> None:
        if not 0.0 <= decay <= 1.0:
            raise ValueError(f"EMA: expected decay in [0, 1], found {decay}")
        self.params = list(params)
        self.decay = decay
        self.warmup = warmup
        self.updates = 0
        self.averages: list[Array] = [np.array(p.data, order="C") for p in self.params]

    def update(self) -> None:
        """Take in the parameters as they are now: once after each step of the optimizer."""
        self.updates = n = self.updates + 1
        decay = min(self.decay, (1 + n) / (10 + n)) if self.warmup else self.decay
        for p, average in zip(self.params, self.averages, strict=True):
            # As one difference: rounded shares, decay and 1 - decay, would not add up to one.
            ops.axpy(1.0 - decay, ops.subtract(p.data, average), average, average)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The parameters are their averages while the context lasts. It is for evaluating and saving, not for steps."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for i, p in enumerate(self.params):
            p.data, self.averages[i] = self.averages[i], p.data

    def state_dict(self) -> dict[str, Any]:
        """`updates`, and each average by its parameter's number. The arrays are their own, not copies."""
        return {"updates": self.updates, **{str(i): average for i, average in enumerate(self.averages)}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; the arrays are copied. On an error nothing has changed.

        Raises:
            FormatError: it is of another number of parameters.
            ShapeError: an array does not have its parameter's shape.
        """
        expected = {"updates", *map(str, range(len(self.params)))}
        if set(state) != expected:
            raise FormatError(
                f"EMA: expected 'updates' and the averages of {len(self.params)} parameters, found "
                + (f"{len(state)} entries" if state else "none")
            )
        fresh = []
        for i, p in enumerate(self.params):
            array = np.array(state[str(i)], dtype=p.dtype, order="C")
            if array.shape != p.shape:
                raise ShapeError(f"EMA: expected average {i} {p.shape}, found {array.shape}")
            fresh.append(array)
        self.updates = int(state["updates"])
        self.averages = fresh
