"""curve.svg: loss and accuracy over the epochs."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

from odyssey.serialization.atomic import write_bytes

__all__ = ["draw_curve"]


def draw_curve(history: Sequence[dict[str, Any]], path: str | os.PathLike[str], title: str = "") -> None:
    """Draw a run's history (`Trainer.history`) as an SVG file, written atomically.

    The same history gives the same file: nothing in it depends on the time or on chance.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    epochs = [metrics["epoch"] for metrics in history]
    score = "mae" if history and "train_mae" in history[0] else "accuracy"
    with matplotlib.rc_context({"svg.hashsalt": "odyssey", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        for prefix, label, colour in (("train", "training", "#7a8ca8"), ("test", "held out", "#c2410c")):
            if history and f"{prefix}_loss" in history[0]:
                left.plot(epochs, [m[f"{prefix}_loss"] for m in history], color=colour, label=label)
                right.plot(epochs, [m[f"{prefix}_{score}"] for m in history], color=colour, label=label)
        left.set_yscale("log")
        left.set_ylabel("loss")
        right.set_ylabel("accuracy" if score == "accuracy" else "mean absolute error")
        if score == "accuracy":
            right.yaxis.set_major_formatter(PercentFormatter(1.0))
        if history and score == "accuracy":
            last = history[-1].get("test_accuracy", history[-1]["train_accuracy"])
            right.set_ylim(max(0.0, min(0.9, 2 * last - 1.0)), 1.002)
            right.axhline(last, color="#c2410c", linewidth=0.6, linestyle=":")
            right.annotate(
                f"{last:.2%}", (1, last), xycoords=("axes fraction", "data"), xytext=(-4, -4),
                textcoords="offset points", ha="right", va="top", fontsize=9, color="#c2410c",
            )  # fmt: skip
        for axes in (left, right):
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(True, color="#e5e7eb", linewidth=0.6)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            if history:
                axes.legend(frameon=False)
        if title:
            figure.suptitle(title, fontsize=11)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "odyssey"})
    write_bytes(path, buffer.getvalue())
