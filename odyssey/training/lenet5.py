"""The recipe of `odyssey train lenet5`: data, model, optimizer, schedule and augmentation, put together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self, TypeAlias

import numpy as np

from odyssey.data.augment import RandomAffine
from odyssey.data.digits import load_digits
from odyssey.data.idx import load_idx
from odyssey.data.images import ImageData
from odyssey.data.loader import DataLoader
from odyssey.models.lenet5 import LeNet5
from odyssey.optim.adam import Adam, AdamW
from odyssey.optim.optimizer import Optimizer
from odyssey.optim.schedules import cosine
from odyssey.optim.sgd import SGD
from odyssey.training.images import ImageRecipe
from odyssey.training.trainer import Trainer

__all__ = ["LeNet5Recipe"]

OptimizerName: TypeAlias = Literal["sgd", "adam", "adamw"]
DEFAULT_LR: dict[OptimizerName, float] = {"sgd": 0.05, "adam": 0.002, "adamw": 0.002}


@dataclass(frozen=True)
class LeNet5Recipe(ImageRecipe):
    """LeNet-5 on handwriting: 30 epochs in batches of 64.

    Attributes:
        data: a folder of IDX files, or None for the digits.
        split: which of EMNIST's splits, where the folder holds several.
        lr: the rate rises to it over the first epoch and falls to 0 along a cosine. None takes the optimizer's usual
            one.
        optimizer: "sgd" (with Nesterov momentum 0.9), "adam" or "adamw".
    """

    name: ClassVar[str] = "lenet5"
    title: ClassVar[str] = "LeNet-5"

    split: str | None = None
    optimizer: OptimizerName = "sgd"

    def settled(self) -> Self:
        """The recipe with nothing left to be chosen."""
        return replace(
            super().settled(),
            epochs=self.epochs or 30,
            batch_size=self.batch_size or 64,
            lr=DEFAULT_LR[self.optimizer] if self.lr is None else self.lr,
        )

    def load_data(self) -> ImageData:
        """The images, standardised; errors as in `odyssey.data.load_idx`."""
        return load_digits() if self.data is None else load_idx(self.data, self.split)

    def trainer(self, data: ImageData) -> Trainer:
        """A Trainer at the very beginning."""
        assert self.epochs is not None
        assert self.batch_size is not None
        model = LeNet5(len(data.classes), 1, data.image_size, generator=np.random.default_rng(self.seed))
        # Handwriting differs in just these ways; without them the held-out error is three times as high.
        augment = RandomAffine(degrees=10.0, scale=0.1, shear=0.1, shift=0.08)
        loader = DataLoader(data.train, self.batch_size, shuffle=True, seed=self.seed, transform=augment)
        schedule = cosine(total=self.epochs * len(loader), warmup=min(1, self.epochs) * len(loader))
        return Trainer(model, self._optimizer(model), loader, data.test, schedule)

    def _optimizer(self, model: LeNet5) -> Optimizer:
        assert self.lr is not None
        if self.optimizer == "sgd":
            return SGD(model.parameters(), self.lr, momentum=0.9, nesterov=True)
        return {"adam": Adam, "adamw": AdamW}[self.optimizer](model.parameters(), self.lr)
