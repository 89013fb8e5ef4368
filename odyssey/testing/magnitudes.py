"""The sums of absolute values that the rounding errors of an operation are proportional to.

Each function takes the arguments of the operation it is for, and returns what `Gamma` multiplies with γ_n, of the
result's shape. First-order error analysis, a line each: where the operation adds, absolute values add; where it
subtracts, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from odyssey import reference
from odyssey.reference import attention as attention_definition
from odyssey.reference._arrays import wide
from odyssey.testing import winograd
from odyssey.typing import Array

Axis = int | tuple[int, ...] | None


def size_of(value: Array) -> Array:
    """|value|, wide."""
    return np.asarray(np.abs(wide(np.asarray(value))))


def result_of(op: str) -> Callable[..., Array]:
    """|result|, where nothing cancels."""
    return lambda *args, **options: size_of(getattr(reference, op)(*args, **options))


# ---- reductions ------------------------------------------------------------------------------------------------------


def count(x: Array, axis: Axis = None, **_: Any) -> int:
    """How many elements each result reduces, and so at most how many roundings meet in one sum."""
    return int(x.size // max(np.sum(x, axis=axis).size, 1))


def sum(x: Array, axis: Axis = None, keepdims: bool = False, **_: Any) -> Array:
    """Σ|x|."""
    return np.asarray(np.sum(size_of(x), axis=axis, keepdims=keepdims))


def mean(x: Array, axis: Axis = None, keepdims: bool = False, **_: Any) -> Array:
    """Σ|x| / n."""
    return np.divide(sum(x, axis, keepdims), count(x, axis))


def var(x: Array, axis: Axis = None, ddof: int = 0, keepdims: bool = False, **_: Any) -> Array:
    """Σx² / (n - ddof): an error in the mean enters squared, and is at most γ_n · mean|x|."""
    total = np.sum(size_of(x) ** 2, axis=axis, keepdims=keepdims)
    return np.asarray(np.divide(total, max(count(x, axis) - ddof, 0)))


def var_backward(grad: Array, x: Array, axis: Axis = None, ddof: int = 0, **_: Any) -> Array:
    """|grad| · 2 (|x| + mean|x|) / (n - ddof)."""
    apart = size_of(x) + mean(x, axis, keepdims=True)
    incoming = size_of(grad).reshape(mean(x, axis, keepdims=True).shape)
    return np.asarray(incoming * np.divide(2 * apart, max(count(x, axis) - ddof, 0)))


def norm(x: Array, axis: Axis = None, keepdims: bool = False, **_: Any) -> Array:
    """The norm itself: nothing cancels."""
    return np.asarray(reference.norm(wide64(x), axis=axis, keepdims=keepdims))


def logsumexp(x: Array, axis: Axis = None, keepdims: bool = False, **_: Any) -> Array:
    """1 for the sum's relative error, which the logarithm makes absolute, and |max x| + |result| for what is added."""
    largest = size_of(np.max(x, axis=axis, keepdims=keepdims, initial=-np.inf))
    return np.asarray(1 + np.where(np.isinf(largest), 0, largest) + size_of(reference.logsumexp(x, axis, keepdims)))


def dot(a: Array, b: Array, **_: Any) -> Array:
    """Σ|a||b|."""
    return np.asarray(np.sum(size_of(a) * size_of(b)))


# ---- rows ------------------------------------------------------------------------------------------------------------


def softmax(x: Array, axis: int = -1, **_: Any) -> Array:
    """y · (1 + |x - max x|): subtracting the maximum errs by u·|x - max x|, which exp makes relative."""
    y = wide(np.asarray(reference.softmax(x, axis)))
    return np.where(y == 0, 0, y * (1 + _below_maximum(x, axis)))


def softmax_backward(grad: Array, y: Array, axis: int = -1, **_: Any) -> Array:
    """y · (|grad| + Σ|grad · y|)."""
    weighted = np.sum(size_of(grad) * size_of(y), axis=axis, keepdims=True)
    return np.asarray(size_of(y) * (size_of(grad) + weighted))


def log_softmax(x: Array, axis: int = -1, **_: Any) -> Array:
    """1 for the sum's relative error, |x - max x| and |result| for the two subtractions."""
    return np.asarray(1 + _below_maximum(x, axis) + size_of(reference.log_softmax(x, axis)))


def log_softmax_backward(grad: Array, y: Array, axis: int = -1, **_: Any) -> Array:
    """|grad| + e^y · Σ|grad|."""
    return np.asarray(size_of(grad) + np.exp(wide(y)) * np.sum(size_of(grad), axis=axis, keepdims=True))


def cross_entropy(
    logits: Array, labels: Array, reduction: str = "mean", ignore_index: int = -100, **options: Any
) -> Array:
    """Each class's target times 1 + |max - logit| + log Σ e^(logit - max), summed and reduced as the losses are."""
    target, taken, divisor = _targets(logits, labels, reduction, ignore_index, **options)
    below = _below_maximum(logits, 1)
    log_total = np.log(np.sum(np.exp(-below), axis=1, keepdims=True))
    terms = np.where(target == 0, 0, target * (1 + below + np.abs(log_total)))
    rows = np.where(taken, np.sum(terms, axis=1), 0)
    return rows if reduction == "none" else np.asarray(np.divide(rows.sum(), divisor))


def cross_entropy_backward(
    grad: Array, logits: Array, labels: Array, reduction: str = "mean", ignore_index: int = -100, **options: Any
) -> Array:
    """|grad| · (softmax's magnitude · Σ target + target), over the mean's divisor."""
    target, taken, divisor = _targets(logits, labels, reduction, ignore_index, **options)
    slope = softmax(logits, 1) * np.sum(target, axis=1, keepdims=True) + target
    each = size_of(grad)[:, np.newaxis] if reduction == "none" else size_of(grad)
    return np.where(taken[:, np.newaxis], np.divide(each * slope, divisor), 0)


def _targets(
    logits: Array,
    labels: Array,
    reduction: str,
    ignore_index: int,
    label_smoothing: float = 0.0,
    weight: Array | None = None,
) -> tuple[Array, Array, Any]:
    """The sizes of what each row asks of each class; which rows take part; what a mean divides by."""
    classes, taken = logits.shape[1], labels != ignore_index
    each = np.ones(classes) if weight is None else size_of(weight)
    own = np.arange(classes) == labels[:, np.newaxis]
    target = np.asarray(((1 - label_smoothing) * own + label_smoothing / max(classes, 1)) * each)
    return target, taken, np.sum(each[labels[taken]]) if reduction == "mean" else 1


def _below_maximum(x: Array, axis: int) -> Array:
    z = wide(x)
    return np.asarray(np.max(z, axis=axis, keepdims=True, initial=-np.inf) - z)


# ---- gradients with a zero crossing, where relative error means nothing ----------------------------------------------


def erf_backward(grad: Array, x: Array, **_: Any) -> Array:
    """|result| · (1 + x²): rounding x² errs by u·x², which exp makes relative."""
    z = wide(x)
    return _finite(size_of(reference.erf_backward(wide64(grad), wide64(x))) * (1 + z * z))


def silu_backward(grad: Array, x: Array, **_: Any) -> Array:
    """|grad| · s · (1 + |x| (1 - s))."""
    s, t = _sigmoids(x)
    return np.asarray(size_of(grad) * s * (1 + _finite(size_of(x) * t)))


def swiglu_backward(grad: Array, gate: Array, up: Array) -> Array:
    """Of gate's gradient: |up| times that of silu's."""
    return _finite(size_of(up) * silu_backward(grad, gate))


def swiglu_up(grad: Array, gate: Array, up: Array) -> Array:
    """|grad| |silu(gate)|."""
    return _finite(size_of(grad) * size_of(reference.silu(gate)))


def gelu(x: Array, approximate: str = "none", **_: Any) -> Array:
    """|result|; below 0, in the tanh form, times 1 + |2u|: rounding u errs by its ulps, which exp makes relative."""
    u = _gelu_argument(wide(x))
    return _finite(size_of(reference.gelu(x, approximate)) * np.where(u < 0, 1 + 2 * np.abs(u), 1))


def gelu_backward(grad: Array, x: Array, approximate: str = "none", **_: Any) -> Array:
    """|grad| · (Φ + |x| φ · (1 + x²/2)); in the tanh form |grad| · s · (1 + 2 |x| (1 - s) u') · (1 + |2u|)."""
    z = wide(x)
    if approximate == "none":
        density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
        below = wide(np.asarray(reference.gelu(x))) / np.where(z == 0, 1, z)
        return np.asarray(
            size_of(grad) * (np.where(z == 0, 0.5, below) + _finite(np.abs(z) * density * (1 + z * z / 2)))
        )
    u = _gelu_argument(z)
    s, t = _sigmoids(2 * u)
    slope = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * z * z)
    lower = np.where(u < 0, 1 + 2 * np.abs(u), 1)
    return _finite(
        size_of(grad) * s * lower * (1 + _finite(2 * np.abs(z * u) * t * slope) + _finite(2 * np.abs(z) * t * slope))
    )


def mish_backward(grad: Array, x: Array, **_: Any) -> Array:
    """|grad| · (t + |x| s (1 - t²)), where t = tanh(softplus(x))."""
    z = wide(x)
    t = np.tanh(np.logaddexp(0, z))
    s, _not_s = _sigmoids(x)
    return np.asarray(size_of(grad) * (t + _finite(np.abs(z) * s * (1 - t * t))))


def hard_swish_backward(grad: Array, x: Array, **_: Any) -> Array:
    """|grad| · (|x| / 3 + 1/2) in the middle."""
    return np.asarray(size_of(grad) * (np.minimum(size_of(x), 3) / 3 + 0.5))


def _gelu_argument(z: Array) -> Array:
    return np.asarray(np.sqrt(2 / np.pi) * (z + 0.044715 * z * z * z))


def _sigmoids(x: Array) -> tuple[Array, Array]:
    """sigmoid(x) and 1 - sigmoid(x), wide."""
    small = np.exp(-size_of(x))
    return np.where(x < 0, small, 1) / (1 + small), np.where(x < 0, 1, small) / (1 + small)


def _finite(values: Array) -> Array:
    """0 in place of inf · 0, which these formulas meet only where the result is certain."""
    return np.where(np.isnan(values), 0, values)


# ---- norms -----------------------------------------------------------------------------------------------------------


def norm_factor(
    x: Array, weight: Array | None = None, eps: float = 1e-5, axes: Axis = -1, centred: bool = True
) -> Array:
    """|weight| / √(var + eps), weight as it broadcasts: what an error in x - mean is multiplied with."""
    z = wide(np.asarray(x))
    d = z - _average(z, axes) if centred else z
    r = 1 / np.sqrt(_average(d * d, axes) + np.asarray(eps, x.dtype))
    return np.asarray(r if weight is None else r * size_of(weight))


def backward_factor(
    x: Array, weight: Array | None = None, eps: float = 1e-5, axes: Axis = -1, centred: bool = True
) -> Array:
    """(1 + |weight|) / √(var + eps): what an error in grad, or in grad · weight, is multiplied with."""
    more = 1 if weight is None else 1 + size_of(weight)
    return np.asarray(norm_factor(x, None, eps, axes, centred) * more)


def apart(x: Array, axes: Axis = -1) -> Array:
    """|x| + mean|x|, which bounds x - mean and, times γ_n, its error."""
    return np.asarray(size_of(x) + _average(size_of(x), axes))


def layer_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5, axes: Axis = -1, **_: Any
) -> Array:
    """2 |weight| / √(var + eps) · (|x| + mean|x|) + |bias|: for errors in x - mean, and in the variance."""
    start = 0 if bias is None else size_of(bias)
    return np.asarray(2 * norm_factor(x, weight, eps, axes) * apart(x, axes) + start)


def layer_norm_backward(
    grad: Array,
    x: Array,
    weight: Array | None = None,
    eps: float = 1e-5,
    axes: Axis = -1,
    centred: bool = True,
    **_: Any,
) -> Array:
    """2 r (|h| + mean|h| + (|x| + mean|x|) r² mean|h (|x| + mean|x|)|), h = grad · weight."""
    h = size_of(grad) if weight is None else size_of(grad) * size_of(weight)
    r, d = norm_factor(x, None, eps, axes, centred), apart(x, axes)
    mean = _average(h, axes)
    return np.asarray(2 * r * (h + mean + d * r * r * _average(h * d, axes)))


def norm_backward_weight(
    grad: Array, x: Array, eps: float = 1e-5, axes: Axis = -1, over: Axis = None, centred: bool = True
) -> Array:
    """Σ|grad| (|x| + mean|x|) r over the axes that share a weight."""
    return np.asarray(np.sum(2 * size_of(grad) * apart(x, axes) * norm_factor(x, None, eps, axes, centred), axis=over))


def _average(values: Array, axes: Axis) -> Array:
    """The mean along axes, which stay; 0 of nothing."""
    total = np.asarray(np.sum(values, axis=axes, keepdims=True))
    return np.asarray(total / max(values.size // max(total.size, 1), 1))


# ---- products --------------------------------------------------------------------------------------------------------


def matmul(a: Array, b: Array, out: Array | None = None, alpha: float = 1.0, beta: float = 0.0) -> Array:
    """|alpha| · |a| @ |b| + |beta · out|."""
    start = 0 if out is None or beta == 0 else abs(beta) * np.abs(wide64(out))
    return np.asarray(abs(alpha) * np.matmul(np.abs(wide64(a)), np.abs(wide64(b))) + start)


def grouped_matmul(a: Array, b: Any, offsets: Array, **_: Any) -> Array:
    """Σ|a||b|, group by group."""
    if isinstance(b, list):
        b = np.stack([wide64(matrix.unpack().T if hasattr(matrix, "unpack") else matrix) for matrix in b])
    return np.asarray(reference.grouped_matmul(np.abs(wide64(a)), np.abs(wide64(b)), offsets))


def linear(x: Array, weight: Array, bias: Array | None = None, activation: str | None = None, **_: Any) -> Array:
    """|x| @ |weight|ᵀ + |bias|, for no activation amplifies an error by more than 1.13; and |result| for its own."""
    total = matmul(x, np.asarray(weight).T) + (0 if bias is None else np.abs(wide64(bias)))
    return np.asarray(total if activation is None else 2 * total)


def prelu_backward_weight(grad: Array, x: Array, weight: Array) -> Array:
    """Σ|x · grad| over what an entry of weight serves."""
    zeros = np.zeros_like(weight, dtype=np.float64)
    return np.abs(reference.prelu_backward(np.abs(wide64(grad)), wide64(x), zeros)[1])


def wide64(array: Array) -> Array:
    """The array in float64, which the reference accepts."""
    return np.asarray(array, np.float64)


# ---- images ----------------------------------------------------------------------------------------------------------


def conv2d(x: Array, weight: Array, bias: Array | None = None, activation: str | None = None, **options: Any) -> Array:
    """The convolution of absolute values, or what tiles of it pass through; doubled if activated, as in `linear`."""
    start = None if bias is None else np.abs(wide64(bias))
    if x.dtype == np.float32 and winograd.pays(x.shape, weight.shape, **options):
        padding, groups = options.get("padding", 0), options.get("groups", 1)
        total = winograd.magnitude(x, weight, winograd.pair(padding), groups)
        total += 0 if start is None else start[:, np.newaxis, np.newaxis]
    else:
        total = reference.conv2d(np.abs(wide64(x)), np.abs(wide64(weight)), start, **options)
    return total if activation is None else 2 * total


def conv2d_backward_input(grad: Array, weight: Array, input_shape: Any, **options: Any) -> Array:
    """The same of the absolute values, or what tiles of it pass through."""
    turned = winograd.turned(weight, options.get("groups", 1))
    kernel, padding = weight.shape[2:], winograd.pair(options.get("padding", 0))
    around = kernel[0] - 1 - padding[0], kernel[1] - 1 - padding[1]
    if grad.dtype == np.float32 and winograd.pays(grad.shape, turned.shape, **options | {"padding": around}):
        return winograd.magnitude(grad, turned, around, options.get("groups", 1))
    return reference.conv2d_backward_input(np.abs(wide64(grad)), np.abs(wide64(weight)), input_shape, **options)


def conv2d_backward_weight(grad: Array, x: Array, weight_shape: Any, **options: Any) -> Array:
    """The same of the absolute values, or what tiles of it pass through."""
    if grad.dtype == np.float32 and winograd.pays(x.shape, tuple(weight_shape), **options):
        padding, groups = winograd.pair(options.get("padding", 0)), options.get("groups", 1)
        return winograd.weight_magnitude(grad, x, padding, groups)
    return reference.conv2d_backward_weight(np.abs(wide64(grad)), np.abs(wide64(x)), weight_shape, **options)


def filter2d(image: Array, kernel: Array, border: str = "reflect", cval: float = 0.0) -> Array:
    """The filter of absolute values."""
    return reference.filter2d(np.abs(wide64(image)), np.abs(wide64(kernel)), border, abs(cval))


def filter2d_backward_image(grad: Array, kernel: Array, border: str = "reflect") -> Array:
    """The same of absolute values."""
    return reference.filter2d_backward_image(np.abs(wide64(grad)), np.abs(wide64(kernel)), border)


def filter2d_backward_kernel(
    grad: Array, image: Array, kernel_shape: Any, border: str = "reflect", cval: float = 0.0
) -> Array:
    """The same of absolute values."""
    sizes = np.abs(wide64(grad)), np.abs(wide64(image))
    return reference.filter2d_backward_kernel(*sizes, kernel_shape, border, abs(cval))


def conv_transpose2d(x: Array, weight: Array, bias: Array | None = None, **options: Any) -> Array:
    """The same of the absolute values, or what tiles of it pass through."""
    turned = winograd.turned(weight, options.get("groups", 1))
    padding = winograd.pair(options.get("padding", 0))
    around = weight.shape[2] - 1 - padding[0], weight.shape[3] - 1 - padding[1]
    if x.dtype == np.float32 and winograd.pays(x.shape, turned.shape, **options | {"padding": around}):
        start = 0 if bias is None else np.abs(wide64(bias))[:, np.newaxis, np.newaxis]
        return np.asarray(winograd.magnitude(x, turned, around, options.get("groups", 1)) + start)
    return reference.conv_transpose2d(
        np.abs(wide64(x)), np.abs(wide64(weight)), None if bias is None else np.abs(wide64(bias)), **options
    )


def conv_transpose2d_backward_input(grad: Array, weight: Array, input_shape: Any, **options: Any) -> Array:
    """The same of the absolute values, or what tiles of it pass through."""
    if grad.dtype == np.float32 and winograd.pays(grad.shape, weight.shape, **options):
        return winograd.magnitude(grad, weight, winograd.pair(options.get("padding", 0)), options.get("groups", 1))
    absolute = np.abs(wide64(grad)), np.abs(wide64(weight))
    return reference.conv_transpose2d_backward_input(*absolute, input_shape, **options)


def conv_transpose2d_backward_weight(grad: Array, x: Array, weight_shape: Any, **options: Any) -> Array:
    """The same of the absolute values, or what tiles of it pass through: images and gradients change places."""
    if grad.dtype == np.float32 and winograd.pays(grad.shape, tuple(weight_shape), **options):
        padding, groups = winograd.pair(options.get("padding", 0)), options.get("groups", 1)
        return winograd.weight_magnitude(x, grad, padding, groups)
    return reference.conv_transpose2d_backward_weight(np.abs(wide64(grad)), np.abs(wide64(x)), weight_shape, **options)


def max_pool2d_backward(grad: Array, *args: Any, **options: Any) -> Array:
    """The same of the absolute values."""
    return reference.max_pool2d_backward(np.abs(grad), *args, **options)


def avg_pool2d(x: Array, *args: Any, **options: Any) -> Array:
    """The same of the absolute values."""
    return reference.avg_pool2d(np.abs(x), *args, **options)


def avg_pool2d_backward(grad: Array, *args: Any, **options: Any) -> Array:
    """The same of the absolute values."""
    return reference.avg_pool2d_backward(np.abs(grad), *args, **options)


# ---- attention -------------------------------------------------------------------------------------------------------


def _attention_parts(
    query: Array, key: Array, attn_mask: Array | None, is_causal: bool, scale: float | None
) -> tuple[Array, Array]:
    """The weights, and what their relative errors are proportional to: 1, the terms of the score and of the largest,
    and the mean of these, for the sum."""
    weights, part = attention_definition._weights(query, key, attn_mask, is_causal, scale)
    by = np.abs(attention_definition._scale(scale, query))
    terms = by * size_of(query) @ np.swapaxes(attention_definition._shared(size_of(key), query), -1, -2)
    if attn_mask is not None and attn_mask.dtype != bool:
        terms = terms + size_of(attn_mask)
    terms = np.where(part, terms, 0)
    terms = terms + np.max(terms, axis=-1, keepdims=True, initial=0)
    return weights, 1 + terms + np.sum(weights * terms, axis=-1, keepdims=True)


def attention(
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Array:
    """Σ w|v| · what w's error is proportional to."""
    weights, relative = _attention_parts(query, key, attn_mask, is_causal, scale)
    values = attention_definition._shared(size_of(value), query)
    return np.asarray((weights * relative) @ np.where(np.isfinite(values), values, 0))


def attention_backward(
    grad: Array,
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> tuple[Array, Array, Array]:
    """The same of absolute values, differences as sums."""
    weights, relative = _attention_parts(query, key, attn_mask, is_causal, scale)
    shared, gathered = attention_definition._shared, attention_definition._gathered
    by_weight = size_of(grad) @ np.swapaxes(shared(size_of(value), query), -1, -2)
    weighted = weights * relative
    slope = weighted * (by_weight + np.sum(weighted * by_weight, axis=-1, keepdims=True))
    slope = slope * np.abs(attention_definition._scale(scale, query))
    by_key = gathered(np.swapaxes(slope, -1, -2) @ size_of(query), key)
    return slope @ shared(size_of(key), query), by_key, gathered(np.swapaxes(weighted, -1, -2) @ size_of(grad), value)


def rotary_embedding(x: Array, cos: Array, sin: Array, interleaved: bool = False, **_: Any) -> Array:
    """|a cos| + |b sin| for each pair."""
    x, pairs = size_of(x), cos.shape[-1]
    result = x.copy()
    halves = (slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2))
    first, second = halves if interleaved else (slice(pairs), slice(pairs, 2 * pairs))
    result[..., first] = x[..., first] * size_of(cos) + x[..., second] * size_of(sin)
    result[..., second] = x[..., first] * size_of(sin) + x[..., second] * size_of(cos)
    return result


def rotary_tables(length: int, dim: int, **_: Any) -> Array:
    """1 + the angle, which is at most the position."""
    return np.broadcast_to(1.0 + np.arange(length)[:, np.newaxis], (length, dim // 2))


# ---- optimizers ------------------------------------------------------------------------------------------------------


def sgd_buffer(
    param: Array,
    grad: Array,
    momentum_buffer: Array | None = None,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    **_: Any,
) -> Array:
    """|momentum · buffer| + |grad| + |weight_decay · param|."""
    kept = 0 if momentum_buffer is None else abs(momentum) * size_of(momentum_buffer)
    return np.asarray(kept + (1 + abs(dampening)) * (size_of(grad) + abs(weight_decay) * size_of(param)))


def sgd_param(param: Array, grad: Array, *args: Any, lr: float = 0.01, **options: Any) -> Array:
    """|param| + lr · the buffer's magnitude, twice for Nesterov's second look."""
    return np.asarray(size_of(param) + 2 * lr * sgd_buffer(param, grad, *args, **options))


def adam_average(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    step: int,
    beta1: float = 0.9,
    weight_decay: float = 0.0,
    **_: Any,
) -> Array:
    """|beta1 · average| + (1 - beta1) (|grad| + |weight_decay · param|)."""
    return np.asarray(beta1 * size_of(exp_avg) + (1 - beta1) * (size_of(grad) + weight_decay * size_of(param)))


def adam_square(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    step: int,
    beta2: float = 0.999,
    weight_decay: float = 0.0,
    **_: Any,
) -> Array:
    """|beta2 · square| + (1 - beta2) (|grad| + |weight_decay · param|)²."""
    return np.asarray(beta2 * size_of(exp_avg_sq) + (1 - beta2) * (size_of(grad) + weight_decay * size_of(param)) ** 2)


def adam_param(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    step: int,
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    **options: Any,
) -> Array:
    """|param| + lr · (the average's magnitude / (1 - beta1^step)) / (√(square / (1 - beta2^step)) + eps)."""
    square = beta2 * wide(exp_avg_sq) + (1 - beta2) * wide(grad) ** 2
    average = adam_average(param, grad, exp_avg, exp_avg_sq, step, beta1, **options) / (1 - beta1**step)
    return np.asarray(size_of(param) + lr * average / (np.sqrt(square / (1 - beta2**step)) + eps))


def rmsprop_square(
    param: Array, grad: Array, square_avg: Array, *_: Any, alpha: float = 0.99, weight_decay: float = 0.0, **__: Any
) -> Array:
    """alpha · |square| + (1 - alpha) (|grad| + |weight_decay · param|)²."""
    slope = size_of(grad) + weight_decay * size_of(param)
    return np.asarray(alpha * size_of(square_avg) + (1 - alpha) * slope**2)


def rmsprop_average(
    param: Array, grad: Array, square_avg: Array, grad_avg: Array, *_: Any, alpha: float = 0.99, **options: Any
) -> Array:
    """alpha · |average| + (1 - alpha) (|grad| + |weight_decay · param|)."""
    slope = size_of(grad) + options.get("weight_decay", 0.0) * size_of(param)
    return np.asarray(alpha * size_of(grad_avg) + (1 - alpha) * slope)


def rmsprop_buffer(
    param: Array,
    grad: Array,
    square_avg: Array,
    grad_avg: Array | None = None,
    momentum_buffer: Array | None = None,
    momentum: float = 0.0,
    eps: float = 1e-8,
    **options: Any,
) -> Array:
    """|momentum · buffer| + (|grad| + |decay · param|) / (√s + eps), times how much s = square - average² cancels."""
    slope = size_of(grad) + options.get("weight_decay", 0.0) * size_of(param)
    square, mean = np.array(square_avg), np.zeros_like(param) if grad_avg is None else np.array(grad_avg)
    with np.errstate(all="ignore"):
        reference.rmsprop_step(np.array(param), grad, square, mean, eps=eps, **options)
        average = np.zeros_like(wide(mean)) if grad_avg is None else wide(mean)
        left = wide(square) - average * average
        lost = (rmsprop_square(param, grad, square_avg, **options) + average * average) / left
        total = slope / (np.sqrt(left) + eps) * (1 + lost)
    kept = 0 if momentum_buffer is None else abs(momentum) * size_of(momentum_buffer)
    return np.asarray(kept + total)


def rmsprop_param(param: Array, grad: Array, *args: Any, lr: float = 0.01, **options: Any) -> Array:
    """|param| + lr · the buffer's magnitude."""
    return np.asarray(size_of(param) + lr * rmsprop_buffer(param, grad, *args, **options))


def adagrad_sum(param: Array, grad: Array, state_sum: Array, step: int, weight_decay: float = 0.0, **_: Any) -> Array:
    """|sum| + (|grad| + |weight_decay · param|)²."""
    return np.asarray(size_of(state_sum) + (size_of(grad) + weight_decay * size_of(param)) ** 2)


def adagrad_param(
    param: Array,
    grad: Array,
    state_sum: Array,
    step: int,
    lr: float = 0.01,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
    **_: Any,
) -> Array:
    """|param| + lr · (|grad| + |weight_decay · param|) / √sum, times how much the sum's terms exceed it."""
    slope = size_of(grad) + weight_decay * size_of(param)
    total = size_of(state_sum) + (wide(grad) + weight_decay * wide(param)) ** 2
    lost = adagrad_sum(param, grad, state_sum, step, weight_decay) / total
    return np.asarray(size_of(param) + lr * slope / (np.sqrt(total) + eps) * (1 + lost))


def lars_buffer(
    param: Array,
    grad: Array,
    momentum_buffer: Array | None = None,
    lr: float = 0.01,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    trust_coefficient: float = 0.001,
    eps: float = 1e-8,
) -> Array:
    """|momentum · buffer| + rate · (|grad| + |weight_decay · param|)."""
    p, g = wide(param), wide(grad)
    size, slope = np.sqrt(np.sum(p * p)), np.sqrt(np.sum(g * g))
    rate = lr * trust_coefficient * size / (slope + weight_decay * size + eps) if size != 0 and slope != 0 else lr
    kept = 0 if momentum_buffer is None else abs(momentum) * size_of(momentum_buffer)
    return np.asarray(kept + rate * (size_of(grad) + weight_decay * size_of(param)))


def lars_param(param: Array, grad: Array, *args: Any, **options: Any) -> Array:
    """|param| + the buffer's magnitude."""
    return np.asarray(size_of(param) + lars_buffer(param, grad, *args, **options))


# ---- transport -------------------------------------------------------------------------------------------------------


def sinkhorn_knopp(
    x: Array, *, tau: float = 1.0, order: str = "rows", from_logits: bool = True, **options: Any
) -> Array:
    """The result times 1 + |x - max x| / tau, the largest of the matrix: what is 100 below weighs nothing."""
    result = reference.sinkhorn_knopp(wide64(x), tau=tau, order=order, from_logits=from_logits, **options)
    return np.asarray(size_of(np.asarray(result)) * _depth(x, tau, order, from_logits))


def sinkhorn_knopp_backward(
    grad: Array,
    x: Array,
    *,
    tau: float = 1.0,
    order: str = "rows",
    from_logits: bool = True,
    method: str = "",
    **options: Any,
) -> Array:
    """The largest |grad| times the factors of the result, and once more for the softmax or the rows' division."""
    rows = -1 if order == "rows" else -2
    y = sinkhorn_knopp(x, tau=tau, order=order, from_logits=from_logits, **options)
    incoming = np.max(size_of(grad), axis=(-1, -2), keepdims=True, initial=0)
    if from_logits:
        start = wide(np.asarray(reference.softmax(wide64(x) / tau, rows))) + options.get("eps", 1e-6)
        return np.asarray(incoming * (y + start * _depth(x, tau, order, True)) / tau)
    sums = np.sum(size_of(x), axis=rows, keepdims=True)
    return np.asarray(incoming * (np.divide(y, size_of(x)) + np.divide(1, sums)))


def _depth(x: Array, tau: float, order: str, from_logits: bool) -> Any:
    if not from_logits:
        return 1
    below = _below_maximum(x, -1 if order == "rows" else -2) / tau
    return 1 + np.max(np.minimum(below, 100), axis=(-1, -2), keepdims=True, initial=0)
