"""Modules made of modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from odyssey.nn.module import Module, Parameter

__all__ = ["Sequential"]


class Sequential(Module):
    """Layers in a row: each is called with what the one before returned.

    Example:
        >>> import odyssey as od
        >>> model = od.nn.Sequential(od.nn.Linear(4, 8, activation="relu"), od.nn.Linear(8, 2))
        >>> [name for name, _ in model.named_parameters()]
        ['0.weight', '0.bias', '1.weight', '1.bias']
    """

    def __init__(self, *layers: Module) -> None:
        self.layers = layers

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def _members(self) -> Iterator[tuple[str, Parameter | Module]]:
        return ((str(i), layer) for i, layer in enumerate(self.layers))  # PyTorch's names

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> Module:
        return self.layers[index]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)
