"""A run as one self-contained page: the machine and its limits, and for each family a plot and a table.

It is made from what `odyssey bench --json` writes, so a page can be made again from its JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import groupby
from math import exp, log
from typing import Any

from odyssey.bench.plots import plot
from odyssey.bench.race import Spread
from odyssey.bench.report import NOTHING, digits, duration, flat
from odyssey.bench.suites import LIMIT, OURS

__all__ = ["page"]

MACHINE = ("processor", "cores", "frequency", "caches", "memory", "huge_pages", "system", "python", "libraries", "load")


def page(data: Mapping[str, Any]) -> str:
    """The page's HTML."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("odyssey.bench").joinpath("page.html").read_text("utf-8"))
    rows = sorted(data.get("rows", ()), key=lambda row: str(row["family"]))
    families = [
        _family(name, list(members), data["limits"]) for name, members in groupby(rows, key=lambda row: row["family"])
    ]
    return template.render(
        measured=data["measured"].replace("T", " ").partition("+")[0] + " UTC",
        version=data["machine"]["odyssey"].get("version"),
        processor=data["machine"]["processor"],
        machine=[(name.replace("_", " "), flat(data["machine"].get(name))) for name in MACHINE],
        absent=data["absent"],
        limits=_limits(data["limits"]),
        counts=sorted({limit["threads"] for limit in data["limits"]}),
        families=families,
        summary=_summary(rows),
    )


def _summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each instruction set and number of threads, how the races ended."""
    found = []
    order = sorted({(row["threads"], row["isa"]) for row in rows}, key=lambda key: (key[0], _place(rows, key[1])))
    for threads, isa in order:
        mine = [row for row in rows if (row["threads"], row["isa"]) == (threads, isa) and row["seconds"]]
        ratios = [best for row in mine if (best := _best(row)) is not None]
        parts = [row["part_of_limit"]["median"] for row in mine if row["part_of_limit"]]
        found.append({
            "isa": isa,
            "threads": threads,
            "races": len(mine),
            "mean": digits(_geometric_mean(ratios)) if ratios else NOTHING,
            "faster": f"{sum(ratio >= 1 for ratio in ratios)} of {len(ratios)}" if ratios else NOTHING,
            "part": f"{100 * sorted(parts)[len(parts) // 2]:.0f} %" if parts else NOTHING,
        })  # fmt: skip
    return found


def _place(rows: Sequence[Mapping[str, Any]], isa: str) -> int:
    return next(i for i, row in enumerate(rows) if row["isa"] == isa)


def _best(row: Mapping[str, Any]) -> float | None:
    """How many times as long the fastest peer takes."""
    return min((spread["median"] for spread in row["speedup"].values()), default=None)


def _family(name: str, rows: list[Mapping[str, Any]], limits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    peers = list(dict.fromkeys(peer for row in rows for peer in (*row["speedup"], *row["refused"])))
    peers = [peer for peer in peers if peer not in (OURS, LIMIT)]
    ratios = [best for row in rows if row["seconds"] and (best := _best(row)) is not None]
    lines, last = [], (None, None)
    for row in rows:
        here = (row["op"], row["size"])
        lines.append(_line(row, peers) | {"new_op": here[0] != last[0], "new_size": here != last})
        last = here
    return {
        "name": name.replace("_", " "),
        "id": name,
        "plots": [plot(name, rows, limits, count) for count in sorted({row["threads"] for row in rows})],
        "peers": peers,
        "rows": lines,
        "mean": digits(_geometric_mean(ratios)) if ratios else None,
        "slower": sum(ratio < 1 for ratio in ratios),
        "races": len(ratios),
        "notes": _notes(rows),
    }


def _line(row: Mapping[str, Any], peers: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {key: row[key] for key in ("op", "size", "isa", "threads", "limit")}
    if row["seconds"] is None:
        return found | {"time": "not available" if row["missing"] else "wrong", "peers": [None] * len(peers)}
    seconds, part, error = row["seconds"]["median"], row["part_of_limit"], row.get("error")
    flops, nbytes = row["work"]["flops"], row["work"]["read"] + row["work"]["written"]
    rate = f"{digits((flops or nbytes) / seconds / 1e9)} {'GFLOP/s' if flops else 'GB/s'}"
    return found | {
        "time": duration(seconds),
        "rate": rate if row["limit"] else NOTHING,
        "part": round(100 * part["median"]) if part else None,
        "peers": [_against(row["speedup"].get(peer)) for peer in peers],
        "error": _error(error),
    }


def _against(found: Mapping[str, float] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    spread = Spread(**found)
    return {
        "median": digits(spread.median),
        "spread": f"{digits(spread.low)}–{digits(spread.high)}",
        "slower": spread.median < 1,
    }


def _error(error: Mapping[str, Any] | None) -> str:
    if error is None:
        return NOTHING
    if error["unit"] == "ulp":
        return f"{error['largest']:g} ulp"
    return f"{100 * error['largest']:.2g} % {error['unit']}"


def _notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    refused = (
        f"{row['op']} {row['size']}: {who} was refused: {why}" for row in rows for who, why in row["refused"].items()
    )
    return list(dict.fromkeys(refused))


def _limits(limits: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line for each limit, a rate for each number of threads."""
    found = []
    for key, members in groupby(limits, key=lambda one: (one["what"], one["where"], one["isa"], one["unit"])):
        what, where, isa, unit = key
        rates = [digits(one["rate"]) for one in sorted(members, key=lambda one: one["threads"])]
        found.append({"what": what, "where": where, "isa": isa, "unit": unit, "rates": rates})
    return found


def _geometric_mean(values: Sequence[float]) -> float:
    return exp(sum(map(log, values)) / len(values))
