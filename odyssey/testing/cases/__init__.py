"""One row per operation, a file per family. Correctness, gradient, digest, fuzz and benchmark runs all read it.

To add an operation, write its definition in `odyssey/reference/` and one row in its family's file:

    Case(
        op="square",                                # the name in odyssey and in odyssey.reference
        inputs=one,                                 # how to draw the arguments of a call: here square(x)
        tolerance=Exact(),                          # how far the result may be from the definition ...
        why=ROUNDS_ONCE,                            # ... and why not less
        grad=Grad(),                                # checked through square_backward(grad, x)
        sizes=LANES, large=SHARED,                  # around the vector's lanes, and large enough for threads
        bench=STREAMS,                              # what to time
        peers={"numpy": numpy_out(np.square)},      # against whom
    )

Tolerances count from the definition rounded to the result's type. Where a bound is loosened, `why` says what forced it.
"""

from __future__ import annotations

from odyssey.testing.case import Case
from odyssey.testing.cases.activations import ACTIVATIONS
from odyssey.testing.cases.attention import ATTENTION_OPS
from odyssey.testing.cases.elementwise import ELEMENTWISE
from odyssey.testing.cases.filters import FILTERS
from odyssey.testing.cases.geometry import GEOMETRY
from odyssey.testing.cases.hyper import HYPER
from odyssey.testing.cases.images import IMAGES
from odyssey.testing.cases.lookups import LOOKUPS
from odyssey.testing.cases.normalise import NORMALISE
from odyssey.testing.cases.norms import NORMS
from odyssey.testing.cases.optimizers import OPTIMIZERS
from odyssey.testing.cases.products import LINEAR
from odyssey.testing.cases.reductions import REDUCTIONS
from odyssey.testing.cases.routing import ROUTING
from odyssey.testing.cases.sampling import SAMPLING
from odyssey.testing.cases.softmax import ROW_OPS
from odyssey.testing.cases.transport import TRANSPORT

__all__ = ["CASES", "select"]

_FAMILIES = (
    ELEMENTWISE,
    ACTIVATIONS,
    REDUCTIONS,
    ROW_OPS,
    NORMS,
    NORMALISE,
    LOOKUPS,
    ROUTING,
    LINEAR,
    ATTENTION_OPS,
    HYPER,
    IMAGES,
    FILTERS,
    OPTIMIZERS,
    SAMPLING,
    TRANSPORT,
    GEOMETRY,
)
CASES: dict[str, Case] = {case.op: case for family in _FAMILIES for case in family}


def select(ops: tuple[str, ...] | None = None, families: tuple[str, ...] | None = None) -> list[Case]:
    """The rows of these operations or families, all by default; `KeyError` for a name that has none."""
    known = {case.family for case in CASES.values()}
    for family in families or ():
        if family not in known:
            raise KeyError(f"no family {family!r}; there are {', '.join(sorted(known))}")
    rows = [CASES[op] for op in ops] if ops is not None else list(CASES.values())
    return [row for row in rows if families is None or row.family in families]
