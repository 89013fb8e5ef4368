"""A mixture of experts of 112 million parameters against transformers: prompt, decoding, training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec

from odyssey import isa, threads
from odyssey.bench.mixtral import TASKS, Task, Workload
from odyssey.bench.peers import equal_threads
from odyssey.bench.race import Contender, race
from odyssey.bench.suites import OURS
from odyssey.bench.tables import Line, Request, Section, judged, open_line

__all__ = ["missing", "sections"]

GOALS: dict[Task, float] = {"prefill": 3.0, "decode": 4.0, "training": 3.0}
WHAT = {
    "prefill": "prompt of 256 tokens",
    "decode": "8 tokens, one by one",
    "training": "training step, 4 x 128 tokens",
}
ROUNDS = 5  # each takes seconds


def sections(request: Request) -> Iterator[Section]:
    """The section."""
    lines: list[Line] = []
    for task in TASKS:
        if why := missing("torch", "transformers"):
            lines.append(open_line(WHAT[task], why))
            continue
        workload, counts = Workload(task), [count for count in (1, 2) if count <= threads.affinity()]
        lines += [_race(request, workload, count) for count in counts]
    yield Section("Mixtral of 112 million parameters, float32: against transformers", lines)


def missing(*packages: str) -> str | None:
    """Why these packages cannot race, or None."""
    lacking = [name for name in packages if find_spec(name) is None]
    return f"pip install {' '.join(lacking)}" if lacking else None


def _race(request: Request, workload: Workload, count: int) -> Line:
    what, setting = WHAT[workload.task], f"{isa.active()}, {count} thread{'s' * (count > 1)}"
    request.progress(f"Mixtral, {what}, {setting}")
    rules = replace(request.rules, min_rounds=min(ROUNDS, request.rules.min_rounds))
    with equal_threads(count):
        contenders: list[Contender] = workload.contenders(count)
        outcome = race(contenders, workload.check, rules)
    best = outcome.fastest([name for name in outcome.samples if name != OURS])
    if best is None:
        refused = "; ".join(f"{name} was refused: {why}" for name, why in outcome.refused.items())
        return open_line(what, refused, setting)
    note = ", ".join(f"{who} {1e3 * outcome.seconds(who).median:.4g} ms" for who in (OURS, best))
    return judged(what, setting, outcome.ratio(best, OURS), GOALS[workload.task], f"x {best}", note=note)
