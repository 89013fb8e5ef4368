"""Folders of models as Hugging Face lays them out: config.json, and arrays by name in one safetensors file or several.

Source: https://huggingface.co/docs/safetensors, and what transformers' `save_pretrained` writes. Several files (shards)
come with `model.safetensors.index.json`, which says in which of them each array is.

Reading maps the files into memory: an array is a view of its file, which is read where it is used, and no later than
that. Nothing a file says is believed before it was compared with the file. Whoever replaces a file that is mapped must
put another in its place, as `write_folder` does, and not write into it.

Writing makes the whole folder under another name beside its place and then renames it: whoever opens the place finds
the old folder or the new one.
"""

from __future__ import annotations

import json
import mmap
import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from odyssey.errors import FormatError
from odyssey.models.pretrained.exchange import exchange
from odyssey.serialization.atomic import sync_folder
from odyssey.serialization.safetensors import LONGEST_HEADER, Pending, arrays, writer
from odyssey.typing import Array

__all__ = ["CONFIG", "INDEX", "WEIGHTS", "Folder", "is_model", "read_json", "write_folder"]

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD_BYTES = 5 << 30
"""Bytes of arrays in a file before another is begun, unless told; Hugging Face's own figure."""

_SUFFIXES = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


class Folder:
    """A model's folder, opened: its configuration, and its arrays as they lie in the files.

    Args:
        path: the folder.

    Attributes:
        path: the folder.
        config: what config.json says.
        tensors: the arrays by name, views of the mapped files. float32 and float64 ones may be written to, which
            changes the memory of this process and no file; the others are read-only.

    Raises:
        FileNotFoundError: there is no such folder, or it lacks config.json, the weights or one of their files.
        FormatError: a file is damaged, cut off, no regular file, or not what the index says; the message names it.
        OSError: a file cannot be read, or no memory is left to map it into.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise FileNotFoundError(
                f"{self.path}: expected a model's folder with {CONFIG} and {WEIGHTS}, found "
                f"{'a file' if self.path.exists() else 'nothing there'}; give the folder"
            )
        self.config = read_json(self.path / CONFIG)
        self.tensors: dict[str, Array] = {}
        for file, names in _files(self.path).items():
            found = _mapped(self.path / file)
            if names is not None and (wrong := names.symmetric_difference(found)):
                one = min(wrong)
                where = "more" if one in found else "it without some"
                raise FormatError(
                    f"{self.path / file}: expected the {len(names)} tensors that {INDEX} names, found {where}: "
                    f"{_listed(wrong)}; copy the folder again, all files from one place"
                )
            self.tensors |= found

    def __repr__(self) -> str:
        size = sum(array.nbytes for array in self.tensors.values())
        return f"Folder({str(self.path)!r}, {len(self.tensors)} tensors, {size} bytes)"


def _files(path: Path) -> dict[str, set[str] | None]:
    """The files that hold arrays, and the names in each, where an index says them."""
    if (path / WEIGHTS).exists():
        return {WEIGHTS: None}
    if (path / INDEX).exists():
        return _indexed(path / INDEX)
    others = sorted(one.name for one in path.iterdir() if one.suffix in (".bin", ".h5", ".gguf", ".msgpack", ".onnx"))
    raise FileNotFoundError(
        f"{path}: expected {WEIGHTS} or {INDEX}, found "
        + (
            f"{', '.join(others[:3])}; write it as safetensors: transformers' model.save_pretrained(folder)"
            if others
            else "neither; copy the folder again, with its weights"
        )
    )


def _indexed(path: Path) -> dict[str, set[str] | None]:
    """What the index says: file -> names."""
    index = read_json(path)
    where = index.get("weight_map")
    if type(where) is not dict or not where:
        raise FormatError(f"{path}: expected a weight_map of files by tensor, found {_short(where)}")
    files: dict[str, set[str]] = {}
    for name, file in where.items():
        if type(file) is not str or file in ("", ".", "..") or "/" in file or "\0" in file or "\\" in file:
            raise FormatError(f"{path}: expected the name of a file beside it for {name!r}, found {_short(file)}")
        files.setdefault(file, set()).add(name)
    for file in files:
        if not (path.parent / file).exists():
            missing = [one for one in files if not (path.parent / one).exists()]
            raise FileNotFoundError(
                f"{path}: expected the {len(files)} files that it names, found {len(missing)} missing: "
                f"{_listed(missing)}; copy them here too"
            )
    return dict(files)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        FormatError: it holds something else, names a key twice, is longer than 16 MiB, or is no regular file.
    """
    with _regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LONGEST_HEADER:
            raise FormatError(f"{path}: expected JSON of at most {LONGEST_HEADER} bytes, found {size}")
        data = file.read()
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: expected JSON, found it damaged ({error}); restore the file") from None
    if type(value) is not dict:
        raise FormatError(f"{path}: expected an object of JSON, found {_short(value)}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _regular(path: Path) -> Any:
    """The file, opened for reading bytes; not waiting for the other end of a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: expected a file, found nothing there; copy the folder again") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FormatError(f"{path}: expected a regular file, found a folder, a pipe or a device")
    return open(descriptor, "rb")


def _mapped(path: Path) -> dict[str, Array]:
    """The arrays of one file."""
    with _regular(path) as file:
        if not os.fstat(file.fileno()).st_size:
            raise FormatError(f"{path}: expected a complete safetensors file, found it empty; copy it again")
        # A private mapping: pages are the file's until somebody writes to them.
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    try:
        found = arrays(np.frombuffer(mapped, np.uint8).data)[0]
    except FormatError as error:
        raise FormatError(
            f"{path}: expected a complete safetensors file, found it damaged: {error}; copy it again"
        ) from None
    for name, array in found.items():
        if not array.flags.aligned:  # another's writer has put it anywhere; kernels want whole elements
            found[name] = array = array.copy()
        array.flags.writeable = array.dtype in (np.float32, np.float64)
    return found


def is_model(path: Path) -> bool:
    """Whether this is a folder that holds a model."""
    return (path / CONFIG).is_file() and any((path / name).is_file() for name in (WEIGHTS, INDEX))


def write_folder(
    path: str | os.PathLike[str],
    config: Mapping[str, Any],
    tensors: Mapping[str, Pending],
    *,
    files: Mapping[str, Path | bytes] | None = None,
    max_shard_size: int | str = SHARD_BYTES,
    overwrite: bool = False,
) -> None:
    """Write a model's folder, whole or not at all.

    Args:
        path: the folder. A model that is there is replaced when the new one is complete, and not before; other files in
            it stay.
        config: for config.json.
        tensors: the arrays, by name, in the order in which shards are to be filled.
        files: other files by their names, such as tokenizer.json: where to copy them from, or what is in them.
        max_shard_size: bytes of arrays in one file, or text as "5GB" or "200MiB"; an array is never divided.
        overwrite: whether to write into a folder with something in it that is no model.

    Raises:
        FileExistsError: there is something at `path` that is no model, and it was not said to overwrite it.
        ValueError: a size that is none.
        OSError: no room, no permission. What was at `path` is still there, and nothing else is.
    """
    path = Path(os.path.realpath(path))
    limit = _bytes(max_shard_size)
    _may_write(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    beside.mkdir()
    try:
        _fill(beside, config, tensors, files or {}, limit)
        if path.exists():
            exchange(beside, path)
            _keep_others(beside, path)
        else:
            os.rename(beside, path)
    except OSError as error:
        error.filename = os.fspath(path)  # the folder the user knows
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)  # what failed, or what was there before
    sync_folder(path.parent)


def _may_write(path: Path, overwrite: bool) -> None:
    if not path.exists() or is_model(path) or (path.is_dir() and (overwrite or not any(path.iterdir()))):
        return
    what = "a folder that holds something else" if path.is_dir() else "a file"
    remedy = "another name, or overwrite=True to write the model among it" if path.is_dir() else "another name"
    raise FileExistsError(f"{path}: expected a model's folder or nothing, found {what}; give {remedy}")


def _fill(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Pending],
    files: Mapping[str, Path | bytes],
    limit: int,
) -> None:
    shards = _shards(tensors, limit)
    where = {name: file for file, names in shards.items() for name in names}
    for name, source in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        with _new(folder / name) as file:
            if isinstance(source, bytes):
                file.write(source)
            else:
                with open(source, "rb") as original:
                    shutil.copyfileobj(original, file)
    for file_name, names in shards.items():
        with _new(folder / file_name) as file:
            # What transformers looks at to know whose arrays they are.
            writer({name: tensors[name] for name in names}, {"format": "pt"})(file)
    if len(shards) > 1:
        total = sum(one.nbytes for one in tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}
        with _new(folder / INDEX) as file:
            file.write((json.dumps(index, indent=2) + "\n").encode())
    with _new(folder / CONFIG) as file:
        file.write((json.dumps(config, indent=2, sort_keys=True) + "\n").encode())


class _new:
    """A new file, whose bytes are on the disk when the block ends without an error."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "xb")  # noqa: SIM115

    def __enter__(self) -> Any:
        return self._file

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            with suppress(OSError):  # on a full disk closing tries to flush and fails once more
                self._file.close()


def _shards(tensors: Mapping[str, Pending], limit: int) -> dict[str, list[str]]:
    """Names of files -> names of the arrays in each, filled in order."""
    groups: list[list[str]] = [[]]
    room = limit
    for name, one in tensors.items():
        if groups[-1] and one.nbytes > room:
            groups.append([])
            room = limit
        groups[-1].append(name)
        room -= one.nbytes
    if len(groups) == 1:
        return {WEIGHTS: groups[0]}
    return {f"model-{i:05d}-of-{len(groups):05d}.safetensors": names for i, names in enumerate(groups, 1)}


def _keep_others(old: Path, new: Path) -> None:
    """Move from the folder that was replaced what is not part of a model."""
    for entry in old.iterdir():
        ours = entry.name in (CONFIG, INDEX) or entry.suffix == ".safetensors"
        if not ours and not (new / entry.name).exists():
            os.rename(entry, new / entry.name)


def _bytes(size: int | str) -> int:
    """
    >>> _bytes("200MiB"), _bytes("5GB"), _bytes(1000)
    (209715200, 5000000000, 1000)
    """
    if isinstance(size, str):
        digits = size.rstrip("KMGIBkmgib ")
        unit = size[len(digits) :].strip().upper()
        count = int(digits) * _SUFFIXES[unit] if digits.isdecimal() and unit in _SUFFIXES else 0
    else:
        count = size
    if count < 1:
        raise ValueError(f"max_shard_size: expected bytes, or text such as '5GB' or '200MiB', found {size!r}")
    return count


def _listed(names: Any) -> str:
    ordered = sorted(names)
    more = len(ordered) - 8
    return ", ".join(_short(name) for name in ordered[:8]) + (f" and {more} more" if more > 0 else "")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
