"""What the loader costs: LeNet-5's epoch through it against PyTorch through its own, and what it feeds a ResNet-18."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np

from odyssey import isa, threads
from odyssey.bench.limits import running
from odyssey.bench.peers import absent, equal_threads
from odyssey.bench.race import PythonCall, Rules, Spread, race
from odyssey.bench.suites import OURS
from odyssey.bench.tables import Line, Request, Section, judged, open_line
from odyssey.typing import Array

__all__ = ["sections"]

IMAGES, QUICK_IMAGES = 60_000, 6_400
BATCH, RESNET_BATCH = 64, 32
CLASSES = 10
MEAN, STD = 0.1307, 0.3081
LEARNING_RATE, MOMENTUM = 1e-2, 0.9
TOLERANCE = 1e-4  # of each array's largest value: float32 over some thousand terms
EPOCH_GOAL, FEED_GOAL = 3.0, 3.0

State: TypeAlias = "dict[str, Array]"
Built: TypeAlias = "tuple[Callable[[], None], Callable[[], State]]"
"""An epoch, and how to see the weights after it."""


def sections(request: Request) -> Iterator[Section]:
    """Every section, one after the other as it is measured."""
    yield _epoch(request)
    yield _feeding(request)


def _settings() -> tuple[int, ...]:
    return (1, 2) if threads.affinity() > 1 else (1,)


def _rules(request: Request) -> Rules:
    """An epoch takes seconds: three of them are a race."""
    return replace(request.rules, min_rounds=3, max_rounds=3)


def _never() -> int:
    """In seconds somebody always takes the processor for a moment: a sample that is taken again is no better."""
    return 0


# ---- LeNet-5, an epoch ----------------------------------------------------------------------------------------------


def _epoch(request: Request) -> Section:
    count = QUICK_IMAGES if request.quick else IMAGES
    title = f"LeNet-5 training, an epoch of {count} images of 28x28 in batches of {BATCH}, through the loader"
    what = "epoch, shuffled and standardised, against torch with its DataLoader"
    missing = absent("torch")
    if missing:
        return Section(title, [open_line(what, missing)])
    images, labels = _images((count, 1, 28, 28))
    start = _weights()
    wrong = _disagreement(images[: 5 * BATCH], labels[: 5 * BATCH], start)
    if wrong:
        return Section(title, [open_line(what, f"torch was refused: {wrong}")])
    lines = []
    for number in _settings():
        request.progress(f"LeNet-5, an epoch through the loader, {number} thread{'s' * (number > 1)}")
        contenders = [
            PythonCall(OURS, _odyssey(images, labels, start, True)[0], around=partial(running, number)),
            PythonCall("torch", _torch(images, labels, start, True, tuned=False)[0]),
            PythonCall("torch, tuned", _torch(images, labels, start, True, tuned=True)[0]),
        ]
        with equal_threads(number):
            outcome = race(contenders, rules=_rules(request), preempted=_never)
        best = outcome.fastest(["torch", "torch, tuned"]) or "torch"
        note = ", ".join(f"{one.name} {outcome.seconds(one.name).median:.3g} s" for one in contenders)
        lines.append(judged(what, _setting(number), outcome.ratio(best, OURS), EPOCH_GOAL, f"x {best}", note=note))
    return Section(title, lines)


def _images(shape: tuple[int, ...]) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, shape, np.uint8), rng.integers(0, CLASSES, shape[0])


def _weights() -> State:
    from odyssey.models import LeNet5

    model = LeNet5(CLASSES, 1, 28, generator=np.random.default_rng(1))
    return {name: array.copy() for name, array in model.state_dict().items()}


def _disagreement(images: Array, labels: Array, start: State) -> str | None:
    """What differs after some batches in order; None if nothing."""
    found = []
    for build in (_odyssey, partial(_torch, tuned=False), partial(_torch, tuned=True)):
        epoch, state = build(images, labels, start, False)
        epoch()
        found.append({name: array.copy() for name, array in state().items()})
    ours, *others = found
    for other in others:
        for name, array in ours.items():
            error = np.max(np.abs(array - other[name]))
            if not error <= TOLERANCE * np.max(np.abs(array)):
                return f"{name} is off by {error:.3g} after {len(images) // BATCH} batches"
    return None


def _odyssey(images: Array, labels: Array, start: State, shuffle: bool) -> Built:
    from odyssey.data import DataLoader, ImageDataset
    from odyssey.models import LeNet5
    from odyssey.nn.functional import cross_entropy
    from odyssey.optim import SGD

    model = LeNet5(CLASSES, 1, 28)
    model.load_state_dict(start)
    optimizer = SGD(model.parameters(), LEARNING_RATE, MOMENTUM)
    loader = DataLoader(ImageDataset(images, labels, MEAN, STD), BATCH, shuffle=shuffle)

    def epoch() -> None:
        for batch, classes in loader:
            optimizer.zero_grad()
            loss = cross_entropy(model(batch), classes)
            loss.backward()
            optimizer.step()

    return epoch, model.state_dict


def _torch(images: Array, labels: Array, start: State, shuffle: bool, *, tuned: bool) -> Built:
    """The images standardised beforehand and batches made in this process: the fastest its loader does here."""
    torch: Any = import_module("torch")
    data: Any = import_module("torch.utils.data")
    nn = torch.nn

    model = nn.Sequential()
    for name, layer in (
        ("conv1", nn.Conv2d(1, 6, 5, padding=2)), ("a", nn.ReLU()), ("b", nn.MaxPool2d(2)),
        ("conv2", nn.Conv2d(6, 16, 5)), ("c", nn.ReLU()), ("d", nn.MaxPool2d(2)), ("e", nn.Flatten()),
        ("fc1", nn.Linear(400, 120)), ("f", nn.ReLU()), ("fc2", nn.Linear(120, 84)), ("g", nn.ReLU()),
        ("fc3", nn.Linear(84, CLASSES)),
    ):  # fmt: skip
        model.add_module(name, layer)
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in start.items()})
    if tuned:
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM, fused=tuned)
    floats = (images.astype(np.float32) / np.float32(255) - np.float32(MEAN)) / np.float32(STD)
    samples = data.TensorDataset(torch.from_numpy(floats), torch.from_numpy(labels))
    loader = data.DataLoader(samples, BATCH, shuffle=shuffle)

    def epoch() -> None:
        for batch, classes in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(batch), classes)
            loss.backward()
            optimizer.step()

    def state() -> State:
        return {name: tensor.numpy() for name, tensor in model.state_dict().items()}

    return epoch, state


# ---- CIFAR, augmented -----------------------------------------------------------------------------------------------


def _feeding(request: Request) -> Section:
    """Cropped, mirrored and standardised images a second, over what training consumes; the loader on one thread."""
    lines = [_feed(request, number) for number in _settings()]
    return Section("The loader, CIFAR with crops, flips and standardising, on one thread", lines)


def _feed(request: Request, number: int) -> Line:
    from odyssey.data import ArrayDataset, Compose, DataLoader, Normalize, RandomCrop, RandomHorizontalFlip

    what = f"images a second, over what a ResNet-18 training step of {RESNET_BATCH} consumes"
    request.progress(f"CIFAR through the loader, {number} thread{'s' * (number > 1)}")
    images, labels = _images((20 * RESNET_BATCH, 3, 32, 32))
    augment = Compose([RandomCrop(32, padding=4), RandomHorizontalFlip(), Normalize((0.5,) * 3, (0.25,) * 3)])
    loader = DataLoader(ArrayDataset(images, labels), RESNET_BATCH, shuffle=True, transform=augment)

    def load() -> None:
        for _ in loader:
            pass

    step = _resnet_step(*next(iter(loader)))
    if isinstance(step, str):
        alone = race([PythonCall(OURS, load, around=partial(running, 1))], rules=request.rules)
        rate = len(images) / alone.seconds(OURS).median
        return open_line(what, f"{step}; the loader gives {rate:.3g} images/s", _setting(number))
    contenders = [
        PythonCall("loader", load, around=partial(running, 1)),
        PythonCall("step", step, around=partial(running, number)),
    ]
    outcome = race(contenders, rules=_rules(request), preempted=_never)
    rates = {"loader": len(images), "step": RESNET_BATCH}
    note = ", ".join(f"{name} {size / outcome.seconds(name).median:.3g} images/s" for name, size in rates.items())
    ratio, factor = outcome.ratio("step", "loader"), len(images) / RESNET_BATCH
    value = Spread(ratio.median * factor, ratio.low * factor, ratio.high * factor)
    return judged(what, _setting(number), value, FEED_GOAL, "x", note=note)


def _resnet_step(images: Array, labels: Array) -> Callable[[], Any] | str:
    """A training step, or why there is none."""
    from odyssey import models
    from odyssey.nn.functional import cross_entropy
    from odyssey.optim import SGD

    if not hasattr(models, "ResNet18"):
        return "ResNet-18 is not in this build"
    model = models.ResNet18(CLASSES)
    optimizer = SGD(model.parameters(), LEARNING_RATE, MOMENTUM)

    def step() -> Any:
        optimizer.zero_grad()
        loss = cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _setting(count: int) -> str:
    return f"{isa.active()}, {count} thread{'s' * (count > 1)}"
