"""The mixture of experts of 6.9 billion parameters: against the memory's bandwidth, and against llama.cpp.

Its files take 35 GB, are written once into a folder of the user's cache, and are measured one after another, each in a
process of its own that finds them in memory: side by side they would not fit.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from odyssey import isa, threads
from odyssey.bench import large_moe, llama_cpp
from odyssey.bench.race import Spread
from odyssey.bench.tables import Line, Request, Section, Verdict, judged, open_line
from odyssey.bench.tables.sparse import missing
from odyssey.models import MoEConfig

__all__ = ["folder", "sections"]

PROMPT = 256
TITLE = "6.9 billion parameters, of which a token sees 1.8: random weights"
DISK = 36e9
MEMORY = 16e9
CHUNK = 64 << 20
STARTS = 3
# dtype -> part of the bandwidth, llama.cpp's kind, times its speed
DECODING: dict[str, tuple[float, llama_cpp.Kind, float]] = {
    "bfloat16": (0.80, "bf16", 1.3),
    "int8": (0.75, "q8_0", 1.5),
}
GOAL_PREFILL, GOAL_START, GOAL_RESIDENT = 2.5, 3.0, 1.05


class Way(NamedTuple):
    """How the weights are held, and multiplied by."""

    dtype: str
    precision: str
    packed: bool

    def __str__(self) -> str:
        return f"{self.dtype} {'packed' if self.packed else 'mapped'}, {self.precision}"


MAPPED = Way("bfloat16", "exact", False)
# int8 weights are rounded when they are loaded, and so always packed.
WAYS = (
    MAPPED,
    Way("bfloat16", "native", False),
    Way("bfloat16", "exact", True),
    Way("bfloat16", "native", True),
    Way("int8", "exact", True),
    Way("int8", "native", True),
)


def folder() -> Path:
    """Where the files are kept: odyssey/bench in $XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "odyssey" / "bench"


def sections(request: Request) -> Iterator[Section]:
    """The section; with `quick` only what it would take."""
    if why := _unable(request):
        names = [f"decoding, {dtype}" for dtype in DECODING] + ["prompt of 256 tokens, native bfloat16", "first token"]
        verdict: Verdict = "not measured" if request.quick else "not available"
        yield Section(TITLE, [open_line(name, why, verdict=verdict) for name in names])
        return
    yield Section(TITLE, list(_lines(request)))


def _unable(request: Request) -> str | None:
    if request.quick:
        return "takes minutes and 35 GB of disk: leave --quick out"
    if why := missing("ml_dtypes", "tokenizers"):
        return why
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if memory < MEMORY:
        return f"needs {MEMORY / 1e9:.0f} GB of memory, found {memory / 1e9:.0f}"
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    there = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    free = shutil.disk_usage(place).free
    if free + there < DISK:
        return f"needs {DISK / 1e9:.0f} GB at {place}, found {free / 1e9:.0f} free"
    return None


def _lines(request: Request) -> Iterator[Line]:
    config, place = MoEConfig.moe_6_9b(), folder()
    ours = place / "moe_6_9b"
    if not (ours / "config.json").is_file():
        request.progress(f"writing {ours}")
        large_moe.write_checkpoint(ours, config)
    counts = [count for count in (1, 2) if count <= threads.affinity()]
    ran: dict[tuple[Way, int], large_moe.Figures] = {}
    for way in WAYS:
        for count in counts:
            request.progress(f"{way}, {_setting(count)}")
            _read(ours)
            ran[way, count] = large_moe.measure(ours, count, PROMPT, way.dtype, way.precision, way.packed)
    request.progress("first token")
    _read(ours)
    starts = Spread.of([large_moe.first_token_seconds(ours) for _ in range(STARTS)])
    for (way, count), found in ran.items():
        goal, _, _ = DECODING[way.dtype]
        note = f"{found.decode:.2f} tokens/s of {found.bytes_per_token / 1e9:.2f} GB each"
        part = Spread.of(found.of_limit)
        yield judged(
            f"decoding, {way}, of the bandwidth",
            _setting(count),
            part,
            goal,
            "of a plain read",
            note=note,
        )
    yield judged("command to first token", "all threads", starts, GOAL_START, "s", at_most=True)
    resident = Spread.of([found.resident for (way, _), found in ran.items() if way == MAPPED])
    yield judged("resident memory, bfloat16 mapped", "", resident, GOAL_RESIDENT, "of the weights", at_most=True)
    if why := missing("llama_cpp", "gguf"):
        yield open_line("against llama.cpp", why)
        return
    for dtype, (_, kind, goal) in DECODING.items():
        file = place / f"moe_6_9b_{kind}.gguf"
        if not file.is_file():
            request.progress(f"writing {file}")
            llama_cpp.write_gguf(file, _shape(config), kind)
        for count in counts:
            request.progress(f"llama.cpp, {kind}, {_setting(count)}")
            _read(file)
            theirs = llama_cpp.rates(file, count, PROMPT)
            for way in WAYS:
                if way.dtype == dtype:
                    found = ran[way, count]
                    yield _decoding(way, count, found, theirs, goal, kind)
                    if way.dtype == "bfloat16" and way.precision == "native":
                        note = f"odyssey {found.prefill:.2f}, llama.cpp {theirs.prefill:.2f} tokens/s"
                        ratio = Spread.of([found.prefill / theirs.prefill])
                        what = f"prompt of 256 tokens, {way}"
                        yield judged(what, _setting(count), ratio, GOAL_PREFILL, f"x llama.cpp {kind}", note=note)


def _decoding(way: Way, count: int, ours: large_moe.Figures, theirs: llama_cpp.Rates, goal: float, kind: str) -> Line:
    """Tokens for each byte that memory gave: the two were not measured in the same minute."""
    ratio = Spread.of([ours.decode / ours.read * theirs.read / theirs.decode])
    each = [
        f"{name} {rates.decode:.2f} tokens/s of {rates.read / 1e9:.1f} GB/s"
        for name, rates in (("odyssey", ours), ("llama.cpp", theirs))
    ]
    unit = f"x llama.cpp {kind}, at one rate of memory"
    return judged(f"decoding, {way}", _setting(count), ratio, goal, unit, note=", ".join(each))


def _shape(config: MoEConfig) -> llama_cpp.Shape:
    return llama_cpp.Shape(
        hidden=config.hidden_size,
        layers=config.layers,
        heads=config.heads,
        kv_heads=config.kv_heads,
        head_features=config.head_size,
        experts=config.experts,
        top_k=config.top_k,
        ffn=config.expert_size,
        vocabulary=config.vocab_size,
        context=config.context,
    )


def _read(path: Path) -> None:
    """Have the system keep a file, or the files of a folder, in memory."""
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        with open(file, "rb", buffering=0) as source:
            while source.read(CHUNK):
                pass


def _setting(count: int) -> str:
    return f"{isa.active()}, {count} thread{'s' * (count > 1)}"
