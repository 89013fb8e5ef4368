"""The folder of a model by its name on the Hugging Face hub, "org/name".

The cache is huggingface_hub's: `$HF_HUB_CACHE`, or `$HF_HOME/hub`, or `~/.cache/huggingface/hub`, with
`models--org--name/refs/main`, which holds the name of a folder in `models--org--name/snapshots`. It is looked at first
and without the library; a model that is there whole is read from there, without a question to the network.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from odyssey.models.pretrained.folder import INDEX, is_model, read_json

__all__ = ["cache_folder", "cached", "is_name", "resolve"]

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_ON = {"1", "ON", "YES", "TRUE"}
# Nothing of other frameworks, whose weights are as large again.
_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*/config.json")


def is_name(path: str) -> bool:
    """Whether this can be a name on the hub: an owner and a model."""
    return _NAME.fullmatch(path) is not None


def resolve(path: str | os.PathLike[str], revision: str | None = None) -> Path:
    """The folder of a model: a folder that exists, or for "org/name" the one in the hub's cache, fetched if need be.

    Args:
        path: a folder, or a name on the hub.
        revision: a branch, tag or commit of the hub's; "main" unless given.

    Raises:
        FileNotFoundError: there is no such folder, the cache does not have it, and it could not be fetched; the message
            says why.
    """
    folder = Path(path)
    if folder.exists() or not isinstance(path, str) or not is_name(path):
        return folder  # what is wrong with it, reading it says
    found = cached(path, revision or "main")
    return _fetched(path, revision) if found is None else found


def cache_folder() -> Path:
    """Where the hub's files are kept."""
    if given := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(given).expanduser()
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache"), "huggingface"
    )
    return Path(home).expanduser() / "hub"


def cached(name: str, revision: str = "main") -> Path | None:
    """The cache's folder of a model, if the whole model is in it.

    Args:
        name: "org/name".
        revision: a branch or tag that was fetched, or a commit.
    """
    folder = cache_folder() / f"models--{name.replace('/', '--')}"
    commit = revision
    reference = folder / "refs" / revision
    if reference.is_file():
        commit = reference.read_text().strip()
    if not re.fullmatch(r"[\w-]+", commit):
        return None
    snapshot = folder / "snapshots" / commit
    return snapshot if is_model(snapshot) and _whole(snapshot) else None


def _whole(snapshot: Path) -> bool:
    """Whether all files of the weights are there: a fetch may have been cut off."""
    index = snapshot / INDEX
    if not index.is_file() or (snapshot / "model.safetensors").is_file():
        return True
    files = read_json(index).get("weight_map")
    return isinstance(files, dict) and all((snapshot / str(file)).is_file() for file in set(map(str, files.values())))


def _fetched(name: str, revision: str | None) -> Path:
    sought = f"{name}: expected a folder of that name, or the model in the cache {cache_folder()}, found neither"
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in _ON:
        raise FileNotFoundError(f"{sought}, and HF_HUB_OFFLINE forbids to fetch it; unset it, or give a folder")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise FileNotFoundError(
            f"{sought}, nor the package huggingface_hub to fetch it with; install it: pip install huggingface_hub"
        ) from None
    try:
        folder = snapshot_download(name, revision=revision, cache_dir=cache_folder(), allow_patterns=list(_FILES))
    except Exception as error:  # the library's own, its HTTP library's, the system's
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise FileNotFoundError(
            f"{sought}, and it could not be fetched ({reason}); check the name and the network, or give a folder"
        ) from error
    return Path(folder)
