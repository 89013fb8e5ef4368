"""Modules made of modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from odyssey.nn import functional
from odyssey.nn.module import Module, Parameter

__all__ = ["ModuleList", "Residual", "Sequential"]


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


class ModuleList(Module):
    """Modules in a list, for a model whose `forward` walks it. A plain list is found as well; this one is a Module.

    Example:
        >>> import odyssey as od
        >>> blocks = od.nn.ModuleList(od.nn.Linear(4, 4) for _ in range(2))
        >>> blocks.append(od.nn.ReLU())
        >>> len(blocks), [name for name, _ in blocks.named_parameters()]
        (3, ['0.weight', '0.bias', '1.weight', '1.bias'])
    """

    def __init__(self, layers: Iterable[Module] = ()) -> None:
        self.layers: list[Module] = []
        self.extend(layers)

    def append(self, layer: Module) -> None:
        """Add one at the end."""
        self.insert(len(self.layers), layer)

    def extend(self, layers: Iterable[Module]) -> None:
        """Add several at the end, in order."""
        for layer in layers:
            self.append(layer)

    def insert(self, index: int, layer: Module) -> None:
        """Add one before the place `index`."""
        self.layers.insert(index, self._checked(layer))

    def _checked(self, layer: Module) -> Module:
        if not isinstance(layer, Module):
            raise TypeError(f"ModuleList: expected Modules, found {type(layer).__name__}; a plain list holds anything")
        return layer

    def _members(self) -> Iterator[tuple[str, Parameter | Module]]:
        return ((str(i), layer) for i, layer in enumerate(self.layers))

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> Module:
        return self.layers[index]

    def __setitem__(self, index: int, layer: Module) -> None:
        self.layers[index] = self._checked(layer)

    def __delitem__(self, index: int) -> None:
        del self.layers[index]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)


class Residual(Module):
    """shortcut(x) + the layers, one after the other, of x (He et al. 2016).

    Args:
        layers: what is added to x.
        shortcut: a Module that brings x to the layers' shape, such as a 1x1 convolution; None where it has it.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> block = od.nn.Residual(od.nn.Conv2d(4, 4, 3, padding=1), od.nn.ReLU())
        >>> block(np.zeros((1, 4, 5, 5), np.float32)).shape
        (1, 4, 5, 5)
        >>> [name for name, _ in block.named_parameters()]
        ['body.0.weight', 'body.0.bias']
    """

    def __init__(self, *layers: Module, shortcut: Module | None = None) -> None:
        self.body = Sequential(*layers)
        self.shortcut = shortcut

    def forward(self, x: Any) -> Any:
        beside = x if self.shortcut is None else self.shortcut(x)
        return functional.add(beside, self.body(x))
