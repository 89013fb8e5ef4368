"""Softmax, log-softmax, cross-entropy, and their gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from odyssey.testing import magnitudes
from odyssey.testing.call import Call, call
from odyssey.testing.case import Case, Grad
from odyssey.testing.cases.common import IS_A_GRADIENT, TERMS, Options, aten, gradient_of, one
from odyssey.testing.cases.reductions import TABLES
from odyssey.testing.draw import Draw
from odyssey.testing.peers import numpy_call, onnx_node, torch_call, torch_out
from odyssey.testing.tolerance import Gamma, Tolerance

ROWS = (0, 1, 7, 15, 16, 17, 31, 33, 130, (3, 17), (5, 33), (2, 3, 16), (2, 5, 7), (3, 0), (0, 3), (2, 130, 3))
TWO_AXES: Options = ({}, {"axis": 0})


def row_length(first: Any, *_: Any, axis: int = -1) -> int:
    """Roundings that meet in one element: those of a sum over the axis, and a few more."""
    return int(first.shape[axis]) + 8


def rows(op: str, tolerance: Tolerance, why: str, grad: Grad | str, **changes: Any) -> Case:
    """An operation along one axis."""
    row: dict[str, Any] = {"inputs": one, "sizes": ROWS, "options": TWO_AXES, "bench": TABLES}
    large = ((1_003, 97), (7, 10_007))
    return Case(op=op, tolerance=tolerance, why=why, grad=grad, **row | {"large": large} | changes)


def _numpy_softmax(x: Any) -> Any:
    y = np.exp(x - x.max(axis=-1, keepdims=True))
    return y / y.sum(axis=-1, keepdims=True)


class Batch(NamedTuple):
    """A size for cross entropy: rows of logits, one for each of n examples."""

    n: int
    classes: int


BATCHES = (*(Batch(5, c) for c in (1, 7, 10, 15, 16, 17, 31, 33, 130)), Batch(1, 10), Batch(0, 10), Batch(64, 62))
KINDS_OF_LOSS: Options = (
    {},
    {"reduction": "none"},
    {"reduction": "sum"},
    {"ignore_index": 0},
    {"label_smoothing": 0.1},
    {"weighted": True},
    {"reduction": "none", "weighted": True, "label_smoothing": 0.3, "ignore_index": -100},
)


def class_weights(draw: Draw, size: Batch, weighted: bool = False, **options: Any) -> Any:
    """The options of a loss, with weights for the classes where asked for."""
    weight = np.asarray(np.abs(draw.normal(size.classes)) + 0.1).astype(draw.dtype)
    return options | ({"weight": weight} if weighted else {})


def some_labels(draw: Draw, size: Batch, ignore_index: int | None = None, **_: Any) -> Any:
    """A label for each row; where -100 is named, some of it."""
    labels = draw.indices(size.n, size.classes)
    if ignore_index == -100:
        labels[::3] = -100
    return labels


def logits(draw: Draw, size: Batch, **options: Any) -> Call:
    """f(logits, labels)."""
    return call(draw(size), some_labels(draw, size, **options), **class_weights(draw, size, **options))


def loss_gradient(draw: Draw, size: Batch, reduction: str = "mean", **options: Any) -> Call:
    """f(grad, logits, labels)."""
    grad, labels = draw.normal(size.n if reduction == "none" else ()), some_labels(draw, size, **options)
    return call(grad, draw(size), labels, reduction=reduction, **class_weights(draw, size, **options))


ROW_OPS = [
    rows(
        "softmax",
        Gamma(row_length, magnitudes.softmax),
        "exp carries the rounding of x - max into a relative error of |x - max| u; the sum adds γ_n.",
        Grad(backward=lambda ops, g, y, x, **o: ops.softmax_backward(g, y, **o)),
        peers={
            "numpy": numpy_call(_numpy_softmax),
            "torch": torch_out("softmax", lambda x: call(x, -1)),
            "onnxruntime": onnx_node("Softmax"),
        },
    ),
    rows(
        "softmax_backward",
        Gamma(row_length, magnitudes.softmax_backward),
        "grad - Σ grad·y cancels, so the error is bounded by |grad| + Σ|grad·y|.",
        IS_A_GRADIENT,
        inputs=gradient_of("softmax"),
        regimes=TERMS,
        peers=aten("_softmax_backward_data", -1, 6),
    ),
    rows(
        "log_softmax",
        Gamma(row_length, magnitudes.log_softmax),
        "The sum's relative error becomes the logarithm's absolute one; two subtractions follow.",
        Grad(backward=lambda ops, g, y, x, **o: ops.log_softmax_backward(g, y, **o)),
        peers={
            "torch": torch_out("log_softmax", lambda x: call(x, -1)),
            "onnxruntime": onnx_node("LogSoftmax"),
        },
    ),
    rows(
        "log_softmax_backward",
        Gamma(row_length, magnitudes.log_softmax_backward),
        "grad - e^y Σ grad cancels, so the error is bounded by |grad| + e^y Σ|grad|.",
        IS_A_GRADIENT,
        inputs=gradient_of("log_softmax"),
        regimes=TERMS,
        peers=aten("_log_softmax_backward_data", -1, 6),
    ),
    rows(
        "cross_entropy",
        Gamma(lambda x, labels, *_, **__: 2 * sum(x.shape) + 12, magnitudes.cross_entropy),
        "As log_softmax; the mean and the sum add one rounding for each row.",
        Grad(sizes=(Batch(5, 7), Batch(3, 17))),
        inputs=logits,
        sizes=BATCHES,
        large=(Batch(1_003, 97),),
        options=KINDS_OF_LOSS,
        regimes=TERMS,
        bench=(Batch(64, 10), Batch(512, 1024)),
        peers={"torch": torch_call(lambda torch, x, labels: torch.nn.functional.cross_entropy(x, labels))},
    ),
    rows(
        "cross_entropy_backward",
        Gamma(lambda grad, x, labels, **_: sum(x.shape) + 14, magnitudes.cross_entropy_backward),
        "As softmax; subtracting 1 at the label cancels, so the error is bounded by the terms.",
        IS_A_GRADIENT,
        inputs=loss_gradient,
        sizes=BATCHES,
        large=(Batch(1_003, 97),),
        options=KINDS_OF_LOSS,
        regimes=TERMS,
        bench=(Batch(64, 10), Batch(512, 1024)),
    ),
]
