"""Training across the bridge: each of the five patterns where it belongs, and what each of them costs.

    shared   a worker process makes and augments the batches, in shared memory       `bridged_loader.py`
    stream   they reach the loop over a bounded number of places, ahead of time
    direct   the loop computes with kernels, on that memory
    jit      a compiled loop counts the hits                                          `metric_loops.py`
    proto    checkpoints and the run's description are messages                       `run.py`, `checkpoint.py`

A run comes to the same bits as without.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

import odyssey
from odyssey.tensor import ops
from odyssey.training.bridged_loader import BridgedLoader
from odyssey.training.callbacks import Callback
from odyssey.training.checkpoint import CheckpointCallback
from odyssey.training.evaluation import Tally
from odyssey.training.metric_loops import tally
from odyssey.training.trainer import Trainer
from odyssey.typing import Array

__all__ = ["Hybrid"]

CALLS = 2000
CONTEXT = "spawn"


class Hybrid(Callback):
    """Puts a Trainer's loader and its counting across the bridge, and keeps the books.

    Made before the run begins, or goes on: it takes the place of `trainer.loader` and `trainer.tally` and is the first
    of `trainer.callbacks`. The worker ends with the run.

    Args:
        trainer: of a classifier.
        context: how the worker process is started, as in `BridgedLoader`; by default `CONTEXT`.
    """

    def __init__(self, trainer: Trainer, context: str | None = None) -> None:
        self.loader = BridgedLoader(trainer.loader, keep=trainer.accumulate, context=context or CONTEXT)
        self._counted = _Timed(odyssey.bridge.jit(tally))
        self._checkpoints = [one for one in trainer.callbacks if isinstance(one, CheckpointCallback)]
        self._calls = ops.CallCount()
        self._batches = 0
        self._elapsed = 0.0
        self._began: float | None = None
        self._call_seconds = _seconds_of_a_call()
        trainer.loader = self.loader
        trainer.tally = self._counted
        trainer.callbacks.insert(0, self)

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Compile, or load what was compiled before: not a part of the epochs."""
        classes = 2
        self._counted.function(
            np.zeros((1, classes), np.float32), np.zeros(1, np.int64), np.zeros((classes, classes), np.int64)
        )
        self._began = perf_counter()

    def on_batch_end(self, trainer: Trainer) -> None:
        """Count the kernels that the second step calls; all steps call as many."""
        self._batches += 1
        if self._batches == 1:
            self._calls.begin()
        elif self._batches == 2:
            self._calls.end()

    def close(self) -> None:
        """End the worker, and the books."""
        self._calls.end()
        self.loader.close()
        if self._began is not None:
            self._elapsed += perf_counter() - self._began
            self._began = None

    @property
    def elapsed(self) -> float:
        """Seconds of training, but for the start of the worker."""
        return self._elapsed - self.loader.starting

    def seconds(self) -> dict[str, float]:
        """What each pattern cost the run, by name.

        direct: the calls of kernels, each at what a call of the smallest costs; stream: all that the loop spent in
        asking for batches, waiting for the worker included; shared: taking batches over from the worker, by another
        thread; proto: writing checkpoints; jit: all of the counting.
        """
        return {
            "direct": self._batches * self._calls.count * self._call_seconds,
            "stream": self.loader.taking,
            "shared": self.loader.crossing,
            "proto": sum(one.seconds for one in self._checkpoints),
            "jit": self._counted.seconds,
        }


class _Timed:
    """A tally, and the seconds it took."""

    def __init__(self, function: Tally) -> None:
        self.function = function
        self.seconds = 0.0

    def __call__(self, logits: Array, labels: Array, confusion: Any) -> int:
        began = perf_counter()
        found = self.function(logits, labels, confusion)
        self.seconds += perf_counter() - began
        return found


def _seconds_of_a_call() -> float:
    """What a kernel's call takes when there is next to nothing to compute."""
    a = np.zeros(16, np.float32)
    best = float("inf")
    for _ in range(5):
        began = perf_counter()
        for _ in range(CALLS):
            odyssey.add(a, a, out=a)
        best = min(best, perf_counter() - began)
    return best / CALLS
