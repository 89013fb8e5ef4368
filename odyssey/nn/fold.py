"""Batch norms folded into the layers before them, for inference."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import odyssey
from odyssey.nn.activations import ReLU
from odyssey.nn.containers import Sequential
from odyssey.nn.conv import Conv2d
from odyssey.nn.linear import Linear
from odyssey.nn.module import Buffer, Module, Parameter
from odyssey.nn.norms import BatchNorm1d, BatchNorm2d
from odyssey.nn.stored import StoredWeight
from odyssey.tensor import ops
from odyssey.tensor.tape import Array
from odyssey.tensor.tensor import Tensor

__all__ = ["Foldable", "FrozenConv2d", "fold_batch_norm"]

M = TypeVar("M", bound=Module)


class Foldable(Module):
    """A Module that calls batch norms right after layers of its own, and can do without.

    A subclass names the pairs in `folds`, and whether a ReLU stands behind the norm: (layer, norm, "relu" or None).
    When they are folded the layer has taken over norm and activation, and the norm's attribute is None.
    """

    folds: tuple[tuple[str, str, str | None], ...] = ()


class FrozenConv2d(Conv2d):
    """A Conv2d for inference: its weights are packed once for images of a shape, and cannot be changed or trained.

    Args:
        layer: the convolution to take options from.
        weight, bias: what to compute with.
    """

    def __init__(self, layer: Conv2d, weight: Array, bias: Array) -> None:
        self.stride, self.padding = layer.stride, layer.padding
        self.dilation, self.groups, self.activation = layer.dilation, layer.groups, layer.activation
        self.kernel = odyssey.PackedKernel(weight)
        self.weight = Buffer(self.kernel.weight)  # type: ignore[assignment]
        self.bias = Buffer(bias)  # type: ignore[assignment]

    def forward(self, x: Tensor | Array) -> Tensor:
        if isinstance(x, Tensor):
            if x.requires_grad:  # who asks what the images do to the result
                return super().forward(x)
            x = x.data
        options = self.stride, self.padding, self.dilation, self.groups, self.activation
        assert self.bias is not None
        return Tensor(ops.conv2d(x, self.kernel, self.bias.data, *options))


def fold_batch_norm(model: M) -> M:
    """A copy of a model for inference, without the batch norms that stand right behind a convolution or linear layer.

    Weight and bias of the layer take over what the norm multiplies and adds, with the running statistics: the same
    function to rounding. A folded convolution is a `FrozenConv2d`, packed at the first call. Pairs are found in
    `Sequential`, and in a Module that names them (`Foldable`); a norm that keeps no running statistics, or whose layer
    has an activation of its own, stays. The model itself is left as it was, the copy is in evaluation mode.

    Example:
        >>> import odyssey as od
        >>> import numpy as np
        >>> model = od.nn.Sequential(od.nn.Conv2d(3, 8, 3, bias=False), od.nn.BatchNorm2d(8), od.nn.ReLU())
        >>> folded = od.nn.fold_batch_norm(model)
        >>> folded
        Sequential(
          (0): FrozenConv2d(3, 8, kernel_size=(3, 3), activation='relu')
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
                whole = _folded(getattr(module, layer), getattr(module, norm))
                if whole is not None:
                    whole.activation = activation  # type: ignore[assignment]
                    setattr(module, layer, whole)
                    setattr(module, norm, None)
    return folded


def _fold_row(layers: tuple[Module, ...]) -> tuple[Module, ...]:
    """Layers of a Sequential without the norms that went into others, and the ReLUs behind these."""
    kept: list[Module] = []
    whole: Conv2d | Linear | None = None  # the last one kept, if a norm went into it
    for layer in layers:
        if whole is not None and type(layer) is ReLU:
            whole.activation = "relu"
            whole = None
            continue
        whole = _folded(kept[-1], layer) if kept else None
        if whole is None:
            kept.append(layer)
        else:
            kept[-1] = whole
    return tuple(kept)


def _folded(layer: Module, norm: Module | None) -> Conv2d | Linear | None:
    """The layer with the norm in it, if they are of the kinds that can be."""
    if not isinstance(norm, BatchNorm2d if isinstance(layer, Conv2d) else BatchNorm1d):
        return None
    if not isinstance(layer, (Conv2d, Linear)) or layer.activation is not None:
        return None
    if norm.running_mean is None or norm.running_var is None or isinstance(layer.weight, StoredWeight):
        return None
    factor, shift = (None if one is None else one.data for one in (norm.weight, norm.bias))
    weight, bias = odyssey.fold_batch_norm(
        layer.weight.data,
        None if layer.bias is None else layer.bias.data,
        norm.running_mean.data,
        norm.running_var.data,
        factor,
        shift,
        norm.eps,
    )
    if isinstance(layer, Conv2d):
        return FrozenConv2d(layer, weight, bias)
    layer.weight, layer.bias = Parameter(weight), Parameter(bias)
    return layer
