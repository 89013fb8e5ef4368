"""File formats, each in a module of its own: `FORMATS` by name."""

from odyssey.bridge.types import TYPES
from odyssey.serialization.formats import arrow, json, messagepack, npy, npz, protobuf, safetensors
from odyssey.serialization.formats.format import Format, Holds

__all__ = ["FORMATS", "Format", "Holds", "markdown"]

FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT for module in (json, npy, npz, arrow, messagepack, protobuf, safetensors)
}
"""Every format, by its name."""


def markdown() -> str:
    """What each format holds, as two tables, of values and of types; they stand in docs/guides/serialization.md."""

    def yes(value: bool) -> str:
        return "yes" if value else "-"

    columns = ("format", "suffix", "holds", "metadata", "Fortran order", "order of names", "mapped", "aligned to 64")
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for one in FORMATS.values():
        holds = one.holds
        named = holds.what != "one array"
        cells = [one.name, " ".join(f"`{suffix}`" for suffix in one.suffixes), holds.what, yes(holds.metadata)]
        cells += [yes(holds.fortran), yes(holds.ordered) if named else "", yes(holds.mapped)]
        cells.append(yes(holds.mapped and holds.aligned))
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| type | " + " | ".join(FORMATS) + " |", "|---|" + "---|" * len(FORMATS)]
    for name in TYPES:
        stored = [one.holds.dtypes.get(name, "refused") for one in FORMATS.values()]
        lines.append(f"| {name} | " + " | ".join("exact" if how == "as it is" else how for how in stored) + " |")
    return "\n".join(lines)
