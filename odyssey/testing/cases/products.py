"""Matrix products and linear layers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from odyssey.testing import magnitudes
from odyssey.testing.call import Call, call
from odyssey.testing.case import Case, Grad
from odyssey.testing.cases.common import ORDINARY, TERMS, Options
from odyssey.testing.draw import Draw
from odyssey.testing.peers import numpy_call, numpy_out, onnx_node, torch_call, torch_out
from odyssey.testing.tolerance import Exact, Gamma


class Product(NamedTuple):
    """A size for matmul: the shapes of a and b."""

    a: tuple[int, ...]
    b: tuple[int, ...]


def mkn(m: int, k: int, n: int) -> Product:
    """(m, k) @ (k, n)."""
    return Product((m, k), (k, n))


PRODUCTS = (
    *(mkn(n, n, n) for n in (0, 1, 7, 15, 16, 17, 31, 33)),
    *(mkn(*size) for size in ((1, 130, 33), (33, 130, 1), (14, 5, 32), (15, 64, 33), (3, 0, 5), (0, 4, 5), (5, 4, 0))),
    Product((17,), (17,)),
    Product((17,), (17, 33)),
    Product((33, 17), (17,)),
    Product((3, 5, 7), (7, 9)),
    Product((2, 1, 5, 7), (3, 7, 9)),
    Product((7,), (3, 7, 9)),
)
SQUARES = tuple(mkn(n, n, n) for n in (64, 256, 512, 1024, 2048))
OBLONGS = (mkn(1, 4096, 4096), mkn(8, 4096, 4096), mkn(128, 768, 3072), mkn(64, 400, 120))


def product(draw: Draw, size: Product, beta: float = 0.0, **options: Any) -> Call:
    """matmul(a, b), with something in `out` where beta asks for it."""
    a, b = draw(size.a), draw(size.b)
    if beta == 0:
        return call(a, b, **options)
    return call(a, b, out=draw(np.matmul(np.zeros(size.a), np.zeros(size.b)).shape), beta=beta, **options)


def inner(a: Any, *_: Any, **__: Any) -> int:
    """How many products each element sums, and a few more roundings."""
    return int(a.shape[-1]) + 4


class Layer(NamedTuple):
    """A size for linear: a batch of rows through a layer."""

    batch: tuple[int, ...]
    inputs: int
    outputs: int


LAYERS = (
    *(Layer((5,), n, n) for n in (1, 7, 15, 16, 17, 31, 33, 130)),
    Layer((1,), 84, 10),
    Layer((), 17, 33),
    Layer((2, 3), 33, 16),
    Layer((0,), 5, 7),
    Layer((3,), 0, 5),
    Layer((17,), 33, 70),
)
FUSED: Options = (
    {},
    *({"activation": name} for name in ("relu", "tanh", "sigmoid", "gelu", "silu")),
)
STORED = ("float32", "bfloat16", "float16", "int8")
PACKED: Options = (
    *({"packed": name} for name in STORED),
    {"packed": "int8", "with_bias": False, "activation": "relu"},
    {"packed": "bfloat16", "activation": "gelu"},
)


def weights(draw: Draw, size: tuple[int, int], dtype: str | None = None) -> Call:
    """pack(weight, dtype); float64 as it is."""
    return call(draw(size), dtype if draw.dtype == np.float32 else None)


def layer(draw: Draw, size: Layer, with_bias: bool = True, packed: str | None = None, **options: Any) -> Call:
    """linear(x, weight, bias, activation=...), the weight packed as the type of that name (float64 as it is)."""
    x = draw((*size.batch, size.inputs))
    weight: Any = draw((size.outputs, size.inputs))
    if packed is not None:
        from odyssey.packing import pack

        weight = pack(weight, packed if draw.dtype == np.float32 else None)
    return call(x, weight, draw(size.outputs) if with_bias else None, **options)


LINEAR = [
    Case(
        op="matmul",
        inputs=product,
        tolerance=Gamma(inner, magnitudes.matmul, wide_reference=False),
        why="A chain of k fused multiply-adds stays within γ_k Σ|a||b|.",
        grad=Grad(
            wrt=(0, 1),
            backward=lambda ops, g, y, a, b: (
                ops.matmul(g, np.swapaxes(b, -1, -2)),
                ops.matmul(np.swapaxes(a, -1, -2), g),
            ),
            sizes=(mkn(3, 4, 5), Product((2, 3, 4), (2, 4, 2))),
            options=({},),
        ),
        sizes=PRODUCTS,
        large=(mkn(70, 300, 90), mkn(257, 64, 65), *(mkn(m, 530, 530) for m in (1, 3, 8))),
        options=({}, {"alpha": 0.3}, {"alpha": -1.5, "beta": 0.7}),
        regimes=TERMS,
        bench=(*SQUARES, *OBLONGS),
        flops=lambda a, b: 2 * a.shape[0] * a.shape[1] * b.shape[1],
        peers={"numpy": numpy_out(np.matmul), "torch": torch_out("matmul"), "onnxruntime": onnx_node("MatMul")},
    ),
    Case(
        op="linear",
        inputs=layer,
        tolerance=Gamma(lambda x, *_, **__: x.shape[-1] + 8, magnitudes.linear, wide_reference=False),
        why="As matmul; no activation makes an error more than 1.13 times larger, and its own is an ulp or two.",
        grad=Grad(
            wrt=(0, 1, 2),
            backward=lambda ops, g, y, x, weight, bias: (
                ops.matmul(g, weight),
                ops.matmul(g.T, x),
                ops.sum(g, axis=0),
            ),
            sizes=(Layer((3,), 4, 5),),
            options=({},),
        ),
        sizes=LAYERS,
        large=(Layer((64,), 400, 120), Layer((3,), 530, 530)),
        options=(*FUSED, {"with_bias": False}, *PACKED),
        regimes=ORDINARY,  # an activation of inf is another matter than the sum
        bench=(Layer((1,), 400, 120), Layer((64,), 400, 120), Layer((64,), 120, 84), Layer((64,), 84, 10)),
        flops=lambda x, weight, bias: 2 * x.size * weight.shape[0],
        peers={
            "numpy": numpy_call(lambda x, weight, bias: x @ weight.T + bias),
            "torch": torch_call(lambda torch, x, weight, bias: torch.nn.functional.linear(x, weight, bias)),
        },
    ),
    Case(
        op="pack",
        inputs=weights,
        tolerance=Exact(),
        why="Each weight is rounded once.",
        grad="stores weights; the products of what it stored have linear's gradient",
        sizes=((0, 0), (1, 1), (7, 15), (64, 16), (65, 17), (130, 33)),
        options=({}, *({"dtype": name} for name in STORED)),
        regimes=("normal", "lognormal", "subnormal", "huge"),  # int8 has no infinity
    ),
]
