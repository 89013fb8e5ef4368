"""The recipe of `odyssey train resnet18`: data, model, optimizer, schedule and augmentation, put together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self, TypeAlias

import numpy as np

from odyssey.data.augment import RandomAffine
from odyssey.data.cifar import load_cifar
from odyssey.data.dataset import Dataset
from odyssey.data.digits import load_digits
from odyssey.data.images import ImageData
from odyssey.data.loader import DataLoader, Transform
from odyssey.data.transforms import Compose, Normalize, RandomCrop, RandomHorizontalFlip
from odyssey.models.resnet18 import ResNet18
from odyssey.optim.schedules import Schedule, cosine, multistep
from odyssey.optim.sgd import SGD
from odyssey.training.images import ImageRecipe
from odyssey.training.run import RunFolder
from odyssey.training.trainer import Trainer

__all__ = ["ResNet18Recipe"]

ScheduleName: TypeAlias = Literal["cosine", "step"]


@dataclass(frozen=True)
class ResNet18Recipe(ImageRecipe):
    """ResNet-18 on CIFAR (He et al. 2016, section 4.2), or on the digits enlarged to 32x32x3.

    Attributes:
        data: a folder of CIFAR-10 or CIFAR-100, or None for the digits.
        epochs, batch_size, lr: None takes 100, 128 and 0.1, and for the digits what learns them soonest.
        schedule: "cosine" (a rise over the first epoch, then half a cosine down to 0), or "step" (a tenth after half of
            the steps, and again after three quarters).
        weight_decay: added to the gradient, times the parameter.
        keep_last: how many checkpoints of past epochs to keep, beside the latest and the best.
    """

    name: ClassVar[str] = "resnet18"
    title: ClassVar[str] = "ResNet-18"

    schedule: ScheduleName = "cosine"
    weight_decay: float = 5e-4
    keep_last: int = 0

    def settled(self) -> Self:
        """The recipe with nothing left to be chosen."""
        epochs, batch_size, lr = (5, 32, 0.05) if self.data is None else (100, 128, 0.1)
        return replace(
            super().settled(),
            epochs=self.epochs or epochs,
            batch_size=self.batch_size or batch_size,
            lr=lr if self.lr is None else self.lr,
        )

    def load_data(self) -> ImageData:
        """The images, standardised; errors as in `odyssey.data.load_cifar`."""
        return load_digits(channels=3) if self.data is None else load_cifar(self.data)

    def trainer(self, data: ImageData) -> Trainer:
        """A Trainer at the very beginning."""
        assert self.epochs is not None
        assert self.batch_size is not None
        assert self.lr is not None
        model = ResNet18(len(data.classes), 3, generator=np.random.default_rng(self.seed))
        train: Dataset = data.train
        augment: Transform
        if self.data is None:  # handwriting leans and wanders, and has a left and a right
            augment = RandomAffine(degrees=8.0, scale=0.08, shear=0.08, shift=0.064)
        else:  # cut out and mirrored as bytes, and standardised last
            train = data.train.stored()
            standardise = Normalize(data.train.mean, data.train.std)
            augment = Compose([RandomCrop(data.image_size, padding=4), RandomHorizontalFlip(), standardise])
        loader = DataLoader(train, self.batch_size, shuffle=True, seed=self.seed, transform=augment)
        optimizer = SGD(model.parameters(), self.lr, momentum=0.9, weight_decay=self.weight_decay, nesterov=True)
        return Trainer(model, optimizer, loader, data.test, self._schedule(self.epochs, len(loader)))

    def watch(self, folder: RunFolder, trainer: Trainer, data: ImageData) -> None:
        """Keep the run's folder up to date, with the best checkpoint and the last ones."""
        folder.watch(trainer, best=True, last=self.keep_last)

    def _schedule(self, epochs: int, batches: int) -> Schedule:
        total = epochs * batches
        if self.schedule == "cosine":
            return cosine(total, warmup=batches)
        return multistep([(total + 1) // 2, (3 * total + 3) // 4])
