"""Checkpoints: a training run in one file, to go on from to the same bits.

By default a safetensors file: the arrays of the model as "model.<name>", those of the optimizer as "optimizer.<name>",
averages of parameters as "ema.<number>", and the rest as JSON in the metadata. At a path that ends in .pb a message,
`Checkpoint` of protos/model.proto, which programs in other languages can read.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from time import monotonic
from typing import Any

from odyssey.errors import FormatError
from odyssey.protocols import Serializable
from odyssey.serialization.tensors import load_metadata, save
from odyssey.training.callbacks import Callback
from odyssey.training.trainer import Trainer

__all__ = ["CheckpointCallback", "load_checkpoint", "save_checkpoint"]

_KEY = "odyssey.checkpoint"
_VERSION = 1
MESSAGE = ".pb"


def save_checkpoint(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Write all that `load_checkpoint` needs to go on from here, atomically: a message at a path that ends in .pb, a
    safetensors file at any other.

    Raises:
        TypeError: the model has no state to write (`odyssey.protocols.Serializable`).
    """
    if not isinstance(trainer.model, Serializable):
        raise TypeError(
            "save_checkpoint: expected a model with state_dict() and load_state_dict() "
            f"(odyssey.protocols.Serializable), found {type(trainer.model).__name__}"
        )
    optimizer = trainer.optimizer.state_dict()
    steps = optimizer.pop("steps")
    state = {"version": _VERSION, "optimizer_steps": steps, "trainer": trainer.state_dict()}
    arrays = {f"optimizer.{name}": array for name, array in optimizer.items()}
    if trainer.ema is not None:
        averages = trainer.ema.state_dict()
        state["ema_updates"] = averages.pop("updates")
        arrays |= {f"ema.{name}": array for name, array in averages.items()}
    if Path(path).suffix == MESSAGE:
        from odyssey.bridge import proto

        proto.dump(proto.Checkpoint(proto.Model.of(trainer.model), optimizer=arrays, trainer=state), path)
        return
    arrays |= {f"model.{name}": array for name, array in trainer.model.state_dict().items()}
    save(arrays, path, {_KEY: json.dumps(state)})


def load_checkpoint(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Put a Trainer, made as the one that was saved, where that one was.

    Raises:
        FileNotFoundError: there is no such file.
        FormatError: the file is damaged, or not a checkpoint, or of a run that was made otherwise.
        ShapeError: the model's parameters have other shapes.
    """
    arrays, state = _read(Path(path))
    try:
        version, steps, rest = state["version"], state["optimizer_steps"], state["trainer"]
        updates = state.get("ema_updates")
    except (KeyError, TypeError) as error:
        raise _no_checkpoint(Path(path)) from error
    if version != _VERSION:
        raise FormatError(
            f"{Path(path)}: expected checkpoint version {_VERSION}, found {version}; "
            "resume it with the odyssey that wrote it"
        )
    if (updates is None) != (trainer.ema is None):
        raise FormatError(
            f"{Path(path)}: expected a run with{'out' if trainer.ema is None else ''} averaged parameters, found one "
            f"with{'out' if updates is None else ''}; make the Trainer as it was made then"
        )
    parts: dict[str, dict[str, Any]] = {"model": {}, "optimizer": {"steps": steps}, "ema": {}}
    for name, array in arrays.items():
        part, _, inner = name.partition(".")
        if part not in parts:
            raise FormatError(f"{Path(path)}: expected arrays of model, optimizer and averages, found {name!r}")
        parts[part][inner] = array
    trainer.model.load_state_dict(parts["model"])
    trainer.optimizer.load_state_dict(parts["optimizer"])
    if trainer.ema is not None:
        trainer.ema.load_state_dict({"updates": updates, **parts["ema"]})
    trainer.load_state_dict(rest)


def _read(path: Path) -> tuple[dict[str, Any], Any]:
    """The arrays under their names in a safetensors file, and the rest."""
    if path.suffix == MESSAGE:
        from odyssey.bridge import proto

        found = proto.load(path)
        if not isinstance(found, proto.Checkpoint):
            raise _no_checkpoint(path)
        arrays = {f"model.{name}": array for name, array in found.model.state_dict().items()}
        return {**arrays, **found.optimizer}, found.trainer
    arrays, metadata = load_metadata(path)
    try:
        return arrays, json.loads(metadata[_KEY])
    except (KeyError, json.JSONDecodeError) as error:
        raise _no_checkpoint(path) from error


def _no_checkpoint(path: Path) -> FormatError:
    return FormatError(
        f"{path}: expected a checkpoint of a training run, found another {path.suffix.lstrip('.')} file; "
        f"name the run's checkpoint{path.suffix}"
    )


class CheckpointCallback(Callback):
    """Saves the run at the start, when it ends or is stopped, and every so many seconds on the way.

    The one at the start is for the sake of the user whose disk is full: better now than after an hour. Beside `path`,
    the latest, it can keep those of past epochs; any of them is a checkpoint to resume.

    Args:
        path: the latest checkpoint, `checkpoint.safetensors` say.
        every_seconds: how long at least between two at the end of an epoch,
        batch_seconds: and between one and the next in the middle, where an epoch takes longer.
        best: keep the one of the epoch with the highest held-out accuracy (the lowest loss of a regression), the
            earliest of equals, as `checkpoint-best.safetensors`.
        last: keep those of the last so many epochs, as `checkpoint-<epoch>.safetensors`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every_seconds: float = 30.0,
        batch_seconds: float = 120.0,
        *,
        best: bool = False,
        last: int = 0,
    ) -> None:
        if last < 0:
            raise ValueError(f"CheckpointCallback: expected last not to be negative, found {last}")
        self.path = Path(path)
        self.every_seconds = every_seconds
        self.batch_seconds = batch_seconds
        self.best = best
        self.last = last
        self.seconds = 0.0  # spent in saving
        self._last = 0.0

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Save."""
        self._save(trainer)

    def on_batch_end(self, trainer: Trainer) -> None:
        """Save if it is more than time."""
        if monotonic() - self._last >= self.batch_seconds:
            self._save(trainer)

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        """Save if it is time, and what is to be kept."""
        if self.best and _is_best(trainer.history):
            self._write(trainer, self._beside("best"))
        if self.last:
            self._write(trainer, self._beside(str(trainer.epoch)))
            self._beside(str(trainer.epoch - self.last)).unlink(missing_ok=True)
        if monotonic() - self._last >= self.every_seconds:
            self._save(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Save."""
        self._save(trainer)

    def _beside(self, which: str) -> Path:
        return self.path.with_name(f"{self.path.stem}-{which}{self.path.suffix}")

    def _save(self, trainer: Trainer) -> None:
        self._write(trainer, self.path)
        self._last = monotonic()

    def _write(self, trainer: Trainer, path: Path) -> None:
        began = monotonic()
        save_checkpoint(trainer, path)
        self.seconds += monotonic() - began


def _is_best(history: list[dict[str, Any]]) -> bool:
    """Whether the latest epoch beats all before it on what is held out; on the training data where nothing is."""
    name = next(name for name in ("test_accuracy", "test_loss", "train_accuracy", "train_loss") if name in history[-1])
    sign = 1 if name.endswith("accuracy") else -1
    return all(sign * metrics[name] < sign * history[-1][name] for metrics in history[:-1])
