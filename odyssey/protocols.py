"""What is asked of a model: protocols, so that a class of one's own serves as well as a subclass of `nn.Module`.

`Trainer`, the optimizers, `odyssey.save` and checkpoints ask for these and for nothing else. Each can be tested for
with `isinstance`, which looks whether the methods are there. All of odyssey's layers and models satisfy all four.

Example:
    >>> import odyssey as od
    >>> isinstance(od.nn.Linear(2, 2), od.protocols.Differentiable)
    True
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from odyssey.tensor import Tensor

__all__ = ["Composable", "Differentiable", "Parameterized", "Serializable"]


@runtime_checkable
class Differentiable(Protocol):
    """A computation over Tensors that a gradient goes back through: what a Trainer calls."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Tensors from Tensors or arrays, by operations of `odyssey.nn.functional`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`forward`."""


@runtime_checkable
class Parameterized(Protocol):
    """Something with Tensors to train, made with `requires_grad=True`: what an optimizer takes."""

    def parameters(self) -> Iterator[Tensor]:
        """Each parameter once, always in one order."""

    def named_parameters(self) -> Iterable[tuple[str, Tensor]]:
        """Each parameter once, with its name."""


@runtime_checkable
class Serializable(Protocol):
    """Something whose state is arrays by name: what `odyssey.save` and checkpoints write."""

    def state_dict(self) -> Mapping[str, Any]:
        """The arrays; they may be its own."""

    def load_state_dict(self, state: Mapping[str, Any]) -> Any:
        """Copy the arrays of a `state_dict` into one's own."""


@runtime_checkable
class Composable(Protocol):
    """Something with parts, which learns and is used in two modes. A Trainer sets the mode of models that have one."""

    def children(self) -> Iterable[Any]:
        """The parts held directly."""

    def train(self, mode: bool = True) -> Any:
        """Set training mode, here and inside, or leave it."""

    def eval(self) -> Any:
        """Leave training mode."""
