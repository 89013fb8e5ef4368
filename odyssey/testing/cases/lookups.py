"""Embedding and dropout, and their gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from odyssey import reference
from odyssey.testing import magnitudes
from odyssey.testing.call import Call, call
from odyssey.testing.case import Case, Grad
from odyssey.testing.cases.common import CHOOSES, IS_A_GRADIENT, LANES, SHARED, STREAMS, SUM, TERMS, Options, one
from odyssey.testing.draw import Draw
from odyssey.testing.peers import numpy_call, torch_call
from odyssey.testing.tolerance import Exact, Gamma
from odyssey.typing import Array


class Table(NamedTuple):
    """A size for embedding: a table of rows of n, and the shape of the indices."""

    rows: int
    n: int
    shape: tuple[int, ...]


TABLES = (
    *(Table(9, n, (5,)) for n in (1, 7, 8, 15, 16, 17, 33, 64, 130)),
    Table(3, 5, ()), Table(1, 4, (2, 3)), Table(7, 20, (3, 2, 2)), Table(4, 6, (0,)), Table(4, 0, (3,)),
    Table(2, 18, (40,)),
)  # fmt: skip
BENCH = (Table(50_257, 768, (512,)), Table(32_000, 4096, (2048,)), Table(1_000, 64, (100_000,)))
SMALL = (Table(5, 3, (4,)), Table(3, 2, (2, 3)))
RATES: Options = (
    {"p": 0.1, "seed": 7},
    {"p": 0.5, "seed": 2**64 - 3, "offset": 2**40 + 1},
    {"p": 0.0},
    {"p": 1.0},
)


def table(draw: Draw, size: Table) -> Call:
    """embedding(weight, indices)."""
    return call(draw((size.rows, size.n)), draw.indices(size.shape, size.rows))


def table_gradient(draw: Draw, size: Table, **options: Any) -> Call:
    """embedding_backward(grad, indices, num_embeddings)."""
    return call(draw((*size.shape, size.n)), draw.indices(size.shape, size.rows), size.rows, **options)


def scattered(grad: Array, indices: Array, rows: int, **options: Any) -> Array:
    """The same of the absolute values."""
    return reference.embedding_backward(magnitudes.wide64(np.abs(grad)), indices, rows, **options)


LOOKUPS = [
    Case(
        op="embedding",
        inputs=table,
        tolerance=Exact(signed_zeros=True),
        why=CHOOSES,
        grad=Grad(
            backward=lambda ops, g, y, weight, indices: ops.embedding_backward(g, indices, len(weight)), sizes=SMALL
        ),
        sizes=TABLES,
        large=(Table(1_003, 33, (5_003,)),),
        bench=BENCH,
        peers={
            "numpy": numpy_call(lambda weight, indices: np.take(weight, indices, axis=0)),
            "torch": torch_call(lambda torch, weight, indices: torch.nn.functional.embedding(indices, weight)),
        },
    ),
    Case(
        op="embedding_backward",
        inputs=table_gradient,
        tolerance=Gamma(lambda grad, indices, rows, **_: indices.size, scattered),
        why=SUM,
        grad=IS_A_GRADIENT,
        sizes=TABLES,
        large=(Table(1_003, 33, (5_003,)), Table(20_011, 3, (31,))),
        options=({}, {"padding_idx": 0}),
        regimes=TERMS,
        bench=BENCH,
        peers={
            "torch": torch_call(
                lambda torch, grad, index, rows: torch.ops.aten.embedding_dense_backward(grad, index, rows, -1, False)
            )
        },
    ),
    Case(
        op="dropout",
        inputs=one,
        tolerance=Exact(),
        why="Words are exact, and one product is rounded once.",
        grad=Grad(backward=lambda ops, g, y, x, **o: ops.dropout_backward(g, **o)),
        sizes=(*LANES, 63, 64, 65, (5, 26)),
        large=SHARED,
        options=RATES,
        drawn=True,
        bench=STREAMS,
        peers={"torch": torch_call(lambda torch, x, p, seed: torch.nn.functional.dropout(x, p))},
    ),
    Case(
        op="dropout_backward",
        inputs=one,
        tolerance=Exact(),
        why="Words are exact, and one product is rounded once.",
        grad=IS_A_GRADIENT,
        sizes=(*LANES, 63, 64, 65, (5, 26)),
        large=SHARED,
        options=RATES,
        bench=STREAMS,
    ),
]
