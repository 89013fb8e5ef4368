"""Batch norms folded into the layers before them, for inference."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import odyssey
from odyssey.nn.activations import ReLU
from odyssey.nn.containers import Sequential
from odyssey.nn.conv import Conv2d
from odyssey.nn.linear import Linear
from odyssey.nn.module import Module, Parameter
from odyssey.nn.norms import BatchNorm1d, BatchNorm2d

__all__ = ["Foldable", "fold_batch_norm"]

M = TypeVar("M", bound=Module)


class Foldable(Module):
    """A Module that calls batch norms right after layers of its own, and can do without.

    A subclass names the pairs in `folds`, and whether a ReLU stands behind the norm: (layer, norm, "relu" or None). When
    they are folded the layer has taken over norm and activation, and the norm's attribute is None.
    """

    folds: tuple[tuple[str, str, str | None], ...] = ()


def fold_batch_norm(model: M) -> M:
    """A copy of a model for inference, without the batch norms that stand right behind a convolution or linear layer.

    Weight and bias of the layer take over what the norm multiplies and adds, with the running statistics: the same
    function to rounding. Pairs are found in `Sequential`, and in a Module that names them (`Foldable`); a norm that keeps
    no running statistics, or whose layer has an activation of its own, stays. The model itself is left as it was, the
    copy is in evaluation mode.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> model = od.nn.Sequential(od.nn.Conv2d(3, 8, 3, bias=False), od.nn.BatchNorm2d(8), od.nn.ReLU())
        >>> folded = od.nn.fold_batch_norm(model)
        >>> folded
        Sequential(
          (0): Conv2d(3, 8, kernel_size=(3, 3), activation='relu')
        )
        >>> x = np.ones((1, 3, 8, 8), np.float32)
        >>> bool(np.allclose(folded(x).data, model.eval()(x).data, atol=1e-5))
        True
    """
    folded = deepcopy(model).eval()
    for module in list(folded.modules()):
        if isinstance(module, Sequential):
            module.layers = _fold_row(module.layers)
        if isinstance(module, Foldable):
            for layer, norm, activation in module.folds:
                if _fold(getattr(module, layer), getattr(module, norm)):
                    getattr(module, layer).activation = activation
                    setattr(module, norm, None)
    return folded


def _fold_row(layers: tuple[Module, ...]) -> tuple[Module, ...]:
    """Layers of a Sequential without the norms that went into others, and the ReLUs behind these."""
    kept: list[Module] = []
    was_folded = False
    for layer in layers:
        if kept and _fold(kept[-1], layer):
            was_folded = True
        elif was_folded and type(layer) is ReLU:
            kept[-1].activation = "relu"  # type: ignore[attr-defined]
            was_folded = False
        else:
            kept.append(layer)
            was_folded = False
    return tuple(kept)


def _fold(layer: Module, norm: Module | None) -> bool:
    """Make a norm part of a layer, if they are of the kinds that can be."""
    if not isinstance(norm, BatchNorm2d if isinstance(layer, Conv2d) else BatchNorm1d):
        return False
    if not isinstance(layer, (Conv2d, Linear)) or layer.activation is not None:
        return False
    if norm.running_mean is None or norm.running_var is None:
        return False
    optional = [None if one is None else one.data for one in (norm.weight, norm.bias)]
    bias = None if layer.bias is None else layer.bias.data
    weight, bias = odyssey.fold_batch_norm(
        layer.weight.data, bias, norm.running_mean.data, norm.running_var.data, *optional, norm.eps
    )
    layer.weight, layer.bias = Parameter(weight), Parameter(bias)
    return True
