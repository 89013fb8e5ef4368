"""What watches a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from odyssey.training.trainer import Trainer

__all__ = ["Callback", "EarlyStopping"]


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


class EarlyStopping(Callback):
    """Stops a run when a metric has not got better for `patience` epochs.

    It looks at the run's history alone, so a resumed run stops where the other would have, and one that was stopped so
    and is started again stops at once.

    Args:
        metric: which of an epoch's metrics.
        patience: how many epochs in a row may be no better than the best before them.
        min_delta: how much better is better.
        mode: "min" where less is better, "max" where more is.

    Example:
        >>> import odyssey as od
        >>> stopping = od.training.EarlyStopping("test_accuracy", patience=2, mode="max")
    """

    def __init__(
        self,
        metric: str = "test_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        mode: Literal["min", "max"] = "min",
    ) -> None:
        if patience < 1:
            raise ValueError(f"EarlyStopping: expected patience from 1 on, found {patience}")
        if mode not in ("min", "max"):
            raise ValueError(f"EarlyStopping: expected mode 'min' or 'max', found {mode!r}")
        self.metric = metric
        self.patience = patience
        self.min_delta = min_delta
        self.mode = mode

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Stop a run that was stopped."""
        self._look(trainer)

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        """Stop if it is time."""
        if self.metric not in metrics:
            raise ValueError(
                f"EarlyStopping: expected {self.metric!r} among the epoch's metrics, found {', '.join(metrics)}; "
                "give the Trainer a held-out data set, or name another"
            )
        self._look(trainer)

    def _look(self, trainer: Trainer) -> None:
        best: float | None = None
        waited = 0
        sign = 1.0 if self.mode == "max" else -1.0
        for metrics in trainer.history:
            value = sign * metrics[self.metric]
            if best is None or value > best + self.min_delta:
                best, waited = value, 0
            else:
                waited += 1
        if waited >= self.patience:
            trainer.stop()
