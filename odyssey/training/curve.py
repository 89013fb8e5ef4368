"""curve.svg: the loss over the epochs, and beside it the accuracy, or how experts share the work."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

from odyssey.serialization.atomic import write_bytes

__all__ = ["draw_curve"]


def draw_curve(
    history: Sequence[dict[str, Any]],
    path: str | os.PathLike[str],
    title: str = "",
    baseline: tuple[str, float] | None = None,
) -> None:
    """Draw a run's history (`Trainer.history`) as an SVG file, written atomically.

    On the left the loss, with a `baseline` (its name and its loss) to compare with; on the right the accuracy or the
    error, or of a mixture of experts what part of the tokens each of them had in the latest evaluation.

    The same history gives the same file: nothing in it depends on the time or on chance.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "odyssey", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        _lines(left, history, "loss")
        left.set_yscale("linear" if history and "train_perplexity" in history[0] else "log")  # nats are a logarithm
        left.set_ylabel("loss")
        if baseline is not None:
            left.axhline(baseline[1], color="#475569", linewidth=0.8, linestyle="--", label=baseline[0])
        bars = bool(history) and "expert_load" in history[-1]
        if bars:
            _bars(right, history[-1]["expert_load"])
        else:
            _scores(right, history)
        for axes in (left, right):
            axes.grid(True, color="#e5e7eb", linewidth=0.6)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            if history:
                axes.legend(frameon=False, ncols=2 if bars and axes is right else 1)
        if title:
            figure.suptitle(title, fontsize=11)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "odyssey"})
    write_bytes(path, buffer.getvalue())


def _lines(axes: Any, history: Sequence[dict[str, Any]], name: str) -> None:
    """A metric of the training and of what is held out, over the epochs."""
    from matplotlib.ticker import MaxNLocator

    epochs = [metrics["epoch"] for metrics in history]
    for prefix, label, colour in (("train", "training", "#7a8ca8"), ("test", "held out", "#c2410c")):
        if history and f"{prefix}_{name}" in history[0]:
            axes.plot(epochs, [metrics[f"{prefix}_{name}"] for metrics in history], color=colour, label=label)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _scores(axes: Any, history: Sequence[dict[str, Any]]) -> None:
    """The accuracy, or a regression's error."""
    from matplotlib.ticker import PercentFormatter

    if history and "train_mae" in history[0]:
        _lines(axes, history, "mae")
        axes.set_ylabel("mean absolute error")
        return
    _lines(axes, history, "accuracy")
    axes.set_ylabel("accuracy")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    if history:
        last = history[-1].get("test_accuracy", history[-1]["train_accuracy"])
        axes.set_ylim(max(0.0, min(0.9, 2 * last - 1.0)), 1.002)
        axes.axhline(last, color="#c2410c", linewidth=0.6, linestyle=":")
        axes.annotate(
            f"{last:.2%}", (1, last), xycoords=("axes fraction", "data"), xytext=(-4, -4),
            textcoords="offset points", ha="right", va="top", fontsize=9, color="#c2410c",
        )  # fmt: skip


def _bars(axes: Any, load: Sequence[Sequence[float]]) -> None:
    """How the experts of each layer share the tokens, beside what would be even."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    width = 0.8 / len(load)
    for layer, parts in enumerate(load):
        places = [expert + (layer - (len(load) - 1) / 2) * width for expert in range(len(parts))]
        shade = 0.35 + 0.65 * (layer + 1) / len(load)
        axes.bar(places, parts, width, color="#c2410c", alpha=shade, label=f"layer {layer}")
    axes.set_ylim(0, 1.3 * max(max(parts) for parts in load))  # room for the legend
    axes.axhline(1 / len(load[0]), color="#475569", linewidth=0.8, linestyle="--", label="even")
    axes.set_xlabel("expert")
    axes.set_ylabel("part of the choices")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
