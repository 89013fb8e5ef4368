"""The plot of a family: its races under the roofs that the machine sets.

Where arithmetic is counted it is the roofline of Williams, Waterman and Patterson (2009): operations per byte against
operations per second. Where it is not, the bytes of a call against bytes per second, under the bandwidth of each level.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["plot"]

# Colours that those who confuse red and green can tell apart; the best set first.
COLOURS = ("#1f5fa8", "#d9822b", "#3d8f6f")
MARKERS = ("o", "s", "^")
INK, PALE, GRID = "#33373d", "#8b929c", "#e8eaed"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": "#c9cdd3",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": PALE,
    "ytick.color": PALE,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
LEVELS = ("L2", "L3", "memory")


def plot(name: str, rows: Sequence[Mapping[str, Any]], limits: Sequence[Mapping[str, Any]], threads: int) -> str:
    """An SVG to stand in a page, of the races with so many threads."""
    import matplotlib
    from matplotlib.figure import Figure

    mine = [row for row in rows if row["threads"] == threads and row["seconds"]]
    counted = [row for row in mine if row["work"]["flops"]]
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": f"{name} {threads}"}):
        figure = Figure(figsize=(8.6, 3.7), layout="constrained")
        axes = figure.add_subplot()
        if len(counted) > len(mine) / 2:
            _roofline(axes, counted, limits, threads)
        else:
            _bandwidth(axes, [row for row in mine if not row["work"]["flops"]], limits, threads)
        axes.set_title(f"{threads} thread{'s' * (threads > 1)}", loc="left", fontsize=10, color=PALE)
        if axes.get_yscale() == "log":  # there is a race to show
            _plain_numbers(axes.yaxis)
        if counted and axes.get_xlabel() != "bytes moved by a call":
            _plain_numbers(axes.xaxis)
        axes.grid(True, which="major", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(which="both", length=0)
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            axes.legend(handles, labels, frameon=False, loc="lower right", fontsize=9)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def _plain_numbers(axis: Any) -> None:
    """1, 2, 5, 10 ... on a logarithmic axis, not powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _rate(
    limits: Sequence[Mapping[str, Any]], what: str, where: str, threads: int, isa: str | None = None
) -> float | None:
    for limit in limits:
        if (limit["what"], limit["where"], limit["threads"]) == (what, where, threads) and isa in (None, limit["isa"]):
            return float(limit["rate"])
    return None


def _roofline(axes: Any, rows: Sequence[Mapping[str, Any]], limits: Sequence[Mapping[str, Any]], threads: int) -> None:
    import numpy as np

    intensity = [row["work"]["flops"] / max(_nbytes(row), 1) for row in rows]
    low, high = min(intensity) / 2, max(intensity) * 3
    x = np.geomspace(low, high, 200)
    sets = list(dict.fromkeys(row["isa"] for row in rows))
    dtype = rows[0]["dtype"]
    peaks = {isa: _rate(limits, f"{dtype} fma", "registers", threads, isa) for isa in sets}
    top = max((peak for peak in peaks.values() if peak), default=None)
    for level in LEVELS:
        bandwidth = _rate(limits, "read", level, threads)
        if bandwidth and top:
            y = np.minimum(bandwidth * x, top)
            axes.plot(x, y, color=PALE, linewidth=0.9)
            at = x[np.argmin(np.abs(np.log(y / (top * 0.32))))]
            if y[0] < top * 0.8:
                axes.annotate(level, (at, min(bandwidth * at, top)), color=PALE, fontsize=8, ha="right", va="bottom")
    shown: dict[int, list[str]] = {}
    for isa, peak in peaks.items():
        if peak:
            shown.setdefault(round(peak), []).append(isa)
    for peak, names in shown.items():
        axes.axhline(peak, color=INK, linewidth=0.9, linestyle=(0, (5, 3)))
        axes.annotate(f"FMA peak, {' and '.join(names)}", (high, peak), color=INK, fontsize=8, ha="right", va="bottom")
    _points(axes, rows, sets, intensity, [row["work"]["flops"] / row["seconds"]["median"] / 1e9 for row in rows])
    axes.set(xscale="log", yscale="log", xlim=(low, high), xlabel="operations per byte", ylabel="GFLOP/s")
    if top:
        axes.set_ylim(top=top * 1.6)


def _bandwidth(axes: Any, rows: Sequence[Mapping[str, Any]], limits: Sequence[Mapping[str, Any]], threads: int) -> None:
    sets = list(dict.fromkeys(row["isa"] for row in rows))
    sizes = [_nbytes(row) for row in rows]
    if not sizes:
        return
    low, high = min(sizes) / 2, max(sizes) * 3
    for level in LEVELS:
        rate = _rate(limits, "copy", level, threads)
        if rate:
            axes.axhline(rate, color=PALE, linewidth=0.9, linestyle=(0, (5, 3)))
            axes.annotate(f"copy in {level}", (low * 1.05, rate), color=PALE, fontsize=8, va="bottom")
    _points(axes, rows, sets, sizes, [_nbytes(row) / row["seconds"]["median"] / 1e9 for row in rows])
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylabel="GB/s")
    ticks = [size for size in (1 << k for k in range(8, 36, 2)) if low <= size <= high]
    axes.set_xticks(ticks, [_bytes(size) for size in ticks])
    axes.minorticks_off()
    axes.set_xlabel("bytes moved by a call")


def _points(
    axes: Any, rows: Sequence[Mapping[str, Any]], sets: Sequence[str], x: Sequence[float], y: Sequence[float]
) -> None:
    for i, isa in enumerate(sets):
        chosen = [j for j, row in enumerate(rows) if row["isa"] == isa]
        axes.scatter(
            [x[j] for j in chosen],
            [y[j] for j in chosen],
            s=22,
            marker=MARKERS[i % len(MARKERS)],
            facecolor=COLOURS[i % len(COLOURS)] if i == 0 else "none",
            edgecolor=COLOURS[i % len(COLOURS)],
            linewidth=1.1,
            alpha=0.85,
            label=isa,
            zorder=3,
        )


def _nbytes(row: Mapping[str, Any]) -> int:
    return int(row["work"]["read"] + row["work"]["written"])


def _bytes(size: int) -> str:
    for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << shift:
            return f"{size >> shift} {unit}"
    return f"{size} B"
