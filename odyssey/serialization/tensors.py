"""Named arrays in safetensors files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from odyssey.errors import FormatError
from odyssey.protocols import Serializable
from odyssey.serialization.atomic import write_bytes

if TYPE_CHECKING:
    from odyssey.tensor.tape import Array

__all__ = ["load", "load_metadata", "save"]


def save(
    model_or_state: Serializable | Mapping[str, Any],
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the arrays of a model, or any arrays by name, to a safetensors file, atomically.

    Args:
        model_or_state: a model (`odyssey.protocols.Serializable`), or a mapping from names to arrays or Tensors.
        path: the file. One that exists is replaced when the new one is complete, and not before.
        metadata: text to store along with them.

    Raises:
        OSError: the file cannot be written (no room, no permission); what was at `path` is still there.

    Example:
        >>> import odyssey as od
        >>> import tempfile
        >>> model = od.nn.Linear(4, 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     od.save(model, f"{folder}/model.safetensors")
        ...     od.nn.Linear(4, 2).load_state_dict(od.load(f"{folder}/model.safetensors"))
    """
    from safetensors.numpy import save as to_bytes

    state = model_or_state if isinstance(model_or_state, Mapping) else model_or_state.state_dict()
    arrays = {name: np.asarray(value, order="C") for name, value in state.items()}
    write_bytes(path, to_bytes(arrays, dict(metadata) if metadata else None))


def load(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays in a safetensors file, by name.

    Raises:
        FileNotFoundError: there is no such file.
        FormatError: it is not a complete safetensors file.
    """
    return _read(path)[0]


def load_metadata(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays in a safetensors file and the text stored along with them; errors as in `load`."""
    return _read(path)


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    with open(path, "rb"):  # a missing or unreadable file is Python's own error, with the name in it
        pass
    try:
        with safe_open(os.fspath(path), framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, UnicodeDecodeError) as error:
        raise FormatError(
            f"{Path(path)}: expected a complete safetensors file, found it damaged or of another kind ({error}); "
            "restore it, or save it again"
        ) from error
