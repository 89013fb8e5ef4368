"""LeNet-5 in odyssey and in PyTorch: the same weights, the same images, one step of training or inference.

PyTorch runs twice: as its tutorials write it, and with what its tuning guide adds on a CPU (channels last, the fused
optimizer, inference mode). The better of the two is who there is to beat.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, Literal, TypeAlias

import numpy as np

from odyssey.bench.limits import running
from odyssey.bench.race import Contender, PythonCall
from odyssey.bench.suites import OURS
from odyssey.typing import Array

__all__ = ["Task", "Workload", "unavailable"]

Task: TypeAlias = Literal["training", "inference"]

CLASSES = 10
LEARNING_RATE, MOMENTUM = 1e-3, 0.9
TOLERANCE = 1e-4  # of each array's largest value: float32 over some thousand terms
TUNED = "torch, tuned"
State: TypeAlias = "dict[str, Array]"
Built: TypeAlias = "tuple[Callable[[], Any], Callable[[], State]]"
"""A step, and how to see the weights after it."""


def unavailable() -> str | None:
    """Why LeNet-5 cannot run in this build, or None."""
    try:
        _odyssey("training", *_data(1), _weights())[0]()
    except (ImportError, AttributeError, NameError) as error:
        return f"not available in this build: {error}"
    return None


class Workload:
    """One step of a task on a batch, for everybody who can do it."""

    def __init__(self, task: Task, batch: int) -> None:
        self.task = task
        self.batch = batch
        self._images, self._labels = _data(batch)
        self._start = _weights()
        self._states: dict[str, Callable[[], State]] = {}
        self._expected, self._expected_state = self._by_definition()

    def contenders(self, threads: int, isa: str | None = None) -> list[Contender]:
        """odyssey first, then PyTorch where it is installed. PyTorch's threads are the caller's affair."""
        found: list[Contender] = [self._contender(OURS, _odyssey, around=partial(running, threads, isa))]
        if _has_torch():
            found.append(self._contender("torch", partial(_torch, tuned=False)))
            found.append(self._contender(TUNED, partial(_torch, tuned=True)))
        return found

    def check(self, name: str, result: Any) -> str | None:
        """What is wrong after the first step, in the loss or logits or in any weight; None if nothing."""
        found = {"result": np.asarray(result.detach() if hasattr(result, "detach") else result), **self._states[name]()}
        expected = {"result": self._expected, **self._expected_state}
        for key, value in expected.items():
            error = np.max(np.abs(found[key] - value), initial=0.0)
            if not error <= TOLERANCE * np.max(np.abs(value), initial=1e-30):
                return f"{key} is off by {error:.3g} where values reach {np.max(np.abs(value)):.3g}"
        return None

    def _contender(self, name: str, build: Callable[..., Built], **options: Any) -> PythonCall:
        step, self._states[name] = build(self.task, self._images, self._labels, self._start)
        return PythonCall(name, step, **options)

    def _by_definition(self) -> tuple[Array, State]:
        from odyssey.tensor import use_reference

        with use_reference():
            step, state = _odyssey(self.task, self._images, self._labels, self._start)
            return np.array(step().data), {name: array.copy() for name, array in state().items()}


def _data(batch: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, 1, 32, 32)).astype(np.float32), rng.integers(0, CLASSES, batch)


def _weights() -> State:
    from odyssey.models import LeNet5

    model = LeNet5(CLASSES, generator=np.random.default_rng(1))
    return {name: array.copy() for name, array in model.state_dict().items()}


def _has_torch() -> bool:
    from odyssey.bench.peers import absent

    return absent("torch") is None


def _odyssey(task: Task, images: Array, labels: Array, start: State) -> Built:
    from odyssey.models import LeNet5
    from odyssey.nn.functional import cross_entropy
    from odyssey.optim import SGD
    from odyssey.tensor import no_grad

    model = LeNet5(CLASSES)
    model.load_state_dict(start)
    optimizer = SGD(model.parameters(), LEARNING_RATE, MOMENTUM)

    def train() -> Any:
        optimizer.zero_grad()
        loss = cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    def infer() -> Any:
        with no_grad():
            return model(images)

    if task == "inference":
        model.eval()
    return train if task == "training" else infer, model.state_dict


def _torch(task: Task, images: Array, labels: Array, start: State, *, tuned: bool) -> Built:
    torch: Any = import_module("torch")
    functional = torch.nn.functional

    class LeNet5(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = torch.nn.Conv2d(1, 6, 5), torch.nn.Conv2d(6, 16, 5)
            self.fc1, self.fc2, self.fc3 = (torch.nn.Linear(i, o) for i, o in ((400, 120), (120, 84), (84, CLASSES)))

        def forward(self, x: Any) -> Any:
            x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
            x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
            x = functional.relu(self.fc1(torch.flatten(x, 1)))
            return self.fc3(functional.relu(self.fc2(x)))

    model = LeNet5()
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in start.items()})
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    if tuned:
        model = model.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM, fused=tuned)
    without_gradients = torch.inference_mode if tuned else torch.no_grad

    def train() -> Any:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    def infer() -> Any:
        with without_gradients():
            return model(x)

    def state() -> State:
        return {name: tensor.numpy() for name, tensor in model.state_dict().items()}

    if task == "inference":
        model.eval()
    return train if task == "training" else infer, state
