"""ResNet-18 in the files of others: torchvision's names, which are ours, and those of Hugging Face's transformers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from odyssey.errors import FormatError
from odyssey.models.resnet18 import ResNet18
from odyssey.serialization.tensors import load, save
from odyssey.tensor.tape import Array

__all__ = ["load_resnet18", "resnet18_from", "resnet18_state", "save_resnet18"]

Names: TypeAlias = Literal["torchvision", "transformers"]

# Whole names with what follows the last dot left out, ours and transformers' (ResNetForImageClassification with basic
# layers). A unit of theirs is a convolution and its norm.
_STEM = "resnet.embedder.embedder"
_STAGE = "resnet.encoder.stages"
_TO_TRANSFORMERS = (
    (re.compile(r"conv1"), rf"{_STEM}.convolution"),
    (re.compile(r"bn1"), rf"{_STEM}.normalization"),
    (re.compile(r"layer(\d)\.(\d)\.conv(\d)"), lambda m: f"{_layer(m)}.layer.{int(m[3]) - 1}.convolution"),
    (re.compile(r"layer(\d)\.(\d)\.bn(\d)"), lambda m: f"{_layer(m)}.layer.{int(m[3]) - 1}.normalization"),
    (re.compile(r"layer(\d)\.(\d)\.downsample\.0"), lambda m: f"{_layer(m)}.shortcut.convolution"),
    (re.compile(r"layer(\d)\.(\d)\.downsample\.1"), lambda m: f"{_layer(m)}.shortcut.normalization"),
    (re.compile(r"fc"), "classifier.1"),
)
_COUNTER = "num_batches_tracked"  # batches that a norm has seen: PyTorch keeps it, and reads it where momentum is None


def _layer(match: re.Match[str]) -> str:
    return f"{_STAGE}.{int(match[1]) - 1}.layers.{match[2]}"


def _transformers_name(name: str) -> str:
    owner, _, leaf = name.rpartition(".")
    for pattern, theirs in _TO_TRANSFORMERS:
        if pattern.fullmatch(owner):
            return f"{pattern.sub(theirs, owner)}.{leaf}"
    raise AssertionError(f"a name of ResNet18 without one of transformers: {name}")


def resnet18_state(model: ResNet18, names: Names = "torchvision") -> dict[str, Array]:
    """A model's arrays by the names of another library, complete for its `load_state_dict`.

    Args:
        model: of any stem for torchvision; transformers' ResNet knows only that of ImageNet.
        names: "torchvision", or "transformers" for its ResNetForImageClassification.

    Returns:
        The arrays by name. They are the model's own, but for PyTorch's count of batches in each norm, which is 0.

    Raises:
        ValueError: `names` is another one, or transformers has no such stem.

    Example:
        >>> import odyssey as od
        >>> state = od.models.resnet18_state(od.models.ResNet18(stem="imagenet"), "transformers")
        >>> [name for name in state if name.startswith("classifier")]
        ['classifier.1.weight', 'classifier.1.bias']
    """
    if names not in ("torchvision", "transformers"):
        raise ValueError(f"resnet18_state: expected names 'torchvision' or 'transformers', found {names!r}")
    if names == "transformers" and model.stem != "imagenet":
        raise ValueError(
            f"resnet18_state: expected stem 'imagenet', the only one that transformers has, found {model.stem!r}; "
            "use names='torchvision'"
        )
    state: dict[str, Array] = {}
    for name, array in model.state_dict().items():
        state[name] = array
        if name.endswith(".running_var"):
            state[name.removesuffix("running_var") + _COUNTER] = np.zeros((), np.int64)
    return state if names == "torchvision" else {_transformers_name(name): array for name, array in state.items()}


def resnet18_from(state: Mapping[str, Any]) -> ResNet18:
    """A model with the weights of a state dict by torchvision's names or transformers', which are told apart here.

    Args:
        state: arrays, or whatever NumPy takes for one, by name. What is not a weight (PyTorch's counts of batches) is
            left out. The stem, the channels and the number of classes are read off the shapes.

    Raises:
        FormatError: it is not the state of a ResNet-18.
        ShapeError, DTypeError: an array has another shape or type than ResNet-18's.
    """
    arrays = {name: np.asarray(value) for name, value in state.items() if not name.endswith(_COUNTER)}
    if f"{_STEM}.convolution.weight" in arrays:
        ours = {_transformers_name(name): name for name in ResNet18().state_dict()}
        arrays = {ours.get(name, name): array for name, array in arrays.items()}
    try:
        first, last = arrays["conv1.weight"], arrays["fc.weight"]
        stem = {3: "cifar", 7: "imagenet"}[first.shape[2]]
        classes, channels = last.shape[0], first.shape[1]
    except (KeyError, IndexError) as error:
        raise FormatError(
            "resnet18_from: expected the state of a ResNet-18 by torchvision's names or transformers', with "
            "conv1.weight (64, channels, 3, 3) or (64, channels, 7, 7) and fc.weight (classes, 512), "
            f"found {error!r} wrong; "
            "was it saved from a model of another kind?"
        ) from error
    model = ResNet18(classes, channels, stem)
    model.load_state_dict(arrays)
    return model


def load_resnet18(path: str | os.PathLike[str]) -> ResNet18:
    """A model from a safetensors file of torchvision's or transformers' state; errors as in `resnet18_from`, and

    Raises:
        FileNotFoundError: there is no such file.
        FormatError: it is not a complete safetensors file.
    """
    return resnet18_from(load(path))


def save_resnet18(model: ResNet18, path: str | os.PathLike[str], names: Names = "torchvision") -> None:
    """Write `resnet18_state(model, names)` to a safetensors file, atomically.

    Example:
        >>> import odyssey as od
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     od.models.save_resnet18(od.models.ResNet18(num_classes=3), f"{folder}/model.safetensors")
        ...     od.models.load_resnet18(f"{folder}/model.safetensors").num_classes
        3
    """
    save(resnet18_state(model, names), path)
