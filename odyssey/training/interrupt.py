"""Ctrl-C: finish the batch, then stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from odyssey.training.trainer import Trainer

__all__ = ["stop_on_interrupt"]


@contextmanager
def stop_on_interrupt(trainer: Trainer) -> Iterator[None]:
    """While the block runs, Ctrl-C asks the trainer to stop after its batch; a second one interrupts at once.

    Signals reach the main thread only; elsewhere this changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        trainer.stop()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
