"""Folders of models with random weights: for benchmarks, which ask how fast weights are read and not what they say."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from odyssey.models.decoder import Decoder, DecoderConfig
from odyssey.models.moe import MoEConfig, MoETransformer
from odyssey.models.pretrained.folder import SHARD_BYTES, write_folder
from odyssey.models.pretrained.loading import ARCHITECTURES
from odyssey.serialization.safetensors import Pending
from odyssey.typing import Array

__all__ = ["write_random"]


def write_random(
    config: DecoderConfig,
    path: str | os.PathLike[str],
    *,
    model_type: str | None = None,
    dtype: str = "bfloat16",
    seed: int = 0,
    max_shard_size: int | str = SHARD_BYTES,
    overwrite: bool = False,
) -> None:
    """Write the folder of a decoder whose weights are drawn, one tensor at a time: no more than one is in memory.

    Args:
        config: the decoder's shape.
        path: the folder.
        model_type: the family to write it as; "odyssey_moe" or "odyssey_decoder" unless given.
        dtype: "bfloat16", "float16" or "float32".
        seed: of the numbers. A tensor's depend on the seed and its place alone.
        max_shard_size: bytes of arrays in one file, or text as "5GB".
        overwrite: whether to write into a folder that holds something that is no model.

    Matrices are uniform with deviation `config.init_std`, which is drawn faster than normal numbers; norms are 1.

    Raises:
        ValueError: a family without words for the configuration, or another dtype.
        FileExistsError, OSError: as `odyssey.models.save_pretrained`.

    Example:
        >>> import odyssey as od
        >>> import tempfile
        >>> from odyssey.models.pretrained.random_weights import write_random
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_random(od.models.MoEConfig.tiny(), folder)
        ...     od.models.from_pretrained(folder).head.weight
        StoredWeight((1000, 64), bfloat16)
    """
    kind = _kind(dtype)
    model = (MoETransformer if isinstance(config, MoEConfig) else Decoder).without_weights(config)
    model.model_type = model_type or model.model_type
    if model.model_type not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ValueError(f"write_random: expected a model_type of {known}, found {model.model_type!r}")
    settings, names = import_module(ARCHITECTURES[model.model_type]).write(model)
    tensors: dict[str, Pending] = {}
    for name, parameter in model.named_parameters():
        source = names[name]
        stacked = not isinstance(source, str)
        shape = parameter.shape[1:] if stacked else parameter.shape
        for one in source if stacked else (source,):
            fixed = parameter.data if parameter.ndim == 1 else None
            make = _maker(shape, kind, config.init_std, (seed, len(tensors)), fixed)
            tensors[one] = Pending(kind, shape, make)
    write_folder(path, {**settings, "dtype": dtype}, tensors, max_shard_size=max_shard_size, overwrite=overwrite)


def _kind(name: str) -> np.dtype[Any]:
    if name == "bfloat16":
        import ml_dtypes

        wide: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return wide
    if name not in ("float16", "float32"):
        raise ValueError(f"write_random: expected dtype 'bfloat16', 'float16' or 'float32', found {name!r}")
    return np.dtype(name)


def _maker(
    shape: tuple[int, ...], kind: np.dtype[Any], std: float, seed: tuple[int, int], fixed: Array | None
) -> Callable[[], Array]:
    def make() -> Array:
        if fixed is not None:
            return fixed.astype(kind)
        numbers = np.random.default_rng(seed).random(shape, np.float32)
        numbers -= np.float32(0.5)
        numbers *= np.float32(2 * math.sqrt(3) * std)  # the deviation of a uniform number is a part of its range
        return numbers.astype(kind, copy=False)

    return make
