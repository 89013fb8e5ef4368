"""Progress without a held-out set, and a bar that is not there."""

import pytest
from rich.console import Console

import odyssey as od
from odyssey.training.progress import ProgressBar, ProgressLines
from odyssey.training.tasks import Classification


def metrics(**more):
    return {"epoch": 1, "train_loss": 0.5, "train_accuracy": 0.9, "images_per_second": 10.0, **more}


class Run:
    epochs = 3
    task = Classification()


def test_without_a_held_out_set_a_line_has_no_score_of_it():
    console = Console(record=True, width=200)
    lines = ProgressLines(console)
    lines.on_epoch_end(Run, metrics())
    lines.on_epoch_end(Run, metrics(test_loss=0.7, test_accuracy=0.8))
    first, second = console.export_text().splitlines()
    assert "held out" not in first
    assert "held out: loss 0.7000" in second


def test_a_bar_that_was_never_begun_can_be_drawn_and_closed():
    bar = ProgressBar(Console(record=True))
    bar.on_fit_end(Run)
    bar.on_epoch_end(Run, metrics())
    bar.close()
    assert bar.console.export_text() == ""


@pytest.mark.parametrize("namespace", [od.interop, od.bridge])
def test_modules_that_are_not_there_are_named(namespace):
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = namespace.no_such_thing


def test_the_parts_of_the_bridge_are_listed_before_they_are_loaded():
    assert {"shared", "stream", "choose"} <= set(dir(od.bridge))
