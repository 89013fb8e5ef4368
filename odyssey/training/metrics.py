"""metrics.jsonl: one line of JSON per epoch."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from odyssey.serialization.atomic import write_bytes
from odyssey.training.callbacks import Callback
from odyssey.training.trainer import Trainer

__all__ = ["MetricsFile"]


class MetricsFile(Callback):
    """Appends each epoch's metrics to a file as a line of JSON.

    When the run begins or is resumed the file is written anew from the run's history, so that it never holds epochs
    that the run, going back to its checkpoint, is about to repeat. A line that cannot be written whole is taken back.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Write the history so far."""
        write_bytes(self.path, "".join(map(_line, trainer.history)))

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        """Add a line."""
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with open(self.path, "ab", buffering=0) as file:
                line = _line(metrics).encode()
                while line:  # an unbuffered write may take a part
                    line = line[file.write(line) or 0 :]
        except OSError as error:
            os.truncate(self.path, size)
            error.filename = os.fspath(self.path)
            raise


def _line(metrics: dict[str, Any]) -> str:
    return json.dumps(metrics) + "\n"
