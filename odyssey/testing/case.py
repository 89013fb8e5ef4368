"""What a row of `testing/cases` says, and what can be asked of it."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from odyssey import reference
from odyssey.testing.call import Call
from odyssey.testing.draw import REGIMES, Draw
from odyssey.testing.peers import Peer
from odyssey.testing.tolerance import Deviation, Tolerance
from odyssey.typing import Array

__all__ = ["Case", "Grad", "Sample"]

Inputs = Callable[..., Call]


def namespace(ops: Any = None) -> Any:
    """The namespace to take operations from: `ops`, or odyssey itself."""
    if ops is not None:
        return ops
    import odyssey  # here, so that the table can be read without the compiled kernels

    return odyssey


@dataclass(frozen=True, kw_only=True)
class Grad:
    """How to check an operation's gradient.

    `wrt` are the positions of the differentiable arguments. `backward(ops, grad, y, *args, **kwargs)` gives one
    gradient for each of them from the operations of `ops`, y being the forward's result; by default it is
    `ops.<op>_backward(grad, *args, **kwargs)`, or None where there is no such operation. `inputs`, `sizes` and
    `options` are the case's own unless given. `avoid` names the kinks: values near one are moved away. Where the
    forward has several results, `outputs` says how many of them, from the first on, are differentiated: `grad` is then
    a tuple of so many, and y the tuple of all results.
    """

    wrt: tuple[int, ...] = (0,)
    backward: Callable[..., Any] | None = None
    inputs: Inputs | None = None
    sizes: tuple[Any, ...] | None = None
    options: tuple[Mapping[str, Any], ...] | None = None
    avoid: tuple[float, ...] = ()
    outputs: int | None = None


class Sample(NamedTuple):
    """One set of arguments for one operation; the same names always draw the same values."""

    size: Any
    options: Mapping[str, Any]
    regime: str
    dtype: str

    def __str__(self) -> str:
        options = "".join(f" {name}={value!r}" for name, value in self.options.items())
        return f"{self.dtype} {self.regime} size={self.size}{options}"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One operation: what to feed it, how exact it must be and why, and what it races against.

    Attributes:
        op: The name, the same in `odyssey` and `odyssey.reference`.
        inputs: `inputs(draw, size, **options)` gives the arguments of one call; `call(...)` writes them down.
        tolerance: How far results may be from the reference; a tuple where the operation has several results.
        why: The reason for this tolerance and no smaller one, in a sentence.
        grad: How to check the gradient, or why there is none.
        sizes: What `inputs` takes as size, around the lane count; crossed with options and regimes.
        large: Sizes that threads share; ordinary values only.
        options: Keyword arguments worth a run of their own. `inputs` passes them on.
        regimes: The kinds of values the operation is held to.
        dtypes: The types it computes in.
        layouts: How its arrays may lie in memory.
        mutates: Positions of arguments that the call writes. They count as results, after what it returns.
        drawn: Whether the result is drawn by chance: a peer's is another draw, alike in shape alone.
        bench: Sizes worth timing; the first options apply.
        flops: The floating-point operations of a call, where they and not the bytes set the limit.
        peers: Who else can do it: a name and a function that makes a call of theirs, or None where they are absent.
    """

    op: str
    inputs: Inputs
    tolerance: Tolerance | tuple[Tolerance, ...]
    why: str
    grad: Grad | str
    sizes: tuple[Any, ...]
    large: tuple[Any, ...] = ()
    options: tuple[Mapping[str, Any], ...] = ({},)
    regimes: tuple[str, ...] = tuple(REGIMES)
    dtypes: tuple[str, ...] = ("float32", "float64")
    layouts: tuple[str, ...] = ("contiguous", "misaligned", "strided", "padded_rows", "reversed", "fortran")
    mutates: tuple[int, ...] = ()
    drawn: bool = False
    bench: tuple[Any, ...] = ()
    flops: Callable[..., int] | None = None
    peers: Mapping[str, Peer] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """The file that defines the operation: "elementwise", "softmax" ..."""
        module: str = self.definition.__module__
        return module.rpartition(".")[2]

    @property
    def definition(self) -> Callable[..., Any]:
        """The reference's function."""
        function: Callable[..., Any] = getattr(reference, self.op)
        return function

    @property
    def tolerance_text(self) -> str:
        """The tolerance in a word or two, one for each result where they differ."""
        many = self.tolerance if isinstance(self.tolerance, tuple) else (self.tolerance,)
        return ", ".join(dict.fromkeys(str(one) for one in many))

    @property
    def takes_out(self) -> bool:
        """Whether the operation can write into an array of the caller's."""
        return "out" in inspect.signature(self.definition).parameters

    def samples(self, dtype: str, *, large: bool = True) -> Iterator[Sample]:
        """Every size, option and regime; the large sizes last."""
        for size in self.sizes:
            for options in self.options:
                for regime in self.regimes:
                    yield Sample(size, options, regime, dtype)
        for size in self.large if large else ():
            for options in self.options:
                yield Sample(size, options, "normal", dtype)

    def draw(self, sample: Sample, seed: int = 0) -> Call:
        """The arguments of a sample. They depend on its names and the seed alone, not on what was drawn before."""
        key = zlib.crc32(f"{self.op} {sample}".encode())
        rng = np.random.Generator(np.random.PCG64([key, seed]))
        return self.inputs(Draw(rng, np.dtype(sample.dtype), sample.regime), sample.size, **sample.options)

    def bench_call(self, size: Any, dtype: str = "float32") -> Call:
        """The arguments to time at one of the `bench` sizes."""
        return self.draw(Sample(size, self.options[0], "normal", dtype))

    def run(self, ops: Any, call: Call) -> tuple[Array, ...]:
        """The results of `ops.<op>` on the very arrays of `call`: what it returns, then what it writes in place."""
        returned = getattr(ops, self.op)(*call.args, **call.kwargs)
        outputs = () if returned is None else returned if isinstance(returned, tuple) else (returned,)
        written = (call.args[i] for i in self.mutates if i < len(call.args) and call.args[i] is not None)
        return tuple(np.asarray(output) for output in (*outputs, *written))

    def expect(self, call: Call) -> tuple[Array, ...]:
        """The results by definition; the arrays of `call` stay as they are."""
        with np.errstate(all="ignore"):
            return self.run(reference, call.fresh())

    def measure(self, fast: tuple[Array, ...], expected: tuple[Array, ...], call: Call) -> Deviation:
        """The worst deviation among the results. `call` holds the arguments as they were before."""
        if len(fast) != len(expected):
            return Deviation(np.inf, 0, "results", None, f"{len(fast)} results where the reference has {len(expected)}")
        tolerances = self.tolerance if isinstance(self.tolerance, tuple) else (self.tolerance,) * len(expected)
        found = [
            tolerance.measure(result, wanted, call)
            for tolerance, result, wanted in zip(tolerances, fast, expected, strict=False)
        ]
        return max(found, key=lambda deviation: (not deviation.passed, deviation.error / max(deviation.limit, 1)))
