"""A run folder: what a training run leaves behind, and where it is resumed and used from.

config.json             what was trained on what, and how; or config.pb, and checkpoint.pb, as messages
checkpoint.safetensors  the run, to be resumed; checkpoint-best and checkpoint-<epoch> where the recipe keeps them
metrics.jsonl           one line per epoch
model.safetensors       the trained parameters; of a language model, model/, which from_pretrained reads
samples.jsonl           of a language model, a text per epoch
curve.svg               loss and accuracy over the epochs
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from odyssey.errors import FormatError
from odyssey.serialization.atomic import write_json
from odyssey.serialization.tensors import save
from odyssey.training.checkpoint import CheckpointCallback, load_checkpoint, save_checkpoint
from odyssey.training.curve import draw_curve
from odyssey.training.metrics import MetricsFile
from odyssey.training.trainer import Trainer

__all__ = ["RunFolder"]

_FORMAT = 1


class RunFolder:
    """The files of one training run.

    Args:
        path: the folder.
        messages: whether a run that begins here is described, and its checkpoints written, as Protocol Buffers; a run
            that is there already stays as it is.
    """

    def __init__(self, path: str | os.PathLike[str], *, messages: bool = False) -> None:
        self.path = Path(path)
        begun = [(self.path / name).is_file() for name in ("config.pb", "config.json")]
        self.messages = messages if not any(begun) else begun[0]
        self.config_path = self.path / ("config.pb" if self.messages else "config.json")
        self.checkpoint_path = self.path / ("checkpoint.pb" if self.messages else "checkpoint.safetensors")
        self.metrics_path = self.path / "metrics.jsonl"
        self.model_path = self.path / "model.safetensors"
        self.curve_path = self.path / "curve.svg"

    def check_new(self) -> None:
        """Make sure that a run can begin here.

        Raises:
            FileExistsError: the folder holds something.
        """
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise FileExistsError(
                f"{self.path}: expected a new or empty folder for the run, found "
                + ("a run in it; continue it with --resume, or name another" if self.config_path.exists()
                   else "something there; name another")
            )  # fmt: skip

    def begin(self, trainer: Trainer, config: dict[str, Any]) -> None:
        """Write the first checkpoint and the configuration, or nothing: a full disk shows here, before the work."""
        created = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            save_checkpoint(trainer, self.checkpoint_path)
            self._write_config({"format": _FORMAT, **config})
        except BaseException:
            with suppress(OSError):
                self.checkpoint_path.unlink(missing_ok=True)
                for folder in created:
                    folder.rmdir()
            raise

    def resume(self, trainer: Trainer) -> None:
        """Put a Trainer where the run's checkpoint was taken; errors as in `load_checkpoint`."""
        load_checkpoint(trainer, self.checkpoint_path)

    def watch(self, trainer: Trainer, *, best: bool = False, last: int = 0) -> None:
        """Keep the folder up to date while the trainer runs; `best` and `last` as in `CheckpointCallback`."""
        checkpoints = CheckpointCallback(self.checkpoint_path, best=best, last=last)
        trainer.callbacks += [checkpoints, MetricsFile(self.metrics_path)]

    def end(self, trainer: Trainer, title: str) -> None:
        """Write the model and the curve."""
        save(trainer.model, self.model_path)
        self.draw(trainer, title)

    def draw(self, trainer: Trainer, title: str, baseline: tuple[str, float] | None = None) -> None:
        """Write the curve; `baseline` as in `draw_curve`."""
        draw_curve(trainer.history, self.curve_path, title, baseline)

    def config(self, *models: str) -> dict[str, Any]:
        """The run's configuration, of one of these models.

        Raises:
            FileNotFoundError: there is no run in this folder.
            FormatError: the configuration is damaged, or of a run of another model.
        """
        if not self.config_path.is_file():
            raise FileNotFoundError(
                f"{self.path}: expected the folder of a run, with config.json in it, found "
                + ("none there" if self.path.is_dir() else "no such folder")
                + "; name what `odyssey train` printed as the run"
            )
        try:
            config = self._read_config()
            if config["format"] != _FORMAT or config["model"]["name"] not in models:
                raise KeyError(f"format {config['format']}, model {config['model']['name']}")
            config["model"]["arguments"], dict(config["data"]), config["training"]
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"{self.config_path}: expected the configuration of a run of {' or '.join(models)}, found it damaged "
                f"or another ({error}); restore it from where it was copied"
            ) from error
        return dict(config)

    def _write_config(self, config: dict[str, Any]) -> None:
        if self.messages:
            from odyssey.bridge import proto

            proto.dump(config, self.config_path)
        else:
            write_json(self.config_path, config)

    def _read_config(self) -> Any:
        if self.messages:
            from odyssey.bridge import proto

            return proto.load(self.config_path, mmap=False)
        return json.loads(self.config_path.read_bytes())
