"""The recipe of `odyssey train lenet5`: data, model, optimizer, schedule and augmentation, put together."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from odyssey.data.augment import RandomAffine
from odyssey.data.digits import load_digits
from odyssey.data.idx import load_idx
from odyssey.data.images import ImageData
from odyssey.data.loader import DataLoader
from odyssey.errors import FormatError
from odyssey.models.lenet5 import LeNet5
from odyssey.optim.adam import Adam, AdamW
from odyssey.optim.optimizer import Optimizer
from odyssey.optim.schedules import cosine
from odyssey.optim.sgd import SGD
from odyssey.training.run import RunFolder
from odyssey.training.trainer import Trainer

__all__ = ["LeNet5Recipe", "resume_lenet5", "start_lenet5"]

OptimizerName: TypeAlias = Literal["sgd", "adam", "adamw"]
DEFAULT_LR: dict[OptimizerName, float] = {"sgd": 0.05, "adam": 0.002, "adamw": 0.002}


@dataclass(frozen=True)
class LeNet5Recipe:
    """What determines a run, to the bit.

    Attributes:
        data: a folder of IDX files, or None for the digits.
        split: which of EMNIST's splits, where the folder holds several.
        epochs: how often each image is seen.
        batch_size: images per step.
        lr: the highest learning rate: it rises to it over the first epoch and falls to 0 along a cosine. None takes the
            optimizer's usual one.
        optimizer: "sgd" (with Nesterov momentum 0.9), "adam" or "adamw".
        seed: of the initial weights, the order of the images and the augmentation.
    """

    data: str | None = None
    split: str | None = None
    epochs: int = 30
    batch_size: int = 64
    lr: float | None = None
    optimizer: OptimizerName = "sgd"
    seed: int = 0

    def load_data(self) -> ImageData:
        """The images, standardised; errors as in `odyssey.data.load_idx`."""
        return load_digits() if self.data is None else load_idx(self.data, self.split)

    def trainer(self, data: ImageData) -> Trainer:
        """A Trainer at the very beginning."""
        model = LeNet5(len(data.classes), 1, data.image_size, generator=np.random.default_rng(self.seed))
        # Handwriting differs in just these ways; without them the held-out error is three times as high.
        augment = RandomAffine(degrees=10.0, scale=0.1, shear=0.1, shift=0.08)
        loader = DataLoader(data.train, self.batch_size, shuffle=True, seed=self.seed, transform=augment)
        schedule = cosine(total=self.epochs * len(loader), warmup=min(1, self.epochs) * len(loader))
        return Trainer(model, self._optimizer(model), loader, data.test, schedule)

    def _optimizer(self, model: LeNet5) -> Optimizer:
        lr = DEFAULT_LR[self.optimizer] if self.lr is None else self.lr
        if self.optimizer == "sgd":
            return SGD(model.parameters(), lr, momentum=0.9, nesterov=True)
        return {"adam": Adam, "adamw": AdamW}[self.optimizer](model.parameters(), lr)


def start_lenet5(recipe: LeNet5Recipe, folder: RunFolder) -> tuple[Trainer, ImageData]:
    """Begin a run: nothing is trained yet, but the folder is there and can be resumed.

    Raises:
        FileExistsError: the folder is taken.
        FileNotFoundError, FormatError: the data is missing or damaged; nothing has been written.
    """
    folder.check_new()
    if recipe.data is not None:
        recipe = replace(recipe, data=os.path.abspath(recipe.data))  # a run is resumed from anywhere
    data = recipe.load_data()
    trainer = recipe.trainer(data)
    folder.begin(trainer, _config(recipe, trainer.model, data))
    folder.watch(trainer)
    return trainer, data


def resume_lenet5(folder: RunFolder, given: dict[str, Any]) -> tuple[Trainer, ImageData, LeNet5Recipe]:
    """Go on with a run where its checkpoint was taken.

    Args:
        folder: of the run.
        given: settings that the user repeats. They must be the run's own, because with others it would not come to the
            same bits; only `data` may differ, for files that have moved.

    Raises:
        FileNotFoundError: there is no run, or its data is gone.
        FormatError: a file of the run is damaged, the data is not what the run began with, or a setting differs.
    """
    config = folder.config("lenet5")
    try:
        recipe = LeNet5Recipe(**config["training"])
    except TypeError as error:
        raise FormatError(
            f"{folder.config_path}: expected the settings of a run of lenet5, found others ({error}); restore it"
        ) from error
    moved = given.pop("data", None)
    for name, value in given.items():
        if getattr(recipe, name) != value:
            raise FormatError(
                f"{folder.path}: expected {name} {getattr(recipe, name)}, with which the run began, found {value}; "
                "leave it out to resume, or start a new run"
            )
    if moved is not None:
        recipe = replace(recipe, data=os.path.abspath(moved))
    data = recipe.load_data()
    if data.fingerprint() != config["data"].get("fingerprint"):
        raise FormatError(
            f"{folder.path}: expected the images the run began with ({config['data'].get('name')}, "
            f"{config['data'].get('fingerprint')}), found {data.name}, {data.fingerprint()}; "
            "name the folder that has them with --data"
        )
    trainer = recipe.trainer(data)
    folder.resume(trainer)
    folder.watch(trainer)
    return trainer, data, recipe


def _config(recipe: LeNet5Recipe, model: Any, data: ImageData) -> dict[str, Any]:
    return {
        "model": {"name": "lenet5", "arguments": model.config()},
        "data": data.describe(),
        "training": asdict(recipe),
    }
