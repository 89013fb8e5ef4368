"""From the arrays of a folder to a model's weights and back, by names.

A model is made without weights (`init.placeholders`), and then each is put where it belongs: as a Parameter over the
file's own memory, or as a `StoredWeight` of the file's narrow rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from odyssey.errors import FormatError
from odyssey.models.pretrained.folder import Folder
from odyssey.models.pretrained.prefetch import let_go
from odyssey.nn.embedding import Embedding
from odyssey.nn.module import Buffer, Module, Parameter
from odyssey.nn.stored import Matrix, Precision, StoredWeight, widened
from odyssey.packing import PackedWeight, pack_side_by_side
from odyssey.serialization.safetensors import Pending
from odyssey.typing import Array

__all__ = ["DTYPES", "DType", "Loading", "Names", "fill", "gather"]

DType: TypeAlias = Literal["float32", "bfloat16", "float16", "int8"]
DTYPES: Final = ("float32", "bfloat16", "float16", "int8")
Names: TypeAlias = Mapping[str, "str | Sequence[str]"]
"""Our name of a weight -> the file's; or the files' of the matrices that are stacked in it, one an expert."""

_FLOATS = ("float32", "float64", "float16", "bfloat16")
_SHOWN = 20


@dataclass(frozen=True)
class Loading:
    """How weights are to be held.

    Args:
        dtype: what matrices are stored as; None for what the file has. Of "float32" (or of a file's float32) they are
            Parameters and can be trained; narrower ones are `StoredWeight`s. Vectors are float32 always.
        precision: of products with stored weights: "exact", or "native" for bfloat16 and int8.
        packed: whether matrices are laid out once for products (`odyssey.pack`), which copies them. All are
            `StoredWeight`s then. int8 is packed always.

    Raises:
        ValueError: another dtype or precision, or "native" for something else than bfloat16 and int8.
    """

    dtype: DType | None = None
    precision: Precision = "exact"
    packed: bool = False

    def __post_init__(self) -> None:
        if self.dtype is not None and self.dtype not in DTYPES:
            raise ValueError(f"dtype: expected None or one of {', '.join(map(repr, DTYPES))}, found {self.dtype!r}")
        if self.precision not in ("exact", "native"):
            raise ValueError(f"precision: expected 'exact' or 'native', found {self.precision!r}")
        if self.precision == "native" and self.dtype not in (None, "bfloat16", "int8"):
            raise ValueError(f"precision='native': expected dtype='bfloat16' or 'int8', found {self.dtype!r}")


def fill(
    model: Module,
    folder: Folder,
    names: Names,
    loading: Loading,
    *,
    tensors: Mapping[str, Array] | None = None,
    ignored: Iterable[str] = (),
    whole: Iterable[str] = (),
) -> None:
    """Put the arrays of a folder into a model. All of them are checked first.

    Args:
        model: made under `init.placeholders`.
        folder: where the arrays come from.
        names: for each Parameter of the model, under one of its names, what it is called in the folder.
        loading: how weights are held.
        tensors: the folder's arrays where they had to be renamed or divided first.
        ignored: patterns of names that may be in the folder and are not needed.
        whole: our names of matrices too small or too delicate for int8; they stay as they are.

    A table of an `Embedding` that is no other layer's weight too stays as it is for int8: no product is made with it.

    Raises:
        FormatError: tensors are missing, unexpected, or of another shape or type: the message lists them all.
    """
    found = folder.tensors if tensors is None else tensors
    own = _own(model)
    wanted: dict[str, tuple[int, ...]] = {}
    for place in own:
        source = place.source(names)
        if isinstance(source, str):
            wanted[source] = place.shape
        else:
            wanted |= dict.fromkeys(source, place.shape[1:])
    _check(model, folder, wanted, found, [re.compile(one) for one in ignored])
    kept = set(whole)
    narrow = False
    for place in own:
        source = place.source(names)
        arrays = found[source] if isinstance(source, str) else [found[name] for name in source]
        value = _held(arrays, place.shape, loading, place.table or not kept.isdisjoint(place.names))
        narrow |= isinstance(value, StoredWeight) and value.dtype in ("bfloat16", "int8")
        place.put(value)
    if loading.precision == "native" and not narrow:
        raise ValueError(
            f"{folder.path}: precision='native' multiplies by bfloat16 or int8, and the file has other weights; "
            "give dtype='bfloat16' too"
        )


class _Place:
    """A Parameter or stored weight of a model, and everywhere it is held."""

    def __init__(self, name: str, value: Parameter | Buffer | StoredWeight) -> None:
        self.name = name
        self.names = [name]
        self.value = value
        self.shape = tuple(value.shape)
        self.holders: list[tuple[Module, str]] = []

    @property
    def table(self) -> bool:
        """Whether it is looked up and never multiplied by."""
        return all(isinstance(module, Embedding) for module, _ in self.holders)

    def source(self, names: Names) -> str | Sequence[str]:
        """What it is called in the folder."""
        return next(names[name] for name in self.names if name in names)

    def put(self, value: Parameter | StoredWeight) -> None:
        for module, attribute in self.holders:
            setattr(module, attribute, value)


def _own(model: Module) -> list[_Place]:
    """Everything that is loaded and saved, each once."""
    places: dict[int, _Place] = {}
    for prefix, module in model.named_modules():
        for attribute, value in vars(module).items():
            if isinstance(value, (Parameter, Buffer, StoredWeight)):
                name = f"{prefix}.{attribute}" if prefix else attribute
                place = places.setdefault(id(value), _Place(name, value))
                place.names.append(name)
                place.holders.append((module, attribute))
    return list(places.values())


def _check(
    model: Module,
    folder: Folder,
    wanted: Mapping[str, tuple[int, ...]],
    found: Mapping[str, Array],
    ignored: Sequence[re.Pattern[str]],
) -> None:
    complaints = []
    if missing := [name for name in wanted if name not in found]:
        complaints.append(f"missing: {_some(missing)}")
    extra = [name for name in found if name not in wanted and not any(one.fullmatch(name) for one in ignored)]
    if extra:
        complaints.append(f"unexpected: {_some(extra)}")
    misshaped = [
        f"{name} {shape}, found {found[name].shape}"
        for name, shape in wanted.items()
        if name in found and found[name].shape != shape
    ]
    if misshaped:
        complaints.append(f"of another shape: expected {_some(misshaped)}")
    mistyped = [
        f"{name} {found[name].dtype}" for name in wanted if name in found and found[name].dtype.name not in _FLOATS
    ]
    if mistyped:
        complaints.append(f"not of {', '.join(_FLOATS)}: {_some(mistyped)}")
    if complaints:
        raise FormatError(
            f"{folder.path}: expected the {len(wanted)} tensors of {type(model).__name__} as config.json describes it, "
            f"found {'; '.join(complaints)}; are config.json and the weights of one model?"
        )


def _some(items: Sequence[str]) -> str:
    more = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _held(
    source: Array | list[Array], shape: tuple[int, ...], loading: Loading, keep: bool
) -> Parameter | StoredWeight:
    """A weight as it is to be held."""
    first = source[0] if isinstance(source, list) else source
    dtype = loading.dtype or first.dtype.name
    packed = dtype == "int8" or (loading.packed and dtype != "float64")
    if keep and packed:
        packed, dtype = False, first.dtype.name if dtype == "int8" else dtype
    if len(shape) < 2 or (dtype in ("float32", "float64") and not packed):
        wide = np.stack([_wide(one) for one in source]) if isinstance(source, list) else _wide(source)
        return Parameter(wide)
    precision: Precision = loading.precision if dtype in ("bfloat16", "int8") else "exact"
    several = isinstance(source, list) or (packed and len(shape) == 3)
    matrices: list[Any] = list(source) if several else [source]
    held = _packed(matrices, dtype) if packed else [_narrow(one, dtype) for one in matrices]
    return StoredWeight(held if several else held[0], precision)


def _wide(array: Array) -> Array:
    """float32, in the file's own memory if it is that already."""
    if array.dtype.name == "float32":
        return array
    return widened(array) if array.dtype.name in ("float16", "bfloat16") else array.astype(np.float32)


def _packed(arrays: list[Array], dtype: str) -> list[Matrix]:
    """Laid out for products; of a mapped file no page stays behind in this process."""
    known = (one if one.dtype.name in ("float32", "float16", "bfloat16") else _wide(one) for one in arrays)
    found: list[Matrix] = []
    for array, packed in zip(arrays, pack_side_by_side(known, len(arrays), dtype), strict=True):
        found.append(packed)
        let_go(array)
    return found


def _narrow(array: Array, dtype: str) -> Matrix:
    return array if array.dtype.name == dtype else _rounded(array, np.dtype(_type(dtype)))


def _type(name: str) -> Any:
    if name != "bfloat16":
        return name
    import ml_dtypes

    return ml_dtypes.bfloat16


def _rounded(array: Array, dtype: np.dtype[Any]) -> Array:
    with np.errstate(over="ignore"):
        return array.astype(dtype)


def gather(model: Module, names: Names, dtype: str | None = None) -> dict[str, Pending]:
    """The arrays of a model under the folder's names, each to be made when it is written.

    Args:
        model: any whose Parameters have names in `names`.
        names: as for `fill`.
        dtype: "float32", "bfloat16" or "float16" for all of them; None for what the model holds (int8 is written as
            float32).

    Raises:
        ValueError: another dtype.
    """
    if dtype not in (None, "float32", "bfloat16", "float16"):
        raise ValueError(f"dtype: expected None, 'float32', 'bfloat16' or 'float16', found {dtype!r}")
    found: dict[str, Pending] = {}
    for place in _own(model):
        source, value = place.source(names), place.value
        if isinstance(source, str):
            found[source] = _pending(value if isinstance(value, StoredWeight) else value.data, dtype)
            continue
        parts = value.matrices() if isinstance(value, StoredWeight) else value.data
        found |= {name: _pending(part, dtype) for name, part in zip(source, parts, strict=True)}
    return found


def _pending(part: Any, dtype: str | None) -> Pending:
    held = str(part.dtype)
    kind = np.dtype(_type(dtype or ("float32" if held == "int8" else held)))

    def make() -> Array:
        if isinstance(part, StoredWeight) and isinstance(part.value, np.ndarray):
            array = part.value
        elif isinstance(part, StoredWeight):
            array = part.widened()
        else:
            array = part.unpack() if isinstance(part, PackedWeight) else part
        return array if array.dtype == kind else _rounded(array, kind)

    return Pending(kind, tuple(part.shape), make)
