"""Recipes: what `odyssey train <model>` puts together, and how a run of one begins and goes on.

A recipe is a few settings that determine a run to the bit. Its class is the one place that knows a model's data,
augmentation, optimizer and schedule; all else (folders, checkpoints, what is refused on resuming) is the same for every
model and stands here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from odyssey.errors import FormatError
from odyssey.training.run import RunFolder
from odyssey.training.trainer import Trainer

__all__ = ["Recipe", "TrainingData", "resume", "start"]

R = TypeVar("R", bound="Recipe[Any]")
D = TypeVar("D", bound="TrainingData")


class TrainingData(Protocol):
    """What a recipe trains on, as far as a run needs to know it."""

    @property
    def name(self) -> str:
        """What it is called."""

    def fingerprint(self) -> str:
        """A checksum, to tell whether a run goes on with the data it began with."""

    def describe(self) -> dict[str, Any]:
        """What a run's configuration says about it: `name` and `fingerprint`, and what else there is."""


@dataclass(frozen=True)
class Recipe(Generic[D]):
    """What determines a run, to the bit. A subclass adds its settings, and says how they make a Trainer.

    Attributes:
        data: a folder of images or texts, or None for what is there without.
        epochs: how often each sample is seen; None takes the recipe's own number for the data.
        batch_size: samples per step; None likewise.
        lr: the highest learning rate; None likewise.
        seed: of the initial weights, the order of the samples and the augmentation.

    `name` is the model's on the command line and in the run's configuration, `title` what people call it, `samples`
    what the data is made of.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    samples: ClassVar[str] = "images"

    data: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    seed: int = 0

    def settled(self) -> Self:
        """The recipe with nothing left to be chosen: what a run's configuration keeps, to be resumed from anywhere."""
        return self if self.data is None else replace(self, data=os.path.abspath(self.data))

    def load_data(self) -> D:
        """The data, ready for the model.

        Raises:
            FileNotFoundError, FormatError: the data is missing or damaged.
        """
        raise NotImplementedError(f"{type(self).__name__}: expected a load_data() method, found none; define it")

    def trainer(self, data: D) -> Trainer:
        """A Trainer at the very beginning, of a recipe that is settled."""
        raise NotImplementedError(f"{type(self).__name__}: expected a trainer() method, found none; define it")

    def arguments(self, model: Any) -> dict[str, Any]:
        """What the model was made with, for the run's configuration."""
        return dict(model.config())

    def watch(self, folder: RunFolder, trainer: Trainer, data: D) -> None:
        """Keep the run's folder up to date while the trainer runs."""
        folder.watch(trainer)

    def end(self, folder: RunFolder, trainer: Trainer, data: D) -> None:
        """Write what the run came to, when it is done or was stopped."""
        folder.end(trainer, f"{self.title} on {data.name}")

    def introduced(self, data: D) -> str:
        """How much data there is, in a line."""
        raise NotImplementedError(f"{type(self).__name__}: expected a introduced() method, found none; define it")

    def summarised(self, trainer: Trainer, data: D) -> Iterator[tuple[str, str]]:
        """What came of the run: names of a word or two, and a line each."""
        raise NotImplementedError(f"{type(self).__name__}: expected a summarised() method, found none; define it")

    def seen(self, data: D) -> int:
        """How many of what the task counts an epoch has."""
        raise NotImplementedError(f"{type(self).__name__}: expected a seen() method, found none; define it")


def start(recipe: R, folder: RunFolder) -> tuple[Trainer, Any, R]:
    """Begin a run: nothing is trained yet, but the folder is there and can be resumed.

    Raises:
        FileExistsError: the folder is taken.
        FileNotFoundError, FormatError: the data is missing or damaged; nothing has been written.
    """
    folder.check_new()
    recipe = recipe.settled()
    data = recipe.load_data()
    trainer = recipe.trainer(data)
    folder.begin(trainer, _config(recipe, trainer.model, data))
    recipe.watch(folder, trainer, data)
    return trainer, data, recipe


def resume(kind: type[R], folder: RunFolder, given: dict[str, Any]) -> tuple[Trainer, Any, R]:
    """Go on with a run where its checkpoint was taken.

    Args:
        kind: the recipe's class.
        folder: of the run.
        given: settings that the user repeats. They must be the run's own, because with others it would not come to the
            same bits; only `data` may differ, for files that have moved.

    Raises:
        FileNotFoundError: there is no run, or its data is gone.
        FormatError: a file of the run is damaged, the data is not what the run began with, or a setting differs.
    """
    config = folder.config(kind.name)
    try:
        recipe = kind(**config["training"])
    except TypeError as error:
        raise FormatError(
            f"{folder.config_path}: expected the settings of a run of {kind.name}, found others ({error}); restore it"
        ) from error
    moved = given.pop("data", None)
    for name, value in given.items():
        if getattr(recipe, name) != value:
            raise FormatError(
                f"{folder.path}: expected {name} {getattr(recipe, name)}, with which the run began, found {value}; "
                "leave it out to resume, or start a new run"
            )
    if moved is not None:
        recipe = replace(recipe, data=moved).settled()
    data = recipe.load_data()
    if data.fingerprint() != config["data"].get("fingerprint"):
        raise FormatError(
            f"{folder.path}: expected the {kind.samples} the run began with ({config['data'].get('name')}, "
            f"{config['data'].get('fingerprint')}), found {data.name}, {data.fingerprint()}; "
            "name the folder that has them with --data"
        )
    trainer = recipe.trainer(data)
    folder.resume(trainer)
    recipe.watch(folder, trainer, data)
    return trainer, data, recipe


def _config(recipe: Recipe[Any], model: Any, data: TrainingData) -> dict[str, Any]:
    return {
        "model": {"name": recipe.name, "arguments": recipe.arguments(model)},
        "data": data.describe(),
        "training": asdict(recipe),
    }
