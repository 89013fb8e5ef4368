"""Many small calls, one crossing: the calls are laid out first, then C goes through them without Python.

A call on sixteen numbers is over before Python has made the next one ready. `batched` looks at all arrays first, lets
the GIL go once, and runs one C loop over addresses and numbers that are ready; where there is enough to do, the threads
of the pool share it. `prepare` keeps what was laid out, so that the same arrays, with other contents, cost nothing but
the work.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from odyssey._kernels import crossing
from odyssey.bridge import types
from odyssey.bridge.direct.arguments import adopt
from odyssey.bridge.direct.library import NativeLibrary
from odyssey.bridge.direct.status import ODYSSEY
from odyssey.errors import DTypeError, ShapeError, describe, explain
from odyssey.typing import Array

__all__ = ["Batch", "batched", "prepare"]

_REQUIRED = inspect.Parameter.empty
SHARED = 1 << 16  # elements in all from which on threads share the calls
_TASKS = 4  # pieces a thread, which even out what else the machine does


@dataclass(frozen=True)
class _Op:
    """How an operation's arrays become the arguments of its C function.

    Attributes:
        arguments: in C's order: `in0` to `in2`, `size` (all elements), `rows` and `last` (those of the last axis, and
            how many such rows), `out`, `one`, or an option's name.
        options: their defaults.
        result: "like" in0, or "one" number, or "place", an int64.
        name: of the C function, where it is another.
    """

    arguments: str
    options: tuple[tuple[str, object], ...] = ()
    result: str = "like"
    name: str = ""

    @property
    def inputs(self) -> int:
        return sum(one.startswith("in") for one in self.arguments.split())


_OF_ONE = (
    "cos", "erf", "exp", "gelu", "hard_sigmoid", "hard_swish", "hard_tanh", "log", "log2", "mish", "reciprocal", "relu",
    "relu6", "selu", "sigmoid", "silu", "sin", "sqrt", "tanh",
)  # fmt: skip


def _ops() -> dict[str, _Op]:
    table = {}
    for name in _OF_ONE:
        table[name] = _Op("in0 size out")
    for name in ["add", "subtract", "multiply", "divide", "minimum", "maximum", "power"]:
        table[name] = _Op("in0 in1 size out")
    for name in ["softmax", "log_softmax"]:
        table[name] = _Op("in0 rows last out")
    for name in ["sum", "mean", "norm", "logsumexp", "max", "min"]:
        table[name] = _Op("in0 one size out", result="one")
    return table | {
        "argmax": _Op("in0 one size out", result="place"),
        "var": _Op("in0 one size ddof out", (("ddof", 0.0),), "one"),
        "dot": _Op("in0 in1 size out", result="one"),
        "scale": _Op("in0 size alpha out", (("alpha", _REQUIRED),)),
        "axpy": _Op("in0 in1 size alpha out", (("alpha", _REQUIRED),)),
        "fma": _Op("in0 in1 in2 size out"),
        "clip": _Op("in0 size low high out", (("low", _REQUIRED), ("high", _REQUIRED))),
        "leaky_relu": _Op("in0 size negative_slope out", (("negative_slope", 0.01),)),
        "elu": _Op("in0 size alpha out", (("alpha", 1.0),)),
        "softplus": _Op("in0 size beta threshold out", (("beta", 1.0), ("threshold", 20.0))),
        "rms_norm": _Op("in0 weight rows last eps out", (("weight", None), ("eps", 1e-6))),
        "layer_norm": _Op("in0 weight bias rows last eps out", (("weight", None), ("bias", None), ("eps", 1e-5))),
    }


_OPS = _ops()
_CODES = {"in0": 0, "in1": 1, "in2": 2, "size": 3, "rows": 4, "last": 5, "one": 6, "out": 7}
_FIXED = 8
_WEIGHTS = ("weight", "bias")


@cache
def _library() -> NativeLibrary:
    """Our own, with the operations above."""
    lines = ["typedef int ody_status; const char *ody_status_text(ody_status status);"]
    for name, op in _OPS.items():
        lines += [_declaration(name, op, real, suffix) for real, suffix in (("float", "f32"), ("double", "f64"))]
    from odyssey.config import library_path

    return NativeLibrary(library_path(), "\n".join(lines), status={"ody_status": ODYSSEY}, explain="ody_status_text")


def _declaration(name: str, op: _Op, real: str, suffix: str) -> str:
    said = {"size": "size_t size", "rows": "size_t rows", "last": "size_t last", "one": "size_t one"}
    written = "int64_t" if op.result == "place" else real

    def one(argument: str) -> str:
        if argument in said:
            return said[argument]
        if argument == "out":
            return f"{written} *out"
        if argument in _WEIGHTS:
            return f"const {real} {argument}[_Nullable last]"
        return f"const {real} *{argument}" if argument.startswith("in") else f"double {argument}"

    return f"ody_status ody_{op.name or name}_{suffix}({', '.join(map(one, op.arguments.split()))});"


class Batch:
    """Calls that are laid out. Calling it makes them all, and returns the list of results.

    The arrays are held, so their contents may change from one run to the next, but what was laid out is these very
    arrays. Results are written to the same memory at each run.
    """

    def __init__(self, calls: crossing.Calls, chunk: int) -> None:
        self._calls = calls
        self._chunk = chunk

    def __len__(self) -> int:
        return len(self._calls)

    def __call__(self) -> list[Any]:
        """Makes the calls.

        Raises:
            Exception: what the first call with a bad status raises; a note says which it was. All calls have been made
                by then.
        """
        self._calls.perform(self._chunk)
        return self._calls.results()


def batched(
    op: Callable[..., Any],
    calls: Iterable[Any],
    *,
    out: Sequence[Array] | None = None,
    parallel: bool | None = None,
    **options: Any,
) -> list[Any]:
    """Calls `op` once for each item, in one crossing.

    Args:
        op: a function of `NativeLibrary`, or one of odyssey's operations on arrays: elementwise ones, activations,
            softmax and log_softmax, rms_norm and layer_norm over the last axis, reductions of all elements.
        calls: what each call is given: an array, or a tuple of arguments. Arrays of an odyssey operation are all
            float32 or all float64 and those of one call of one shape; they differ in shape from call to call as they
            like. What is not contiguous is copied for them.
        out: of odyssey's operations, where to write: an array for each call.
        parallel: whether the threads of the pool share the calls. For odyssey's operations the default is to do so
            where there is enough work, so none may read what another writes; a library's function is called in order,
            on one thread.
        options: of odyssey's operations, the same for all calls.

    Returns:
        What the calls return, in their order: for odyssey's operations the arrays (those of `out`), or numbers.

    Raises:
        TypeError: for an `op` that cannot be batched, or options that it does not have.
        DTypeError, ShapeError, LayoutError: for arguments that do not fit.

    Example:
        >>> import odyssey as od
        >>> [one.tolist() for one in batched(od.softmax, [np.float32([0, 0]), np.float32([1, 1, 1, 1])])]
        [[0.5, 0.5], [0.25, 0.25, 0.25, 0.25]]
        >>> batched(od.sum, [np.float64([1, 2]), np.float64([3, 4, 5])])
        [np.float64(3.0), np.float64(12.0)]
    """
    return prepare(op, calls, out=out, parallel=parallel, **options)()


def prepare(
    op: Callable[..., Any],
    calls: Iterable[Any],
    *,
    out: Sequence[Array] | None = None,
    parallel: bool | None = None,
    **options: Any,
) -> Batch:
    """The calls of `batched`, checked and laid out, to be made as often as one likes.

    Example:
        >>> import odyssey as od
        >>> x, y = np.float32([1, 2]), np.float32([3])
        >>> run = prepare(od.exp, [x, y], out=[x, y])
        >>> len(run()), x[0] > 2
        (2, np.True_)
    """
    items = list(calls)
    function = getattr(op, "__self__", None)
    if isinstance(function, crossing.Function):
        if out is not None or options:
            raise TypeError(
                f"batched: {function.name} is a library's function: expected its arguments in `calls`, found "
                f"{', '.join([*options, *(['out'] if out is not None else [])])}"
            )
        arguments = [one if isinstance(one, tuple) else (one,) for one in items]
        return Batch(crossing.Calls(function, arguments), _chunk(len(items)) if parallel else 0)
    return _of_arrays(op, items, out, parallel, options)


def _of_arrays(
    op: Callable[..., Any],
    items: list[Any],
    out: Sequence[Array] | None,
    parallel: bool | None,
    options: dict[str, Any],
) -> Batch:
    import odyssey

    name = getattr(op, "__name__", "")
    row = _OPS.get(name)
    if row is None or getattr(odyssey, name, None) is not op:
        raise TypeError(
            explain(
                f"batched: expected a function of NativeLibrary, or one of odyssey.{', '.join(_OPS)}",
                f"found {op!r}",
                "a function that cffi calls (structs by value, callbacks, ...) is called one by one",
            )
        )
    if options.pop("axis", -1 if row.result == "like" else None) not in ((-1,) if row.result == "like" else (None,)):
        raise TypeError(
            f"batched: {name} goes over {'the last axis' if row.result == 'like' else 'all elements'}; leave axis out"
        )
    unknown = set(options) - {key for key, _ in row.options}
    if unknown:
        raise TypeError(
            f"batched: {name} has no option {', '.join(sorted(unknown))} here; "
            f"it has {', '.join(key for key, _ in row.options) or 'none'}"
        )
    if out is not None and len(out) != len(items):
        raise ShapeError(f"batched: out must have an array for each of the {len(items)} calls, found {len(out)}")
    first = items[0] if items else np.empty(0, np.float32)
    kind = types.of(adopt(first[0] if isinstance(first, tuple) and first else first, f"{name}: in0"))
    if kind.name not in ("float32", "float64"):
        raise DTypeError(f"batched: {name}: expected arrays of float32 or float64, found {kind.name}")
    function = getattr(_library(), f"ody_{row.name or name}_{'f32' if kind.name == 'float32' else 'f64'}").__self__
    given = dict(row.options) | options
    layout, fixed = [], []
    for argument in row.arguments.split():
        layout.append(_CODES.get(argument, _FIXED))
        if layout[-1] == _FIXED:
            value = given[argument]
            if value is _REQUIRED:
                raise TypeError(f"batched: {name} needs the option {argument}")
            fixed.append(value if argument in _WEIGHTS else float(value))  # type: ignore[arg-type]
    held = _Operands(name, kind)
    laid_out = crossing.Calls.of_arrays(
        function,
        items,
        layout,
        fixed,
        row.inputs,
        row.result,
        held.take,
        held.refuse,
        None if out is None else list(out),
    )
    share = laid_out.elements >= SHARED if parallel is None else parallel
    return Batch(laid_out, _chunk(len(items)) if share else 0)


def _chunk(calls: int) -> int:
    from odyssey import threads

    return max(1, -(-calls // (_TASKS * threads.count())))


class _Operands:
    """What is asked of arrays that are not at once what an operation wants."""

    def __init__(self, name: str, kind: types.Type) -> None:
        self._name = name
        self._kind = kind

    def take(self, value: object, call: int, place: int) -> Array:
        """A contiguous array of the type of all; copied where it is not contiguous."""
        name = f"batched: {self._name}: call {call}"
        array = adopt(value, name)
        found = types.of(array)
        if found is not self._kind:
            raise DTypeError(
                explain(f"{name}: expected {self._kind.name}, as the first array has, found {found.name}",
                        describe(array=array), f"array.astype(numpy.{self._kind.name}), which copies")
            )  # fmt: skip
        return np.require(array, requirements=["C", "A"])

    def refuse(self, call: int, why: str, **arrays: Array) -> None:
        """Raises what does not fit."""
        raise ShapeError(explain(f"batched: {self._name}: call {call}: {why}", describe(**arrays)))
