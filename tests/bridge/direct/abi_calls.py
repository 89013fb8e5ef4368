"""Every operation of the C ABI as a call with arrays, beside what the Python function of the same name makes of them."""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import odyssey as od

LONG = 70_001  # long enough that threads share the work, and that reductions go by chunks


@dataclass
class Call:
    """ody_<name>_f32 or _f64 with these arguments; `written` of them must become what is `expected`."""

    name: str
    arguments: list[Any]
    written: list[np.ndarray]
    expected: list[np.ndarray]
    structs: list[Any] = field(default_factory=list)


class Conv2d(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in [
            "batch",
            "channels",
            "height",
            "width",
            "outputs",
            "kernel_h",
            "kernel_w",
            "stride_y",
            "stride_x",
            "padding_y",
            "padding_x",
            "dilation_y",
            "dilation_x",
            "groups",
        ]
    ] + [("activation", ctypes.c_int)]


class Pool2d(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in [
            "planes",
            "height",
            "width",
            "kernel_h",
            "kernel_w",
            "stride_y",
            "stride_x",
            "padding_y",
            "padding_x",
        ]
    ]


class AttentionShape(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t) for name in ["batch", "heads", "key_heads", "queries", "keys", "depth", "value_depth"]
    ] + [
        ("causal", ctypes.c_int),
        ("scale", ctypes.c_double),
    ]


def library() -> ctypes.CDLL:
    return ctypes.CDLL(od.library_path())


def passed(argument: Any) -> Any:
    """As ctypes passes it without a declaration: every integer of the ABI travels in a word of its own."""
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, np.ndarray):
        return ctypes.c_void_p(argument.ctypes.data)
    if isinstance(argument, ctypes.Structure):
        return ctypes.byref(argument)
    if isinstance(argument, float):
        return ctypes.c_double(argument)
    return ctypes.c_int64(argument)


def perform(lib: ctypes.CDLL, call: Call, real: Any) -> int:
    function = getattr(lib, f"ody_{call.name}_{'f32' if real is np.float32 else 'f64'}")
    return int(function(*(passed(one) for one in call.arguments)))


UNARY = "exp log log2 sqrt reciprocal sin cos erf relu relu6 hard_tanh hard_sigmoid hard_swish selu sigmoid tanh silu gelu mish"
BINARY = "add subtract multiply divide minimum maximum power"
BACKWARD = (
    "relu_backward relu6_backward hard_tanh_backward hard_sigmoid_backward hard_swish_backward selu_backward "
    "sigmoid_backward tanh_backward silu_backward gelu_backward mish_backward"
)


def calls(real: Any) -> Iterator[Call]:
    """One call of each, and a long one of some."""
    rng = np.random.default_rng(7)

    def numbers(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(real)

    def simple(name: str, inputs: list[Any], rest: list[Any], expected: Any) -> Call:
        expected = np.asarray(expected)
        out = np.full(expected.shape, 99, expected.dtype)
        return Call(name, [*inputs, *rest, out], [out], [expected])

    for n in (0, 1, 33, LONG):
        x, y, z = numbers(n), numbers(n), numbers(n)
        for name in UNARY.split() if n != LONG else ["exp", "gelu"]:
            yield simple(name, [x], [n], getattr(od, name)(x))
        for name in BINARY.split() if n != LONG else ["add"]:
            yield simple(name, [x, y], [n], getattr(od, name)(x, y))
        for name in BACKWARD.split() if n != LONG else ["silu_backward"]:
            yield simple(name, [x, y], [n], getattr(od, name)(x, y))
        yield simple("fma", [x, y, z], [n], od.fma(x, y, z))
    from odyssey._kernels.elementwise import clip_backward, erf_backward

    x, y = numbers(101), numbers(101)
    yield simple("erf_backward", [x, y], [101], erf_backward(x, y))
    yield simple("gelu_tanh", [x], [101], od.gelu(x, approximate="tanh"))
    yield simple("gelu_tanh_backward", [x, y], [101], od.gelu_backward(x, y, approximate="tanh"))
    yield simple("scale", [x], [101, 0.3], od.scale(x, 0.3))
    yield simple("axpy", [x, y], [101, 0.3], od.axpy(0.3, x, y))
    yield simple("clip", [x], [101, -0.5, 0.7], od.clip(x, -0.5, 0.7))
    yield simple("clip", [x], [101, float("nan"), 0.7], od.clip(x, float("nan"), 0.7))
    yield simple("clip_backward", [x, y], [101, -0.5, 0.7], clip_backward(x, y, -0.5, 0.7))
    yield simple("leaky_relu", [x], [101, 0.1], od.leaky_relu(x, 0.1))
    yield simple("leaky_relu_backward", [x, y], [101, 0.1], od.leaky_relu_backward(x, y, 0.1))
    yield simple("elu", [x], [101, 0.9], od.elu(x, 0.9))
    yield simple("elu_backward", [x, y], [101, 0.9], od.elu_backward(x, y, 0.9))
    yield simple("softplus", [x], [101, 2.0, 1.5], od.softplus(x, 2.0, 1.5))
    yield simple("softplus_backward", [x, y], [101, 2.0, 1.5], od.softplus_backward(x, y, 2.0, 1.5))
    for p in (0.0, 0.3, 1.0):
        yield simple("dropout", [x], [101, p, 5, 6], od.dropout(x, p, 5, 6))
    yield from _rows(real, numbers, simple, rng)
    yield from _products(real, numbers, simple)
    yield from _geometry(real, numbers, simple)
    yield from _steps(real, numbers)


def _rows(real: Any, numbers: Any, simple: Any, rng: np.random.Generator) -> Iterator[Call]:
    for rows, n in ((5, 37), (1, LONG), (3000, 21)):
        x, g = numbers(rows, n), numbers(rows, n)
        y = od.softmax(x)
        yield simple("softmax", [x], [rows, n], y)
        yield simple("log_softmax", [x], [rows, n], od.log_softmax(x))
        yield simple("softmax_backward", [g, y], [rows, n], od.softmax_backward(g, y))
        yield simple("log_softmax_backward", [g, np.log(y)], [rows, n], od.log_softmax_backward(g, np.log(y)))
        for name in ("sum", "mean", "norm", "logsumexp", "max", "min", "argmax"):
            yield simple(name, [x], [rows, n], getattr(od, name)(x, axis=1))
        yield simple("var", [x], [rows, n, 1.0], od.var(x, axis=1, ddof=1))
        w, b = numbers(n), numbers(n)
        for weight, bias in ((None, None), (w, b)):
            yield simple("rms_norm", [x, weight], [rows, n, 1e-3], od.rms_norm(x, weight, 1e-3))
            yield simple("layer_norm", [x, weight, bias], [rows, n, 1e-3], od.layer_norm(x, weight, bias, 1e-3))
            expected = list(od.rms_norm_backward(g, x, weight, 1e-3))
            written = [np.empty_like(one) for one in expected]
            yield Call("rms_norm_backward", [g, x, weight, rows, n, 1e-3, *written], written, expected)
            expected = list(od.layer_norm_backward(g, x, weight, 1e-3))
            written = [np.empty_like(one) for one in expected]
            yield Call("layer_norm_backward", [g, x, weight, rows, n, 1e-3, *written], written, expected)
        yield simple("euclidean_distance", [x, g], [rows, n], od.euclidean_distance(x, g))
        yield simple("spherical_distance", [x, g], [rows, n], od.spherical_distance(x, g))
    x = numbers(3, 0)
    for name, value in (("sum", 0), ("mean", np.nan), ("norm", 0), ("logsumexp", -np.inf)):
        yield simple(name, [x], [3, 0], np.full(3, value, real))
    yield simple("var", [x], [3, 0, 0.0], np.full(3, np.nan, real))
    for n in (0, 5, LONG):
        a, b = numbers(n), numbers(n)
        yield simple("dot", [a, b], [n], od.dot(a, b))
    x, w, b = numbers(3, 12, 5), numbers(12), numbers(12)
    yield simple("group_norm", [x, w, b], [3, 12, 5, 4, 1e-3], od.group_norm(x, 4, w, b, 1e-3))
    yield simple("group_norm", [x, None, None], [3, 12, 5, 12, 1e-3], od.instance_norm(x, None, None, 1e-3))

    logits, labels, weight = numbers(40, 9), rng.integers(0, 9, 40), np.abs(numbers(9))
    labels[::7] = -100
    for ignored, smoothing, classes in ((-100, 0.0, None), (-100, 0.1, weight), (3, 0.1, weight)):
        kept = np.where(labels < 0, 3, labels) if ignored == 3 else labels
        options = {"ignore_index": ignored, "label_smoothing": smoothing, "weight": classes}
        losses = od.cross_entropy(logits, kept, "none", **options)
        mean = np.asarray(od.cross_entropy(logits, kept, **options))
        written = [np.empty_like(losses), np.empty_like(mean)]
        rest = [40, 9, ignored, smoothing]
        yield Call("cross_entropy", [logits, kept, classes, *rest, *written], written, [losses, mean])
        expected = od.cross_entropy_backward(real(0.5), logits, kept, **options)
        out = np.empty_like(logits)
        yield Call("cross_entropy_backward", [0.5, logits, kept, classes, *rest, out], [out], [expected])

    table, indices, grad = numbers(11, 6), rng.integers(0, 11, 300), numbers(300, 6)
    yield simple("embedding", [table, indices], [11, 6, 300], od.embedding(table, indices))
    yield simple("embedding_backward", [grad, indices], [11, 6, 300, 4], od.embedding_backward(grad, indices, 11, 4))
    yield simple("embedding_backward", [grad, indices], [11, 6, 300, -1], od.embedding_backward(grad, indices, 11))

    x = numbers(4, 10, 16)
    cosines, sines = od.rotary_tables(10, 12, dtype=real)
    for interleaved in (0, 1):
        rest = [4, 10, 16, 6, interleaved]
        forward = od.rotary_embedding(x, cosines, sines, bool(interleaved))
        backward = od.rotary_embedding_backward(x, cosines, sines, bool(interleaved))
        yield simple("rotary_embedding", [x, cosines, sines], rest, forward)
        yield simple("rotary_embedding_backward", [x, cosines, sines], rest, backward)

    logits = numbers(20, 300)
    uniform = np.random.default_rng(3).random(20)

    def generator() -> np.random.Generator:
        return np.random.default_rng(3)

    for heat in (0.0, 0.7):
        yield simple("sample", [logits, uniform], [20, 300, heat], od.sample(logits, heat, generator()))
        yield simple(
            "topk_sample", [logits, uniform], [20, 300, 17, heat], od.topk_sample(logits, 17, heat, generator())
        )
        yield simple(
            "topp_sample", [logits, uniform], [20, 300, 0.6, heat], od.topp_sample(logits, 0.6, heat, generator())
        )


def _products(real: Any, numbers: Any, simple: Any) -> Iterator[Call]:
    for batch, m, n, k in ((1, 70, 90, 50), (3, 17, 1, 33), (2, 1, 40, 9), (2, 3, 4, 0)):
        a, b, c = numbers(batch, m, k), numbers(batch, k, n), numbers(batch, m, n)
        across = np.ascontiguousarray(a.swapaxes(1, 2)), np.ascontiguousarray(b.swapaxes(1, 2))
        yield simple("matmul", [a, b], [batch, m, n, k, 0, 0, 1.0, 0.0], od.matmul(a, b))
        turned = od.matmul(across[0].swapaxes(1, 2), across[1].swapaxes(1, 2), alpha=0.5)
        yield simple("matmul", list(across), [batch, m, n, k, 1, 1, 0.5, 0.0], turned)
        out = c.copy()
        expected = od.matmul(a, b, out=c.copy(), alpha=0.3, beta=0.7)
        yield Call("matmul", [a, b, batch, m, n, k, 0, 0, 0.3, 0.7, out], [out], [expected])
    x, w, b = numbers(37, 65), numbers(80, 65), numbers(80)
    for code, activation in enumerate((None, "relu", "tanh", "sigmoid", "gelu", "silu")):
        expected = od.linear(x, w, b if code else None, activation)
        yield simple("linear", [x, w, b if code else None], [37, 65, 80, code], expected)

    for channels, outputs, groups, kernel, stride, padding, dilation in (
        (4, 6, 1, 3, 1, 1, 1), (16, 32, 1, 3, 1, 1, 1), (6, 6, 6, 3, 2, 1, 1), (4, 8, 2, 2, 1, 0, 2),
    ):  # fmt: skip
        x, w, b = numbers(2, channels, 12, 13), numbers(outputs, channels // groups, kernel, kernel), numbers(outputs)
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        y = od.conv2d(x, w, b, activation="relu", **options)
        shape = Conv2d(
            2, channels, 12, 13, outputs, *[kernel] * 2, *[stride] * 2, *[padding] * 2, *[dilation] * 2, groups, 1
        )
        yield simple("conv2d", [x, w, b, shape], [], y)
        g = numbers(*y.shape)
        yield simple("conv2d_backward_input", [g, w, shape], [], od.conv2d_backward_input(g, w, x.shape, **options))
        yield simple("conv2d_backward_weight", [g, x, shape], [], od.conv2d_backward_weight(g, x, w.shape, **options))

    x = numbers(2, 3, 11, 9)
    shape = Pool2d(6, 11, 9, 3, 2, 2, 1, 1, 0)
    options = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)}
    for name in ("max", "avg"):
        y = getattr(od, f"{name}_pool2d")(x, **options)
        yield simple(f"{name}_pool2d", [x, shape], [], y)
    g = numbers(*y.shape)
    yield simple("max_pool2d_backward", [g, x, shape], [], od.max_pool2d_backward(g, x, **options))
    yield simple("avg_pool2d_backward", [g, shape], [], od.avg_pool2d_backward(g, x.shape, **options))
    yield simple("global_avg_pool2d", [x], [6, 11, 9], od.global_avg_pool2d(x))

    q, k, v = numbers(2, 6, 20, 8), numbers(2, 3, 150, 8), numbers(2, 3, 150, 5)
    mask, g = numbers(20, 150), numbers(2, 6, 20, 5)
    for causal, added, scale in ((0, None, 0.0), (1, mask, 0.25)):
        shape = AttentionShape(2, 6, 3, 20, 150, 8, 5, causal, scale)
        options = {"attn_mask": added, "is_causal": bool(causal), "scale": scale or None}
        yield simple("attention", [q, k, v, added, shape], [], od.scaled_dot_product_attention(q, k, v, **options))
        expected = list(od.scaled_dot_product_attention_backward(g, q, k, v, **options))
        written = [np.empty_like(one) for one in expected]
        yield Call("attention_backward", [g, q, k, v, added, shape, *written], written, expected)


def _geometry(real: Any, numbers: Any, simple: Any) -> Iterator[Call]:
    for count, m, n in ((9, 4, 4), (2, 3, 50), (1, 30, 20)):
        x = numbers(count, m, n)
        yield simple("sinkhorn_knopp", [x], [count, m, n, 5, 1e-6, 0.8, 1], od.sinkhorn_knopp(x, 5, tau=0.8))
        x = np.abs(x)
        expected = od.sinkhorn_knopp(x, 5, from_logits=False)
        yield simple("sinkhorn_knopp", [x], [count, m, n, 5, 1e-6, 1.0, 0], expected)
    x, y, v = (numbers(40, 7) * real(0.2) for _ in range(3))
    yield simple("poincare_distance", [x, y], [40, 7, 0.5], od.poincare_distance(x, y, 0.5))
    for y_or_x, other in ((y, y), (x, None)):
        for name, options, rest in (("euclidean", {}, []), ("poincare", {"c": 0.5}, [0.5]), ("spherical", {}, [])):
            expected = od.pairwise_distance(x, other, name, **options)
            yield simple(f"{name}_pairwise", [x, other], [40, len(y_or_x), 7, *rest], expected)
    yield simple("mobius_add", [x, y], [40, 7, 0.5], od.mobius_add(x, y, 0.5))
    yield simple("exp_map", [x, v], [40, 7, 0.5], od.exp_map(x, v, 0.5))
    yield simple("log_map", [x, y], [40, 7, 0.5], od.log_map(x, y, 0.5))
    yield simple("project_to_ball", [x], [40, 7, 9.0, 1e-3], od.project_to_ball(x, 9.0, 1e-3))


def _steps(real: Any, numbers: Any) -> Iterator[Call]:
    param, grad, one, two, three = numbers(500), numbers(500), *(np.abs(numbers(500)) for _ in range(3))

    def step(name: str, state: list[Any], rest: list[Any], op: Any, *args: Any, **options: Any) -> Call:
        """The arrays twice: those that C steps and those that Python does."""
        ours = [None if array is None else array.copy() for array in [param, *state]]
        theirs = [None if array is None else array.copy() for array in [param, *state]]
        op(theirs[0], grad, *theirs[1:], *args, **options)
        written = [array for array in ours if array is not None]
        return Call(
            name, [ours[0], grad, *ours[1:], 500, *rest], written, [array for array in theirs if array is not None]
        )

    yield step("sgd_step", [None], [0.1, 0.0, 0.0, 0.01, 0, 0], od.sgd_step, lr=0.1, weight_decay=0.01)
    for first in (0, 1):
        options = {
            "lr": 0.1,
            "momentum": 0.9,
            "dampening": 0.2,
            "weight_decay": 0.01,
            "nesterov": True,
            "first": bool(first),
        }
        yield step("sgd_step", [one], [0.1, 0.9, 0.2, 0.01, 1, first], od.sgd_step, **options)
    adam = [7, 0.01, 0.8, 0.99, 1e-7, 0.1]
    yield step("adam_step", [one, two], adam, od.adam_step, *adam)
    yield step("adamw_step", [one, two], adam, od.adamw_step, *adam)
    for grad_avg in (None, two):
        for buffer, momentum in ((None, 0.0), (three, 0.9)):
            yield step(
                "rmsprop_step",
                [one, grad_avg, buffer],
                [0.1, 0.9, 1e-6, 0.01, momentum],
                od.rmsprop_step,
                0.1,
                0.9,
                1e-6,
                0.01,
                momentum,
            )
    yield step("adagrad_step", [one], [3, 0.1, 0.2, 1e-6, 0.01], od.adagrad_step, 3, 0.1, 0.2, 1e-6, 0.01)
    for most in (0.5, 1e6):
        ours = [numbers(30), numbers(7)]
        theirs = [array.copy() for array in ours]
        norm = np.asarray(od.clip_grad_norm(theirs, most))
        found = np.empty_like(norm)
        pointers = np.array([array.ctypes.data for array in ours], np.uintp)
        sizes = np.array([30, 7], np.uintp)
        arguments = [pointers, sizes, 2, most, 1e-6, found]
        yield Call("clip_grad_norm", arguments, [*ours, found], [*theirs, norm])
