"""samples.jsonl: what a language model writes, epoch by epoch."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from odyssey.data.text.bpe import END_OF_TEXT
from odyssey.models.generation import generate
from odyssey.serialization.atomic import write_bytes
from odyssey.training.callbacks import Callback
from odyssey.training.trainer import Trainer

__all__ = ["Samples"]


class Samples(Callback):
    """Has the model begin a text after each epoch, and writes it to a file as a line of JSON.

    What is written depends on the model's bits, the seed and the epoch. When a run is resumed, the samples of epochs
    that it is about to repeat are dropped.

    Args:
        path: the file.
        tokenizer: a `tokenizers.Tokenizer` with the token `END_OF_TEXT`.
        seed: of what is drawn.
        tokens: how long a sample is at most.

    Attributes:
        latest: the last sample, "" before the first.
    """

    def __init__(self, path: str | os.PathLike[str], tokenizer: Any, seed: int = 0, tokens: int = 80) -> None:
        self.path = Path(path)
        self.tokenizer = tokenizer
        self.seed = seed
        self.tokens = tokens
        self.latest = ""

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Keep the samples of complete epochs."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        kept = [one for one in map(_read, lines) if one is not None and one["epoch"] <= trainer.epoch]
        self.latest = kept[-1]["text"] if kept else ""
        write_bytes(self.path, "".join(map(_line, kept)).encode())

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        """Add one."""
        start = [self.tokenizer.token_to_id(END_OF_TEXT)]
        seed = self.seed * 1_000_003 + trainer.epoch
        found = generate(trainer.model, start, self.tokens, temperature=0.8, seed=seed)
        self.latest = self.tokenizer.decode(list(found))
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(_line({"epoch": trainer.epoch, "text": self.latest}))


def _line(sample: dict[str, Any]) -> str:
    return json.dumps(sample) + "\n"


def _read(line: str) -> dict[str, Any] | None:
    """A sample, or None for a line that was not written whole."""
    try:
        sample: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return None
    return sample
