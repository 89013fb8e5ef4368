"""What a run shows: lines, the bar, the curve."""

import io
import xml.etree.ElementTree as ElementTree

import pytest
from test_trainer import StopAfter, make

rich = pytest.importorskip("rich")
from rich.console import Console  # noqa: E402

from odyssey.training.curve import draw_curve  # noqa: E402
from odyssey.training.progress import ProgressBar, ProgressLines, progress  # noqa: E402


def test_lines_where_there_is_no_terminal():
    console = Console(file=io.StringIO(), width=20)
    view = progress(console)
    assert isinstance(view, ProgressLines)
    make(callbacks=[view]).fit(3)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 3  # not broken, however narrow
    for part in ("epoch 3/3", "loss", "accuracy", "held out", "images/s"):
        assert part in lines[-1]
    assert "\x1b" not in console.file.getvalue()


def test_a_bar_on_a_terminal():
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    view = progress(console)
    assert isinstance(view, ProgressBar)
    view.interval = 0.0
    make(callbacks=[view]).fit(3)
    shown = console.file.getvalue()
    for part in ("epoch 1/3", "epoch 3/3", "loss", "accuracy", "held out", "images/s", "left"):
        assert part in shown
    assert shown.rstrip().endswith("\x1b[?25h")  # the cursor is back


def test_a_bar_fits_into_80_columns():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    view = progress(console)
    view.interval = 0.0
    make(callbacks=[view]).fit(2)
    assert "…" not in console.file.getvalue()
    assert "left" in console.file.getvalue()


def test_the_bar_comes_down_after_an_error():
    class Fail(StopAfter):
        def on_batch_end(self, trainer):
            raise ZeroDivisionError

    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    with pytest.raises(ZeroDivisionError):
        make(callbacks=[progress(console), Fail(1)]).fit(3)
    assert "\x1b[?25h" in console.file.getvalue()


def test_the_curve_is_a_drawing_and_always_the_same(tmp_path):
    pytest.importorskip("matplotlib")
    trainer = make()
    trainer.fit(3)
    for name in ("one", "two"):
        draw_curve(trainer.history, tmp_path / name, "A run")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    root = ElementTree.parse(tmp_path / "one").getroot()
    text = " ".join(root.itertext())
    for part in ("A run", "loss", "accuracy", "epoch", "held out", "training"):
        assert part in text
    draw_curve([], tmp_path / "none")
    draw_curve([{k: v for k, v in trainer.history[0].items() if "test" not in k}], tmp_path / "alone")
