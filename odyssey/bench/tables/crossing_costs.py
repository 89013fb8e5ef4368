"""What `odyssey.bridge.choose` assumes each way across to cost, beside what it costs here."""

from __future__ import annotations

import multiprocessing as mp
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

import numpy as np

import odyssey
from odyssey.bench.race import PythonCall, Spread, race
from odyssey.bench.tables import Line, Request, Section, judged, open_line
from odyssey.bridge.choosing import COSTS
from odyssey.typing import Array

__all__ = ["sections"]

STEPS = 20_000
BATCHES = 200
LARGE = 16 << 20  # bytes
FACTOR = 4.0
"""So many times more or less than assumed, and the choice may be another."""


def sections(request: Request) -> Iterator[Section]:
    """A line for each cost: measured over assumed."""
    measures: dict[str, tuple[str, Callable[[Request], float]]] = {
        "call": ("a call of a native function", _call),
        "batch": ("a batch through a stream", _batch),
        "hand_over": ("a tensor of 1 MiB handed to another process", _hand_over),
        "message": ("a small message, written and read", _message),
        "message_rate": ("bytes a second into a message and out of it", _message_rate),
        "pipe_rate": ("bytes a second through a pipe", _pipe_rate),
        "step": ("a step of a Python loop", _step),
        "compiled_step": ("a compiled step", _compiled_step),
    }
    lines = [_line(request, name, what, measure) for name, (what, measure) in measures.items()]
    yield Section("What bridge.choose assumes: measured over assumed", lines)


def _line(request: Request, name: str, what: str, measure: Callable[[Request], float]) -> Line:
    request.progress(what)
    try:
        found = measure(request)
    except ImportError as error:
        return open_line(what, str(error))
    assumed = getattr(COSTS, name)
    unit = "B/s" if name.endswith("rate") else "s"
    note = f"{found:.3g} {unit}, assumed {assumed:.3g}"
    apart = max(found / assumed, assumed / found)
    return judged(what, name, Spread.of([apart]), FACTOR, "times apart", at_most=True, note=note)


def _seconds(request: Request, function: Callable[..., Any], *args: Any) -> float:
    return race([PythonCall("it", function, args)], rules=request.rules).seconds("it").median


def _call(request: Request) -> float:
    from odyssey.bridge.direct import NativeLibrary

    library: Any = NativeLibrary(odyssey.library_path(), "int ody_threads_get(void);")
    return _seconds(request, library.ody_threads_get)


def _batch(request: Request) -> float:
    from odyssey.bridge.stream import Stream

    def run() -> None:
        for _ in Stream(range(BATCHES), maxsize=4):
            pass

    return _seconds(request, run) / BATCHES


def _hand_over(request: Request) -> float:
    """Half of there and back: pickled, sent, received, mapped; and an empty answer."""
    from odyssey.bridge.shared import SharedTensor

    with SharedTensor.create(1 << 18, np.float32) as tensor, _Child() as line:

        def cross() -> None:
            line.send_bytes(pickle.dumps(tensor))
            line.recv_bytes()

        return _seconds(request, cross)


def _message(request: Request) -> float:
    from odyssey.bridge import proto

    value = {"name": "lenet5", "step": 3, "rate": 0.05, "weights": np.zeros(16, np.float32)}
    return _seconds(request, lambda: proto.loads(proto.dumps(value)))


def _message_rate(request: Request) -> float:
    from odyssey.bridge import proto

    value = np.zeros(LARGE // 4, np.float32)
    return LARGE / _seconds(request, lambda: proto.loads(proto.dumps(value)))


def _pipe_rate(request: Request) -> float:
    data = bytes(LARGE)
    with _Child() as line:

        def cross() -> None:
            line.send_bytes(data)
            line.recv_bytes()

        return LARGE / _seconds(request, cross)


def _loop(x: Any) -> float:
    total = 0.0
    for i in range(x.shape[0]):
        if x[i] > 0.5:
            total += x[i] * 2.0
        x[i] = 1.0 - x[i]
    return total


def _numbers() -> Array:
    numbers: Array = np.random.default_rng(0).random(STEPS)
    return numbers


def _step(request: Request) -> float:
    return _seconds(request, _loop, _numbers()) / STEPS


def _compiled_step(request: Request) -> float:
    compiled = odyssey.bridge.jit(_loop)
    began = perf_counter()
    compiled(_numbers())
    request.progress(f"compiled in {perf_counter() - began:.2g} s")
    return _seconds(request, compiled, _numbers()) / STEPS


class _Child:
    """A process that answers each message with an empty one; a pickled tensor it maps, reads and lets go."""

    def __enter__(self) -> Connection:
        ours, theirs = mp.Pipe()
        self._line = ours
        self._process = mp.get_context("fork").Process(target=partial(_answer, theirs, ours), daemon=True)
        self._process.start()
        theirs.close()
        return ours

    def __exit__(self, *error: object) -> None:
        self._line.close()
        self._process.join()


def _answer(line: Connection, other: Connection) -> None:
    other.close()
    while True:
        try:
            received = line.recv_bytes()
        except (EOFError, OSError):
            return
        if len(received) < LARGE:
            tensor = pickle.loads(received)
            tensor.array[0].item()
            tensor.close()
        line.send_bytes(b"")
