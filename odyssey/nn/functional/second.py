"""Backwards as operations on Tensors, so that gradients can be differentiated again: `od.grad(..., create_graph=True)`.

A backward function computes with arrays, which is quick and leaves no trace. FORMULAS has, for those that can be had
cheaply, the same gradient as a computation on the tape, from `node.saved` and the edges that the node kept. Being made
of operations with formulas of their own, it can be differentiated as often as one likes. What is not here cannot be
differentiated twice, and says so.

Two kinds. Simple operations have their gradient written out. The others are written as the formula they compute
(`_again`), which goes forward and backward once more on the tape: twice the work, and nothing to get wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from odyssey._kernels.tape import from_edge
from odyssey.nn.functional import (
    activations,
    attention,
    conv,
    elementwise,
    geometry,
    in_place,
    losses,
    manifold,
    norms,
    pooling,
    reductions,
    shape,
)
from odyssey.nn.functional._arguments import shape_of
from odyssey.nn.functional.dropout import _dropout_backward, dropout
from odyssey.nn.functional.elementwise import add, divide, exp, multiply, negative, power, scale, sqrt, subtract
from odyssey.nn.functional.embedding import _embedding_backward
from odyssey.nn.functional.grouped import _grouped_backward, grouped_matmul
from odyssey.nn.functional.linear import (
    DERIVED_FROM_OUTPUT,
    _dot_backward,
    _linear_backward,
    _matmul_backward,
    matmul,
)
from odyssey.nn.functional.reductions import mean
from odyssey.nn.functional.reductions import sum as sum_over
from odyssey.nn.functional.shape import broadcast_to, getitem, reshape, swapaxes, transpose, where
from odyssey.nn.functional.softmax import _log_softmax_backward, _softmax_backward, softmax
from odyssey.tensor.gradient import Formula, grad
from odyssey.tensor.tape import Array, BackwardFunction, Edge, Gradients, Node
from odyssey.tensor.tensor import Tensor, record

Tensors: TypeAlias = "tuple[Tensor | None, ...]"

# ---- what formulas are made of ---------------------------------------------------------------------------------------


def _input(node: Node, place: int, data: Any) -> Any:
    """An input of the node as the Tensor it was; a number stays one."""
    return from_edge(data, node.inputs[place]) if isinstance(data, np.ndarray) else data


def _output(node: Node, data: Array) -> Tensor:
    """The node's result as the Tensor it was."""
    return from_edge(data, node)


def _unbroadcast(grad: Tensor, shape: tuple[int, ...]) -> Tensor:
    if grad.shape == shape:
        return grad
    lead = grad.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1 and grad.shape[lead + i] != 1)
    return reshape(sum_over(grad, axes), shape)


def _wanted(node: Node, *gradients: Callable[[], Tensor]) -> Tensors:
    """The gradients of the inputs that want one."""
    return tuple(None if edge is None else gradient() for edge, gradient in zip(node.inputs, gradients, strict=True))


def _slope(of: Callable[[Node], Tensor]) -> Formula:
    """The formula of an operation on each element by itself: grad times the slope."""
    return lambda grad, node: (multiply(grad, of(node)),)


def _flat(grad: Tensor, node: Node) -> Tensors:
    """Piecewise linear operations of one input: the slopes are constants, which the backward itself gives."""
    assert node.backward is not None
    node.owned = False
    (slope,) = node.backward(np.ones_like(grad.data), node)
    return (multiply(grad, Tensor(np.asarray(slope))),)


def _again(describe: Callable[..., tuple[tuple[Any, ...], Callable[..., Tensor]]]) -> Formula:
    """The gradient by going through a formula once more: `describe(*saved)` gives the inputs and the formula."""

    def formula(gradient: Tensor, node: Node) -> Tensors:
        saved = node.saved if isinstance(node.saved, tuple) else (node.saved,)
        arrays, f = describe(*saved)
        return _through(f, gradient, node.inputs, arrays)

    return formula


def _through(f: Callable[..., Tensor], gradient: Tensor, edges: tuple[Edge, ...], arrays: tuple[Any, ...]) -> Tensors:
    """The gradients of f, on the tape, at arrays that came with these edges."""
    # A node of its own before each edge: the walk over the formula ends there, and knows inputs that are one apart.
    points = [
        array if edge is None else from_edge(array, Node(shape._clone_backward, (edge,), None))
        for array, edge in zip(arrays, edges, strict=True)
    ]
    asked = [point for point, edge in zip(points, edges, strict=True) if edge is not None]
    found = iter(grad(f(*points), asked, gradient, create_graph=True, allow_unused=True) if asked else ())
    return tuple(None if edge is None else next(found) for edge in edges)


# ---- arithmetic ------------------------------------------------------------------------------------------------------


def _add(grad: Tensor, node: Node) -> Tensors:
    a, b = node.saved
    return _wanted(node, lambda: _unbroadcast(grad, a), lambda: _unbroadcast(grad, b))


def _subtract(grad: Tensor, node: Node) -> Tensors:
    a, b = node.saved
    return _wanted(node, lambda: _unbroadcast(grad, a), lambda: negative(_unbroadcast(grad, b)))


def _multiply(grad: Tensor, node: Node) -> Tensors:
    a, b = node.saved
    return _wanted(
        node,
        lambda: _unbroadcast(multiply(grad, _input(node, 1, b)), shape_of(a)),
        lambda: _unbroadcast(multiply(grad, _input(node, 0, a)), shape_of(b)),
    )


def _multiply_in_place(grad: Tensor, node: Node) -> Tensors:
    before, other = node.saved
    return _wanted(
        node,
        lambda: multiply(grad, _input(node, 1, other)),
        lambda: _unbroadcast(multiply(grad, _input(node, 0, before)), shape_of(other)),
    )


def _divide(grad: Tensor, node: Node) -> Tensors:
    a_shape, b, y = node.saved
    by_a = divide(grad, _input(node, 1, b))
    return _wanted(
        node,
        lambda: _unbroadcast(by_a, a_shape),
        lambda: _unbroadcast(negative(multiply(by_a, _output(node, y))), shape_of(b)),
    )


def _divide_in_place(grad: Tensor, node: Node) -> Tensors:
    b, y = node.saved
    by_x = divide(grad, _input(node, 1, b))
    return _wanted(node, lambda: by_x, lambda: _unbroadcast(negative(multiply(by_x, _output(node, y))), shape_of(b)))


def _power(grad: Tensor, node: Node) -> Tensors:
    a_data, b_data, y = node.saved
    a, b = _input(node, 0, a_data), _input(node, 1, b_data)

    def by_a() -> Tensor:
        if not isinstance(b_data, np.ndarray):
            return multiply(grad, scale(power(a, b - 1), b) if b != 0 else Tensor(np.zeros_like(a_data)))
        below = where(b_data == 0, 1.0, subtract(b, 1.0))
        return _unbroadcast(multiply(grad, multiply(power(a, below), b)), shape_of(a_data))

    def by_b() -> Tensor:
        if not isinstance(a_data, np.ndarray):
            slope = math.log(a) if a > 0 else 0.0
            return _unbroadcast(scale(multiply(grad, _output(node, y)), slope), shape_of(b_data))
        logarithm = elementwise.log(where(a_data == 0, 1.0, a))
        return _unbroadcast(multiply(grad, multiply(_output(node, y), logarithm)), shape_of(b_data))

    return _wanted(node, by_a, by_b)


def _scale(grad: Tensor, node: Node) -> Tensors:
    return (scale(grad, node.saved),)


def _axpy(grad: Tensor, node: Node) -> Tensors:
    alpha, x, y = node.saved
    return _wanted(node, lambda: scale(_unbroadcast(grad, x), alpha), lambda: _unbroadcast(grad, y))


def _fma(grad: Tensor, node: Node) -> Tensors:
    a, b, c = node.saved
    return _wanted(
        node,
        lambda: _unbroadcast(multiply(grad, _input(node, 1, b)), shape_of(a)),
        lambda: _unbroadcast(multiply(grad, _input(node, 0, a)), shape_of(b)),
        lambda: _unbroadcast(grad, c),
    )


def _choice(first: Callable[[Array, Array], Array]) -> Formula:
    def formula(grad: Tensor, node: Node) -> Tensors:
        a, b = node.saved
        share = np.where(np.equal(a, b), 0.5, first(a, b)).astype(grad.dtype)
        return _wanted(
            node,
            lambda: _unbroadcast(multiply(grad, share), shape_of(a)),
            lambda: _unbroadcast(multiply(grad, 1 - share), shape_of(b)),
        )

    return formula


def _erf_slope(node: Node) -> Tensor:
    x = _input(node, 0, node.saved)
    return scale(exp(negative(multiply(x, x))), 2 / math.sqrt(math.pi))


# ---- activations -----------------------------------------------------------------------------------------------------


def _sigmoid_slope(node: Node) -> Tensor:
    y = _output(node, node.saved)
    return multiply(y, subtract(1.0, y))


def _tanh_slope(node: Node) -> Tensor:
    y = _output(node, node.saved)
    return subtract(1.0, multiply(y, y))


def _silu(x: Any) -> Tensor:
    return multiply(x, activations.sigmoid(x))


def _gelu(x: Any, approximate: str) -> Tensor:
    if approximate == "none":
        return scale(multiply(x, add(elementwise.erf(scale(x, math.sqrt(0.5))), 1.0)), 0.5)
    inner = scale(add(x, scale(multiply(x, multiply(x, x)), 0.044715)), math.sqrt(2 / math.pi))
    return scale(multiply(x, add(activations.tanh(inner), 1.0)), 0.5)


def _softplus(x: Any, beta: float, threshold: float) -> Tensor:
    bounded = elementwise.minimum(scale(x, beta), threshold)
    return where(x.data * beta > threshold, x, scale(elementwise.log(add(exp(bounded), 1.0)), 1 / beta))


def _elu(x: Any, alpha: float) -> Tensor:
    return where(x.data > 0, x, scale(subtract(exp(elementwise.minimum(x, 0.0)), 1.0), alpha))


def _selu(x: Any) -> Tensor:
    return scale(_elu(x, 1.6732632423543772848170429916717), 1.0507009873554804934193349852946)


def _prelu(x: Any, weight: Any) -> Tensor:
    x_data, count = (np.asarray(one.data) if isinstance(one, Tensor) else one for one in (x, weight))
    slope = reshape(weight, (-1, *[1] * max(x_data.ndim - 2, 0)) if count.size > 1 else ())
    return where(x_data > 0, x, multiply(slope, x))


def _hard_swish(x: Any) -> Tensor:
    return multiply(x, activations.hard_sigmoid(x))


# ---- reductions ------------------------------------------------------------------------------------------------------


def _kept(reduced: Tensor, shape: tuple[int, ...], axis: Any) -> Tensor:
    """What was reduced over axis, in a shape that broadcasts over `shape`."""
    if axis is None:
        return reshape(reduced, (1,) * len(shape))
    axes = {a % len(shape) for a in ((axis,) if isinstance(axis, int) else axis)}
    return reshape(reduced, tuple(1 if i in axes else n for i, n in enumerate(shape)))


def _sum(grad: Tensor, node: Node) -> Tensors:
    shape, axis = node.saved
    return (broadcast_to(_kept(grad, shape, axis), shape),)


def _mean(grad: Tensor, node: Node) -> Tensors:
    shape, axis = node.saved
    count = math.prod(shape) // max(grad.size, 1)
    return (scale(broadcast_to(_kept(grad, shape, axis), shape), 1 / max(count, 1)),)


def _extreme(grad: Tensor, node: Node) -> Tensors:
    x, axis = node.saved[:2]
    assert node.backward is not None
    (chosen,) = node.backward(np.ones_like(grad.data), node)
    return (multiply(broadcast_to(_kept(grad, x.shape, axis), x.shape), np.asarray(chosen)),)


def _var(x: Any, axis: Any, ddof: int) -> Tensor:
    apart = subtract(x, mean(x, axis, True))
    count = x.size // max(sum_over(x.data, axis).size, 1)
    return scale(sum_over(multiply(apart, apart), axis), 1 / (count - ddof))


def _norm(grad: Tensor, node: Node) -> Tensors:
    x_data, y_data, axis = node.saved
    x, y = _input(node, 0, x_data), _output(node, y_data)
    share = divide(grad, where(y_data == 0, 1.0, y))
    return (multiply(_kept(share, x.shape, axis), x),)


def _logsumexp(grad: Tensor, node: Node) -> Tensors:
    x_data, y_data, axis = node.saved
    x, y = _input(node, 0, x_data), _output(node, y_data)
    weights = exp(subtract(x, _kept(y, x.shape, axis)))
    return (multiply(weights, _kept(grad, x.shape, axis)),)


def _softmax(grad: Tensor, node: Node) -> Tensors:
    y_data, axis = node.saved
    y = _output(node, y_data)
    return (multiply(y, subtract(grad, sum_over(multiply(grad, y), axis, True))),)


def _log_softmax(grad: Tensor, node: Node) -> Tensors:
    y_data, axis = node.saved
    return (subtract(grad, multiply(exp(_output(node, y_data)), sum_over(grad, axis, True))),)


# ---- products --------------------------------------------------------------------------------------------------------


def _grouped(grad: Tensor, node: Node) -> Tensors:
    a_data, b_data, ends = node.saved
    a, b = _input(node, 0, a_data), _input(node, 1, b_data)
    return _wanted(
        node,
        lambda: grouped_matmul(grad, swapaxes(b, -1, -2), ends),
        lambda: grouped_matmul(swapaxes(a, -1, -2), grad, ends),
    )


def _matmul(grad: Tensor, node: Node) -> Tensors:
    a_data, b_data = node.saved
    a, b = _input(node, 0, a_data), _input(node, 1, b_data)
    rows = reshape(a, 1, -1) if a_data.ndim == 1 else a
    columns = reshape(b, -1, 1) if b_data.ndim == 1 else b
    if b_data.ndim == 1:
        grad = shape.expand_dims(grad, -1)
    if a_data.ndim == 1:
        grad = shape.expand_dims(grad, -2)
    return _wanted(
        node,
        lambda: reshape(_unbroadcast(matmul(grad, swapaxes(columns, -1, -2)), rows.shape), a_data.shape),
        lambda: reshape(_unbroadcast(matmul(swapaxes(rows, -1, -2), grad), columns.shape), b_data.shape),
    )


def _dot(grad: Tensor, node: Node) -> Tensors:
    a, b = node.saved
    return _wanted(node, lambda: multiply(_input(node, 1, b), grad), lambda: multiply(_input(node, 0, a), grad))


_ACTIVATION: dict[str, Callable[..., Tensor]] = {"gelu": activations.gelu, "silu": activations.silu}


def _before_activation(grad: Tensor, node: Node, activation: str | None, kept: Array, plain: Node) -> Tensor:
    """The gradient before a fused activation; `plain` is the node that the layer would have without one."""
    if activation is None:
        return grad
    if activation == "relu":
        return multiply(grad, (kept > 0).astype(kept.dtype))
    if activation in DERIVED_FROM_OUTPUT:
        y = _output(node, kept)
        slope = subtract(1.0, multiply(y, y)) if activation == "tanh" else multiply(y, subtract(1.0, y))
        return multiply(grad, slope)
    (before,) = _through(_ACTIVATION[activation], grad, (plain,), (kept,))
    assert before is not None
    return before


def _linear(grad: Tensor, node: Node) -> Tensors:
    x_data, weight_data, kept, activation = node.saved
    plain = Node(_linear_backward, node.inputs, (x_data, weight_data, kept, None))
    grad = _before_activation(grad, node, activation, kept, plain)
    x, weight = _input(node, 0, x_data), _input(node, 1, weight_data)
    flat = reshape(grad, -1, grad.shape[-1])
    return _wanted(
        node,
        lambda: reshape(matmul(flat, weight), x_data.shape),
        lambda: matmul(transpose(flat), reshape(x, -1, x_data.shape[-1])),
        lambda: sum_over(flat, 0),
    )


def _pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _conv2d(grad: Tensor, node: Node) -> Tensors:
    x_data, weight_data, kept, activation, *options = node.saved
    plain = Node(conv._conv2d_backward, node.inputs, (x_data, weight_data, kept, None, *options))
    grad = _before_activation(grad, node, activation, kept, plain)
    stride, padding, dilation, groups = options
    x, weight = _input(node, 0, x_data), _input(node, 1, weight_data)

    def by_x() -> Tensor:
        rest = [
            size - ((out - 1) * s - 2 * p + d * (k - 1) + 1)
            for size, out, s, p, d, k in zip(
                x_data.shape[2:],
                grad.shape[2:],
                _pair(stride),
                _pair(padding),
                _pair(dilation),
                weight_data.shape[2:],
                strict=True,
            )
        ]
        return conv.conv_transpose2d(grad, weight, None, stride, padding, (rest[0], rest[1]), dilation, groups)

    return _wanted(
        node,
        by_x,
        lambda: _by_kernel(x, grad, weight_data.shape, stride, padding, dilation, groups),
        lambda: sum_over(grad, (0, 2, 3)),
    )


def _conv_transpose2d(grad: Tensor, node: Node) -> Tensors:
    x_data, weight_data, (stride, padding, _, dilation, groups) = node.saved
    x, weight = _input(node, 0, x_data), _input(node, 1, weight_data)
    high, wide = x_data.shape[2:]
    return _wanted(
        node,
        lambda: getitem(
            conv.conv2d(grad, weight, None, stride, padding, dilation, groups), (..., slice(high), slice(wide))
        ),
        lambda: _by_kernel(grad, x, weight_data.shape, stride, padding, dilation, groups),
        lambda: sum_over(grad, (0, 2, 3)),
    )


def _by_kernel(
    x: Tensor, grad: Tensor, kernel: tuple[int, ...], stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    """The gradient of a convolution's kernel: x convolved with grad, images for channels, stride for dilation."""
    pieces = []
    for x_part, grad_part in zip(shape.split(x, groups, 1), shape.split(grad, groups, 1), strict=True):
        images, kernels = swapaxes(x_part, 0, 1), swapaxes(grad_part, 0, 1)
        found = conv.conv2d(images, kernels, None, dilation, padding, stride)
        pieces.append(swapaxes(getitem(found, (..., slice(kernel[2]), slice(kernel[3]))), 0, 1))
    return shape.concatenate(pieces)


def _attention(
    query: Any, key: Any, value: Any, mask: Array | None, is_causal: bool, factor: float | None
) -> tuple[tuple[Any, ...], Callable[..., Tensor]]:
    def f(query: Any, key: Any, value: Any) -> Tensor:
        heads = query.shape[-3] // key.shape[-3] if query.ndim > 2 else 1
        if heads > 1:
            key, value = (_repeated(one, heads) for one in (key, value))
        scores = matmul(
            scale(query, 1 / math.sqrt(query.shape[-1]) if factor is None else factor), swapaxes(key, -1, -2)
        )
        seen = np.ones(scores.shape, bool)
        if is_causal:
            queries, keys = scores.shape[-2:]
            seen &= np.tri(queries, keys, keys - queries, dtype=bool)
        if mask is not None and mask.dtype == np.bool_:
            seen &= mask
        elif mask is not None:
            seen &= mask != -np.inf
            scores = add(scores, np.where(mask == -np.inf, mask.dtype.type(0), mask))
        weights = softmax(where(seen, scores, -1e30))
        # A row that sees no key gives 0.
        return matmul(multiply(weights, seen.any(-1, keepdims=True).astype(weights.dtype)), value)

    return (query, key, value), f


def _repeated(x: Any, times: int) -> Tensor:
    *lead, heads, length, depth = x.shape
    wide = broadcast_to(shape.expand_dims(x, -3), (*lead, heads, times, length, depth))
    return reshape(wide, (*lead, heads * times, length, depth))


# ---- norms, distances, losses ----------------------------------------------------------------------------------------


def _normalised(
    x: Any, weight: Any, bias: Any, axes: Any, eps: float, channels: tuple[int, ...] | None = None
) -> Tensor:
    y = divide(subtract(x, mean(x, axes, True)), sqrt(add(_var(x, axes, 0).reshape(_kept_shape(x.shape, axes)), eps)))
    return _affine(y, weight, bias, channels)


def _affine(y: Tensor, weight: Any, bias: Any, channels: tuple[int, ...] | None) -> Tensor:
    if weight is not None:
        y = multiply(y, weight if channels is None else reshape(weight, channels))
    return y if bias is None else add(y, bias if channels is None else reshape(bias, channels))


def _kept_shape(shape: tuple[int, ...], axes: Any) -> tuple[int, ...]:
    dropped = {axis % len(shape) for axis in ((axes,) if isinstance(axes, int) else axes)}
    return tuple(1 if i in dropped else n for i, n in enumerate(shape))


def _rms_norm(x: Any, weight: Any, eps: float) -> tuple[tuple[Any, ...], Callable[..., Tensor]]:
    def f(x: Any, weight: Any) -> Tensor:
        return _affine(divide(x, sqrt(add(mean(multiply(x, x), -1, True), eps))), weight, None, None)

    return (x, weight), f


def _with_bias(
    f: Callable[..., Tensor], gradient: Tensor, node: Node, x: Array, weight: Array | None, axes: tuple[int, ...]
) -> Tensors:
    """A norm's gradients: the bias is not saved, and its gradient is the sum over what shares it."""
    by_x, by_weight, _ = _through(f, gradient, (*node.inputs[:2], None), (x, weight, None))
    return by_x, by_weight, None if node.inputs[2] is None else sum_over(gradient, axes)


def _layer_norm(gradient: Tensor, node: Node) -> Tensors:
    x, weight, eps = node.saved
    axes = tuple(range(x.ndim - 1))
    return _with_bias(lambda x, w, b: _normalised(x, w, b, -1, eps), gradient, node, x, weight, axes)


def _by_channel(gradient: Tensor, node: Node, x: Array, weight: Array | None, f: Callable[..., Tensor]) -> Tensors:
    return _with_bias(f, gradient, node, x, weight, (0, *range(2, x.ndim)))


def _channels(x: Array) -> tuple[int, ...]:
    return (-1, *[1] * (x.ndim - 2))


def _group_norm(gradient: Tensor, node: Node) -> Tensors:
    x, groups, weight, eps = node.saved

    def f(x: Any, weight: Any, bias: Any) -> Tensor:
        grouped = reshape(x, (x.shape[0], groups, -1))
        return _affine(reshape(_normalised(grouped, None, None, -1, eps), x.shape), weight, bias, _channels(x))

    return _by_channel(gradient, node, x, weight, f)


def _instance_norm(gradient: Tensor, node: Node) -> Tensors:
    x, weight, eps = node.saved
    axes = tuple(range(2, x.ndim))
    return _by_channel(gradient, node, x, weight, lambda x, w, b: _normalised(x, w, b, axes, eps, _channels(x)))


def _batch_norm(gradient: Tensor, node: Node) -> Tensors:
    x, running_mean, running_var, weight, training, eps = node.saved
    axes = (0, *range(2, x.ndim))

    def f(x: Any, weight: Any, bias: Any) -> Tensor:
        if training:
            return _normalised(x, weight, bias, axes, eps, _channels(x))
        center, spread = (one.reshape(_channels(x)) for one in (running_mean, np.sqrt(running_var + eps)))
        return _affine(divide(subtract(x, center), spread), weight, bias, _channels(x))

    return _by_channel(gradient, node, x, weight, f)


def _euclidean(x: Any, y: Any) -> tuple[tuple[Any, ...], Callable[..., Tensor]]:
    return (x, y), lambda x, y: reductions.norm(subtract(x, y), -1)


def _mse_loss(grad: Tensor, node: Node) -> Tensors:
    # The difference is saved, the operands are not: as a Tensor it depends on both.
    difference, reduction = node.saved
    sides = Node(elementwise._subtract_backward, node.inputs, (difference.shape, difference.shape))
    factor = 2.0 / difference.size if reduction == "mean" else 2.0
    by_x = multiply(scale(from_edge(difference, sides), factor), grad)
    return _wanted(node, lambda: by_x, lambda: negative(by_x))


def _cross_entropy(grad: Tensor, node: Node) -> Tensors:
    x_data, labels, reduction, options = node.saved
    taken = labels != options["ignore_index"]
    rows, count = x_data.shape
    weight = np.ones(count, x_data.dtype) if options["weight"] is None else options["weight"]
    smoothing = options["label_smoothing"]
    target = np.full((rows, count), smoothing / count, np.float64)
    target[taken, labels[taken]] += 1 - smoothing
    target = target * weight * taken[:, None]
    if reduction == "mean":
        target = target / np.sum(weight[labels[taken]])
    target = target.astype(x_data.dtype)
    pull = multiply(softmax(_input(node, 0, x_data)), target.sum(1, keepdims=True))
    return (multiply(subtract(pull, target), reshape(grad, -1, 1) if reduction == "none" else grad),)


# ---- shapes ----------------------------------------------------------------------------------------------------------


def _reshape(grad: Tensor, node: Node) -> Tensors:
    return (reshape(grad, node.saved),)


def _transpose(grad: Tensor, node: Node) -> Tensors:
    return (transpose(grad) if node.saved is None else transpose(grad, tuple(int(axis) for axis in node.saved)),)


def _getitem(grad: Tensor, node: Node) -> Tensors:
    assert node.backward is not None
    (scattered,) = node.backward(grad.data, node)
    return (record(scattered, _scatter_backward, (grad.node,), node.saved[1]),)


def _scatter_backward(grad: Array, node: Node) -> Gradients:
    return (np.asarray(grad[node.saved]),)


def _embedding(grad: Tensor, node: Node) -> Tensors:
    index, rows, padding_idx = node.saved
    if padding_idx is not None:
        grad = multiply(grad, (index != padding_idx).astype(grad.dtype)[..., np.newaxis])
    by_weight = np.zeros((rows, grad.shape[-1]), grad.dtype)
    np.add.at(by_weight, index, grad.data)
    return (record(by_weight, _scatter_backward, (grad.node,), index),)


def _where(grad: Tensor, node: Node) -> Tensors:
    chosen, a, b = node.saved
    return _wanted(
        node,
        lambda: _unbroadcast(where(chosen, grad, 0.0), a),
        lambda: _unbroadcast(where(chosen, 0.0, grad), b),
    )


def _concatenate(grad: Tensor, node: Node) -> Tensors:
    axis, sizes = node.saved
    return shape.split(grad, [int(cut) for cut in np.cumsum(sizes)[:-1]], axis)


def _stack(grad: Tensor, node: Node) -> Tensors:
    axis = node.saved % grad.ndim
    return tuple(getitem(grad, (*[slice(None)] * axis, i)) for i in range(len(node.inputs)))


def _dropout(grad: Tensor, node: Node) -> Tensors:
    return (dropout(grad, *node.saved),)


def _rotary(grad: Tensor, node: Node) -> Tensors:
    cos, sin, interleaved = node.saved
    return (attention.rotary_embedding(grad, cos, -sin, interleaved),)


def _global_avg_pool2d(grad: Tensor, node: Node) -> Tensors:
    shape = node.saved
    return (scale(broadcast_to(grad, shape), 1 / (shape[2] * shape[3])),)


def _mapped(gradient: Tensor, node: Node) -> Tensors:
    formula, arrays, c = node.saved
    points = tuple(Tensor(array) if edge is None else array for array, edge in zip(arrays, node.inputs, strict=True))
    return _through(lambda *given: formula(*given, c), gradient, node.inputs, points)


FORMULAS: dict[BackwardFunction, Formula] = {
    activations._elu_backward: _again(lambda x, alpha: ((x,), lambda x: _elu(x, alpha))),
    activations._gelu_backward: _again(lambda x, approximate: ((x,), lambda x: _gelu(x, approximate))),
    activations._hard_sigmoid_backward: _flat,
    activations._hard_swish_backward: _again(lambda x: ((x,), _hard_swish)),
    activations._hard_tanh_backward: _flat,
    activations._leaky_relu_backward: _flat,
    activations._mish_backward: _again(
        lambda x: ((x,), lambda x: multiply(x, activations.tanh(_softplus(x, 1.0, 20.0))))
    ),
    activations._prelu_backward: _again(lambda x, weight: ((x, weight), _prelu)),
    activations._relu6_backward: _flat,
    activations._relu_backward: _flat,
    activations._selu_backward: _again(lambda x: ((x,), _selu)),
    activations._sigmoid_backward: _slope(_sigmoid_slope),
    activations._silu_backward: _again(lambda x: ((x,), _silu)),
    activations._softplus_backward: _again(lambda x, beta, top: ((x,), lambda x: _softplus(x, beta, top))),
    activations._tanh_backward: _slope(_tanh_slope),
    attention._attention_backward: _again(_attention),
    attention._rotary_backward: _rotary,
    conv._conv2d_backward: _conv2d,
    conv._conv_transpose2d_backward: _conv_transpose2d,
    _dropout_backward: _dropout,
    elementwise._add_backward: _add,
    elementwise._axpy_backward: _axpy,
    elementwise._clip_backward: _flat,
    elementwise._cos_backward: _slope(lambda node: negative(elementwise.sin(_input(node, 0, node.saved)))),
    elementwise._divide_backward: _divide,
    elementwise._erf_backward: _slope(_erf_slope),
    elementwise._exp_backward: _slope(lambda node: _output(node, node.saved)),
    elementwise._fma_backward: _fma,
    elementwise._log2_backward: lambda grad, node: (divide(grad, scale(_input(node, 0, node.saved), math.log(2.0))),),
    elementwise._log_backward: lambda grad, node: (divide(grad, _input(node, 0, node.saved)),),
    elementwise._maximum_backward: _choice(np.greater),
    elementwise._minimum_backward: _choice(np.less),
    elementwise._multiply_backward: _multiply,
    elementwise._power_backward: _power,
    elementwise._reciprocal_backward: _slope(
        lambda node: negative(multiply(_output(node, node.saved), _output(node, node.saved)))
    ),
    elementwise._scale_backward: _scale,
    elementwise._sin_backward: _slope(lambda node: elementwise.cos(_input(node, 0, node.saved))),
    elementwise._sqrt_backward: lambda grad, node: (divide(grad, scale(_output(node, node.saved), 2.0)),),
    elementwise._subtract_backward: _subtract,
    _embedding_backward: _embedding,
    geometry._euclidean_distance_backward: _again(_euclidean),
    in_place._divide_in_place_backward: _divide_in_place,
    in_place._multiply_in_place_backward: _multiply_in_place,
    _dot_backward: _dot,
    _linear_backward: _linear,
    _grouped_backward: _grouped,
    _matmul_backward: _matmul,
    losses._cross_entropy_backward: _cross_entropy,
    losses._mse_loss_backward: _mse_loss,
    manifold._mapped_backward: _mapped,
    norms._batch_norm_backward: _batch_norm,
    norms._group_norm_backward: _group_norm,
    norms._instance_norm_backward: _instance_norm,
    norms._layer_norm_backward: _layer_norm,
    norms._rms_norm_backward: _again(_rms_norm),
    pooling._global_avg_pool2d_backward: _global_avg_pool2d,
    reductions._logsumexp_backward: _logsumexp,
    reductions._max_backward: _extreme,
    reductions._mean_backward: _mean,
    reductions._min_backward: _extreme,
    reductions._norm_backward: _norm,
    reductions._sum_backward: _sum,
    reductions._var_backward: _again(lambda x, axis, ddof: ((x,), lambda x: _var(x, axis, ddof))),
    shape._broadcast_to_backward: lambda grad, node: (_unbroadcast(grad, node.saved),),
    shape._clone_backward: lambda grad, node: (grad,),
    shape._concatenate_backward: _concatenate,
    shape._getitem_backward: _getitem,
    shape._reshape_backward: _reshape,
    shape._stack_backward: _stack,
    shape._transpose_backward: _transpose,
    shape._where_backward: _where,
    _log_softmax_backward: _log_softmax,
    _softmax_backward: _softmax,
    _scatter_backward: lambda grad, node: (getitem(grad, node.saved),),
}
"""By an operation's backward function: the same gradients, from a Tensor to Tensors."""
