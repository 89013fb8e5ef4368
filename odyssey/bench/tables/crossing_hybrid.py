"""The goal of training across the bridge: all five patterns together cost less than a tenth of it."""

from __future__ import annotations

from collections.abc import Iterator

from odyssey.bench.limits import running
from odyssey.bench.race import Spread
from odyssey.bench.tables import Line, Request, Section, judged

__all__ = ["sections"]

EPOCHS, QUICK_EPOCHS = 30, 10
GOAL = 10.0  # per cent
THREADS = 2
RUNS = 3


def sections(request: Request) -> Iterator[Section]:
    """LeNet-5 on the digits, as `odyssey train lenet5 --hybrid` does it."""
    yield Section(
        "Training LeNet-5 on the digits across the bridge: what each pattern takes of the time",
        _shares(request, QUICK_EPOCHS if request.quick else EPOCHS),
    )


def _shares(request: Request, epochs: int) -> list[Line]:
    """The median of some runs; a run's own record of its seconds."""
    from odyssey.training.hybrid import Hybrid
    from odyssey.training.lenet5 import LeNet5Recipe

    recipe = LeNet5Recipe(epochs=epochs).settled()
    data = recipe.load_data()
    shares: list[dict[str, float]] = []
    accuracy = 0.0
    for number in range(RUNS if request.rules.sample_seconds else 1):
        request.progress(f"LeNet-5 across the bridge, run {number + 1}")
        trainer = recipe.trainer(data)
        bridge = Hybrid(trainer)
        with running(THREADS):
            trainer.fit(epochs)
        shares.append({name: 100 * spent / bridge.elapsed for name, spent in bridge.seconds().items()})
        accuracy = trainer.history[-1]["test_accuracy"]
    setting = f"{epochs} epochs, {THREADS} threads"
    lines = [
        judged(name, setting, Spread.of([one[name] for one in shares]), None, "% of the time")
        for name in shares[0]
        if name != "proto"  # a run without a folder writes no checkpoint
    ]
    together = Spread.of([sum(one.values()) for one in shares])
    note = f"held out: {accuracy:.2%} right"
    lines.append(judged("together", setting, together, GOAL, "% of the time", at_most=True, note=note))
    return lines
