"""`from_pretrained` and `save_pretrained`: a folder to a model and back, by the architecture that config.json names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

from odyssey.errors import FormatError
from odyssey.models.pretrained.folder import CONFIG, SHARD_BYTES, Folder, write_folder
from odyssey.models.pretrained.hub import resolve
from odyssey.models.pretrained.weights import DType, Loading, Names, gather
from odyssey.nn.module import Module
from odyssey.nn.stored import Precision

__all__ = ["ARCHITECTURES", "Architecture", "from_pretrained", "save_pretrained"]

ARCHITECTURES: Final[dict[str, str]] = {
    "bert": "odyssey.models.pretrained.bert",
    "llama": "odyssey.models.pretrained.llama",
    "mistral": "odyssey.models.pretrained.llama",
    "mixtral": "odyssey.models.pretrained.mixtral",
    "odyssey_decoder": "odyssey.models.pretrained.odyssey_decoder",
    "odyssey_moe": "odyssey.models.pretrained.odyssey_decoder",
    "olmoe": "odyssey.models.pretrained.olmoe",
    "qwen2": "odyssey.models.pretrained.llama",
    "qwen3": "odyssey.models.pretrained.llama",
    "qwen3_moe": "odyssey.models.pretrained.qwen3_moe",
}
"""`model_type` of a config.json -> the module that knows it, an `Architecture`."""

# What belongs to a tokenizer, and to a model's use beside its weights. It is carried along as it is.
COMPANIONS: Final = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja", "generation_config.json", "modules.json",
    "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json",
)  # fmt: skip


class Architecture(Protocol):
    """What a module of `ARCHITECTURES` defines."""

    def read(self, folder: Folder, loading: Loading) -> Module:
        """A model with the folder's weights (see `weights.fill`).

        It has an attribute `model_type`, by which `save_pretrained` finds this module again.
        """

    def write(self, model: Any) -> tuple[dict[str, Any], Names]:
        """The settings for config.json, `model_type` and `architectures` with them, and names for `weights.gather`."""


def from_pretrained(
    path: str | os.PathLike[str],
    *,
    dtype: DType | None = None,
    precision: Precision = "exact",
    revision: str | None = None,
    prefetch: bool = False,
    packed: bool = False,
) -> Any:
    """The model in a folder, of the class that config.json's `model_type` says, in evaluation mode.

    Args:
        path: a folder with config.json and safetensors, or a name on the hub, "org/name": its folder in the hub's
            cache, which huggingface_hub fetches if it is not there.
        dtype: what matrices are stored as: "float32", "bfloat16", "float16" or "int8" (a scale for each row); None for
            what the file has. Float32 ones are Parameters and can be trained; narrower ones are `StoredWeight`s.
        precision: "exact" for products whose bits do not depend on the machine, or "native" for the processor's own
            products of bfloat16 and int8.
        revision: of the hub's: a branch, tag or commit.
        prefetch: read the files ahead in a thread, in the order in which the model's weights stand in them.
        packed: lay matrices out once for products, as `odyssey.pack` does. That takes as long as copying them and their
            memory once; decoding, which reads all of them for each token, then does so at the memory's full speed. The
            bits are the same. They are `StoredWeight`s then, of float32 too, and are not trained.

    Weights that need not be converted are the files' memory, mapped, and are read where and when they are used. Float32
    ones may be written to: what is changed is this process's, and the file stays as it is.

    Raises:
        FileNotFoundError: there is no such folder, or it lacks a file; or no such name in the cache and none can be
            fetched.
        FormatError: an architecture that is not known here, a setting that is missing or wrong, tensors that are
            missing, unexpected or misshaped, a damaged file. The message names the file and lists them.
        ValueError: a dtype or precision that is none.

    Example:
        >>> import odyssey as od
        >>> import tempfile
        >>> model = od.models.Bert(od.models.BertConfig(vocabulary=20, features=8, layers=1, heads=2, hidden=16))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     od.models.save_pretrained(model, folder)
        ...     od.models.from_pretrained(folder).config.features
        8
    """
    loading = Loading(dtype, precision, packed)
    folder = Folder(resolve(path, revision))
    if prefetch:
        from odyssey.models.pretrained.prefetch import prefetch as ahead

        ahead(folder.tensors.values())
    model: Any = _architecture(folder.config.get("model_type"), folder.path / CONFIG).read(folder, loading)
    model.pretrained = folder.path
    return model.eval()


def _architecture(kind: Any, where: object) -> Architecture:
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        raise FormatError(
            f"{where}: expected model_type to be one of {', '.join(sorted(ARCHITECTURES))}, found {str(kind)[:100]!r}: "
            "other architectures are not known here"
        )
    module: Any = import_module(ARCHITECTURES[kind])
    return module  # type: ignore[no-any-return]


def save_pretrained(
    model: Module,
    path: str | os.PathLike[str],
    *,
    tokenizer: Any = None,
    dtype: str | None = None,
    max_shard_size: int | str = SHARD_BYTES,
    overwrite: bool = False,
) -> None:
    """Write a model's folder, whole or not at all; `from_pretrained` reads it, and transformers' does.

    Args:
        model: of an architecture that `from_pretrained` knows.
        path: the folder. A model that is there is replaced when the new one is complete; other files in it stay.
        tokenizer: a `tokenizers.Tokenizer`, or the path of a tokenizer.json or of a folder with one. None for the one
            of the folder that the model came from, if it came from one and that is still there.
        dtype: "float32", "bfloat16" or "float16"; None for what the model holds (int8 is written as float32).
        max_shard_size: bytes of arrays in one file, or text as "5GB".
        overwrite: whether to write into a folder that holds something that is no model.

    Raises:
        FileExistsError: there is something at `path` that is no model.
        TypeError: a model that has no such folders.
        ValueError: a dtype or size that is none.
        FileNotFoundError: the tokenizer's file is not there.
        OSError: no room, no permission; what was at `path` is still there, and nothing else is.
    """
    kind = getattr(model, "model_type", None)
    if kind not in ARCHITECTURES:
        raise TypeError(
            f"save_pretrained: expected a model of one of {', '.join(sorted(ARCHITECTURES))}, found "
            f"{type(model).__name__}; odyssey.save writes the arrays of any model"
        )
    config, names = _architecture(kind, "save_pretrained").write(model)
    tensors = gather(model, names, dtype)
    config["dtype"] = _common_dtype(tensors)
    files = _companions(getattr(model, "pretrained", None)) | _tokenizer(tokenizer)
    write_folder(path, config, tensors, files=files, max_shard_size=max_shard_size, overwrite=overwrite)


def _common_dtype(tensors: Mapping[str, Any]) -> str:
    """The type of most elements: what transformers loads a model as."""
    sizes: dict[str, int] = {}
    for one in tensors.values():
        sizes[one.dtype.name] = sizes.get(one.dtype.name, 0) + one.nbytes
    return max(sizes, key=lambda name: sizes[name])


def _companions(folder: Path | None) -> dict[str, Path | bytes]:
    if folder is None:
        return {}
    return {name: folder / name for name in COMPANIONS if (folder / name).is_file()}


def _tokenizer(tokenizer: Any) -> dict[str, Path | bytes]:
    if tokenizer is None:
        return {}
    if hasattr(tokenizer, "to_str"):
        return {"tokenizer.json": tokenizer.to_str(pretty=True).encode()}
    path = Path(tokenizer)
    if path.is_dir():
        found = {
            name: one
            for name, one in _companions(path).items()
            if "token" in name or "vocab" in name or "merges" in name
        }
        if found:
            return found
        path = path / "tokenizer.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a tokenizer.json, found none; give its path, or a folder with one")
    return {"tokenizer.json": path}
