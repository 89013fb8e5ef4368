"""Messages against a bare copy of their tensors; file formats against each other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import starmap
from typing import Any

import numpy as np

from odyssey.bench.race import PythonCall, Spread, race
from odyssey.bench.tables import Line, Request, Section, judged, open_line
from odyssey.bench.tables.crossing import Point, curve
from odyssey.typing import Array

__all__ = ["sections"]

GOAL = 0.08
JUDGED_FROM = "1 MiB"
SIZES = {
    "1 KiB": 1 << 10, "16 KiB": 1 << 14, "128 KiB": 1 << 17, "1 MiB": 1 << 20, "4 MiB": 1 << 22, "16 MiB": 1 << 24,
    "64 MiB": 1 << 26,
}  # fmt: skip
PARTS = 10  # arrays of a state
FORMATS_BYTES = 1 << 22


def sections(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    try:
        from odyssey.bridge import proto

        proto.messages()
    except ImportError as error:
        yield Section("bridge.proto", [open_line("messages", str(error).replace("\n", " "))])
        return
    yield Section("bridge.proto: one tensor", _tensor(request))
    yield Section(f"bridge.proto: {PARTS} tensors by name", _state(request))
    yield Section("bridge.proto: tensors of a structure not seen before", _unseen(request))
    yield Section("bridge.proto: small messages", _small(request))
    yield Section(f"serialization: {PARTS} tensors by name, {FORMATS_BYTES >> 20} MiB", _formats(request))


def _floats(nbytes: int) -> Array:
    return np.random.default_rng(0).random(nbytes // 4, np.float32)


def _arrays(nbytes: int) -> dict[str, Array]:
    return {f"layers.{i}.weight": _floats(nbytes // PARTS) for i in range(PARTS)}


def _tensor(request: Request) -> list[Line]:
    """dumps against a copy into fresh bytes; loads and a copy out of what it gives, against that copy alone, out of the
    very same bytes."""
    from odyssey.bridge import proto

    def writing(label: str, nbytes: int) -> Point:
        array = _floats(nbytes)
        return Point(label, PythonCall("dumps", proto.dumps, (array,)), PythonCall("memcpy", array.tobytes))

    def reading(label: str, nbytes: int) -> Point:
        data = proto.dumps(_floats(nbytes))
        array = proto.loads(data)
        into = np.empty_like(array)
        return Point(
            label,
            PythonCall("loads, memcpy", lambda: np.copyto(into, proto.loads(data))),
            PythonCall("memcpy", lambda: np.copyto(into, array)),
        )

    return [*_curve(request, "dumps", writing), *_curve(request, "loads", reading)]


def _curve(request: Request, what: str, point: Any, goal: bool = True) -> list[Line]:
    sizes = {label: size for label, size in SIZES.items() if not request.quick or size <= 1 << 20}
    return curve(request, what, GOAL, starmap(point, sizes.items()), from_size=JUDGED_FROM if goal else "none")


def _state(request: Request) -> list[Line]:
    """The same with several arrays: all of them joined into fresh bytes, and copied out one by one."""
    from odyssey.bridge import proto

    def writing(label: str, nbytes: int) -> Point:
        arrays = _arrays(nbytes)
        values = list(arrays.values())
        return Point(label, PythonCall("dumps", proto.dumps, (arrays,)), PythonCall("memcpy", b"".join, (values,)))

    def reading(label: str, nbytes: int) -> Point:
        data = proto.dumps(_arrays(nbytes))
        arrays = proto.loads(data)
        into = {name: np.empty_like(array) for name, array in arrays.items()}
        return Point(
            label,
            PythonCall("loads, memcpy", lambda: _copy(into, proto.loads(data))),
            PythonCall("memcpy", lambda: _copy(into, arrays)),
        )

    return [*_curve(request, "dumps", writing), *_curve(request, "loads", reading)]


def _copy(into: dict[str, Array], arrays: dict[str, Array]) -> None:
    for name, array in arrays.items():
        np.copyto(into[name], array)


def _unseen(request: Request) -> list[Line]:
    """One tensor, with all forgotten that earlier documents taught: what every first message costs."""
    from odyssey.bridge import proto
    from odyssey.bridge.proto.codec import forget

    def writing(label: str, nbytes: int) -> Point:
        array = _floats(nbytes)

        def across() -> bytes:
            forget()
            written: bytes = proto.dumps(array)
            return written

        return Point(label, PythonCall("dumps", across), PythonCall("memcpy", array.tobytes))

    def reading(label: str, nbytes: int) -> Point:
        data = proto.dumps(_floats(nbytes))
        array = proto.loads(data)
        into = np.empty_like(array)

        def across() -> None:
            forget()
            np.copyto(into, proto.loads(data))

        return Point(label, PythonCall("loads, memcpy", across), PythonCall("memcpy", lambda: np.copyto(into, array)))

    return [*_curve(request, "dumps", writing, goal=False), *_curve(request, "loads", reading, goal=False)]


def _small(request: Request) -> list[Line]:
    """What a message costs whose elements do not count."""
    from odyssey.bridge import proto

    lines = []
    for what, value in (
        ("16 floats", np.arange(16, dtype=np.float32)),
        ("step, loss, name", {"step": 7, "loss": 0.25, "name": "epoch 3"}),
        ("a run's description", {"model": {"name": "lenet5", "sizes": (1, 2, 3)}, "lr": [0.1, 0.01], "seed": 2**100}),
    ):
        data = proto.dumps(value)
        request.progress(f"a message of {what}")
        outcome = race(
            [PythonCall("dumps", proto.dumps, (value,)), PythonCall("loads", proto.loads, (data,))], rules=request.rules
        )
        for name in ("dumps", "loads"):
            spent = outcome.seconds(name)
            micro = Spread(*(1e6 * part for part in (spent.median, spent.low, spent.high)))
            lines.append(judged(what, name, micro, None, "µs", at_most=True, note=f"{len(data)} bytes"))
    return lines


def _formats(request: Request) -> list[Line]:
    """How many bytes of tensors a second pass through each format, into bytes and back from them."""
    from odyssey.serialization import dumps, loads
    from odyssey.serialization.formats import FORMATS

    arrays = _arrays(FORMATS_BYTES)
    nbytes = sum(array.nbytes for array in arrays.values())
    lines: list[Line] = []
    for format in FORMATS.values():
        value: Any = arrays if format.holds.what != "one array" else np.concatenate(list(arrays.values()))
        request.progress(f"format {format.name}")
        try:
            data = dumps(value, format.name)
        except ImportError as error:
            lines.append(open_line(format.name, str(error).replace("\n", " ")))
            continue
        contenders = [
            PythonCall("memcpy", b"".join, (list(arrays.values()),)),
            PythonCall("dumps", dumps, (value, format.name)),
            PythonCall("loads", partial(loads, data, format.name)),
        ]
        outcome = race(contenders, rules=request.rules)
        rates = {
            name: Spread.of([nbytes / seconds / 1e9 for seconds in samples])
            for name, samples in outcome.samples.items()
        }
        if not lines:
            lines.append(judged("memcpy", "into new bytes", rates["memcpy"], None, "GB/s"))
        note = f"{len(data)} bytes, {100 * (len(data) / nbytes - 1):.2g} % more than the tensors"
        for name in ("dumps", "loads"):
            views = ": views, nothing is copied" if name == "loads" and format.holds.mapped else ""
            lines.append(judged(format.name, name, rates[name], None, "GB/s", note=note + views))
    return lines
