"""PyTorch: odyssey's functions and layers under torch's autograd, and torch's functions on odyssey's tape.

- `as_function(f)`: a function over Tensors as one over torch tensors.
- `as_module(layer)`: a layer as a `torch.nn.Module`, whose parameters are the layer's own memory.
- `from_torch(fn)`: a function or module of torch as one over Tensors.

Memory is shared both ways: an array or a torch tensor on the CPU is the other's bytes. Copied are only arrays that
torch cannot take: read-only ones and those with negative strides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from odyssey._kernels.tape import Leaf, Node, is_grad_enabled, record
from odyssey.errors import DeviceError, DTypeError
from odyssey.nn.module import Module
from odyssey.tensor import Tensor, enable_grad, grad, no_grad
from odyssey.tensor.tape import Array, Gradients

try:
    import torch
except ImportError as error:
    raise ImportError(
        "odyssey.interop.torch: expected PyTorch, found it not installed; install it with: pip install torch"
    ) from error

__all__ = ["as_function", "as_module", "from_torch"]


def as_function(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function over odyssey's Tensors as one over torch tensors, differentiable by torch's autograd.

    Args:
        f: takes Tensors and other values, gives a Tensor or a tuple of them. Other layers' parameters that it uses get
            no gradient; `as_module` gives them one.

    Returns:
        A function of the same arguments with torch tensors in the place of Tensors. Its gradient can be taken once:
        torch cannot differentiate it again.

    Raises:
        DeviceError: (when called) a tensor is not on the CPU.
        DTypeError: (when called) a tensor has a type that NumPy does not have, such as bfloat16.

    Example:
        >>> import odyssey as od, torch                                         # doctest: +SKIP
        >>> silu = od.interop.torch.as_function(od.nn.functional.silu)          # doctest: +SKIP
        >>> silu(torch.ones(2, requires_grad=True)).sum().backward()            # doctest: +SKIP
    """

    def function(*args: Any, **kwargs: Any) -> Any:
        return _cross(f, args, kwargs, (), ())

    function.__name__ = getattr(f, "__name__", type(f).__name__)
    function.__doc__ = f.__doc__
    return function


def as_module(layer: Module) -> torch.nn.Module:
    """A layer or model as a `torch.nn.Module`.

    Its parameters and buffers have the layer's names and are the layer's memory: a step of a torch optimizer is one of
    the layer's, and the other way round. Gradients are torch's (`module.weight.grad`). `train()` and `eval()` reach the
    layer. Where torch puts other memory in a parameter's place (`module.double()`), the layer takes that.

    Args:
        layer: takes Tensors, gives a Tensor or a tuple of them.
    """
    return _LayerModule(layer)


def from_torch(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function or module of torch as one over odyssey's Tensors, differentiable by our tape.

    Args:
        fn: takes torch tensors and other values, gives a tensor or a tuple of them. Parameters of torch that it uses
            get their gradients in their own `.grad`, as in torch.

    Returns:
        A function of the same arguments with Tensors or arrays in the place of torch tensors.
    """

    def function(*args: Any, **kwargs: Any) -> Any:
        return _cross_back(fn, args, kwargs)

    function.__name__ = getattr(fn, "__name__", type(fn).__name__)
    function.__doc__ = fn.__doc__
    return function


# ---- memory ----------------------------------------------------------------------------------------------------------


def _array(tensor: torch.Tensor) -> Array:
    """A torch tensor's memory as an array."""
    if tensor.device.type != "cpu":
        raise DeviceError(
            f"odyssey.interop.torch: expected tensors on the CPU, found one on {tensor.device}; pass x.cpu()"
        )
    try:
        array: Array = tensor.detach().numpy()
    except TypeError as error:
        raise DTypeError(
            f"odyssey.interop.torch: expected a type that NumPy has, found {tensor.dtype}; pass x.float()"
        ) from error
    return array


def _tensor(array: Array) -> torch.Tensor:
    """An array's memory as a torch tensor; a copy where torch cannot take it."""
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = np.array(array)
    return torch.from_numpy(array)


# ---- odyssey under torch ---------------------------------------------------------------------------------------------


class _Crossing(torch.autograd.Function):
    """`call`, a function over Tensors, as a node of torch's graph. `own` are Tensors that stand for the last inputs."""

    @staticmethod
    def forward(ctx: Any, call: Callable[..., Any], own: tuple[Tensor, ...], *tensors: torch.Tensor) -> Any:
        needed = ctx.needs_input_grad[2:]
        given = tensors[: len(tensors) - len(own)]
        inputs = [Tensor(_array(one), requires_grad=needs) for one, needs in zip(given, needed, strict=False)]
        with enable_grad() if any(needed) else no_grad():
            result = call(*inputs)
        outputs = result if isinstance(result, tuple) else (result,)
        ctx.inputs, ctx.outputs = [*inputs, *own], outputs
        ctx.save_for_backward(*tensors)  # so that torch sees what is overwritten, and what is walked twice
        results = tuple(_tensor(one.data) for one in outputs)
        ctx.mark_non_differentiable(*(one for one, ours in zip(results, outputs, strict=True) if ours.node is None))
        return results if isinstance(result, tuple) else results[0]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        _ = ctx.saved_tensors
        outputs = [one for one in ctx.outputs if one.node is not None]
        arrays = [_array(g) for one, g in zip(ctx.outputs, gradients, strict=True) if one.node is not None]
        needed = ctx.needs_input_grad[2:]
        asked = [one for one, needs in zip(ctx.inputs, needed, strict=True) if needs]
        found = iter(grad(outputs, asked, arrays, retain_graph=True, allow_unused=True))
        by_input = [next(found) if needs else None for needs in needed]
        return None, None, *(None if one is None else _tensor(one.data) for one in by_input)


def _cross(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    own: tuple[Tensor, ...],
    parameters: tuple[torch.Tensor, ...],
) -> Any:
    """f over Tensors, called with torch tensors; `parameters` are torch's names for the Tensors `own` that f uses."""
    places: list[int | str] = [i for i, value in enumerate(args) if isinstance(value, torch.Tensor)]
    places += [name for name, value in kwargs.items() if isinstance(value, torch.Tensor)]

    def call(*inputs: Tensor) -> Any:
        by_place = dict(zip(places, inputs, strict=True))
        positional = [by_place.get(i, value) for i, value in enumerate(args)]
        return f(*positional, **{name: by_place.get(name, value) for name, value in kwargs.items()})

    tensors = [args[place] if isinstance(place, int) else kwargs[place] for place in places]
    return _Crossing.apply(call, own, *tensors, *parameters)


class _LayerModule(torch.nn.Module):
    """An odyssey layer whose parameters are torch's too."""

    def __init__(self, layer: Module) -> None:
        super().__init__()
        self.layer = layer
        self._own: dict[str, Tensor] = dict(layer.named_parameters())
        self._own_buffers: dict[str, Tensor] = dict(layer.named_buffers())
        for name, parameter in self._own.items():
            inner, last = self._inner(name)
            inner.register_parameter(last, torch.nn.Parameter(_tensor(parameter.data)))
        for name, buffer in self._own_buffers.items():
            inner, last = self._inner(name)
            inner.register_buffer(last, _tensor(buffer.data))
        self.train(layer.training)

    def _inner(self, name: str) -> tuple[torch.nn.Module, str]:
        """The module that holds a dotted name, made where there is none, and the last part of the name."""
        *path, last = name.split(".")
        inner: torch.nn.Module = self
        for part in path:
            if part not in inner._modules:
                inner.add_module(part, torch.nn.Module())
            inner = inner.get_submodule(part)
        return inner, last

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        parameters = dict(self.named_parameters())
        for name, tensor in (*parameters.items(), *self.named_buffers()):
            _follow(self._own[name] if name in self._own else self._own_buffers[name], tensor)
        own = tuple(self._own[name] for name in parameters)
        return _cross(self.layer, args, kwargs, own, tuple(parameters.values()))

    def train(self, mode: bool = True) -> _LayerModule:
        super().train(mode)
        self.layer.train(mode)
        return self

    def extra_repr(self) -> str:
        return repr(self.layer)


def _follow(own: Tensor, tensor: torch.Tensor) -> None:
    """Take torch's memory for a parameter, if that is no longer ours."""
    if tensor.data_ptr() != own.data.__array_interface__["data"][0]:
        own.data = _array(tensor)


# ---- torch on odyssey's tape -----------------------------------------------------------------------------------------


def _cross_back(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    leaves: list[tuple[Any, torch.Tensor]] = []  # our edge, torch's leaf
    arrays: list[Array] = []
    recording = is_grad_enabled()

    def taken(value: Any) -> Any:
        if not isinstance(value, (Tensor, np.ndarray)):
            return value
        edge = value.node if isinstance(value, Tensor) and recording else None
        array = value.data if isinstance(value, Tensor) else value
        leaf = _tensor(array).requires_grad_(edge is not None)
        leaves.append((edge, leaf))
        arrays.append(array)
        return leaf

    with torch.set_grad_enabled(recording):
        result = fn(*(taken(one) for one in args), **{name: taken(one) for name, one in kwargs.items()})
    if isinstance(result, tuple):
        return tuple(_recorded(one, leaves, arrays) for one in result)
    return _recorded(result, leaves, arrays)


def _recorded(result: torch.Tensor, leaves: list[tuple[Any, torch.Tensor]], arrays: list[Array]) -> Tensor:
    data = _array(result)
    if not result.requires_grad:
        return Tensor(data)
    edges = tuple(edge for edge, _ in leaves)
    if all(edge is None for edge in edges):
        edges = (Leaf(),)  # parameters of torch's alone: our walk must come by for them to get their gradients
    return record(data, _torch_backward, edges, (result, [leaf for _, leaf in leaves], arrays))


def _torch_backward(gradient: Array, node: Node) -> Gradients:
    result, leaves, _ = node.saved
    torch.autograd.backward(result, _tensor(gradient), retain_graph=True)
    found: list[Array | None] = []
    for leaf in leaves:
        found.append(None if leaf.grad is None else _array(leaf.grad))
        leaf.grad = None
    return tuple(found) if leaves and len(found) == len(node.inputs) else (None,)
