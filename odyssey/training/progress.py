"""What the user sees of a run: a bar on a terminal, else one plain line per epoch."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from odyssey.training.callbacks import Callback
from odyssey.training.trainer import Trainer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

__all__ = ["ProgressBar", "ProgressLines", "progress"]


def progress(console: Console) -> Callback:
    """A bar if the console is a terminal, lines if it is a file or a pipe."""
    return ProgressBar(console) if console.is_terminal else ProgressLines(console)


class ProgressLines(Callback):
    """One plain line per epoch."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        """Print the epoch's figures."""
        width = len(str(trainer.epochs))
        parts = [
            f"epoch {metrics['epoch']:{width}d}/{trainer.epochs}",
            f"loss {metrics['train_loss']:.4f}",
            _score(trainer, metrics, "train"),
        ]
        if "test_loss" in metrics:
            parts.append(f"held out: loss {metrics['test_loss']:.4f}")
            parts.append(_score(trainer, metrics, "test"))
        unit = trainer.task.unit
        parts.append(f"{metrics[f'{unit}_per_second']:,.0f} {unit}/s")
        self.console.print("  ".join(parts), highlight=False, soft_wrap=True)


class ProgressBar(Callback):
    """A bar over all batches, with loss, accuracies, images/s and the time left."""

    interval = 0.1  # seconds between redraws: a batch can take less than drawing one

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._drawn = 0.0
        self._held_out = ""

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Show the bar, where a resumed run left it."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self.console,
            auto_refresh=False,
            expand=True,
        )
        self._task = self._bar.add_task(
            "", total=trainer.epochs * trainer.steps_per_epoch, completed=trainer.step, figures="", epoch=""
        )
        self._bar.start()
        self._draw(trainer)

    def on_batch_end(self, trainer: Trainer) -> None:
        """Redraw if it is time."""
        if monotonic() - self._drawn >= self.interval:
            self._draw(trainer)

    def on_epoch_end(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        """Keep the held-out score in view."""
        if "test_loss" in metrics:
            score = metrics[f"test_{trainer.task.score}"]
            self._held_out = f" (held out {trainer.task.shown(score)})"

    def on_fit_end(self, trainer: Trainer) -> None:
        """Draw the last state."""
        self._draw(trainer)

    def close(self) -> None:
        """Leave the bar as it stands, and give back the cursor."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _draw(self, trainer: Trainer) -> None:
        if self._bar is None or self._task is None:
            return
        running, task = trainer.running, trainer.task
        figures = ""
        if running.seen:
            now: dict[str, Any] = {
                "train_loss": running.loss / running.seen,
                f"train_{task.score}": task.scored(running),
            }
            speed = running.per_second
        else:
            now = trainer.history[-1] if trainer.history else {}
            speed = now.get(f"{task.unit}_per_second", 0.0)
        held_out = self._held_out if self.console.width >= 100 else ""  # 80 columns have no room for it
        if now:
            figures = f"loss {now['train_loss']:.4f}  {_score(trainer, now, 'train', width=0)}{held_out}  "
            figures += f"{speed:,.0f} {task.unit}/s"
        epoch = f"{min(trainer.epoch + 1, trainer.epochs)}/{trainer.epochs}"
        self._bar.update(self._task, completed=trainer.step, figures=figures, epoch=epoch, refresh=True)
        self._drawn = monotonic()


def _score(trainer: Trainer, metrics: dict[str, Any], part: str, width: int = 7) -> str:
    """The score of the task, with its label."""
    task = trainer.task
    return f"{task.label} {task.shown(metrics[f'{part}_{task.score}']):>{width}}"
