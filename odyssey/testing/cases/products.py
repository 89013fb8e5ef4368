"""Matrix products and linear layers."""

from __future__ import annotations

from importlib.util import find_spec
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
# NumPy has no bfloat16 of its own: where ml_dtypes is absent, float16 stands for both.
NARROW = ("float16", "bfloat16") if find_spec("ml_dtypes") else ("float16",)
STORED = ("float32", "bfloat16", "float16", "int8")
PACKED: Options = (
    *({"packed": name} for name in STORED),
    {"packed": "int8", "with_bias": False, "activation": "relu"},
    {"packed": "bfloat16", "activation": "gelu"},
)
LYING: Options = (
    *({"rows": name} for name in NARROW),
    {"rows": NARROW[-1], "with_bias": False, "activation": "silu"},
)


def narrowed(weight: Any, name: str) -> Any:
    """A float32 array rounded to float16 or bfloat16; float64 as it is."""
    if weight.dtype != np.float32:
        return weight
    if name == "bfloat16":
        import ml_dtypes

        return weight.astype(ml_dtypes.bfloat16)
    with np.errstate(over="ignore"):
        return weight.astype(name)


def weights(draw: Draw, size: tuple[int, int], dtype: str | None = None) -> Call:
    """pack(weight, dtype); float64 as it is."""
    return call(draw(size), dtype if draw.dtype == np.float32 else None)


def layer(
    draw: Draw, size: Layer, with_bias: bool = True, packed: str | None = None, rows: str | None = None, **options: Any
) -> Call:
    """linear(x, weight, bias, activation=...), the weight packed or rounded to that type (float64 as it is)."""
    x = draw((*size.batch, size.inputs))
    weight: Any = draw((size.outputs, size.inputs))
    if rows is not None:
        weight = narrowed(weight, rows)
    if packed is not None:
        from odyssey.packing import pack

        weight = pack(weight, packed if draw.dtype == np.float32 else None)
    return call(x, weight, draw(size.outputs) if with_bias else None, **options)


class Groups(NamedTuple):
    """A size for grouped_matmul: how many of T each group has, and the other two of the three extents."""

    sizes: tuple[int, ...]
    others: tuple[int, int]


GROUPS = (
    Groups((1,), (1, 1)),
    Groups((2, 0, 3), (17, 33)),
    Groups((0, 16, 1, 31), (15, 16)),
    Groups((5, 7), (0, 3)),
    Groups((0, 0), (4, 5)),
    Groups((70,), (33, 65)),
)
FORMS: Options = (
    *({"form": form} for form in ("rows", "transposed", "inner", "columns")),
    *({"form": "rows", "stored": name} for name in (*NARROW, "int8", "packed")),
)


def grouped(draw: Draw, size: Groups, form: str, stored: str | None = None) -> Call:
    """grouped_matmul in one of its forms; "transposed" has its matrices as weights lie, (N, K)."""
    offsets, total, groups = np.cumsum(size.sizes), sum(size.sizes), len(size.sizes)
    k, n = size.others
    if form == "inner":
        return call(draw((k, total)), draw((total, n)), offsets)
    if form == "columns":
        return call(draw((groups, n, k)), draw((k, total)), offsets)
    if form == "transposed":
        return call(draw((total, k)), np.swapaxes(draw((groups, n, k)), 1, 2), offsets)
    if stored is None:
        return call(draw((total, k)), draw((groups, k, n)), offsets)
    a, each = draw((total, k)), draw((groups, n, k))
    if stored in NARROW:
        matrices = [narrowed(weight, stored).T for weight in each]
    else:
        from odyssey.packing import pack

        matrices = [pack(weight, "int8" if stored == "int8" and draw.dtype == np.float32 else None) for weight in each]
    return call(a, matrices, offsets)


def torch_groups(torch: Any, a: Any, b: Any, offsets: Any) -> Any:
    """PyTorch's grouped product, which has offsets of 32 bits."""
    return torch._grouped_mm(a, b, offs=offsets.to(torch.int32))


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
        large=(Layer((64,), 400, 120), Layer((3,), 530, 530), Layer((1,), 129, 1100)),
        options=(*FUSED, {"with_bias": False}, *PACKED, *LYING),
        regimes=ORDINARY,  # an activation of inf is another matter than the sum
        bench=(Layer((1,), 400, 120), Layer((64,), 400, 120), Layer((64,), 120, 84), Layer((64,), 84, 10)),
        flops=lambda x, weight, bias: 2 * x.size * weight.shape[0],
        peers={
            "numpy": numpy_call(lambda x, weight, bias: x @ weight.T + bias),
            "torch": torch_call(lambda torch, x, weight, bias: torch.nn.functional.linear(x, weight, bias)),
        },
    ),
    Case(
        op="grouped_matmul",
        inputs=grouped,
        tolerance=Gamma(lambda a, *_: max(a.shape) + 4, magnitudes.grouped_matmul, wide_reference=False),
        why="As matmul, group by group.",
        grad=Grad(
            wrt=(0, 1),
            backward=lambda ops, g, y, a, b, offsets: (
                ops.grouped_matmul(g, np.swapaxes(b, -1, -2), offsets),
                ops.grouped_matmul(np.swapaxes(a, -1, -2), g, offsets),
            ),
            sizes=(Groups((2, 0, 3), (3, 4)),),
            options=tuple({"form": form} for form in ("rows", "transposed", "inner", "columns")),
        ),
        sizes=GROUPS,
        large=(Groups((1, 0, 2, 1), (300, 520)), Groups((64, 3, 61), (130, 200))),
        options=FORMS,
        regimes=ORDINARY,
        bench=(
            Groups((16,) * 16, (768, 1024)),
            Groups((1,) * 4, (768, 6144)),
            Groups((64,) * 4, (768, 6144)),
            Groups((64,) * 4, (6144, 768)),
        ),
        flops=lambda a, b, offsets: 2 * a.shape[0] * b.shape[1] * b.shape[2],
        peers={"torch": torch_call(torch_groups)},
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
        large=((530, 530),),
        bench=((1024, 1024),),
    ),
]
