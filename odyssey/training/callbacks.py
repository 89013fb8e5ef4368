"""What watches a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odyssey.training.trainer import Trainer

__all__ = ["Callback"]


class Callback:
    """The base of what a Trainer tells about its progress. Override what is needed; all of it does nothing here."""

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first batch, also of a resumed run."""

    def on_batch_end(self, trainer: Trainer) -> None:
        """After each batch: the parameters are updated, `trainer.running` includes it."""

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        """After each epoch and its evaluation; `metrics` is what was added to `trainer.history`."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """When the last epoch is done or `trainer.stopped` says that the run was asked to stop."""

    def close(self) -> None:
        """After the run, however it ended: an error included."""
