"""What the recipes of images have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from odyssey.data.images import ImageData
from odyssey.training.evaluation import Evaluation, evaluate
from odyssey.training.recipe import Recipe
from odyssey.training.trainer import Trainer

__all__ = ["ImageRecipe"]


@dataclass(frozen=True)
class ImageRecipe(Recipe[ImageData]):
    """A classifier of images: see `Recipe`."""

    def introduced(self, data: ImageData) -> str:
        """How many images, and of what size."""
        return (
            f"{len(data.train):,} images of {data.image_size}x{data.image_size} to learn from, {len(data.test):,} held "
            f"out, {len(data.classes)} classes"
        )

    def summarised(self, trainer: Trainer, data: ImageData) -> Iterator[tuple[str, str]]:
        """How many are right, and what is taken for what."""
        result: Evaluation = trainer.evaluation or evaluate(trainer.model, data.test)
        yield "held out", f"{result.accuracy:.2%} right, {result.errors} of {len(data.test):,} wrong"
        pair = result.worst_pair()
        confused = "none"
        if pair is not None:
            times = "once" if pair[2] == 1 else f"{pair[2]} times"
            confused = f"{data.classes[pair[0]]} and {data.classes[pair[1]]}, taken for one another {times}"
        yield "worst pair", confused

    def seen(self, data: ImageData) -> int:
        """The images of an epoch."""
        return len(data.train)
