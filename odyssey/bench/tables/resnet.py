"""ResNet-18 against PyTorch in its best form: a training step, inference, and the memory that a step takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from odyssey import isa, threads
from odyssey.bench.peers import absent, equal_threads
from odyssey.bench.race import Spread, race
from odyssey.bench.resnet18 import Task, Workload, peak_bytes
from odyssey.bench.suites import OURS
from odyssey.bench.tables import Line, Request, Section, judged, open_line

__all__ = ["sections"]

GOALS: tuple[tuple[Task, int, float], ...] = (("training", 32, 1.2), ("inference", 32, 1.3), ("inference", 1, 1.5))
ROUNDS = 5  # a step takes a second: these, and no more than the rules' seconds allow
MEMORY_BATCH = 32


def sections(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    yield _speed(request)
    yield _memory(request)


def _speed(request: Request) -> Section:
    lines = []
    for task, batch, goal in GOALS:
        what = f"{task}, batch {batch}" + (", batch norm folded" if task == "inference" else "")
        if why := absent("torch"):
            lines.append(open_line(what, why))
            continue
        workload = Workload(task, batch)
        lines += [_race(request, workload, what, count, goal) for count in (1, 2)]
    return Section("ResNet-18, 32x32 images: against PyTorch's best form", lines)


def _race(request: Request, workload: Workload, what: str, count: int, goal: float) -> Line:
    setting = _setting(count)
    if count > threads.affinity():
        return open_line(what, "this machine has one processor", setting)
    request.progress(f"ResNet-18 {what}, {setting}")
    rules = request.rules
    if workload.batch > 1:
        rules = replace(rules, min_rounds=min(ROUNDS, rules.min_rounds))
    with equal_threads(count):
        outcome = race(workload.contenders(count), workload.check, rules)
    best = outcome.fastest([name for name in outcome.samples if name != OURS])
    if best is None:
        refused = "; ".join(f"{name} was refused: {why}" for name, why in outcome.refused.items())
        return open_line(what, refused, setting)
    note = ", ".join(f"{who} {1e3 * outcome.seconds(who).median:.4g} ms" for who in (OURS, best))
    return judged(what, setting, outcome.ratio(best, OURS), goal, f"x {best}", note=note)


def _memory(request: Request) -> Section:
    """Peaks hardly vary: one process each."""
    what, lines = f"peak of a training step, batch {MEMORY_BATCH}", []
    for count in (1, 2):
        setting = _setting(count)
        if why := absent("torch"):
            lines.append(open_line(what, why, setting))
            continue
        request.progress(f"ResNet-18 {what}, {setting}")
        ours, theirs = (peak_bytes(who, MEMORY_BATCH, count) for who in (OURS, "torch"))
        note = f"odyssey {ours / 2**20:.0f} MiB, torch {theirs / 2**20:.0f} MiB"
        part = Spread.of([ours / theirs])
        lines.append(judged(what, setting, part, 1.0, "of torch's, channels last", at_most=True, note=note))
    return Section("ResNet-18: memory above the imports'", lines)


def _setting(count: int) -> str:
    return f"{isa.active()}, {count} thread{'s' * (count > 1)}"
