"""A model's layers with their parameters, output shapes, floating-point operations and memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from odyssey.nn.attention import MultiHeadAttention
from odyssey.nn.conv import Conv2d, ConvTranspose2d
from odyssey.nn.linear import Linear
from odyssey.nn.module import Module
from odyssey.tensor.tape import no_grad
from odyssey.tensor.tensor import Tensor

__all__ = ["LayerSummary", "Summary", "summary"]

Shape: TypeAlias = "tuple[int, ...]"


@dataclass(frozen=True)
class LayerSummary:
    """One Module of a model.

    Attributes:
        name: dotted; "" for the model itself.
        kind: its class.
        parameters: its own and those of the Modules inside.
        shape: of its last output; None if it was not called, or gave no Tensor.
        flops: of all its calls, without the Modules inside.
        bytes: of the outputs of all its calls.
        inner: whether Modules are inside.
    """

    name: str
    kind: str
    parameters: int
    shape: Shape | None
    flops: int
    bytes: int
    inner: bool


@dataclass(frozen=True)
class Summary:
    """What `summary` found; its text is a table.

    Attributes:
        layers: one for each Module, outermost first.
        parameters: how many numbers are trained.
        buffers: how many are kept and not trained.
        flops: of one forward pass, two for each multiplication and its addition.
        parameter_bytes: of parameters and buffers.
        output_bytes: of what all innermost layers give, together: what a forward pass keeps for the gradients, about.
    """

    layers: tuple[LayerSummary, ...]
    parameters: int
    buffers: int
    flops: int
    parameter_bytes: int
    output_bytes: int

    def __str__(self) -> str:
        head = ("layer", "output", "parameters", "FLOPs", "memory")
        rows = [
            (
                _indented(one),
                "-" if one.shape is None else str(one.shape),
                f"{one.parameters:,}" if one.parameters else "-",
                f"{one.flops:,}" if one.flops else "-",
                "-" if one.inner or not one.bytes else _size(one.bytes),
            )
            for one in self.layers
        ]
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

        def line(row: Sequence[str]) -> str:
            left, right = zip(row[:2], widths[:2], strict=True), zip(row[2:], widths[2:], strict=True)
            return "  ".join([*(f"{text:<{n}}" for text, n in left), *(f"{text:>{n}}" for text, n in right)]).rstrip()

        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join(
            [
                line(head), rule, *map(line, rows), rule,
                f"parameters {self.parameters:,} trained"
                + (f", {self.buffers:,} kept" if self.buffers else "")
                + f" ({_size(self.parameter_bytes)})",
                f"FLOPs {self.flops:,}",
                f"outputs {_size(self.output_bytes)}",
            ]
        )  # fmt: skip


def summary(model: Module, *inputs: Any, dtype: DTypeLike = np.float32) -> Summary:
    """Run a model once, in evaluation mode and without gradients, and tell what each layer is and costs.

    Args:
        model: the model; its mode is put back.
        inputs: one for each argument of its forward: a shape, batch axis included, for zeros; or an array or a Tensor.
        dtype: of the zeros.

    Returns:
        A `Summary`; `print` shows the table. FLOPs are those of the products (Linear, convolutions, attention), two for
        each multiplication and its addition, without regard to padding or causality; what bias, norms, activations and
        pooling add is left out.

    Example:
        >>> import odyssey as od
        >>> print(od.nn.summary(od.nn.Sequential(od.nn.Linear(4, 8), od.nn.ReLU(), od.nn.Linear(8, 2)), (16, 4)))
        layer        output   parameters  FLOPs  memory
        -----------------------------------------------
        Sequential   (16, 2)          58      -       -
          0: Linear  (16, 8)          40  1,024   512 B
          1: ReLU    (16, 8)           -      -   512 B
          2: Linear  (16, 2)          18    512   128 B
        -----------------------------------------------
        parameters 58 trained (232 B)
        FLOPs 1,536
        outputs 1.1 KiB
    """
    given = [np.zeros(one, dtype) if isinstance(one, (tuple, list)) else one for one in inputs]
    modules = list(model.named_modules())
    shapes: dict[int, Shape] = {}
    flops: dict[int, int] = {}
    sizes: dict[int, int] = {}

    def note(module: Module, args: tuple[Any, ...], output: Any) -> None:
        key = id(module)
        first = output[0] if isinstance(output, (tuple, list)) and output else output
        if isinstance(first, Tensor):
            shapes[key] = first.shape
            flops[key] = flops.get(key, 0) + _flops(module, first.shape, shapes)
        outputs = output if isinstance(output, (tuple, list)) else (output,)
        sizes[key] = sizes.get(key, 0) + sum(one.data.nbytes for one in outputs if isinstance(one, Tensor))

    was = [(module, module.training) for _, module in modules]
    handles = [module.register_forward_hook(note) for _, module in modules]
    try:
        with no_grad():
            model.eval()(*given)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in was:
            module.training = training
    layers = tuple(
        LayerSummary(
            name=name,
            kind=type(module).__name__,
            parameters=sum(p.size for p in module.parameters()),
            shape=shapes.get(id(module)),
            flops=flops.get(id(module), 0),
            bytes=sizes.get(id(module), 0),
            inner=any(True for _ in module.children()),
        )
        for name, module in modules
    )
    arrays = [*model.parameters(), *model.buffers()]
    return Summary(
        layers=layers,
        parameters=sum(p.size for p in model.parameters()),
        buffers=sum(b.size for b in model.buffers()),
        flops=sum(one.flops for one in layers),
        parameter_bytes=sum(one.data.nbytes for one in arrays),
        output_bytes=sum(one.bytes for one in layers if not one.inner),
    )


def _flops(module: Module, shape: Shape, shapes: dict[int, Shape]) -> int:
    """Of one call whose output has this shape, without the Modules inside, whose outputs' shapes are in `shapes`."""
    if isinstance(module, Linear):
        return 2 * math.prod(shape) * module.in_features
    if isinstance(module, Conv2d):
        return 2 * math.prod(shape) * math.prod(module.weight.shape[1:])
    if isinstance(module, ConvTranspose2d):  # each element of the input enters with a whole kernel
        places = 1
        options = zip(*map(_both, (module.stride, module.padding, module.output_padding, module.dilation)), strict=True)
        for length, kernel, one in zip(shape[2:], module.weight.shape[2:], options, strict=True):
            stride, padding, more, dilation = one
            places *= (length + 2 * padding - dilation * (kernel - 1) - more - 1) // stride + 1
        return 2 * shape[0] * places * module.weight.size
    if isinstance(module, MultiHeadAttention):
        keys = shapes[id(module.k_proj)][1]
        return 2 * 2 * shape[0] * shape[1] * keys * module.heads * module.head_features
    return 0


def _both(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _indented(one: LayerSummary) -> str:
    if not one.name:
        return one.kind
    return "  " * (one.name.count(".") + 1) + one.name.rpartition(".")[2] + ": " + one.kind


def _size(count: int) -> str:
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"
